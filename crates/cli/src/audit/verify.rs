//! `portcullis audit verify`: journals held against their chain and their public keys.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use portcullis_audit::{End, FaultKind, Heads, Part, PublicKeys, Report, verify_parts};
use portcullis_base::{CallId, printable};
use portcullis_gateway::journal::{SegmentReader, Stored, digest_of, key_file, stored};
use serde_json::json;

use crate::{
    failure::{Failure, Result},
    output::{BAD, GOOD, json as print_json, line, styled},
    settings::Settings,
};

/// Verifies every journal that is meant; spec: T-98.
pub(super) fn prove(paths: &[PathBuf], json: bool, settings: &Settings) -> Result<()> {
    let usual = [settings.config.data.join("journal")];
    let mut nodes = Vec::new();
    for path in if paths.is_empty() { &usual[..] } else { paths } {
        nodes.extend(journals(path)?);
    }
    if nodes.is_empty() {
        let looked = paths.first().unwrap_or(&usual[0]);
        return Err(Failure::new(format!("there is no journal in {}", looked.display()))
            .help("name its directory, or the data directory with --data"));
    }
    let mut broken = 0;
    for directory in &nodes {
        let (report, unfinished) = check(directory)?;
        broken += u32::from(!report.holds());
        if json { print_report(directory, &report, unfinished) } else { show(directory, &report, unfinished) }
    }
    match broken {
        0 => Ok(()),
        _ => Err(Failure::new(format!("{broken} of {} failed", count(nodes.len() as u64, "journal")))
            .help("keep the files as they are and compare them with a backup or an exported copy")),
    }
}

/// Directories with segments: `path` itself, or those in it.
fn journals(path: &Path) -> Result<Vec<PathBuf>> {
    if !segments(path)?.is_empty() {
        return Ok(vec![path.to_owned()]);
    }
    let below = [path.to_owned(), path.join("journal")];
    for parent in &below {
        let mut found = Vec::new();
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.path().is_dir() && !segments(&entry.path())?.is_empty() {
                found.push(entry.path());
            }
        }
        if !found.is_empty() {
            found.sort();
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// The segments of a journal in order.
fn segments(directory: &Path) -> Result<Vec<Stored>> {
    match stored(directory) {
        Ok(found) => Ok(found),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(Failure::new(format!("{} cannot be read: {error}", directory.display()))),
    }
}

/// Verifies one journal; also how many bytes of an unfinished last line were left out.
fn check(directory: &Path) -> Result<(Report, u64)> {
    let node = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let key_file = key_file(directory.parent().unwrap_or(directory), &node);
    let keys = fs::read(&key_file)
        .map_err(|error| error.to_string())
        .and_then(|bytes| PublicKeys::parse(&bytes).map_err(|error| error.to_string()))
        .map_err(|error| {
            Failure::new(format!("the public keys of the journal are needed: {}: {error}", key_file.display()))
                .help("the file stands beside the journal's directory; copy it along with the journal")
        })?;
    let all = segments(directory)?;
    let mut unfinished = 0;
    let last = all.len().saturating_sub(1);
    // One after the other: a journal may have more segments than a process may have files.
    let parts = all.iter().enumerate().map(|(n, stored)| part(stored, n == last, &mut unfinished));
    let report = verify_parts(parts, &keys, &Heads::new());
    Ok((report, unfinished))
}

/// A segment in whichever form it is there; of the last one only whole lines.
fn part(stored: &Stored, is_last: bool, unfinished: &mut u64) -> Part<Box<dyn BufRead>> {
    let file = stored.plain.as_ref().or(stored.packed.as_ref()).or(stored.manifest.as_ref());
    let name = file.and_then(|path| path.file_name()).unwrap_or_default().to_string_lossy().into_owned();
    let packed = stored.packed.as_ref().filter(|_| stored.plain.is_none());
    let packed = packed.map(|path| File::open(path).and_then(digest_of)).transpose();
    let lines = || -> io::Result<Box<dyn BufRead>> {
        match &stored.plain {
            Some(path) if is_last => Ok(Box::new(BufReader::new(whole_lines(File::open(path)?, unfinished)?))),
            _ => Ok(Box::new(SegmentReader::open(stored)?)),
        }
    };
    let (packed, lines) = match packed {
        Ok(packed) => (packed, stored.has_lines().then(lines)),
        Err(error) => (None, Some(Err(error))),
    };
    Part { name, lines, packed, manifest: stored.manifest.as_ref().map(fs::read) }
}

/// A segment without the line that is being written to it, or was when its writer died.
fn whole_lines(mut file: File, unfinished: &mut u64) -> io::Result<io::Take<File>> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = [0; 4096];
    'search: while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let part = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (n, byte) in part.iter().enumerate().rev() {
            if *byte == b'\n' {
                end = start + n as u64 + 1;
                break 'search;
            }
        }
        end = start;
    }
    *unfinished = length - end;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.take(end))
}

fn show(directory: &Path, report: &Report, unfinished: u64) {
    let node =
        report.node.clone().unwrap_or_else(|| directory.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let node = printable(&node, 60);
    if let Some(fault) = &report.fault {
        line(format_args!(
            "{} {node}: {} line {}: {}",
            styled(BAD, "✗"),
            fault.segment,
            fault.line,
            fault_text(&fault.kind)
        ));
        line(format_args!(
            "  what is before it holds: {}, up to number {}",
            count(report.lines, "line"),
            report.head.seq
        ));
        return;
    }
    let span = report.span.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    line(format_args!(
        "{} {node}: {} in {}, {}{span}",
        styled(GOOD, "✓"),
        count(report.lines, "line"),
        count(report.segments, "segment"),
        count(report.checkpoints, "signed checkpoint"),
    ));
    for note in notes(report, unfinished) {
        line(format_args!("  {note}"));
    }
}

/// A number with its noun.
fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn notes(report: &Report, unfinished: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if report.manifests > 0 {
        notes.push(format!("{} sealed, each signed and following the one before", count(report.manifests, "segment")));
    }
    if report.first_seq > 1 && report.removed_through + 1 >= report.first_seq {
        notes.push(format!("numbers 1 to {} were removed, as the journal says", report.first_seq - 1));
    } else if report.first_seq > 1 {
        notes.push(format!("begins with number {}: earlier segments are not here", report.first_seq));
    }
    match report.end {
        End::Open { unsigned } if unsigned > 0 => {
            notes.push(format!("{} after the last checkpoint: chained, but not signed yet", count(unsigned, "line")));
        }
        _ => {}
    }
    if !report.open.is_empty() {
        notes.push(format!("{} under way, or not seen to end", count(report.open.len() as u64, "call")));
    }
    if unfinished > 0 {
        notes
            .push(format!("the last line is unfinished ({unfinished} bytes): it is being written, or its writer died"));
    }
    notes
}

fn print_report(directory: &Path, report: &Report, unfinished: u64) {
    let fault = report.fault.as_ref().map(|fault| {
        json!({ "segment": fault.segment, "line": fault.line, "seq": fault.seq, "what": fault_text(&fault.kind) })
    });
    print_json(&json!({
        "journal": directory, "node": report.node, "holds": report.holds(), "segments": report.segments,
        "lines": report.lines, "checkpoints": report.checkpoints, "first_seq": report.first_seq,
        "manifests": report.manifests, "removed_through": report.removed_through,
        "last_seq": report.head.seq, "last_hash": report.head.hash.to_string(),
        "from": report.span.map(|(first, _)| first.to_string()), "to": report.span.map(|(_, last)| last.to_string()),
        "open_calls": report.open.iter().map(CallId::as_str).collect::<Vec<_>>(),
        "closed": matches!(report.end, End::Stopped), "unfinished_bytes": unfinished, "fault": fault,
    }));
}

fn fault_text(kind: &FaultKind) -> String {
    match kind {
        FaultKind::Changed => "the line is not what was written".to_owned(),
        FaultKind::Gap { expected } => format!("lines are missing: number {expected} should stand here"),
        FaultKind::Reordered { expected } => format!("the line is out of order: number {expected} should stand here"),
        FaultKind::Truncated => "the end is missing".to_owned(),
        FaultKind::BadSignature => "the signature of the checkpoint is wrong".to_owned(),
        FaultKind::UnknownKey { key } => format!("the checkpoint is signed by an unknown key {}", printable(key, 60)),
        FaultKind::ForeignNode { node } => format!("the line belongs to another journal, of {}", printable(node, 60)),
        FaultKind::Repacked => "the compressed file is not the one that was sealed".to_owned(),
        FaultKind::BadManifest { why } => format!("the manifest of the segment does not hold: {}", printable(why, 200)),
        FaultKind::NotSealed => "the segment has other lines than were sealed".to_owned(),
        FaultKind::Missing => "the segment is gone, and the journal does not say that it was removed".to_owned(),
        FaultKind::Unreadable { error } => format!("it cannot be read: {}", printable(error, 200)),
    }
}
