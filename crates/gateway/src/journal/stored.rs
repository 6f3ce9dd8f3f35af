//! What of a journal is on disk: plain segments, sealed ones with their manifests, and manifests whose lines were removed.
//!
//! A file's name begins with the `seq` of its first line: `….jsonl` is plain, `….jsonl.zst` compressed, `….seal.json` the
//! signed manifest of the latter. While a segment is being sealed there are more than one of them; the plain file counts
//! until it is gone, because it goes last.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// How much of a file is read at a time.
const BUFFER: usize = 1 << 16;

/// One segment, in whichever forms it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The `seq` of its first line.
    pub first_seq: u64,
    /// The file of lines.
    pub plain: Option<PathBuf>,
    /// The compressed file.
    pub packed: Option<PathBuf>,
    /// The manifest.
    pub manifest: Option<PathBuf>,
}

impl Stored {
    /// Whether its lines can still be read here.
    pub fn has_lines(&self) -> bool {
        self.plain.is_some() || self.packed.is_some()
    }

    /// Whether all that is left of it is sealed.
    pub fn is_sealed(&self) -> bool {
        self.plain.is_none() && self.packed.is_some() && self.manifest.is_some()
    }
}

/// All segments of the journal in `dir`, in order. Files of other names are left aside.
pub fn stored(dir: &Path) -> io::Result<Vec<Stored>> {
    let mut found = BTreeMap::<u64, Stored>::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((digits, form)) = name.split_at_checked(16) else { continue };
        let Some(first_seq) = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten() else {
            continue;
        };
        let place = |form: &str| matches!(form, ".jsonl" | ".jsonl.zst" | ".seal.json");
        if !place(form) {
            continue;
        }
        let stored = found.entry(first_seq).or_insert_with(|| Stored { first_seq, ..Stored::default() });
        let slot = match form {
            ".jsonl" => &mut stored.plain,
            ".jsonl.zst" => &mut stored.packed,
            _ => &mut stored.manifest,
        };
        *slot = Some(path);
    }
    Ok(found.into_values().collect())
}

/// Where the compressed form of the segment that begins with `first_seq` is.
pub(super) fn packed_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:016}.jsonl.zst"))
}

/// Where its manifest is.
pub(super) fn manifest_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:016}.seal.json"))
}

/// The lines of one segment, whichever form it has.
pub enum SegmentReader {
    /// Of a file that may still grow.
    Plain(BufReader<File>),
    /// Of a compressed one.
    Packed(Box<BufReader<zstd::stream::read::Decoder<'static, BufReader<File>>>>),
}

impl SegmentReader {
    /// Opens the plain file if there is one, else the compressed one.
    pub fn open(stored: &Stored) -> io::Result<Self> {
        match (&stored.plain, &stored.packed) {
            (Some(path), _) => Ok(Self::Plain(BufReader::with_capacity(BUFFER, File::open(path)?))),
            (None, Some(path)) => Self::unpack(path),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Opens a compressed file.
    pub fn unpack(path: &Path) -> io::Result<Self> {
        let decoder = zstd::stream::read::Decoder::new(File::open(path)?)?;
        Ok(Self::Packed(Box::new(BufReader::with_capacity(BUFFER, decoder))))
    }

    /// Goes to `offset` of a file that may have changed behind what was read ahead; a compressed one never does.
    pub(super) fn reread(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Self::Plain(reader) => reader.seek(SeekFrom::Start(offset)).map(drop),
            Self::Packed(_) => Ok(()),
        }
    }

    /// Bytes that a plain file has now.
    pub(super) fn length(&self) -> io::Result<Option<u64>> {
        match self {
            Self::Plain(reader) => Ok(Some(reader.get_ref().metadata()?.len())),
            Self::Packed(_) => Ok(None),
        }
    }
}

impl Read for SegmentReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(out),
            Self::Packed(reader) => reader.read(out),
        }
    }
}

impl BufRead for SegmentReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(reader) => reader.fill_buf(),
            Self::Packed(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Plain(reader) => reader.consume(amount),
            Self::Packed(reader) => reader.consume(amount),
        }
    }
}
