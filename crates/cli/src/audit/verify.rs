//! `portcullis audit verify`: journals, and whole exports of them, held against their chain, their public keys and what
//! witnesses have noted.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use portcullis_audit::{End, FaultKind, Heads, Part, PublicKeys, Report, verify_parts, witnessed};
use portcullis_base::{CallId, printable};
use portcullis_gateway::journal::{SegmentReader, Stored, digest_of, key_file, stored};
use serde_json::json;

use crate::{
    failure::{Failure, Result},
    output::{BAD, GOOD, json as print_json, line, styled},
    settings::Settings,
};

/// What a journal is held against besides itself.
pub(super) struct Proof<'s> {
    /// Where public keys are, if that was said.
    keys: Option<&'s Path>,
    /// What witnesses have noted: the name of each file, and what is in it.
    notes: Vec<(String, Vec<u8>)>,
    usual: PathBuf,
}

/// Something that can be verified.
enum Subject {
    /// The directory of a journal.
    Directory(PathBuf),
    /// One journal in an export.
    Export(Block),
}

impl<'s> Proof<'s> {
    /// With these keys, or those beside the journals, and what is in these files.
    pub(super) fn of(keys: Option<&'s Path>, witnesses: &[PathBuf], settings: &Settings) -> Result<Self> {
        let mut notes = Vec::new();
        for path in witnesses {
            let unread = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
            let mut files = vec![path.clone()];
            if path.is_dir() {
                let entries = fs::read_dir(path).map_err(unread)?.flatten().map(|entry| entry.path());
                files = entries.filter(|path| path.extension().is_some_and(|form| form == "json")).collect();
                files.sort();
            }
            for file in files {
                notes.push((file.display().to_string(), fs::read(&file).map_err(unread)?));
            }
        }
        Ok(Self { keys, notes, usual: settings.config.data.join("journal") })
    }

    /// Verifies every journal that is meant; spec: T-98.
    pub(super) fn of_all(&self, paths: &[PathBuf], json: bool) -> Result<()> {
        let mut subjects = Vec::new();
        for path in if paths.is_empty() { std::slice::from_ref(&self.usual) } else { paths } {
            if path.is_file() {
                subjects.extend(blocks(path)?.into_iter().map(Subject::Export));
            } else {
                subjects.extend(journals(path)?.into_iter().map(Subject::Directory));
            }
        }
        if subjects.is_empty() {
            let looked = paths.first().unwrap_or(&self.usual);
            return Err(Failure::new(format!("there is no journal in {}", looked.display()))
                .help("name its directory, or the data directory with --data"));
        }
        let (mut broken, mut witnessed) = (0, 0);
        for subject in &subjects {
            let (path, (report, unfinished)) = match subject {
                Subject::Directory(path) => (path, self.check(path)?),
                Subject::Export(block) => (&block.file, (self.check_block(block)?, 0)),
            };
            broken += u32::from(!report.holds());
            witnessed += report.witnessed;
            if json { print_report(path, &report, unfinished) } else { show(path, &report, unfinished) }
        }
        if broken > 0 {
            return Err(Failure::new(format!("{broken} of {} failed", count(subjects.len() as u64, "journal")))
                .help("keep the files as they are and compare them with a backup or an exported copy"));
        }
        if !self.notes.is_empty() && witnessed == 0 {
            return Err(Failure::new("no journal here is one that the witness knows")
                .help("--witness takes what `audit.witness` wrote for the journals that are verified"));
        }
        Ok(())
    }

    /// The public keys of the journal of `node`, which is at `path`.
    fn keys_of(&self, node: &str, path: &Path) -> Result<PublicKeys> {
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let places = match self.keys {
            Some(folder) => vec![folder],
            None if path.is_dir() => vec![beside],
            None => vec![beside, &self.usual],
        };
        let mut files = places.into_iter().map(|folder| key_file(folder, node));
        let first = files.next().unwrap_or_default();
        let file = std::iter::once(first.clone()).chain(files).find(|file| file.exists()).unwrap_or(first);
        fs::read(&file)
            .map_err(|error| error.to_string())
            .and_then(|bytes| PublicKeys::parse(&bytes).map_err(|error| error.to_string()))
            .map_err(|error| {
                Failure::new(format!("the public keys of the journal are needed: {}: {error}", file.display()))
                    .help("the file stands beside the journal's directory; copy it along with the journal, or name its folder with --keys")
            })
    }

    /// What witnesses have noted of the journal of `node`.
    fn heads(&self, node: &str, keys: &PublicKeys) -> Result<Heads> {
        let mut heads = Heads::new();
        for (name, text) in &self.notes {
            let noted = witnessed(text, node, keys)
                .map_err(|(line, error)| Failure::new(format!("{name} line {line}: {error}")))?;
            for (seq, hash) in noted {
                if heads.insert(seq, hash).is_some_and(|other| other != hash) {
                    let why = format!("{name}: line {seq} of the journal was noted with another hash elsewhere");
                    return Err(Failure::new(why).help("the journal was written anew in between"));
                }
            }
        }
        Ok(heads)
    }

    /// Verifies one journal; also how many bytes of an unfinished last line were left out.
    fn check(&self, directory: &Path) -> Result<(Report, u64)> {
        let node = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let keys = self.keys_of(&node, directory)?;
        let heads = self.heads(&node, &keys)?;
        let all = segments(directory)?;
        let mut unfinished = 0;
        let last = all.len().saturating_sub(1);
        // One after the other: a journal may have more segments than a process may have files.
        let parts = all.iter().enumerate().map(|(n, stored)| part(stored, n == last, &mut unfinished));
        let report = verify_parts(parts, &keys, &heads);
        Ok((report, unfinished))
    }

    /// Verifies one journal of an export.
    fn check_block(&self, block: &Block) -> Result<Report> {
        let keys = self.keys_of(&block.node, &block.file)?;
        let heads = self.heads(&block.node, &keys)?;
        let lines = || {
            let mut file = File::open(&block.file)?;
            file.seek(SeekFrom::Start(block.start))?;
            Ok(BufReader::new(file.take(block.length)))
        };
        let name = block.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = Part { name, lines: Some(lines()), packed: None, manifest: None };
        let mut report = verify_parts([part], &keys, &heads);
        if let Some(fault) = &mut report.fault {
            fault.line += block.lines_before;
        }
        Ok(report)
    }
}

/// The lines of one journal in an export: one after the other, each from a checkpoint on.
struct Block {
    file: PathBuf,
    node: String,
    start: u64,
    length: u64,
    lines_before: u64,
}

/// The journals of an export.
///
/// What a filter has chosen is the newest first and without checkpoints: no line in it follows from another.
fn blocks(path: &Path) -> Result<Vec<Block>> {
    #[derive(serde::Deserialize)]
    struct Members<'a> {
        #[serde(borrow)]
        node: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        event: std::borrow::Cow<'a, str>,
    }
    let unread = |error| Failure::new(format!("{} cannot be read: {error}", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(unread)?);
    let (mut found, mut line, mut offset, mut lines) = (Vec::<Block>::new(), Vec::new(), 0, 0);
    loop {
        line.clear();
        // A line that is longer than any that is written goes on as the next: it is found when it is verified.
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(unread)? as u64;
        if read == 0 {
            break;
        }
        let members = serde_json::from_slice::<Members<'_>>(&line)
            .ok()
            .filter(|members| members.event == "checkpoint" && !members.node.contains('/'));
        let begins = members.filter(|members| found.last().is_none_or(|block| block.node != members.node));
        if let Some(members) = begins {
            let (file, node) = (path.to_owned(), members.node.into_owned());
            found.push(Block { file, node, start: offset, length: 0, lines_before: lines });
        }
        let Some(block) = found.last_mut() else {
            return Err(Failure::new(format!("{} does not begin with a checkpoint", path.display())).help(
                "only a whole export can be proved: portcullis audit export --to FILE, without a filter; \
                 a selection proves nothing by itself, or the beginning is missing",
            ));
        };
        block.length += read;
        offset += read;
        lines += 1;
    }
    Ok(found)
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

/// Longer than any line that is written.
const LONGEST: u64 = 16 << 20;

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
    if report.witnessed > 0 {
        notes.push(format!("goes through {} that a witness has noted", count(report.witnessed, "head")));
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
        "witnessed": report.witnessed, "closed": matches!(report.end, End::Stopped), "unfinished_bytes": unfinished, "fault": fault,
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
