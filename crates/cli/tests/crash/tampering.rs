//! A journal and its export in the hands of somebody who wants a line gone: whatever they do is found by the command, and
//! it says where.

use std::{os::unix::fs::PermissionsExt, path::Path};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_base::Digest;
use portcullis_gateway::journal::{Stored, stored};

use super::*;

/// A house that was closed, with several sealed segments and one that is not.
struct Scene {
    house: House,
    node: String,
    /// Files of the last segment's lines, and of two sealed ones in a row.
    plain: PathBuf,
    sealed: [Stored; 2],
    copies: usize,
}

/// What the command says of the first fault.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    segment: String,
    line: u64,
    seq: u64,
    what: String,
}

impl Scene {
    async fn new() -> Result<Self> {
        let house = House::with(
            "sqlite",
            "audit: { segment: { size: 16KiB }, witness: [{ file: heads.jsonl, every: 1s }] }\n",
        )?;
        let mut up = house.up()?;
        let (_, tokens) = house.sign_in(&up).await?;
        let node = fs::read_to_string(house.folder.path().join("data/node"))?.trim().to_owned();
        let dir = house.folder.path().join("data/journal").join(&node);
        let enough = Instant::now() + Duration::from_secs(60);
        loop {
            ensure!(Instant::now() < enough, "the segments are not sealed");
            house.call(&tokens.access, "echo", json!({ "message": "x" })).send().await?;
            let all = stored(&dir)?;
            let sealed = all.iter().filter(|stored| stored.is_sealed()).count();
            let last = all.last().and_then(|stored| stored.plain.clone()).context("a plain segment")?;
            if sealed >= 3 && sealed + 1 == all.len() && fs::read_to_string(last)?.lines().count() >= 12 {
                break;
            }
        }
        let ended = Command::new("kill").args(["-TERM", &up.child.id().to_string()]).status()?;
        ensure!(ended.success() && up.child.wait()?.success(), "it does not end in peace");
        let all = stored(&dir)?;
        let plain = all.last().and_then(|stored| stored.plain.clone()).context("a plain segment")?;
        let sealed = [all[1].clone(), all[2].clone()];
        Ok(Self { house, node, plain, sealed, copies: 0 })
    }

    /// A copy of the journal with its keys, elsewhere.
    fn copy(&mut self) -> Result<PathBuf> {
        self.copies += 1;
        let journals = self.house.folder.path().join("data/journal");
        let copy = self.house.folder.path().join(format!("copy-{}", self.copies));
        let done = Command::new("cp").args(["-r".as_ref(), journals.as_os_str(), copy.as_os_str()]).status()?;
        ensure!(done.success(), "cp failed");
        Ok(copy.join(&self.node))
    }

    /// Does something to a copy; gives what is found there.
    fn after(&mut self, tamper: impl FnOnce(&Path) -> Result<()>, more: &[&str]) -> Result<Option<Found>> {
        let copy = self.copy()?;
        tamper(&copy)?;
        self.found(&copy, more)
    }

    fn found(&self, path: &Path, more: &[&str]) -> Result<Option<Found>> {
        let path = path.to_str().context("a name")?;
        let ended = self.house.command(&[&["audit", "verify", "--json", path][..], more].concat()).output()?;
        let text = String::from_utf8(ended.stdout)?;
        let reports: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let faults: Vec<_> = reports.iter().map(|report| &report["fault"]).filter(|fault| !fault.is_null()).collect();
        ensure!(ended.status.success() == faults.is_empty(), "{:?}: {text}", ended.status);
        ensure!(!reports.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
        let said = |fault: &Value| Found {
            segment: fault["segment"].as_str().unwrap_or_default().to_owned(),
            line: fault["line"].as_u64().unwrap_or_default(),
            seq: fault["seq"].as_u64().unwrap_or_default(),
            what: fault["what"].as_str().unwrap_or_default().to_owned(),
        };
        Ok(faults.first().map(|fault| said(fault)))
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The same file in a copy.
fn beside(copy: &Path, file: Option<&PathBuf>) -> Result<PathBuf> {
    Ok(copy.join(name(file.context("a file")?)))
}

fn lines(path: &Path) -> Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

fn write(path: &Path, lines: &[String]) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(fs::write(path, lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())?)
}

/// Gives every line from `from` on the hash that follows from the line before, and checkpoints what they say of it.
fn rebuild(lines: &mut [String], from: usize) -> Result<()> {
    for n in from..lines.len() {
        let hash =
            |line: &str| line.rsplit_once(",\"hash\":\"").map(|(_, hash)| hash.trim_end_matches("\"}").to_owned());
        let previous = hash(&lines[n - 1]).context("a hash")?;
        let mut body = lines[n].rsplit_once(",\"hash\":\"").context("a hash")?.0.to_owned();
        if let Some(at) = body.find("\"previous\":\"").filter(|_| body.contains("\"event\":\"checkpoint\"")) {
            body.replace_range(at + 12..at + 12 + previous.len(), &previous);
        }
        let bytes = [URL_SAFE_NO_PAD.decode(previous)?.as_slice(), body.as_bytes(), b"}"].concat();
        lines[n] = format!("{body},\"hash\":\"{}\"}}", Digest::of(&bytes).to_base64url());
    }
    Ok(())
}

// spec: T-98
#[tokio::test(flavor = "multi_thread")]
async fn t98_whatever_is_done_to_a_journal_is_found_and_located_by_the_command() -> Result<()> {
    let mut scene = Scene::new().await?;
    let (node, plain, [one, two]) = (scene.node.clone(), scene.plain.clone(), scene.sealed.clone());
    let heads = scene.house.folder.path().join("heads.jsonl");
    let heads = ["--witness", heads.to_str().context("a name")?];
    assert_eq!(scene.after(|_| Ok(()), &heads)?, None);

    let original = lines(&plain)?;
    let first: u64 = name(&plain)[..16].parse()?;
    let at = original.iter().position(|line| line.contains("\"name\":\"echo\"")).context("a call")?.max(1);
    let place = |line: usize, what: &str| {
        Some(Found { segment: name(&plain), line: line as u64 + 1, seq: first + line as u64, what: what.to_owned() })
    };
    let mut edit = |change: &dyn Fn(&mut Vec<String>) -> Result<()>, more: &[&str]| {
        let mut changed = original.clone();
        change(&mut changed)?;
        scene.after(|copy| write(&beside(copy, Some(&plain))?, &changed), more)
    };
    let flipped = |lines: &mut Vec<String>| {
        lines[at] = lines[at].replacen("\"name\":\"echo\"", "\"name\":\"ecio\"", 1);
        Ok(())
    };
    assert_eq!(edit(&flipped, &[])?, place(at, "the line is not what was written"));
    let without = |lines: &mut Vec<String>| -> Result<()> {
        lines.remove(at);
        Ok(())
    };
    let swapped = |lines: &mut Vec<String>| -> Result<()> {
        lines.swap(at, at + 1);
        Ok(())
    };
    let missing = format!("lines are missing: number {} should stand here", first + at as u64);
    assert_eq!(edit(&without, &[])?, place(at, &missing));
    let moved = format!("the line is out of order: number {} should stand here", first + at as u64);
    assert_eq!(edit(&swapped, &[])?, place(at, &moved));
    // Where the end was cut off, only a witness can tell.
    let cut = |lines: &mut Vec<String>| -> Result<()> {
        lines.truncate(at);
        Ok(())
    };
    assert_eq!(edit(&cut, &[])?, None);
    assert_eq!(edit(&cut, &heads)?, place(at, "the end is missing"));
    // All that follows written anew, but nobody has the key for the next checkpoint.
    let signed =
        at + original[at..].iter().position(|line| line.contains("\"event\":\"checkpoint\"")).context("one")?;
    let anew = |lines: &mut Vec<String>| {
        flipped(lines)?;
        rebuild(lines, at)
    };
    assert_eq!(edit(&anew, &[])?, place(signed, "the signature of the checkpoint is wrong"));

    // Sealed segments: one byte, the lines gone, all of it gone, two of them swapped.
    let packed = one.packed.clone();
    let flip = |copy: &Path| {
        let path = beside(copy, packed.as_ref())?;
        let mut bytes = fs::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Ok(fs::write(path, bytes)?)
    };
    let found = scene.after(flip, &[])?.context("nothing was found")?;
    assert_eq!(found.segment, name(one.packed.as_ref().context("a file")?));
    assert!(found.line >= 1 && (one.first_seq..=two.first_seq).contains(&found.seq), "{found:?}");
    let gone = |segment: &Option<PathBuf>, what: &str| {
        let segment = name(segment.as_ref().expect("a file"));
        Some(Found { segment, line: 1, seq: one.first_seq, what: what.to_owned() })
    };
    let remove = |copy: &Path| Ok(fs::remove_file(beside(copy, one.packed.as_ref())?)?);
    let said = "the segment is gone, and the journal does not say that it was removed";
    assert_eq!(scene.after(remove, &[])?, gone(&one.manifest, said));
    let remove_all = |copy: &Path| {
        fs::remove_file(beside(copy, one.manifest.as_ref())?)?;
        remove(copy)
    };
    let missing = format!("lines are missing: number {} should stand here", one.first_seq);
    assert_eq!(scene.after(remove_all, &[])?, gone(&two.packed, &missing));
    let swap = |copy: &Path| {
        let (a, b) = (beside(copy, one.packed.as_ref())?, beside(copy, two.packed.as_ref())?);
        fs::rename(&a, copy.join("x"))?;
        fs::rename(&b, &a)?;
        Ok(fs::rename(copy.join("x"), b)?)
    };
    let found = scene.after(swap, &[])?.context("nothing was found")?;
    assert_eq!(
        (found.segment, found.line, found.seq),
        (name(one.packed.as_ref().context("a file")?), 1, one.first_seq)
    );

    // A whole export proves the same, away from here and with the keys alone; what a filter chose proves nothing.
    let (code, text) = scene.house.run(&["audit", "export", "--to", "whole.jsonl"])?;
    assert_eq!(code, 0, "{text}");
    let export = scene.house.folder.path().join("whole.jsonl");
    assert_eq!(scene.found(&export, &heads)?, None);
    let mut changed = lines(&export)?;
    let at =
        changed.iter().position(|line| line.contains(&node) && line.contains("\"name\":\"echo\"")).context("a call")?;
    let seq = serde_json::from_str::<Value>(&changed[at])?["seq"].as_u64().context("a place")?;
    changed.remove(at);
    write(&export, &changed)?;
    let found = scene.found(&export, &[])?.context("nothing was found")?;
    assert_eq!((found.segment.as_str(), found.line, found.seq), ("whole.jsonl", at as u64 + 1, seq), "{}", found.what);
    let (code, text) = scene.house.run(&["audit", "export", "--kind", "call.", "--to", "chosen.jsonl"])?;
    assert_eq!(code, 0, "{text}");
    let (code, text) = scene.house.run(&["audit", "verify", "chosen.jsonl"])?;
    assert!(code == 1 && text.contains("a selection proves nothing by itself"), "{code} {text}");
    Ok(())
}
