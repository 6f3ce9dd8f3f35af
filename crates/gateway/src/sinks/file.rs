//! A file of lines beside the journal, for whatever reads files: rotated by size and age, so many kept.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_base::Timestamp;

use super::receiver::Item;
use crate::config::Rotation;

/// How much of a file's end is looked at for its last whole line.
const TAIL: u64 = 64 << 10;

/// `audit.jsonl`, and before it `audit.jsonl.1` and so on.
pub(super) struct Files {
    path: PathBuf,
    rotation: Rotation,
}

impl Files {
    pub fn new(path: &Path, rotation: Rotation) -> Self {
        Self { path: path.to_owned(), rotation }
    }

    /// Adds lines, all or none; they are on the disk when this returns.
    ///
    /// The file is opened each time, so whoever moves it away gets no more lines in it.
    pub fn write(&self, items: &[Item], now: Timestamp) -> io::Result<()> {
        let bytes: Vec<u8> = items.iter().flat_map(|item| &item.bytes).copied().collect();
        let mut file = self.open()?;
        let mut length = whole(&mut file)?;
        if length > 0 && (length + bytes.len() as u64 > self.rotation.size || self.is_old(&file, now)?) {
            self.rotate()?;
            file = self.open()?;
            length = 0;
        }
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if written.is_err() {
            // What cannot be cut off now is cut off before the next lines.
            let _ = file.set_len(length);
        }
        written
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)
    }

    /// Whether it was begun so long ago; where the file system does not say when, by its last change.
    fn is_old(&self, file: &File, now: Timestamp) -> io::Result<bool> {
        let Some(age) = self.rotation.age else { return Ok(false) };
        let metadata = file.metadata()?;
        let begun = metadata.created().or_else(|_| metadata.modified())?;
        let begun = begun.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Ok(now.since(Timestamp::from_millis(begun.as_millis() as i64)) >= age)
    }

    fn rotate(&self) -> io::Result<()> {
        for number in (0..self.rotation.keep).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Cuts off a last line that is not whole, which only a crash can leave, and says how long the rest is. That line is sent
/// again.
fn whole(file: &mut File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut from = length;
    let mut tail = Vec::new();
    while from > 0 {
        let end = from;
        from = from.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from))?;
        tail.clear();
        Read::by_ref(file).take(end - from).read_to_end(&mut tail)?;
        if let Some(at) = memchr::memrchr(b'\n', &tail) {
            from += at as u64 + 1;
            break;
        }
    }
    if from < length {
        file.set_len(from)?;
    }
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(texts: &[&str]) -> Vec<Item> {
        let item = |text: &&str| Item { seq: 1, at: None, is_refusal: false, bytes: format!("{text}\n").into() };
        texts.iter().map(item).collect()
    }

    fn files(size: u64, keep: u32, age: Option<Duration>) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("logs/audit.jsonl"), Rotation { size, age, keep });
        (folder, files)
    }

    #[test]
    fn full_files_are_moved_on_and_the_oldest_goes() {
        let (_folder, files) = files(10, 2, None);
        for text in ["one", "two", "three", "four", "five", "a line longer than all that fits", "six"] {
            files.write(&items(&[text]), Timestamp::from_secs(0)).unwrap();
        }
        let read = |number| fs::read_to_string(files.numbered(number)).ok();
        assert_eq!(read(0).as_deref(), Some("six\n"));
        assert_eq!(read(1).as_deref(), Some("a line longer than all that fits\n"));
        assert_eq!(read(2).as_deref(), Some("four\nfive\n"));
        assert_eq!(read(3), None);
    }

    #[test]
    fn old_files_are_moved_on() {
        let (_folder, files) = files(1000, 2, Some(Duration::from_secs(60)));
        files.write(&items(&["one"]), Timestamp::from_secs(0)).unwrap();
        files.write(&items(&["two"]), Timestamp::from_secs(0)).unwrap();
        files.write(&items(&["three"]), Timestamp::from_secs(1 << 40)).unwrap();
        assert_eq!(fs::read_to_string(files.numbered(0)).unwrap(), "three\n");
        assert_eq!(fs::read_to_string(files.numbered(1)).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn half_a_line_that_a_crash_left_is_cut_off() {
        let (_folder, files) = files(1 << 30, 2, None);
        for half in ["x".to_owned(), "x".repeat(200_000)] {
            files.write(&items(&["one"]), Timestamp::from_secs(0)).unwrap();
            let before = fs::read_to_string(&files.path).unwrap();
            fs::write(&files.path, format!("{before}{half}")).unwrap();
            files.write(&items(&["two"]), Timestamp::from_secs(0)).unwrap();
            assert_eq!(fs::read_to_string(&files.path).unwrap(), format!("{before}two\n"));
        }
        fs::write(&files.path, "nothing whole").unwrap();
        files.write(&items(&["three"]), Timestamp::from_secs(0)).unwrap();
        assert_eq!(fs::read_to_string(&files.path).unwrap(), "three\n");
    }
}
