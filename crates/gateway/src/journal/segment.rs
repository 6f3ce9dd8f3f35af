//! Segments: files named by the `seq` of their first line, `0000000000000001.jsonl`, and the key file beside them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_base::Timestamp;

/// The segments of the journal in `dir`, in order, with the `seq` of their first line.
pub fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(digits) = name.strip_suffix(".jsonl")
            && digits.len() == 16
            && let Ok(first) = digits.parse()
        {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Where the public keys of the journal of `node` are, next to its directory.
pub fn key_file(dir: &Path, node: &str) -> PathBuf {
    dir.join(format!("{node}.pub.json"))
}

pub(super) fn path_of(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:016}.jsonl"))
}

/// Makes a directory that only its owner may enter; fine if it is there.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How files of the journal are opened: by their owner only.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Whether a write waits for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    Never,
    Each,
}

/// The file that lines are added to.
pub(super) struct Segment {
    file: File,
    /// Bytes of whole lines that were acknowledged. What is after them in the file does not count.
    length: u64,
    /// Whether something may be after them.
    dirty: bool,
    /// When its first line was written.
    began: Timestamp,
    /// Lines in it.
    lines: u64,
}

impl Segment {
    /// Opens an existing file that began then and has so many lines that hold, and cuts it to their `length`.
    pub(super) fn open(path: &Path, length: u64, began: Timestamp, lines: u64) -> io::Result<Self> {
        let file = private().append(true).open(path)?;
        if file.metadata()?.len() != length {
            file.set_len(length)?;
        }
        Ok(Self { file, length, dirty: false, began, lines })
    }

    /// Makes a new file. One of that name can only be left from an attempt that failed: it is emptied.
    pub(super) fn create(dir: &Path, first_seq: u64, began: Timestamp, sync: Sync) -> io::Result<Self> {
        let file = private().append(true).create(true).open(path_of(dir, first_seq))?;
        file.set_len(0)?;
        if sync == Sync::Each {
            File::open(dir)?.sync_all()?;
        }
        Ok(Self { file, length: 0, dirty: false, began, lines: 0 })
    }

    /// Whether it has been written to for long enough. One with nothing but its first checkpoint stays.
    pub(super) fn is_older(&self, than: Duration, now: Timestamp) -> bool {
        self.lines > 1 && now.since(self.began) >= than
    }

    /// Counts lines that were added.
    pub(super) fn count(&mut self, lines: u64) {
        self.lines += lines;
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds whole lines, all or none: when it fails, the file is cut back, now or before the next attempt.
    pub(super) fn append(&mut self, lines: &[u8], sync: Sync) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.length)?;
            self.dirty = false;
        }
        let written = self.file.write_all(lines).and_then(|()| match sync {
            Sync::Each => self.file.sync_data(),
            Sync::Never => Ok(()),
        });
        match written {
            Ok(()) => self.length += lines.len() as u64,
            Err(_) => self.dirty = self.file.set_len(self.length).is_err(),
        }
        written
    }

    /// The file once more, for whoever waits for the disk while others write.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Waits until everything is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
