//! `portcullis audit sinks`: how far the record has come on its way to other systems.

use std::{fs, io, path::Path};

use portcullis_base::printable;
use portcullis_gateway::{
    journal::Lines,
    sinks::{Progress, folder},
};
use serde_json::json;

use crate::{
    failure::{Failure, Result},
    output::{json as print_json, line, note, table},
    settings::Settings,
};

/// One sink and one journal.
struct Row {
    sink: String,
    journal: String,
    progress: Progress,
    waiting: u64,
}

/// Tells of every sink of the settings, from what the gateway of this data directory has written down.
pub(super) fn tell(json: bool, settings: &Settings) -> Result<()> {
    let config = &settings.config;
    let journals = journals(&config.data.join("journal"))?;
    let mut rows = Vec::new();
    for sink in &config.sinks {
        for journal in &journals {
            let file = folder(&config.data, &sink.name).join(format!("{journal}.json"));
            let unreadable = |error: io::Error| Failure::new(format!("{}: {error}", file.display()));
            let progress = Progress::read(&file).map_err(unreadable)?;
            let waiting = waiting(&config.data.join("journal"), journal, progress.seq)
                .map_err(|error| Failure::new(format!("the journal {journal} cannot be read: {error}")))?;
            rows.push(Row { sink: sink.name.clone(), journal: journal.clone(), progress, waiting });
        }
    }
    if json {
        for row in &rows {
            let failing = row.progress.failing.as_ref();
            print_json(
                &json!({ "sink": row.sink, "journal": row.journal, "seq": row.progress.seq, "waiting": row.waiting,
                "refused": row.progress.refused, "failing_since": failing.map(|failing| failing.since.to_string()),
                "why": failing.map(|failing| &failing.why) }),
            );
        }
    } else if rows.is_empty() {
        let why = if config.sinks.is_empty() { "the settings name no audit.sinks" } else { "there is no journal yet" };
        line(why);
    } else {
        let cells = |row: &Row| {
            let state = match &row.progress.failing {
                Some(failing) => format!("failing since {}: {}", failing.since, printable(&failing.why, 200)),
                None => "ok".to_owned(),
            };
            let Progress { seq, refused, .. } = row.progress;
            vec![
                row.sink.clone(),
                row.journal.clone(),
                seq.to_string(),
                row.waiting.to_string(),
                refused.to_string(),
                state,
            ]
        };
        table(
            &["SINK", "JOURNAL", "SENT UP TO", "WAITING", "REFUSED", "STATE"],
            &rows.iter().map(cells).collect::<Vec<_>>(),
        );
        if rows.iter().any(|row| row.progress.refused > 0) {
            note(
                "note: what was refused is in the journal: `portcullis audit query --kind sink.refused` says which lines",
            );
        }
    }
    Ok(())
}

/// The names of the journals in a directory.
fn journals(dir: &Path) -> Result<Vec<String>> {
    let unreadable = |error: io::Error| Failure::new(format!("{} cannot be read: {error}", dir.display()));
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

/// Lines of a journal after `seq`.
fn waiting(dir: &Path, journal: &str, seq: u64) -> io::Result<u64> {
    let mut lines = Lines::open(dir, journal, seq, None)?;
    let mut waiting = 0;
    while lines.next_line()?.is_some() {
        waiting += 1;
    }
    Ok(waiting)
}
