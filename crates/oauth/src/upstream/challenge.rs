//! What a server says it wants when it refuses: `WWW-Authenticate` (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use portcullis_base::printable;

/// More text than any honest refusal has, over all of its headers.
const MAX_BYTES: usize = 16 * 1024;
/// More challenges than any honest refusal has.
const MAX_CHALLENGES: usize = 16;
/// More parameters than any honest challenge has.
const MAX_PARAMETERS: usize = 32;

/// One way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Such as `Bearer`, as it was written.
    pub scheme: String,
    /// Its parameters, names in lower case, none twice.
    pub params: Vec<(String, String)>,
}

/// What a server wants of an access token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where it says more about itself.
    pub resource_metadata: Option<String>,
    /// Which scopes, if it says.
    pub scope: Option<Vec<String>>,
    /// What was wrong, such as `invalid_token` or `insufficient_scope`. Printable.
    pub error: Option<String>,
    /// The same in its words. Printable.
    pub description: Option<String>,
}

/// Reads all challenges of all header lines. What cannot be read is left out, and what is after it in its line too.
///
/// spec: UP-1, RFC9110#11.6.1: "the field value might contain more than one challenge, and each challenge can contain a
/// comma-separated list of authentication parameters".
pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut all = Vec::new();
    let mut room = MAX_BYTES;
    for header in headers {
        let Some(left) = room.checked_sub(header.len()) else { break };
        room = left;
        read_line(header, &mut all);
    }
    all
}

impl Challenge {
    /// Whether it is of this scheme, whose case does not matter.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }
}

impl Wanted {
    /// What the bearer challenge says: the first that names metadata, or else the first.
    pub fn of(challenges: &[Challenge]) -> Option<Self> {
        let bearers = || challenges.iter().filter(|challenge| challenge.is("bearer"));
        let challenge = bearers().find(|one| one.get("resource_metadata").is_some()).or_else(|| bearers().next())?;
        let text = |name, limit| challenge.get(name).filter(|text| !text.is_empty()).map(|text| printable(text, limit));
        Some(Self {
            resource_metadata: challenge.get("resource_metadata").map(str::to_owned),
            scope: challenge.get("scope").map(super::scopes::split).filter(|all| !all.is_empty()),
            error: text("error", 64),
            description: text("error_description", 200),
        })
    }

    /// Whether the token was good and did not reach far enough.
    pub fn needs_more_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

fn read_line(line: &[u8], all: &mut Vec<Challenge>) {
    let mut rest = Cursor(line);
    // In the list of a line, a name is a new scheme unless `=` and a value follow it at once.
    loop {
        rest.skip(b", \t");
        let Some(name) = rest.token() else { return };
        if rest.0.first() == Some(&b'=') || rest.parameter_follows() {
            let Some(value) = rest.value() else { return };
            let Some(challenge) = all.last_mut() else { return };
            let name = name.to_ascii_lowercase();
            // Twice the same: the first counts, and nobody can add one behind it.
            if challenge.params.len() < MAX_PARAMETERS && challenge.get(&name).is_none() {
                challenge.params.push((name, value));
            }
            continue;
        }
        if all.len() == MAX_CHALLENGES {
            return;
        }
        all.push(Challenge { scheme: name.to_owned(), params: Vec::new() });
        rest.skip(b" \t");
        rest.skip_token68();
    }
}

/// What of a header line is not read yet.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn skip(&mut self, any: &[u8]) {
        let end = self.0.iter().position(|b| !any.contains(b)).unwrap_or(self.0.len());
        self.0 = &self.0[end..];
    }

    /// spec: RFC9110#5.6.2.
    fn token(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|b| !is_token(*b)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        std::str::from_utf8(token).ok().filter(|token| !token.is_empty())
    }

    /// Whether `=` follows after blanks, which only a parameter has.
    fn parameter_follows(&self) -> bool {
        self.0.iter().find(|b| !matches!(b, b' ' | b'\t')) == Some(&b'=')
    }

    /// `= value`, quoted or not.
    fn value(&mut self) -> Option<String> {
        self.skip(b" \t");
        self.0 = self.0.strip_prefix(b"=")?;
        self.skip(b" \t");
        if let Some(rest) = self.0.strip_prefix(b"\"") {
            self.0 = rest;
            return self.quoted();
        }
        // Not quite a token where servers forget to quote an address, which is still read in one way only.
        let end = self.0.iter().position(|b| matches!(b, b',' | b' ' | b'\t' | b'"')).unwrap_or(self.0.len());
        let (value, rest) = self.0.split_at(end);
        self.0 = rest;
        std::str::from_utf8(value).ok().map(str::to_owned)
    }

    /// spec: RFC9110#5.6.4: `quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )`; a comma inside is no separator.
    fn quoted(&mut self) -> Option<String> {
        let mut out = Vec::new();
        let mut bytes = self.0.iter().copied().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.0 = &self.0[at + 1..];
                    return String::from_utf8(out).ok();
                }
                b'\\' => out.push(bytes.next()?.1),
                other => out.push(other),
            }
        }
        None
    }

    /// What schemes such as `Negotiate` have instead of parameters: nothing of it is of use here.
    fn skip_token68(&mut self) {
        let body = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        let end = self.0.iter().position(|b| !body(b)).unwrap_or(self.0.len());
        let padding = self.0[end..].iter().position(|b| *b != b'=').unwrap_or(self.0.len() - end);
        let (taken, rest) = self.0.split_at(end + padding);
        let ends = rest.iter().find(|b| !matches!(b, b' ' | b'\t')).is_none_or(|b| *b == b',');
        // `a=` alone is a parameter without a value at the most, and `a` alone the next scheme's business.
        if !taken.is_empty() && ends {
            self.0 = rest;
        }
    }
}

const fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}
