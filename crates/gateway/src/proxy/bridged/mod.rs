//! Sessions of older revisions before whatever speaks 2026-07-28, or looks as if it did: a modern server, one that an
//! adapter answers for, one that speaks another of the older revisions.
//!
//! The session plays a client of 2026-07-28 in this process. Each of its requests becomes a modern one, decided and
//! recorded as any other, and what is answered is put into the words of the client's revision
//! ([`portcullis_mcp::dialect`]). What a modern server asks for by its answer, an older client is asked for by requests of
//! ours, and the call is put again with what it said; so a tool is never run twice (BR-24).
//!
//! - [`host`]: the modern client.
//! - [`drive`]: one request, with [`asking`] and [`tasks`] for what may come between it and its answer.
//! - [`room`]: what this node keeps of a session; [`feed`] and [`reader`]: its streams.
//! - [`listening`]: what a server says unasked.
//! - [`old`]: the transport of 2024-11-05.

mod asking;
mod drive;
mod feed;
mod host;
mod listening;
mod old;
mod opening;
mod reader;
mod requests;
mod room;
mod streams;
mod tasks;

pub use reader::Reader;

pub(super) use host::gather;
pub(super) use room::Rooms;
