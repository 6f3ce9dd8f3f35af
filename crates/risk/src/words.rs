//! Foreign text as words: folded, split, bounded.

use unicode_normalization::{
    UnicodeNormalization,
    char::{decompose_canonical, is_combining_mark},
};
use unicode_security::skeleton;

/// A word of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// It was written with letters that only look like these.
    pub(crate) disguised: bool,
}

/// The words of a name, and whether they are all of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name {
    pub(crate) tokens: Vec<Token>,
    /// Some of it was too long to look at, or is written in letters of several alphabets.
    pub(crate) opaque: bool,
}

/// A word of a sentence, and what stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) gap: Gap,
}

/// What stands before a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    Space,
    Comma,
    Slash,
    /// A bracket, a colon, a dash: another thought begins.
    Break,
}

const LONGEST_NAME: usize = 256;
const MOST_TOKENS: usize = 48;
const MOST_WORDS: usize = 120;

/// The tokens of `name`: split where case or punctuation changes, in lower case.
pub(crate) fn name(text: &str) -> Name {
    let mut out = Name { opaque: text.chars().nth(LONGEST_NAME).is_some(), ..Name::default() };
    let mut part = Vec::new();
    let clean: Vec<char> = visible(text.chars().take(LONGEST_NAME)).collect();
    for (at, &c) in clean.iter().enumerate() {
        if !(c.is_alphanumeric() || is_combining_mark(c)) {
            push(&mut out, &mut part);
            continue;
        }
        let before = at.checked_sub(1).map(|at| clean[at]);
        let after = clean.get(at + 1);
        let rises = c.is_uppercase()
            && before.is_some_and(|b| {
                b.is_lowercase() || b.is_numeric() || b.is_uppercase() && after.is_some_and(|a| a.is_lowercase())
            });
        if rises {
            push(&mut out, &mut part);
        }
        part.push(c);
    }
    push(&mut out, &mut part);
    out
}

fn push(name: &mut Name, part: &mut Vec<char>) {
    if part.is_empty() {
        return;
    }
    if name.tokens.len() == MOST_TOKENS {
        name.opaque = true;
        part.clear();
        return;
    }
    let token = token(part);
    // What is neither one alphabet nor a look-alike of ours cannot be read.
    name.opaque |= !token.text.is_ascii() && token.text.chars().any(|c| c.is_ascii_alphabetic());
    name.tokens.push(token);
    part.clear();
}

fn token(part: &[char]) -> Token {
    let plain: String = part.iter().flat_map(|c| c.to_lowercase()).collect();
    if plain.is_ascii() {
        return Token { text: plain, disguised: false };
    }
    let mut folded = String::new();
    let mut disguised = false;
    // What strikes a letter through is no letter.
    for &c in part.iter().filter(|c| !is_combining_mark(**c)) {
        let (letter, dressed) = fold(c);
        disguised |= dressed;
        folded.extend(letter.to_lowercase());
    }
    if folded.is_ascii() { Token { text: folded, disguised } } else { Token { text: plain, disguised: false } }
}

/// The Latin letter that `c` is an accented form of, or looks like, and whether it only looks like it.
fn fold(c: char) -> (char, bool) {
    if c.is_ascii() {
        return (c, false);
    }
    let mut parts = Vec::new();
    decompose_canonical(c, |part| parts.push(part));
    if let [base, marks @ ..] = &parts[..]
        && base.is_ascii()
        && marks.iter().all(|mark| is_combining_mark(*mark))
    {
        return (*base, false);
    }
    let mut buffer = [0; 4];
    let mut like = skeleton(c.encode_utf8(&mut buffer));
    match (like.next(), like.all(is_combining_mark)) {
        // A capital I is like a small L to the eye; as a capital it is an I.
        (Some('l'), true) if c.is_uppercase() => ('i', true),
        (Some(base), true) if base.is_ascii_alphanumeric() => (base, true),
        _ => (c, false),
    }
}

/// `text` in its compatible form, without what cannot be seen.
fn visible(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    text.filter(|c| !hidden(*c)).nfkc()
}

/// Characters that take no place, or only turn the direction.
fn hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || c.is_control() && !c.is_whitespace()
}

/// The first `most` characters of `text`, in their compatible form and without what cannot be seen.
pub(crate) fn clean(text: &str, most: usize) -> String {
    visible(text.trim_start().chars().take(most)).take(most).collect()
}

/// The sentences of cleaned text.
pub(crate) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        if rest.is_empty() {
            return None;
        }
        let end = end_of_sentence(rest);
        let (sentence, after) = rest.split_at(end);
        rest = after;
        Some(sentence)
    })
}

fn end_of_sentence(text: &str) -> usize {
    let mut all = text.char_indices().peekable();
    while let Some((at, c)) = all.next() {
        let next = all.peek().map(|(_, c)| *c);
        let ends = match c {
            '!' | '?' | ';' | '.' => next.is_none_or(char::is_whitespace) && !abbreviates(&text[..at]),
            '。' | '！' | '？' | '\n' => true,
            _ => false,
        };
        if ends {
            return at;
        }
    }
    text.len()
}

fn abbreviates(before: &str) -> bool {
    let last = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    ["e.g", "i.e", "vs", "cf", "eg", "ie"].contains(&last)
}

/// The words of one sentence, in lower case; apostrophes and hyphens belong to their word.
pub(crate) fn sentence(text: &str) -> Vec<Word> {
    let mut out = Vec::new();
    let mut part: Vec<char> = Vec::new();
    let mut gap = Gap::Space;
    for c in text.chars().chain([' ']) {
        match c {
            '\'' | '\u{2019}' | '`' | '"' | '*' if !part.is_empty() => {}
            '-' | '_' if !part.is_empty() => part.push('-'),
            c if c.is_alphanumeric() || is_combining_mark(c) => part.push(c),
            c => {
                if !part.is_empty() {
                    while part.last() == Some(&'-') {
                        part.pop();
                    }
                    out.push(Word { text: token(&part).text, gap });
                    part.clear();
                    gap = Gap::Space;
                    if out.len() == MOST_WORDS {
                        break;
                    }
                }
                gap = match c {
                    ',' | '、' => Gap::Comma,
                    '/' | '|' | '&' => Gap::Slash,
                    '(' | ')' | ':' | '[' | ']' | '{' | '}' | '—' | '–' | '-' | '.' => Gap::Break,
                    _ => gap,
                };
            }
        }
    }
    out
}

/// The form in which a verb stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// delete
    Base,
    /// deletes
    Third,
    /// deleting
    Going,
}

/// The verbs that `word` may be a form of, the likeliest first.
pub(crate) fn stems(word: &str) -> Vec<(String, Form)> {
    let mut out = vec![(word.to_owned(), Form::Base)];
    if !word.is_ascii() || word.len() > 24 {
        return out;
    }
    if let Some(bare) = word.strip_suffix("ies") {
        out.push((format!("{bare}y"), Form::Third));
    }
    if let Some(bare) = word.strip_suffix('s').filter(|bare| !bare.ends_with('s')) {
        out.push((bare.to_owned(), Form::Third));
        if let Some(bare) = bare.strip_suffix('e') {
            out.push((bare.to_owned(), Form::Third));
        }
    }
    if let Some(bare) = word.strip_suffix("ing").filter(|bare| bare.len() > 1) {
        out.push((bare.to_owned(), Form::Going));
        out.push((format!("{bare}e"), Form::Going));
        let bytes = bare.as_bytes();
        if bytes.len() > 2 && bytes[bytes.len() - 1] == bytes[bytes.len() - 2] {
            out.push((bare[..bare.len() - 1].to_owned(), Form::Going));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<String> {
        name(text).tokens.into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn names_are_split_where_case_and_punctuation_change() {
        assert_eq!(tokens("createAPIKey"), ["create", "api", "key"]);
        assert_eq!(tokens("d1_database-delete.v2/x"), ["d1", "database", "delete", "v2", "x"]);
        assert_eq!(tokens("wipeLogs"), ["wipe", "logs"]);
        assert_eq!(tokens("getS3Object"), ["get", "s3", "object"]);
        assert_eq!(tokens("__"), Vec::<String>::new());
    }

    #[test]
    fn look_alikes_are_folded_and_what_hides_is_left_out() {
        // Cyrillic, full width, zero width, bidirectional, struck through, accented, mathematical.
        for disguise in [
            "d\u{435}l\u{435}te",
            "ｄｅｌｅｔｅ",
            "del\u{200b}ete",
            "\u{202e}delete",
            "d\u{336}e\u{336}lete",
            "délete",
            "𝐝𝐞𝐥𝐞𝐭𝐞",
            "del\u{e0041}ete",
            "d\u{200b}\u{336}elete",
        ] {
            assert_eq!(tokens(disguise), ["delete"], "{disguise:?}");
        }
        assert!(name("d\u{435}lete").tokens[0].disguised && !name("délete").tokens[0].disguised);
        // Small capitals have no prototype: whoever mixes them in is not understood.
        assert!(name("\u{1d05}elete_list").opaque);
        assert!(!name("удалить_файл").opaque && !name("削除").opaque);
        assert!(name(&"a".repeat(257)).opaque && name(&"a_".repeat(60)).opaque);
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        let all: Vec<_> = sentences("  **Gets a file (e.g. v1.2 of it). Then ends! \n\nMore").collect();
        assert_eq!(all, ["Gets a file (e.g. v1.2 of it)", "Then ends", "More"]);
        let words: Vec<_> = sentence("Read/create, don't update-all").into_iter().map(|word| word.text).collect();
        assert_eq!(words, ["read", "create", "dont", "update-all"]);
    }

    #[test]
    fn verbs_are_found_behind_their_endings() {
        for (word, verb) in [
            ("deletes", "delete"),
            ("deleting", "delete"),
            ("dropping", "drop"),
            ("pushes", "push"),
            ("copies", "copy"),
            ("sending", "send"),
            ("pays", "pay"),
            ("purges", "purge"),
        ] {
            assert!(stems(word).iter().any(|(stem, _)| stem == verb), "{word}");
        }
    }
}
