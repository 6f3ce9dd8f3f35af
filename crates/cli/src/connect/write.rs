//! A client's file replaced in one step, with a backup beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use portcullis_base::Timestamp;

use crate::failure::{Failure, Result};

/// Files of clients are small; anything larger is not one.
const LARGEST: u64 = 10 << 20;

/// The text of a client's file; `None` when there is none yet.
pub fn read(path: &Path) -> Result<Option<String>> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    if !metadata.is_file() {
        return Err(Failure::new(format!("{} is not a file", path.display())).help("name another file with --file"));
    }
    if metadata.len() > LARGEST {
        return Err(Failure::new(format!("{} is too large to be a client's settings", path.display()))
            .help("name another file with --file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot("read", path, &error))?;
    String::from_utf8(bytes).map(Some).map_err(|_| {
        Failure::new(format!("{} is not UTF-8 text", path.display()))
            .help("save it as UTF-8, or insert the entry by hand: --print shows it")
    })
}

/// Replaces `old` at `path` by `new`; the path of the backup, if there was something to keep.
///
/// The new text stands in a file of the same directory before it takes the old one's name, so a crash leaves either the
/// old or the new, and the file is read back before the backup of an earlier run is let go.
pub fn replace(path: &Path, old: Option<&str>, new: &str, now: Timestamp) -> Result<Option<PathBuf>> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|error| cannot("make", directory, &error))?;
    let backup = old.map(|old| back_up(path, old, now)).transpose()?;
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o7777);
    let fresh = sibling(path, &format!("portcullis-{}.tmp", std::process::id()));
    let written = write_new(&fresh, new, mode);
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        return Err(cannot("write", &fresh, &error));
    }
    if read(path)?.as_deref() != old {
        let _ = fs::remove_file(&fresh);
        return Err(Failure::new(format!("{} was changed by another program meanwhile", path.display()))
            .help("run the command again"));
    }
    fs::rename(&fresh, path).map_err(|error| cannot("replace", path, &error))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| cannot("sync", directory, &error))?;
    if read(path)?.as_deref() != Some(new) {
        return Err(Failure::new(format!("{} does not say what was written to it", path.display())).help(
            backup.as_ref().map_or_else(String::new, |backup| format!("the old text is in {}", backup.display())),
        ));
    }
    if let Some(backup) = &backup {
        forget_older(path, backup);
    }
    Ok(backup)
}

fn back_up(path: &Path, old: &str, now: Timestamp) -> Result<PathBuf> {
    let stamp: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).take(15).collect();
    for attempt in 0..100 {
        let suffix = if attempt == 0 { String::new() } else { format!("-{attempt}") };
        let backup = sibling(path, &format!("portcullis-{stamp}{suffix}.bak"));
        match write_new(&backup, old, 0o600) {
            Ok(()) => return Ok(backup),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("write", &backup, &error)),
        }
    }
    Err(Failure::new(format!("no free name for a backup beside {}", path.display())))
}

/// Only the newest backup is kept.
fn forget_older(path: &Path, newest: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let prefix = format!("{name}.portcullis-");
    let Ok(entries) = fs::read_dir(path.parent().unwrap_or(Path::new("."))) else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let path = entry.path();
        let backup = path.extension().is_some_and(|extension| extension == "bak");
        if backup && file.to_str().is_some_and(|file| file.starts_with(&prefix)) && path != newest {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_new(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backups(directory: &Path) -> Vec<PathBuf> {
        let files = fs::read_dir(directory).expect("directory").flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|extension| extension == "bak")).collect()
    }

    #[test]
    fn one_backup_restores_the_bytes_and_the_mode_stays() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("mcp.json");
        fs::write(&path, "{\r\n}").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        for (old, new) in [("{\r\n}", "{\"a\":1}"), ("{\"a\":1}", "{\"b\":2}")] {
            let backup = replace(&path, Some(old), new, Timestamp::from_millis(1_795_400_000_000))
                .expect("replace")
                .expect("backup");
            assert_eq!(fs::read_to_string(&backup).expect("backup"), old);
            assert_eq!(fs::metadata(&backup).expect("backup").permissions().mode() & 0o777, 0o600);
            assert_eq!(fs::read_to_string(&path).expect("file"), new);
        }
        assert_eq!(backups(directory.path()).len(), 1);
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).expect("directory").count(), 2, "no temporary file is left");
    }

    #[test]
    fn new_files_are_for_their_owner_only() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("deep/er/mcp.json");
        assert_eq!(replace(&path, None, "{}", Timestamp::from_millis(0)).expect("write"), None);
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_alone() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("mcp.json");
        fs::write(&path, "theirs").expect("write");
        assert!(replace(&path, Some("old"), "new", Timestamp::from_millis(0)).is_err());
        assert_eq!(fs::read_to_string(&path).expect("file"), "theirs");
    }

    #[test]
    fn only_plain_text_files_are_read() {
        let directory = tempfile::tempdir().expect("directory");
        assert!(read(directory.path()).is_err());
        let path = directory.path().join("utf16.json");
        fs::write(&path, [0xff, 0xfe, b'{', 0]).expect("write");
        assert!(read(&path).expect_err("refused").what.contains("UTF-8"));
        assert_eq!(read(&directory.path().join("absent")).expect("absent"), None);
    }
}
