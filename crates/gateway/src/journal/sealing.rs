//! Sealing: a segment that no line is added to any more becomes a compressed file and a signed manifest.
//!
//! In this order, each step on the disk before the next: compressed file, manifest, and only then the plain file goes. A
//! crash leaves the plain segment, or both, and then it is sealed again; it never leaves none. Segments are sealed from
//! the oldest on, so each manifest can name the one before.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use portcullis_audit::{FaultKind, Manifest, Packed, PublicKeys, Signer, Verifier, read_line};
use portcullis_base::Digest;
use ring::digest::{Context, SHA256};

use super::{
    segment::private,
    stored::{SegmentReader, Stored, manifest_path, packed_path},
};

/// A third of a second for a full segment, to about a tenth of its size.
const LEVEL: i32 = 3;

/// Why a segment stays plain.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Its lines do not hold: it is evidence, and is left as it is.
    #[error("line {line} of {segment} does not hold: {why:?}")]
    Damaged {
        /// Its name.
        segment: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: FaultKind,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// Seals the plain segment `stored` in `dir`, whose manifest follows the one with the digest `before`.
pub(super) fn seal(
    dir: &Path,
    stored: &Stored,
    (signer, keys): (&Signer, &PublicKeys),
    before: Option<Digest>,
) -> Result<Manifest, SealError> {
    let plain = stored.plain.as_deref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let packed = packed_path(dir, stored.first_seq);
    let pressed = press(plain, &packed, keys)?;
    let report = pressed.verifier.finish();
    let manifest = Manifest {
        node: report.node.unwrap_or_default(),
        first_seq: report.first_seq,
        head: report.head,
        previous: pressed.previous,
        span: report.span.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?,
        bytes: pressed.bytes,
        packed: pressed.packed,
        before,
    };
    replace(&manifest_path(dir, stored.first_seq), manifest.sign(signer).as_bytes())?;
    fs::remove_file(plain)?;
    sync_dir(dir)?;
    Ok(manifest)
}

/// A compressed segment and what was seen of its lines.
struct Pressed<'k> {
    verifier: Verifier<'k>,
    /// The hash before the first line.
    previous: Digest,
    bytes: u64,
    packed: Packed,
}

/// Compresses the lines of `plain` into the file `packed`, which is read again to be sure of it.
fn press<'k>(plain: &Path, packed: &Path, keys: &'k PublicKeys) -> Result<Pressed<'k>, SealError> {
    let beside = packed.with_extension("zst.new");
    let mut reader = io::BufReader::with_capacity(1 << 16, File::open(plain)?);
    let file = private().write(true).create(true).truncate(true).open(&beside)?;
    let mut encoder = zstd::stream::write::Encoder::new(BufWriter::new(file), LEVEL)?;
    encoder.include_checksum(true)?;
    let (mut verifier, mut line, mut count, mut bytes) = (Verifier::new(keys), Vec::new(), 0, 0);
    let mut digest = Context::new(&SHA256);
    let mut previous = Digest::from_bytes([0; 32]);
    let damaged = |line, why| {
        let segment = plain.file_name().unwrap_or_default().to_string_lossy().into_owned();
        SealError::Damaged { segment, line, why }
    };
    loop {
        count += 1;
        let Some(text) = read_line(&mut reader, &mut line).map_err(|why| damaged(count, why))? else { break };
        verifier.line(text).map_err(|why| damaged(count, why))?;
        if count == 1 {
            previous = first_previous(text).ok_or_else(|| damaged(1, FaultKind::Changed))?;
        }
        bytes += line.len() as u64;
        digest.update(&line);
        encoder.write_all(&line)?;
    }
    let file = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    drop(file);
    if digest_of(SegmentReader::unpack(&beside)?)?.digest.as_bytes() != digest.finish().as_ref() {
        return Err(io::Error::other("what was compressed cannot be read back").into());
    }
    let found = digest_of(File::open(&beside)?)?;
    fs::rename(&beside, packed)?;
    if let Some(dir) = packed.parent() {
        sync_dir(dir)?;
    }
    Ok(Pressed { verifier, previous, bytes, packed: found })
}

/// The hash before a segment's first line: zero before the first of all, and signed in a checkpoint before others.
fn first_previous(line: &[u8]) -> Option<Digest> {
    #[derive(serde::Deserialize)]
    struct Members {
        previous: Digest,
    }
    serde_json::from_slice::<Members>(line).ok().map(|members| members.previous)
}

/// What a file is, read to its end.
pub fn digest_of(mut reader: impl Read) -> io::Result<Packed> {
    let (mut context, mut buffer, mut bytes) = (Context::new(&SHA256), vec![0; 1 << 16], 0);
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            length => {
                bytes += length as u64;
                context.update(&buffer[..length]);
            }
        }
    }
    let digest = Digest::from_slice(context.finish().as_ref()).ok_or(io::ErrorKind::Other)?;
    Ok(Packed { bytes, digest })
}

/// Writes a file whole or not at all, and waits for the disk.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = private().write(true).create(true).truncate(true).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Waits until names in `dir` are on the disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
