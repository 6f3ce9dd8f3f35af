//! Path templates, and arguments that stay in their segment.

use crate::{
    check::Refused,
    document::Problem,
    encode::{decoded, literal},
};

/// A path with places for arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    segments: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Parameter(String),
}

impl Template {
    pub(crate) fn parse(path: &str, place: &str) -> Result<Self, Problem> {
        let wrong = |what: &str, help: &str| Problem::new(place, what, help);
        let Some(rest) = path.strip_prefix('/') else {
            return Err(wrong("a path begins with a slash", "write it as /…"));
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("a path has no ? and no #", "describe what comes behind it as parameters in the query"));
        }
        let mut segments = Vec::new();
        // A brace may hold a slash only in documents that are not OpenAPI; it ends as an unclosed one.
        for segment in rest.split('/') {
            let mut pieces = Vec::new();
            let mut open = segment;
            while let Some((before, after)) = open.split_once('{') {
                let Some((name, after)) = after.split_once('}').filter(|(name, _)| !name.is_empty()) else {
                    return Err(wrong("a { in the path is not closed in its segment", "write it as {name}"));
                };
                if !before.is_empty() {
                    pieces.push(Piece::Literal(literal(before)));
                }
                pieces.push(Piece::Parameter(name.to_owned()));
                open = after;
            }
            if open.contains('}') {
                return Err(wrong("a } in the path has no {", "write it as {name}"));
            }
            if !open.is_empty() {
                pieces.push(Piece::Literal(literal(open)));
            }
            if let [Piece::Literal(only)] = pieces.as_slice()
                && leaves(only)
            {
                return Err(wrong("a segment of the path is a dot", "write the path that it leads to"));
            }
            segments.push(pieces);
        }
        Ok(Self { segments })
    }

    /// The names in braces.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The path with these values, which are encoded already.
    // spec: T-67
    pub(crate) fn fill<'v>(&self, value: impl Fn(&str) -> Option<(&'v str, &'v str)>) -> Result<String, Refused> {
        let mut out = String::new();
        for segment in &self.segments {
            let begin = out.len() + 1;
            out.push('/');
            let mut last = None;
            for piece in segment {
                match piece {
                    Piece::Literal(text) => out.push_str(text),
                    Piece::Parameter(name) => {
                        let (argument, encoded) = value(name).ok_or_else(|| Refused::new(name, "is missing"))?;
                        if encoded.is_empty() {
                            return Err(Refused::new(argument, "must not be empty: it is part of a path"));
                        }
                        last = Some(argument);
                        out.push_str(encoded);
                    }
                }
            }
            if let Some(argument) = last
                && leaves(&out[begin..])
            {
                return Err(Refused::new(
                    argument,
                    "would lead to another place: no dots for a whole segment of the path, no slash and no control character, not encoded either",
                ));
            }
        }
        Ok(out)
    }
}

/// Whether somebody behind us could read this encoded segment as more than one segment, or as a step upwards: however
/// often they decode, and with what some servers cut off behind a semicolon.
fn leaves(segment: &str) -> bool {
    let mut bytes = segment.as_bytes().to_vec();
    loop {
        let name = bytes.split(|byte| *byte == b';').next().unwrap_or_default();
        let name = name.trim_ascii();
        if name == b"." || name == b".." || bytes.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0..=0x1f | 0x7f)) {
            return true;
        }
        let next = decoded(&bytes);
        // Each round takes at least two bytes away, so this ends.
        if next == bytes {
            return false;
        }
        bytes = next;
    }
}
