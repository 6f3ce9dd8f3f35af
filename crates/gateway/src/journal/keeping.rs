//! Keeping: what becomes of segments that are full. They are sealed, copied to the archive, and removed when their time is
//! over or there are too many; each step in the background, in order, from the oldest on.
//!
//! Nothing is removed that the archive or somebody who follows the journal has not taken. There is no exception: when a
//! follower stands still and the disk fills up, calls are refused rather than lines lost unseen.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use portcullis_audit::{Event, Kind, Manifest, PublicKeys, Signer};
use portcullis_base::{Digest, Timestamp};

use super::{
    JournalError, Retention, SealError, Stored,
    sealing::{replace, seal, sync_dir},
    segment::private_dir,
    stored::{manifest_path, stored},
    writer::Writer,
};

/// What a round has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Segments sealed.
    pub sealed: u64,
    /// Segments copied to the archive.
    pub archived: u64,
    /// Segments removed.
    pub removed: u64,
    /// Who holds up the removal of what should go, if anybody: the name it follows the journal by, or `archive`.
    pub held_by: Option<String>,
}

/// Why a round has stopped. What it did stands; the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A segment cannot be sealed, and nothing after it.
    #[error("the journal cannot be sealed: {0}")]
    Seal(#[from] SealError),
    /// The archive does not take a segment.
    #[error("the archive {} takes nothing: {error}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A manifest is not what was written.
    #[error("the manifest {} does not hold: {why}", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// That lines are about to be removed could not be written down, so they stay.
    #[error("nothing is removed from the journal: {0}")]
    Unrecorded(#[from] JournalError),
    /// A file could not be read or removed.
    #[error("the journal cannot be kept: {0}")]
    File(#[from] io::Error),
}

/// Where a round works.
pub(super) struct Place<'p> {
    pub(super) dir: &'p Path,
    pub(super) key_file: &'p Path,
    pub(super) signer: &'p Signer,
    pub(super) keys: &'p PublicKeys,
    pub(super) retention: &'p Retention,
}

/// One sealed segment with what its manifest says.
struct Sealed {
    stored: Stored,
    manifest: Manifest,
    text: Vec<u8>,
}

/// Seals, archives, removes.
pub(super) fn round(place: &Place<'_>, writer: &Writer, now: Timestamp) -> Result<Kept, KeepError> {
    let mut kept = Kept::default();
    seal_all(place, &mut kept)?;
    if *place.retention == Retention::default() {
        return Ok(kept);
    }
    let sealed = sealed(place)?;
    if let Some(archive) = &place.retention.archive {
        let failed = |error| KeepError::Archive { path: archive.clone(), error };
        kept.archived = archive_all(place, archive, &sealed).map_err(failed)?;
    }
    remove(place, writer, &sealed, now, &mut kept)?;
    Ok(kept)
}

/// Seals every plain segment that another one follows.
fn seal_all(place: &Place<'_>, kept: &mut Kept) -> Result<(), KeepError> {
    let all = stored(place.dir)?;
    let Some((_, complete)) = all.split_last() else { return Ok(()) };
    let mut before = None;
    for (n, stored) in complete.iter().enumerate().filter(|(_, stored)| stored.plain.is_some()) {
        if let Some(previous) = n.checked_sub(1).map(|n| manifest_path(place.dir, complete[n].first_seq)) {
            before = Some(Digest::of(&fs::read(previous)?));
        }
        let manifest = seal(place.dir, stored, (place.signer, place.keys), before)?;
        kept.sealed += 1;
        tracing::info!(
            first_seq = manifest.first_seq,
            last_seq = manifest.head.seq,
            bytes = manifest.bytes,
            compressed_bytes = manifest.packed.bytes,
            "a journal segment is sealed"
        );
    }
    Ok(())
}

/// What is sealed and not removed, the oldest first.
fn sealed(place: &Place<'_>) -> Result<Vec<Sealed>, KeepError> {
    let mut found = Vec::new();
    for stored in stored(place.dir)?.into_iter().filter(Stored::is_sealed) {
        let Some(path) = &stored.manifest else { continue };
        let text = fs::read(path)?;
        let manifest = Manifest::read(&text, place.keys)
            .map_err(|error| KeepError::Manifest { path: path.clone(), why: error.to_string() })?;
        found.push(Sealed { stored, manifest, text });
    }
    Ok(found)
}

/// Copies what the archive does not have; it gets the manifests of what was removed before, and the public keys.
fn archive_all(place: &Place<'_>, archive: &Path, sealed: &[Sealed]) -> io::Result<u64> {
    let node = place.dir.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let target = archive.join(node);
    private_dir(&target)?;
    let mut copied = 0;
    for stored in stored(place.dir)?.iter().filter(|stored| !stored.has_lines()) {
        if let Some(manifest) = &stored.manifest {
            copy(manifest, &target)?;
        }
    }
    for sealed in sealed.iter().filter(|sealed| !is_archived(sealed, &target)) {
        let (Some(packed), Some(manifest)) = (&sealed.stored.packed, &sealed.stored.manifest) else { continue };
        copy(place.key_file, archive)?;
        copy(packed, &target)?;
        // Last: what has its manifest is whole.
        copy(manifest, &target)?;
        copied += 1;
    }
    Ok(copied)
}

/// Whether the archive has this segment: its manifest is there, byte for byte, and a file of its size.
fn is_archived(sealed: &Sealed, target: &Path) -> bool {
    let here = |path: &Option<PathBuf>| path.as_ref().and_then(|path| path.file_name()).map(|name| target.join(name));
    let (Some(manifest), Some(packed)) = (here(&sealed.stored.manifest), here(&sealed.stored.packed)) else {
        return false;
    };
    fs::read(manifest).is_ok_and(|text| text == sealed.text)
        && fs::metadata(packed).is_ok_and(|file| file.len() == sealed.manifest.packed.bytes)
}

fn copy(file: &Path, target: &Path) -> io::Result<()> {
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let bytes = fs::read(file)?;
    let path = target.join(name);
    if fs::read(&path).is_ok_and(|there| there == bytes) { Ok(()) } else { replace(&path, &bytes) }
}

/// Removes the lines of the oldest segments, after the journal has said so; their manifests stay.
fn remove(
    place: &Place<'_>,
    writer: &Writer,
    sealed: &[Sealed],
    now: Timestamp,
    kept: &mut Kept,
) -> Result<(), KeepError> {
    let Retention { keep_for, size, .. } = place.retention;
    let mut total = total(place.dir)?;
    let mut going = 0;
    let slowest = writer.followers().slowest();
    for sealed in sealed {
        let manifest = &sealed.manifest;
        let is_old = keep_for.is_some_and(|keep_for| now.since(manifest.span.1) > keep_for);
        let is_too_much = size.is_some_and(|size| total > size);
        if !is_old && !is_too_much {
            break;
        }
        if let Some((name, taken)) = &slowest
            && *taken < manifest.head.seq
        {
            kept.held_by = Some(name.clone());
            break;
        }
        total = total.saturating_sub(manifest.packed.bytes);
        going += 1;
    }
    let Some((last, _)) = sealed[..going].split_last() else { return Ok(()) };
    let event = Event::new(Kind::JournalRemoved, now)
        .number("through", last.manifest.head.seq as i64)
        .number("segments", going as i64)
        .text("from", sealed[0].manifest.span.0.to_string())
        .text("to", last.manifest.span.1.to_string());
    // Under `process` too this line is on the disk before any file is gone.
    writer.append_here(&event)?;
    writer.sync()?;
    for sealed in &sealed[..going] {
        if let Some(packed) = &sealed.stored.packed {
            fs::remove_file(packed)?;
        }
    }
    sync_dir(place.dir)?;
    kept.removed = going as u64;
    tracing::info!(segments = going, through = last.manifest.head.seq, "old journal segments are removed");
    Ok(())
}

/// Bytes of all segments.
fn total(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for stored in stored(dir)? {
        for file in [&stored.plain, &stored.packed].into_iter().flatten() {
            bytes += fs::metadata(file)?.len();
        }
    }
    Ok(bytes)
}

/// How often somebody should look whether there is something to do.
pub const EVERY: Duration = Duration::from_secs(10);
