//! What both steps of the launcher know of each other.

use std::io;

/// The word by which the launcher knows that it is this.
pub const WORD: &str = "inner";
/// In name spaces of its own.
pub const WITHIN: &str = "within";
/// Without.
pub const BARE: &str = "bare";
/// In name spaces of its own, only to see whether that works.
pub const TRYING: &str = "trying";

/// The user and group that the program sees itself as, where it has a name space for that.
pub const USER: u32 = 1000;

/// Standard input, of which not a byte more is taken than was asked for.
pub struct Unbuffered;

impl io::Read for Unbuffered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), into)?)
    }
}
