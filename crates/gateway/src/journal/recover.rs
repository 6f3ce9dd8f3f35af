//! Opening a journal: lock it, find its end, repair what a crash has left, and say so in the journal itself.
//!
//! A last line without a line end is what a killed writer leaves; it was never acknowledged and is removed. Anything else
//! that does not hold (zeros after a power failure, an edited line) is evidence: it is set aside in a file next to the
//! segment, and the chain goes on from the last line that holds. Only the last segment is read here; `audit verify`
//! reads them all. If that one is sealed already, because what followed it never reached the disk, the journal goes on in a
//! new one.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use portcullis_audit::{
    Chain, End, Event, FaultKind, Head, Kind, Outcome, PublicKeys, Report, Signer, Verifier, read_line,
};
use portcullis_base::{CallId, Clock, Digest};

use super::{
    JournalError, Recovery, Settings,
    sealing::sync_dir,
    segment::{Segment, key_file, private, private_dir},
    stored::{SegmentReader, Stored, stored},
    writer::{Start, Writer},
};

pub(super) fn open(
    settings: &Settings<'_>,
    clock: Arc<dyn Clock>,
) -> Result<(Writer, Recovery, PublicKeys), JournalError> {
    let dir = settings.dir.join(node_name(settings)?);
    private_dir(&dir).map_err(file_error(&dir))?;
    let lock = lock(&dir)?;
    // What is in there may only be told of once the directory itself cannot be lost: `{data}`, `journal`, the node.
    for parent in settings.dir.ancestors().take(2).filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent).map_err(file_error(parent))?;
    }
    let signer = Signer::from_seed(settings.seed);
    let keys = publish_key(settings, &signer)?;
    let found = find_end(&dir, settings.node, &keys)?;

    let now = clock.now();
    let start = Start {
        chain: Chain::new(settings.node, found.head),
        segment: found.segment,
        open: found.open.iter().cloned().collect(),
        lock,
        node: settings.node.to_owned(),
        dir,
        signer,
    };
    let writer = Writer::new(start, settings.durability, settings.limits, clock);

    // spec: T-98: a call whose end nobody saw is reported as unknown, not left out.
    for call in &found.open {
        let ended = Event::new(Kind::CallEnded, now).outcome(Outcome::Unknown).call(call.clone());
        writer.append_later(ended.text("reason", "the gateway ended before the call did"));
    }
    if !found.clean {
        let mut recovered = Event::new(Kind::JournalRecovered, now)
            .number("calls_unknown", found.open.len() as i64)
            .number("torn_bytes", found.torn_bytes as i64);
        if let Some((aside, digest)) = found.damage {
            recovered = recovered
                .number("damaged_bytes", found.damaged_bytes as i64)
                .text("set_aside", aside)
                .text("sha256", digest.to_string());
        }
        writer.append_later(recovered);
    }
    writer.append_here(&Event::new(Kind::JournalStarted, now).text("version", env!("CARGO_PKG_VERSION")))?;
    let recovery = Recovery {
        torn_bytes: found.torn_bytes,
        damaged_bytes: found.damaged_bytes,
        calls: found.open.into_iter().collect(),
        clean: found.clean,
    };
    Ok((writer, recovery, keys))
}

fn node_name<'s>(settings: &Settings<'s>) -> Result<&'s str, JournalError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let node = settings.node;
    if node.is_empty() || node.len() > 64 || node.starts_with('.') || !node.chars().all(allowed) {
        let why = "a node's name is 1 to 64 letters, digits, \"-\", \"_\" and \".\", not beginning with \".\"";
        return Err(JournalError::Foreign { path: settings.dir.join(node), why: why.into() });
    }
    Ok(node)
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let file = private().write(true).create(true).open(&path).map_err(file_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse(dir.into())),
        Err(TryLockError::Error(error)) => Err(file_error(&path)(error)),
    }
}

/// Adds this writer's public key to the key file; the keys in it now.
fn publish_key(settings: &Settings<'_>, signer: &Signer) -> Result<PublicKeys, JournalError> {
    let path = key_file(settings.dir, settings.node);
    let known = match fs::read(&path) {
        Ok(json) => PublicKeys::parse(&json)
            .map_err(|error| JournalError::Foreign { path: path.clone(), why: error.to_string() })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => PublicKeys::default(),
        Err(error) => return Err(file_error(&path)(error)),
    };
    if known.contains(signer.public().id()) {
        return Ok(known);
    }
    let keys = known.with(signer.public().clone());
    let beside = path.with_extension("json.new");
    let write = || {
        let mut file = private().write(true).create(true).truncate(true).open(&beside)?;
        file.write_all(&keys.to_json(settings.node))?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    };
    write().map_err(file_error(&path))?;
    Ok(keys)
}

/// Where the journal ends.
struct Found {
    head: Head,
    segment: Option<Segment>,
    open: BTreeSet<CallId>,
    clean: bool,
    torn_bytes: u64,
    damaged_bytes: u64,
    /// The file that holds what was set aside, and its digest.
    damage: Option<(String, Digest)>,
}

fn find_end(dir: &Path, node: &str, keys: &PublicKeys) -> Result<Found, JournalError> {
    let mut found = Found {
        head: Head::start(),
        segment: None,
        open: BTreeSet::new(),
        clean: true,
        torn_bytes: 0,
        damaged_bytes: 0,
        damage: None,
    };
    let mut files = stored(dir).map_err(file_error(dir))?;
    files.retain(Stored::has_lines);
    while let Some(stored) = files.pop() {
        let read = read_segment(&stored, node, keys)?;
        let Some(path) = &stored.plain else {
            // What followed it never reached the disk: the journal ends with this segment, and goes on in a new one.
            found.clean &= read.report.end == End::Stopped;
            found.head = read.report.head;
            found.open = read.report.open;
            break;
        };
        repair(path, stored.first_seq, &read, &mut found).map_err(file_error(path))?;
        let Some((began, _)) = read.report.span else {
            // Its first line was never whole: the journal ends in the segment before.
            fs::remove_file(path).map_err(file_error(path))?;
            continue;
        };
        found.clean &= read.report.end == End::Stopped;
        found.head = read.report.head;
        found.open = read.report.open;
        found.segment = Some(Segment::open(path, read.holds, began, read.report.lines).map_err(file_error(path))?);
        break;
    }
    Ok(found)
}

/// A segment up to the first line that does not hold.
struct ReadSegment {
    report: Report,
    /// Bytes of lines that hold, and of all.
    holds: u64,
    length: u64,
    /// Whether what follows is only a line that was not finished.
    torn: bool,
}

fn read_segment(stored: &Stored, node: &str, keys: &PublicKeys) -> Result<ReadSegment, JournalError> {
    let path = stored.plain.as_ref().or(stored.packed.as_ref()).map_or(Path::new(""), PathBuf::as_path);
    let mut reader = SegmentReader::open(stored).map_err(file_error(path))?;
    let length = reader.length().map_err(file_error(path))?;
    let mut verifier = Verifier::new(keys);
    let (mut holds, mut torn, mut line) = (0, false, Vec::new());
    let foreign = |why: String| JournalError::Foreign { path: path.into(), why };
    loop {
        match read_line(&mut reader, &mut line) {
            Ok(Some(bytes)) => match verifier.line(bytes) {
                Ok(()) => holds += bytes.len() as u64 + 1,
                // The wrong directory or the wrong key is a mistake of the settings: nothing may be repaired.
                Err(FaultKind::ForeignNode { node }) => return Err(foreign(format!("it belongs to node {node}"))),
                Err(FaultKind::UnknownKey { key }) => {
                    return Err(foreign(format!("it is signed with key {key}, which is not in the key file")));
                }
                Err(_) => break,
            },
            Err(FaultKind::Unreadable { error }) => return Err(file_error(path)(io::Error::other(error))),
            Err(FaultKind::Truncated) => {
                torn = true;
                break;
            }
            Ok(None) | Err(_) => break,
        }
    }
    let report = verifier.finish();
    if report.node.as_deref().is_some_and(|found| found != node) {
        return Err(foreign(format!("it belongs to node {}", report.node.unwrap_or_default())));
    }
    Ok(ReadSegment { report, holds, length: length.unwrap_or(holds), torn })
}

/// Sets aside what does not hold, or counts what is torn; cutting the file is left to whoever opens it.
fn repair(path: &Path, first: u64, read: &ReadSegment, found: &mut Found) -> io::Result<()> {
    let tail = read.length - read.holds;
    if tail == 0 {
        return Ok(());
    }
    found.clean = false;
    if read.torn {
        found.torn_bytes += tail;
        return Ok(());
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(read.holds))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let digest = Digest::of(&bytes);
    let aside: PathBuf = path.with_file_name(format!("{first:016}.damaged-{}", &digest.to_base64url()[..8]));
    let mut copy = private().write(true).create(true).truncate(true).open(&aside)?;
    copy.write_all(&bytes)?;
    copy.sync_all()?;
    found.damaged_bytes += tail;
    found.damage = aside.file_name().map(|name| (name.to_string_lossy().into_owned(), digest));
    Ok(())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::File { path, error: Arc::new(error) }
}
