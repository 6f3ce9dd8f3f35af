//! Room on the disk: what is nearly full is told, and what is left at the end is kept for ends of calls.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicU8, Ordering},
};

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Space {
    /// Enough.
    #[default]
    Ample,
    /// Less than `audit.free_space`.
    Scarce,
    /// So little that it is kept for the ends of calls: nothing new is begun.
    Reserved,
}

impl Space {
    /// What `free` bytes are. Whoever was short of room is so until there is an eighth more than what is wanted.
    pub(super) fn of(free: u64, wanted: u64, reserve: u64, before: Self) -> Self {
        let enough = |limit: u64, was_short: bool| free >= limit + if was_short { limit / 8 } else { 0 };
        if !enough(reserve.min(wanted), before == Self::Reserved) {
            Self::Reserved
        } else if !enough(wanted, before != Self::Ample) {
            Self::Scarce
        } else {
            Self::Ample
        }
    }
}

/// The same where several threads can ask for it.
#[derive(Debug, Default)]
pub(super) struct SharedSpace(AtomicU8);

impl SharedSpace {
    pub(super) fn get(&self) -> Space {
        match self.0.load(Ordering::Relaxed) {
            0 => Space::Ample,
            1 => Space::Scarce,
            _ => Space::Reserved,
        }
    }

    pub(super) fn set(&self, space: Space) {
        self.0.store(space as u8, Ordering::Relaxed);
    }
}

/// Bytes that this process may still write beside `dir`.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_ample_again_only_when_there_is_clearly_more() {
        let next = |free, before| Space::of(free, 800, 80, before);
        assert_eq!(next(800, Space::Ample), Space::Ample);
        assert_eq!(next(799, Space::Ample), Space::Scarce);
        assert_eq!(next(850, Space::Scarce), Space::Scarce);
        assert_eq!(next(900, Space::Scarce), Space::Ample);
        assert_eq!(next(79, Space::Scarce), Space::Reserved);
        assert_eq!(next(85, Space::Reserved), Space::Reserved);
        assert_eq!(next(90, Space::Reserved), Space::Scarce);
    }
}
