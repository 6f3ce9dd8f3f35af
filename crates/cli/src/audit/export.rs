//! `portcullis audit export`: events in a file. Line by line: memory does not grow with what is exported.

use std::{
    borrow::Cow,
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use portcullis_audit::{Event, Kind};
use portcullis_base::Clock;
use portcullis_gateway::journal::Lines;
use portcullis_store::{AuditEntry, AuditFilter, AuditPage};
use serde_json::Value;

use super::query::{filter, looked, told};
use crate::{
    args::{Export, ExportFormat},
    failure::{Failure, Result},
    house::House,
    output::{line, progress},
    settings::Settings,
};

/// Rows of one page of the index.
const PAGE: u32 = 1000;
/// How often it is said how far it is.
const TOLD: u64 = 10_000;

/// Writes down that somebody exports, and exports.
pub(super) async fn write(export: &Export, settings: &Settings) -> Result<()> {
    let filter = filter(&export.events)?;
    let house = House::existing(settings).await?;
    let unwritten = |error: io::Error| {
        Failure::new(format!("{} cannot be written: {error}", export.to.display()))
            .help("choose a file that is not there yet")
    };
    // Made first: nothing is recorded of an export that cannot begin. Only its owner may read it.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&export.to).map_err(unwritten)?;
    let format = match export.format {
        ExportFormat::Jsonl => "jsonl",
        ExportFormat::Csv => "csv",
    };
    let event = Event::new(Kind::AuditExported, house.clock.now())
        .text("format", format)
        .text("filter", told(&filter))
        .text("file", export.to.display().to_string());
    let whole = export.format == ExportFormat::Jsonl && filter == AuditFilter::default();
    let written = match looked(&house, event).await {
        Ok(()) if whole => journals(&house.config.data.join("journal"), file).map_err(unwritten),
        Ok(()) => found(&house, &filter, export, file).await,
        Err(failure) => Err(failure),
    };
    progress("");
    match written {
        Ok(count) => {
            line(format_args!("{count} {} in {}", if whole { "lines" } else { "events" }, export.to.display()));
            Ok(())
        }
        Err(failure) => {
            // Half an export would be taken for a whole one.
            let _ = fs::remove_file(&export.to);
            Err(failure)
        }
    }
}

/// Every line of every journal, as it stands there.
fn journals(dir: &Path, file: File) -> io::Result<u64> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().is_dir() {
            nodes.extend(entry.file_name().into_string().ok());
        }
    }
    nodes.sort();
    let mut out = BufWriter::new(file);
    let mut count = 0;
    for node in nodes {
        let mut lines = Lines::open(dir, &node, 0, None)?;
        while let Some(line) = lines.next_line()? {
            out.write_all(line.bytes)?;
            out.write_all(b"\n")?;
            count += 1;
            tell(count);
        }
    }
    finish(out)?;
    Ok(count)
}

/// What the index finds, the newest first.
async fn found(house: &House, filter: &AuditFilter, export: &Export, file: File) -> Result<u64> {
    let unwritten = |error: io::Error| Failure::new(format!("{} cannot be written: {error}", export.to.display()));
    let mut out = BufWriter::new(file);
    if export.format == ExportFormat::Csv {
        out.write_all(HEAD.join(",").as_bytes()).and_then(|()| out.write_all(b"\r\n")).map_err(unwritten)?;
    }
    let (mut count, mut page) = (0, AuditPage::first(PAGE));
    loop {
        let entries = house.store.audit(filter, &page).await.map_err(|error| house.failed(error))?;
        for entry in &entries {
            match export.format {
                ExportFormat::Jsonl => writeln!(out, "{}", entry.line),
                ExportFormat::Csv => out.write_all(record(entry).as_bytes()),
            }
            .map_err(unwritten)?;
            count += 1;
            tell(count);
        }
        match entries.last() {
            Some(last) if entries.len() == PAGE as usize => page = AuditPage::after(PAGE, last),
            _ => break,
        }
    }
    finish(out).map_err(unwritten)?;
    Ok(count)
}

fn finish(mut out: BufWriter<File>) -> io::Result<()> {
    out.flush()?;
    out.get_ref().sync_all()
}

fn tell(count: u64) {
    if count.is_multiple_of(TOLD) {
        progress(format_args!("{count} written"));
    }
}

#[rustfmt::skip]
const HEAD: [&str; 26] = [
    "time", "node", "seq", "event", "call", "request", "trace", "person", "person_name", "client", "address", "server",
    "method", "name", "outcome", "effect", "rule", "revision", "approval", "grant", "token", "duration_us",
    "request_bytes", "response_bytes", "details", "hash",
];

/// A row of the table (RFC 4180).
fn record(entry: &AuditEntry) -> String {
    let row = &entry.row;
    let members: Value = serde_json::from_str(&entry.line).unwrap_or_default();
    let details = &members["details"];
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let number = |name: &str| details[name].as_i64().map(|number| number.to_string()).unwrap_or_default();
    let cells: [String; 26] = [
        row.at.to_string(),
        row.node.clone(),
        row.seq.to_string(),
        row.kind.clone(),
        text(&row.call),
        text(&row.request),
        text(&row.trace),
        text(&row.person),
        text(&row.person_name),
        text(&row.client),
        text(&row.address),
        text(&row.server),
        text(&row.method),
        text(&row.name),
        text(&row.outcome),
        text(&row.effect),
        text(&row.rule),
        text(&row.revision),
        text(&row.approval),
        text(&row.grant),
        text(&row.token),
        number("duration_us"),
        number("request_bytes"),
        number("response_bytes"),
        if details.is_null() { String::new() } else { details.to_string() },
        members["hash"].as_str().unwrap_or_default().to_owned(),
    ];
    format!("{}\r\n", cells.map(|text| cell(&text).into_owned()).join(","))
}

/// A cell that no table program takes for a formula: what begins like one gets an apostrophe before it.
fn cell(text: &str) -> Cow<'_, str> {
    let guarded = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    };
    if guarded.contains(['"', ',', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", guarded.replace('"', "\"\"")))
    } else {
        guarded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_ends_its_row() {
        for (text, written) in [
            ("plain", "plain"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\tx", "'\tx"),
            ("=a,\"b\"", "\"'=a,\"\"b\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
