//! The journal when the power fails: a program that writes it is killed on a disk that has nothing but what was synced.
//!
//! Two hundred times, at any moment. What was acknowledged is there afterwards, the chain holds, and the journal goes on.
//! The disk is `power.c`, preloaded into the program. Beside the strict disk there are those that have more than they had
//! to: names that nobody synced, the beginning of what was being written, zeros in its place.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use portcullis_audit::{Heads, Part, PublicKeys, Report, verify_parts};
use portcullis_base::Rng;
use portcullis_gateway::{
    journal::{Durability, Journal, Limits, Lines, SegmentReader, Settings, digest_of, key_file, stored},
    system::{SystemClock, SystemRng},
};
use tempfile::TempDir;

/// Failures in all, of one journal, and machines side by side.
const FAILURES: usize = 200;
const OF_ONE: usize = 10;
const MACHINES: usize = 2;

/// What a disk makes of what nobody has synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsynced {
    /// It is gone.
    Lost,
    /// Names are there, and a part of what was written.
    Torn,
    /// Names are there, and zeros in place of what was written.
    Zeros,
}

/// A machine whose power fails, with one journal.
struct Machine {
    folder: TempDir,
    shim: PathBuf,
    /// What the recorder was told is there: its place, and what it is.
    acknowledged: BTreeMap<u64, String>,
}

impl Machine {
    fn new(shim: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("live"))?;
        Ok(Self { folder, shim: shim.to_owned(), acknowledged: BTreeMap::new() })
    }

    fn journals(&self) -> PathBuf {
        self.folder.path().join("live/journal")
    }

    /// Lets the recorder write for a while, and takes the power away.
    fn run(&mut self, durability: &str, unsynced: Unsynced) -> Result<()> {
        let (live, disk) = (self.folder.path().join("live"), self.folder.path().join("disk"));
        fs::create_dir(&disk)?;
        fs::create_dir_all(self.journals())?;
        let mut recorder = Command::new(env!("CARGO_BIN_EXE_recorder"))
            .args([self.journals().as_os_str(), durability.as_ref()])
            .env("LD_PRELOAD", &self.shim)
            .env("POWER_LIVE", fs::canonicalize(&live)?)
            .env("POWER_DISK", fs::canonicalize(&disk)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = recorder.stdout.take().context("it is piped")?;
        let reader = thread::spawn(move || BufReader::new(out).lines().collect::<Result<Vec<_>, _>>());
        thread::sleep(Duration::from_millis(random(10..150)));
        recorder.kill()?;
        let ended = recorder.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code().is_none() && said.is_empty(), "it ended by itself: {:?} {said}", ended.status);
        for line in reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?? {
            let (seq, what) = line.split_once(' ').with_context(|| line.clone())?;
            let before = self.acknowledged.insert(seq.parse()?, what.to_owned());
            ensure!(before.is_none(), "{seq} was given to {before:?} and then to {what}");
        }
        if !disk.join("begun").exists() {
            // It was killed before its first instruction: the disk is as it was.
            return Ok(fs::remove_dir_all(&disk)?);
        }
        let after = self.folder.path().join("after");
        restore(&disk, &live, "", &after, unsynced)?;
        fs::remove_dir_all(&live)?;
        fs::remove_dir_all(&disk)?;
        fs::rename(after, live)?;
        Ok(())
    }

    /// Acknowledged lines that are not there.
    fn missing(&self) -> Result<Vec<u64>> {
        let mut found = BTreeMap::new();
        let mut lines = Lines::open(&self.journals(), "n1", 0, None)?;
        while let Some(line) = lines.next_line()? {
            found.insert(line.seq, serde_json::from_slice::<serde_json::Value>(line.bytes)?);
        }
        let is_there = |seq: &u64, what: &str| {
            let text = |line: &serde_json::Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
            found.get(seq).is_some_and(|line| format!("{} {}", text(line, "event"), text(line, "call")) == what)
        };
        Ok(self.acknowledged.iter().filter(|(seq, what)| !is_there(seq, what)).map(|(seq, _)| *seq).collect())
    }

    /// Opens the journal as the gateway does when the power is back.
    fn open(&self) -> Result<Journal> {
        let dir = self.journals();
        let (durability, limits) = (Durability::Power, Limits::default());
        let settings = Settings { dir: &dir, node: "n1", seed: &[7; 32], durability, limits };
        Ok(Journal::open(&settings, Arc::new(SystemClock))?)
    }

    fn report(&self) -> Result<Report> {
        let dir = self.journals();
        let keys = PublicKeys::parse(&fs::read(key_file(&dir, "n1"))?)?;
        let parts = stored(&dir.join("n1"))?.into_iter().map(|stored| Part {
            name: format!("{:016}", stored.first_seq),
            packed: match (&stored.plain, &stored.packed) {
                (None, Some(path)) => File::open(path).and_then(digest_of).ok(),
                _ => None,
            },
            manifest: stored.manifest.as_ref().map(fs::read),
            lines: stored.has_lines().then(|| SegmentReader::open(&stored)),
        });
        Ok(verify_parts(parts, &keys, &Heads::new()))
    }
}

/// Makes in `into` what the disk has of the directory `name`.
fn restore(disk: &Path, live: &Path, name: &str, into: &Path, unsynced: Unsynced) -> Result<()> {
    fs::create_dir(into)?;
    let flat = if name.is_empty() { "%".to_owned() } else { name.replace('/', "%") };
    let mut entries: Vec<(Option<u64>, String)> = Vec::new();
    let names = fs::read_to_string(disk.join("names").join(flat));
    let is_there = names.is_ok();
    for line in names.unwrap_or_default().lines() {
        match line.split_once(' ') {
            Some(("d", name)) => entries.push((None, name.to_owned())),
            Some(("f", rest)) => {
                let (inode, name) = rest.split_once(' ').context("an inode and a name")?;
                entries.push((Some(inode.parse()?), name.to_owned()));
            }
            _ => anyhow::bail!("not an entry: {line}"),
        }
    }
    // Some disks have the names of a directory that was synced once as they last were.
    if unsynced != Unsynced::Lost && is_there {
        entries.clear();
        for entry in fs::read_dir(live.join(name))? {
            let entry = entry?;
            let found = entry.metadata()?;
            let inode = (!found.is_dir()).then(|| found.ino());
            entries.push((inode, entry.file_name().to_string_lossy().into_owned()));
        }
    }
    for (inode, entry) in entries {
        let target = into.join(&entry);
        let Some(inode) = inode else {
            let below = if name.is_empty() { entry } else { format!("{name}/{entry}") };
            restore(disk, live, &below, &target, unsynced)?;
            continue;
        };
        let inode = inode.to_string();
        let mut bytes = fs::read(disk.join("data").join(&inode)).unwrap_or_default();
        let whole = fs::read(disk.join("pin").join(&inode)).or_else(|_| fs::read(live.join(name).join(&entry)))?;
        if let Some(rest) = whole.strip_prefix(bytes.as_slice()).filter(|rest| !rest.is_empty()) {
            let part = &rest[..random(0..rest.len() as u64 + 1) as usize];
            match unsynced {
                Unsynced::Lost => {}
                Unsynced::Torn => bytes.extend_from_slice(part),
                Unsynced::Zeros => bytes.resize(bytes.len() + part.len(), 0),
            }
        }
        fs::write(target, bytes)?;
    }
    Ok(())
}

fn random(range: std::ops::Range<u64>) -> u64 {
    let mut bytes = [0; 8];
    SystemRng::new().fill(&mut bytes);
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}

/// The disk, built for this run.
fn shim() -> Result<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("power.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/power.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([path.as_os_str(), source.as_ref(), "-ldl".as_ref()])
        .status()
        .context("cc is needed: `./test` installs it")?;
    ensure!(built.success(), "the disk cannot be built");
    Ok((folder, path))
}

// spec: T-98
#[test]
fn t98_what_was_acknowledged_at_power_is_there_when_the_power_has_failed() -> Result<()> {
    let (_folder, shim) = shim()?;
    let machines: Vec<_> = (0..MACHINES)
        .map(|_| {
            let shim = shim.clone();
            thread::spawn(move || -> Result<(usize, u64)> {
                let (mut acknowledged, mut sealed) = (0, 0);
                for _ in 0..FAILURES / OF_ONE / MACHINES {
                    let mut machine = Machine::new(&shim)?;
                    for n in 0..OF_ONE {
                        let unsynced = [Unsynced::Lost, Unsynced::Torn, Unsynced::Zeros][n % 3];
                        machine.run("power", unsynced).with_context(|| format!("failure {n}, {unsynced:?}"))?;
                        drop(machine.open().with_context(|| format!("after failure {n}, {unsynced:?}"))?);
                        let missing = machine.missing()?;
                        ensure!(missing.is_empty(), "failure {n}, {unsynced:?}: {missing:?} were acknowledged");
                        let report = machine.report()?;
                        ensure!(report.holds(), "failure {n}, {unsynced:?}: {:?}", report.fault);
                        sealed = sealed.max(report.manifests);
                    }
                    acknowledged += machine.acknowledged.len();
                }
                Ok((acknowledged, sealed))
            })
        })
        .collect();
    for machine in machines {
        let (acknowledged, sealed) = machine.join().map_err(|_| anyhow::anyhow!("a machine broke"))??;
        println!("{acknowledged} lines were acknowledged; {sealed} segments of one journal were sealed");
        ensure!(acknowledged > FAILURES && sealed > 3, "{acknowledged} lines, {sealed} sealed segments");
    }
    Ok(())
}

/// The test above can fail: this disk does lose what was not synced.
#[test]
fn disk_loses_what_was_acknowledged_at_process_only() -> Result<()> {
    let (_folder, shim) = shim()?;
    let mut machine = Machine::new(&shim)?;
    while machine.acknowledged.len() < 50 {
        machine.run("process", Unsynced::Lost)?;
        if !machine.missing()?.is_empty() {
            return Ok(());
        }
        drop(machine.open()?);
    }
    anyhow::bail!("nothing was lost of {} lines", machine.acknowledged.len())
}
