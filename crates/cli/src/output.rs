//! What goes to the terminal: coloured there, plain in a pipe, foreign text made harmless.

use std::{
    fmt,
    io::{IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use portcullis_base::printable;
use portcullis_gateway::check::{Check, CheckState};

use crate::failure::Failure;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const WARN: Style = AnsiColor::Yellow.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const LINK: Style = AnsiColor::Cyan.on_default();

/// Writes one line to standard output. A reader that went away is no failure of ours.
pub fn line(text: impl fmt::Display) {
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// Writes text as it is to standard output, without another line end.
pub fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes one line for people to standard error.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Says on a terminal how far long work is; the next line that is written takes its place. A pipe is told nothing.
pub fn progress(text: impl fmt::Display) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
    }
}

/// Writes a failure to standard error.
pub fn failure(failure: &Failure) {
    note(format_args!("{BAD}{BOLD}error{BOLD:#}{BAD:#}: {}", failure.what));
    for help in failure.help.iter().flat_map(|help| help.lines()) {
        note(format_args!("  {help}"));
    }
}

/// Text in a style.
pub fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A JSON value on one line, for scripts.
pub fn json(value: &serde_json::Value) {
    let _ = writeln!(std::io::stdout().lock(), "{value}");
}

/// A table: columns as wide as their widest cell, the last one as long as it is.
pub fn table(head: &[&str], rows: &[Vec<String>]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell, 120)).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let join = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    line(styled(BOLD, join(head.to_vec())));
    for row in &rows {
        line(join(row.iter().map(String::as_str).collect()));
    }
}

/// Prints one thing that was looked at, with what to do about it.
pub fn print_check(check: &Check, indent: &str) {
    let sign = match check.state {
        CheckState::Good => styled(GOOD, "✓"),
        CheckState::Warning => styled(WARN, "!"),
        CheckState::Bad => styled(BAD, "✗"),
    };
    line(format_args!("{indent}{sign} {}: {}", check.name, printable(&check.text, 600)));
    for advice in check.advice.iter().flat_map(|advice| advice.lines()) {
        line(format_args!("{indent}    {}", printable(advice, 600)));
    }
}
