//! How far a sink has come in one journal, remembered on the disk.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use portcullis_base::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a sink has come in one journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last line that was passed on, or passed over; 0 before the first.
    pub seq: u64,
    /// The digest of that line: a journal that was cut back by a loss of power has another one there, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Lines that the receiver refused for good, since the file is there.
    #[serde(default)]
    pub refused: u64,
    /// Why nothing goes on, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// Why nothing goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when, in milliseconds since 1970.
    pub since: Timestamp,
    /// Why.
    pub why: String,
}

impl Progress {
    /// Reads it; the beginning where there is no file.
    pub fn read(file: &Path) -> io::Result<Self> {
        match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let why = format!("{}: {error}; without this file everything is sent again", file.display());
                io::Error::new(io::ErrorKind::InvalidData, why)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Writes it; when this returns it is on the disk. At any time the file is as it was or as it is.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let fresh = file.with_extension("new");
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        out.write_all(&serde_json::to_vec(self)?)?;
        out.sync_all()?;
        fs::rename(&fresh, file)?;
        File::open(folder)?.sync_all()
    }
}
