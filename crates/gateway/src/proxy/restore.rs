//! One pass over a JSON-RPC answer as it arrives: the id we gave upstream becomes the client's own again, what a modern
//! server may not say as it does is rendered, and what the record needs to know is picked up on the way. It looks only at the
//! members of the answer and of its result; everything else passes unread, whatever its size.

use std::borrow::Cow;

use bytes::BytesMut;
use memchr::memchr2;

use super::{
    rendering::{Rendering, Spoilt},
    sieve::Whose,
};
use crate::questions::LONGEST as QUESTIONS;

/// What was seen of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// It carries the id of our request.
    pub ours: bool,
    /// It has a `result`.
    pub result: bool,
    /// It has an `error`.
    pub error: bool,
    /// Its result says of itself that the tool failed.
    pub tool_error: bool,
    /// Its object has been closed.
    pub closed: bool,
    /// It had a part that could not be passed on, for this reason.
    pub spoilt: Option<Spoilt>,
}

impl Seen {
    /// Whether it is one whole answer to our request.
    pub(super) fn is_answer(self) -> bool {
        self.ours && self.closed && self.spoilt.is_none() && (self.result != self.error)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Id,
    Result,
    Error,
    Other,
}

/// Longer ids than this are not ours, and longer states than this are not carried.
const ID: usize = 1024;
const STATE: usize = 1 << 20;
/// The longest ids of tasks and kinds of results.
const TASK: usize = 1024;
const KIND: usize = 64;

/// A value that is held back and replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Id,
    State,
    Scope,
    Kind,
    Questions,
    Task,
}

impl Held {
    /// The depth of its member.
    fn depth(self) -> u32 {
        match self {
            Self::Id => 1,
            _ => 2,
        }
    }

    fn longest(self) -> usize {
        match self {
            Self::Id => ID,
            Self::State => STATE,
            Self::Scope => 0,
            Self::Kind => KIND,
            Self::Questions => QUESTIONS,
            Self::Task => TASK,
        }
    }
}

/// The state of the pass.
pub(super) struct Restorer {
    sent: Box<str>,
    wanted: Box<str>,
    seen: Seen,
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// Whether a string that begins now is a name.
    names: bool,
    /// The name that is being read, or was read last, at depth 1 or 2.
    name: Vec<u8>,
    reading_name: bool,
    member: Member,
    error_flag: bool,
    held: Option<Held>,
    value: Vec<u8>,
    rendering: Option<Rendering>,
    whose: Whose,
}

impl Restorer {
    /// `sent` is the id as it went upstream, `wanted` the client's; both raw JSON.
    pub(super) fn new(sent: &str, wanted: &str) -> Self {
        Self {
            sent: sent.into(),
            wanted: wanted.into(),
            seen: Seen::default(),
            depth: 0,
            in_string: false,
            escaped: false,
            names: false,
            name: Vec::new(),
            reading_name: false,
            member: Member::Other,
            error_flag: false,
            held: None,
            value: Vec::new(),
            rendering: None,
            whose: Whose::Anybody,
        }
    }

    /// Also renders what a modern server says.
    pub(super) fn rendering(mut self, rendering: Rendering) -> Self {
        self.rendering = Some(rendering);
        self
    }

    /// Also says whose the answer is.
    pub(super) fn whose(mut self, whose: Whose) -> Self {
        self.whose = whose;
        self
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes the next piece and appends what it becomes to `out`.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut BytesMut) {
        let (mut at, mut from) = (0, 0);
        while at < piece.len() {
            if self.in_string {
                at = self.string(piece, at);
                continue;
            }
            let byte = piece[at];
            let holding = self.held;
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.reading_name = self.names && self.depth <= 2;
                    if self.reading_name {
                        self.name.clear();
                    }
                }
                b'{' | b'[' => {
                    self.depth += 1;
                    self.names = byte == b'{';
                }
                b'}' | b']' => self.close(at, &mut from, out),
                b':' if self.depth <= 2 => {
                    self.begin_value();
                    if self.held.is_some() {
                        out.extend_from_slice(&piece[from..=at]);
                        from = at + 1;
                    }
                }
                b',' => {
                    self.end_value(at, &mut from, out);
                    // Inside an array nothing is a name; a string there is only compared in vain.
                    self.names = self.depth <= 2;
                }
                b't' if self.error_flag => self.seen.tool_error = true,
                _ => {}
            }
            if holding.is_some() && self.held == holding && !byte.is_ascii_whitespace() {
                self.hold(&piece[at..=at]);
            }
            at += 1;
        }
        if self.held.is_none() {
            out.extend_from_slice(&piece[from..]);
        }
    }

    fn hold(&mut self, part: &[u8]) {
        // One byte more than is carried tells that it was too long.
        let room = (self.held.map_or(0, Held::longest) + 1).saturating_sub(self.value.len());
        self.value.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn string(&mut self, piece: &[u8], at: usize) -> usize {
        if self.escaped {
            self.escaped = false;
            self.keep(&piece[at..=at]);
            return at + 1;
        }
        let end = memchr2(b'"', b'\\', &piece[at..]).map_or(piece.len(), |n| at + n);
        self.keep(&piece[at..end]);
        match piece.get(end) {
            None => return end,
            Some(b'\\') => {
                self.escaped = true;
                self.keep(b"\\");
            }
            Some(_) => {
                self.in_string = false;
                self.reading_name = false;
                if self.held.is_some() {
                    self.hold(b"\"");
                }
            }
        }
        end + 1
    }

    fn keep(&mut self, part: &[u8]) {
        if self.held.is_some() {
            self.hold(part);
        } else if self.reading_name && self.name.len() <= 16 {
            self.name.extend_from_slice(&part[..part.len().min(17)]);
        }
    }

    fn begin_value(&mut self) {
        self.names = false;
        if self.depth == 2 {
            let in_result = self.member == Member::Result;
            self.error_flag = in_result && self.name == b"isError";
            if in_result && self.held.is_none() {
                self.held = match self.name.as_slice() {
                    // spec: BR-90
                    b"cacheScope" if self.whose == Whose::Callers => Some(Held::Scope),
                    _ if self.rendering.is_none() => None,
                    b"requestState" => Some(Held::State),
                    b"resultType" => Some(Held::Kind),
                    b"inputRequests" => Some(Held::Questions),
                    b"taskId" => Some(Held::Task),
                    _ => None,
                };
                self.value.clear();
            }
            return;
        }
        self.member = match self.name.as_slice() {
            b"id" => Member::Id,
            b"result" => Member::Result,
            b"error" => Member::Error,
            _ => Member::Other,
        };
        match self.member {
            Member::Id => {
                self.held = Some(Held::Id);
                self.value.clear();
            }
            Member::Result => self.seen.result = true,
            Member::Error => self.seen.error = true,
            Member::Other => {}
        }
    }

    /// A value ends at a comma or bracket of its own depth.
    fn end_value(&mut self, at: usize, from: &mut usize, out: &mut BytesMut) {
        self.error_flag = false;
        if let Some(held) = self.held.filter(|held| held.depth() == self.depth) {
            self.held = None;
            *from = at;
            match held {
                Held::Id => {
                    self.seen.ours = self.value == self.sent.as_bytes();
                    out.extend_from_slice(if self.seen.ours { self.wanted.as_bytes() } else { b"null" });
                }
                Held::Scope => out.extend_from_slice(b"\"private\""),
                Held::State | Held::Kind | Held::Questions | Held::Task => match self.rendered(held) {
                    Ok(value) => out.extend_from_slice(value.as_bytes()),
                    // Nothing of it is passed on as it is; the answer is then none.
                    Err(why) => {
                        self.seen.spoilt = Some(why);
                        out.extend_from_slice(b"null");
                    }
                },
            }
        }
        if self.depth == 1 {
            self.member = Member::Other;
        }
    }

    /// What a client gets for a value that was held back.
    fn rendered(&self, held: Held) -> Result<Cow<'_, str>, Spoilt> {
        let raw = std::str::from_utf8(&self.value).map_err(|_| "bytes that are no text")?;
        // spec: BR-65: what is too large is not carried, and not passed on unsealed either.
        let Some(rendering) = self.rendering.as_ref().filter(|_| raw.len() <= held.longest()) else {
            return Err("more than can be carried".into());
        };
        match held {
            Held::State => Ok(rendering.state(raw)?.into()),
            Held::Questions => rendering.questions(raw),
            Held::Task => Ok(rendering.task(raw)?.into()),
            Held::Kind | Held::Id | Held::Scope => {
                rendering.kind(raw)?;
                Ok(Cow::Borrowed(raw))
            }
        }
    }

    fn close(&mut self, at: usize, from: &mut usize, out: &mut BytesMut) {
        self.end_value(at, from, out);
        if self.depth == 1 {
            self.seen.closed = true;
        }
        self.depth = self.depth.saturating_sub(1);
        self.names = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(text: &str, cut: usize) -> (String, Seen) {
        let mut restorer = Restorer::new("7", "\"client\"");
        let mut out = BytesMut::new();
        for piece in text.as_bytes().chunks(cut) {
            restorer.feed(piece, &mut out);
        }
        (String::from_utf8(out.to_vec()).unwrap(), restorer.seen())
    }

    /// spec: BR-2
    #[test]
    fn the_clients_id_comes_back_however_the_answer_is_cut() {
        let text = r#" { "jsonrpc":"2.0", "result" : {"id":7,"content":[{"text":"\"id\": 7, \\"}],"isError":true} ,"id": 7 } "#;
        let expected = r#" { "jsonrpc":"2.0", "result" : {"id":7,"content":[{"text":"\"id\": 7, \\"}],"isError":true} ,"id":"client"} "#;
        for cut in 1..text.len() {
            let (out, seen) = restore(text, cut);
            assert_eq!(out, expected, "cut at {cut}");
            assert_eq!(
                seen,
                Seen { ours: true, result: true, error: false, tool_error: true, closed: true, spoilt: None }
            );
        }
    }

    /// spec: BR-90
    #[test]
    fn an_answer_that_is_the_callers_is_said_to_be_so() {
        let text = r#"{"result":{"cacheScope": "public" ,"contents":[{"cacheScope":"public"}],"ttlMs":1},"id":7}"#;
        let told = r#"{"result":{"cacheScope":"private","contents":[{"cacheScope":"public"}],"ttlMs":1},"id":8}"#;
        for cut in 1..text.len() {
            let mut restorer = Restorer::new("7", "8").whose(Whose::Callers);
            let mut out = BytesMut::new();
            text.as_bytes().chunks(cut).for_each(|piece| restorer.feed(piece, &mut out));
            assert_eq!(out, told, "cut at {cut}");
            assert!(restorer.seen().is_answer());
        }
        assert!(restore(text, 9).0.contains(r#""cacheScope": "public""#));
    }

    /// spec: T-49
    #[test]
    fn an_answer_with_another_id_is_not_ours() {
        for text in
            [r#"{"id":8,"result":{}}"#, r#"{"id":"7","result":{}}"#, r#"{"result":{}}"#, r#"{"id":null,"result":{}}"#]
        {
            let (out, seen) = restore(text, 5);
            assert!(!seen.ours, "{text}");
            assert!(!out.contains("client"), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_member_is_none() {
        let (_, seen) = restore(r#"{"id":7,"result":{"error":1,"x":{"isError":true},"list":["isError",true]}}"#, 3);
        assert_eq!(
            seen,
            Seen { ours: true, result: true, error: false, tool_error: false, closed: true, spoilt: None }
        );
        let (_, seen) = restore(r#"{"id":7,"error":{"code":1,"message":"isError"}}"#, 3);
        assert_eq!(
            seen,
            Seen { ours: true, result: false, error: true, tool_error: false, closed: true, spoilt: None }
        );
        let (_, seen) = restore(r#"{"id":7,"result":{"isError":false,"a":true"#, 3);
        assert_eq!(
            seen,
            Seen { ours: true, result: true, error: false, tool_error: false, closed: false, spoilt: None }
        );
    }
}
