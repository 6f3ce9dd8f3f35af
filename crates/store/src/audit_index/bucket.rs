//! A bucket: lines of one journal that follow each other, packed so that some of them are found and read without the rest.
//!
//! For each value (a person, a tool, an outcome) there is a list of the places where it stands, and lists are joined in
//! memory; so any combination of conditions costs the same few lists. What hardly repeats (calls, requests) has its places
//! in slices by hash. Both may name a line too much, never one too few: whoever reads looks at the line itself.
//!
//! Everything about a bucket depends on its own lines only: that is why the ten millionth line costs what the first one did.

use std::collections::BTreeMap;

use portcullis_audit::IndexRow;
use portcullis_base::Timestamp;

use crate::{AuditEntry, StoreError};

/// Lines in a bucket. Places in it are 16-bit numbers.
pub(crate) const LINES: usize = 8192;
/// Lines that are compressed together.
pub(super) const CHUNK: usize = 64;
/// Slices of what hardly repeats.
const SLICES: u64 = 128;
/// The level at which lines are compressed: the fastest one that is good.
const LEVEL: i32 = 1;
/// More than the lines of a chunk ever have: a guard against damaged sizes.
const CHUNK_BYTES: usize = 64 << 20;

/// What a line is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    Kind,
    Person,
    PersonName,
    Client,
    Address,
    Server,
    Method,
    Name,
    Outcome,
    Effect,
    Rule,
    Call,
    Request,
    Trace,
    Approval,
    Grant,
    Token,
}

impl Field {
    /// Fields whose values are kept as names, to look for a part of one.
    pub(super) const NAMES: [Self; 6] =
        [Self::Kind, Self::PersonName, Self::Client, Self::Server, Self::Name, Self::Rule];

    /// As it stands in the table of names.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Person => "person",
            Self::PersonName => "person_name",
            Self::Client => "client",
            Self::Address => "address",
            Self::Server => "server",
            Self::Method => "method",
            Self::Name => "name",
            Self::Outcome => "outcome",
            Self::Effect => "effect",
            Self::Rule => "rule",
            Self::Call => "call",
            Self::Request => "request",
            Self::Trace => "trace",
            Self::Approval => "approval",
            Self::Grant => "grant",
            Self::Token => "token",
        }
    }

    /// Whether its values hardly repeat.
    const fn is_key(self) -> bool {
        matches!(self, Self::Call | Self::Request | Self::Trace | Self::Approval | Self::Grant | Self::Token)
    }

    /// What an event has in each field.
    pub(super) fn values(row: &IndexRow) -> [(Self, Option<&str>); 17] {
        [
            (Self::Kind, Some(row.kind.as_str())),
            (Self::Person, row.person.as_deref()),
            (Self::PersonName, row.person_name.as_deref()),
            (Self::Client, row.client.as_deref()),
            (Self::Address, row.address.as_deref()),
            (Self::Server, row.server.as_deref()),
            (Self::Method, row.method.as_deref()),
            (Self::Name, row.name.as_deref()),
            (Self::Outcome, row.outcome.as_deref()),
            (Self::Effect, row.effect.as_deref()),
            (Self::Rule, row.rule.as_deref()),
            (Self::Call, row.call.as_deref()),
            (Self::Request, row.request.as_deref()),
            (Self::Trace, row.trace.as_deref()),
            (Self::Approval, row.approval.as_deref()),
            (Self::Grant, row.grant.as_deref()),
            (Self::Token, row.token.as_deref()),
        ]
    }
}

/// What is looked for in the lists of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    /// A value with a list of its own.
    Value(i64),
    /// A value in a slice.
    Key { slice: i64, hash: u32 },
}

impl Term {
    pub(super) fn of(field: Field, text: &str) -> Self {
        let hash = hash(field, text);
        if field.is_key() {
            Self::Key { slice: (hash % SLICES) as i64, hash: (hash >> 32) as u32 }
        } else {
            Self::Value(value_term(hash))
        }
    }

    /// The row in which its places are.
    pub(super) const fn row(self) -> i64 {
        match self {
            Self::Value(term) => term,
            Self::Key { slice, .. } => slice,
        }
    }

    /// Adds its places to `places`.
    pub(super) fn read(self, bytes: &[u8], places: &mut Places) -> Result<(), StoreError> {
        match self {
            Self::Value(_) => read_list(bytes, places),
            Self::Key { hash, .. } => {
                for entry in bytes.chunks_exact(6) {
                    if entry[..4] == hash.to_be_bytes() {
                        places.add(u16::from_be_bytes([entry[4], entry[5]]))?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The first rows are the slices.
const fn value_term(hash: u64) -> i64 {
    let term = hash as i64;
    if 0 <= term && term < SLICES as i64 { term + SLICES as i64 } else { term }
}

/// FNV-1a with a last stir. Stored: it must never change. Nothing is decided by it, so nobody gains by making two alike.
fn hash(field: Field, text: &str) -> u64 {
    let bytes = field.as_str().bytes().chain([0]).chain(text.bytes());
    let mixed =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Places in a bucket.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Places(Box<[u64; LINES / 64]>);

impl Places {
    pub(super) fn none() -> Self {
        Self(Box::new([0; LINES / 64]))
    }

    fn add(&mut self, place: u16) -> Result<(), StoreError> {
        let place = usize::from(place);
        let word = self.0.get_mut(place / 64).ok_or_else(damaged)?;
        *word |= 1 << (place % 64);
        Ok(())
    }

    /// Keeps those that are in `others` too.
    pub(super) fn keep(&mut self, others: &Self) {
        for (word, other) in self.0.iter_mut().zip(others.0.iter()) {
            *word &= other;
        }
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// A bucket, ready to be written.
pub(super) struct Bucket {
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) lines: usize,
    pub(super) times: Vec<u8>,
    pub(super) chunks: Vec<Vec<u8>>,
    /// By row.
    pub(super) places: Vec<(i64, Vec<u8>)>,
    /// Names that stand in it.
    pub(super) names: Vec<(i64, Field, String)>,
}

impl Bucket {
    /// Packs lines of one journal, in their order; at most [`LINES`].
    pub(super) fn pack(entries: &[AuditEntry]) -> Result<Self, StoreError> {
        let mut lists: BTreeMap<i64, List> = BTreeMap::new();
        let mut slices: BTreeMap<i64, Vec<(u32, u16)>> = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (place, entry) in entries.iter().enumerate() {
            let place = u16::try_from(place).map_err(|_| damaged())?;
            for (field, text) in Field::values(&entry.row) {
                let Some(text) = text else { continue };
                match Term::of(field, text) {
                    Term::Key { slice, hash } => slices.entry(slice).or_default().push((hash, place)),
                    Term::Value(term) => {
                        let list = lists.entry(term).or_default();
                        if list.bytes.is_empty() && Field::NAMES.contains(&field) {
                            names.entry(term).or_insert_with(|| (field, text.to_owned()));
                        }
                        list.add(place);
                    }
                }
            }
        }
        let slice = |(slice, mut keys): (i64, Vec<(u32, u16)>)| {
            keys.sort_unstable();
            let bytes = keys.iter().flat_map(|(hash, place)| hash.to_be_bytes().into_iter().chain(place.to_be_bytes()));
            (slice, bytes.collect())
        };
        let mut press = zstd::bulk::Compressor::new(LEVEL).map_err(|_| damaged())?;
        let mut chunk = |entries: &[AuditEntry]| {
            let lines: Vec<&str> = entries.iter().map(|entry| entry.line.as_str()).collect();
            press.compress(lines.join("\n").as_bytes()).map_err(|_| damaged())
        };
        let times = || entries.iter().map(|entry| entry.row.at);
        Ok(Self {
            first_at: times().min().ok_or_else(damaged)?,
            last_at: times().max().ok_or_else(damaged)?,
            lines: entries.len(),
            times: pack_times(entries)?,
            chunks: entries.chunks(CHUNK).map(&mut chunk).collect::<Result<_, _>>()?,
            places: slices
                .into_iter()
                .map(slice)
                .chain(lists.into_iter().map(|(term, list)| (term, list.bytes)))
                .collect(),
            names: names.into_iter().map(|(term, (field, name))| (term, field, name)).collect(),
        })
    }
}

/// A list of places: distances, each in as few bytes as it takes.
#[derive(Default)]
struct List {
    bytes: Vec<u8>,
    next: u16,
}

impl List {
    fn add(&mut self, place: u16) {
        // Two fields never share a term, but two texts might, in theory: then the place is there already.
        if place >= self.next {
            put(&mut self.bytes, u64::from(place - self.next));
            self.next = place + 1;
        }
    }
}

fn read_list(mut bytes: &[u8], places: &mut Places) -> Result<(), StoreError> {
    let mut next = 0_u64;
    while !bytes.is_empty() {
        let place = next.saturating_add(take(&mut bytes)?);
        places.add(u16::try_from(place).map_err(|_| damaged())?)?;
        next = place + 1;
    }
    Ok(())
}

/// The `seq` and moment of each line, as differences from the line before.
fn pack_times(entries: &[AuditEntry]) -> Result<Vec<u8>, StoreError> {
    let (mut bytes, mut seq, mut at) = (Vec::with_capacity(entries.len() * 4), 0_i64, 0_i64);
    for entry in entries {
        let row = &entry.row;
        for difference in [row.seq.wrapping_sub(seq), row.at.as_millis().wrapping_sub(at)] {
            put(&mut bytes, ((difference << 1) ^ (difference >> 63)) as u64);
        }
        (seq, at) = (row.seq, row.at.as_millis());
    }
    zstd::bulk::compress(&bytes, LEVEL).map_err(|_| damaged())
}

/// The `seq` and moment of each line of a bucket.
pub(super) fn read_times(bytes: &[u8]) -> Result<Vec<(i64, Timestamp)>, StoreError> {
    let bytes = zstd::bulk::decompress(bytes, LINES * 20).map_err(|_| damaged())?;
    let (mut rest, mut times, mut seq, mut at) = (bytes.as_slice(), Vec::new(), 0_i64, 0_i64);
    while !rest.is_empty() {
        for value in [&mut seq, &mut at] {
            let folded = take(&mut rest)?;
            *value = value.wrapping_add((folded >> 1) as i64 ^ -((folded & 1) as i64));
        }
        times.push((seq, Timestamp::from_millis(at)));
    }
    Ok(times)
}

/// The lines of a chunk.
pub(super) fn read_chunk(bytes: &[u8]) -> Result<Vec<String>, StoreError> {
    let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().ok_or_else(damaged)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= CHUNK_BYTES).ok_or_else(damaged)?;
    let bytes = zstd::bulk::decompress(bytes, size).map_err(|_| damaged())?;
    let text = String::from_utf8(bytes).map_err(|_| damaged())?;
    Ok(text.split('\n').map(str::to_owned).collect())
}

/// Seven bits a byte, the low ones first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, StoreError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(damaged)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(damaged())
}

fn damaged() -> StoreError {
    StoreError::Damaged("a part of the audit index is damaged: `portcullis audit reindex` makes it anew".into())
}
