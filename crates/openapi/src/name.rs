//! Names that clients and model providers take: `[A-Za-z0-9_-]{1,64}`.

use std::collections::HashMap;

use portcullis_base::Digest;

/// The longest name.
const LONGEST: usize = 64;
/// Characters of a digest behind a name that had to be told from another.
const MARK: usize = 8;

/// Whether clients and model providers take it as the name of a tool.
// spec: AG-4
pub fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A name for each of these, in their order. `wish` is what it would like to be called, `identity` what it is.
///
/// A name does not depend on the order, and hardly on the others: whoever is called by their exact wish keeps it, and of
/// those that differ only in characters that a name cannot have, or are too long, each gets a digest of its identity.
// spec: AG-5
pub(crate) fn unique<'a>(all: impl Iterator<Item = (&'a str, String)> + Clone) -> Vec<String> {
    let mut claims: HashMap<String, (u32, u32)> = HashMap::new();
    for (wish, _) in all.clone() {
        let cleaned = cleaned(wish);
        let exact = u32::from(cleaned == wish);
        let (claimed, exactly) = claims.entry(cleaned).or_default();
        *claimed += 1;
        *exactly += exact;
    }
    all.map(|(wish, identity)| {
        let cleaned = cleaned(wish);
        let (claimed, exactly) = claims[&cleaned];
        let keeps = claimed == 1 || exactly == 1 && cleaned == wish;
        if keeps && is_name(&cleaned) { cleaned } else { marked(&cleaned, &identity) }
    })
    .collect()
}

/// `name` cut and marked so that no other identity has it.
fn marked(name: &str, identity: &str) -> String {
    let digest = Digest::of(identity.as_bytes());
    let mark = u32::from_be_bytes(digest.as_bytes()[..4].try_into().expect("a digest has 32 bytes"));
    let begin: String = name.chars().take(LONGEST - MARK - 1).collect();
    let begin = if begin.is_empty() { "tool" } else { begin.trim_end_matches('_') };
    format!("{begin}_{mark:0MARK$x}")
}

/// `text` with everything that a name cannot have as one `_`.
fn cleaned(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    // Only what was put there by the line above: a wish that is a name stays as it is.
    if out == text { out } else { out.trim_matches('_').to_owned() }
}
