//! Which tools of a long list a question is about (AG-28), and what a list costs whoever reads it.
//!
//! The measure is BM25 over the words of each definition, those of its name counting most. Everything is computed here:
//! no tool and no question leaves the process, and the same list and question give the same order.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// Tools that one index holds; further ones are not found by searching.
pub const TOOLS: usize = 4096;
/// Different words of one tool that are kept.
const WORDS_OF_A_TOOL: usize = 256;
/// Words of one question that are looked at.
const WORDS_OF_A_QUESTION: usize = 24;
/// Bytes of one text that are read.
const READ: usize = 8 << 10;
/// How deep parameters are looked for in parameters.
const DEPTH: usize = 4;
/// Words that the beginning of a word may stand for.
const CONTINUATIONS: usize = 32;
/// The shortest beginning that stands for longer words.
const BEGINNING: usize = 3;

const NAME: f32 = 4.0;
const TITLE: f32 = 3.0;
const DESCRIPTION: f32 = 1.5;
const PARAMETER: f32 = 1.0;
const PARAMETER_DESCRIPTION: f32 = 0.5;
/// What a word counts that only begins as the one asked for.
const BEGINS: f32 = 0.5;

/// How fast repetition stops counting, and how much a long definition is held against a tool (Robertson's k₁ and b).
const K1: f32 = 1.2;
const B: f32 = 0.5;

/// The tools that a word stands in, and its weight in each.
type Places = Vec<(u32, f32)>;

/// The words of a list of tools.
#[derive(Clone, Debug, Default)]
pub struct Index {
    tools: Vec<Indexed>,
    /// In their order.
    words: Vec<(Box<str>, Places)>,
    mean_length: f32,
}

#[derive(Clone, Debug)]
struct Indexed {
    name: Box<str>,
    length: f32,
}

/// A tool that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its place in the list that the index was made of.
    pub tool: usize,
    /// How well it fits; a number only to be compared with others of the same search.
    pub score: f32,
}

impl Index {
    /// An index of these definitions, each a raw JSON object.
    pub fn new<'a>(definitions: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found: HashMap<Box<str>, Places> = HashMap::new();
        let mut tools = Vec::new();
        for (place, definition) in definitions.into_iter().take(TOOLS).enumerate() {
            let definition: Value = serde_json::from_str(definition).unwrap_or_default();
            let mut own = Words::default();
            let name = definition["name"].as_str().unwrap_or_default();
            own.add(name, NAME);
            own.add(title(&definition), TITLE);
            own.add(definition["description"].as_str().unwrap_or_default(), DESCRIPTION);
            own.add_parameters(&definition["inputSchema"], DEPTH);
            tools.push(Indexed { name: name.into(), length: own.length });
            for (word, weight) in own.weights {
                found.entry(word).or_default().push((place as u32, weight));
            }
        }
        let mut words: Vec<_> = found.into_iter().collect();
        words.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mean_length = tools.iter().map(|tool| tool.length).sum::<f32>() / tools.len().max(1) as f32;
        Self { tools, words, mean_length }
    }

    /// The tools that fit `question` best, at most `limit`; those that fit equally are in the order of their names.
    // spec: AG-28
    pub fn search(&self, question: &str, limit: usize) -> Vec<Hit> {
        let mut asked = words(question);
        asked.sort_unstable();
        asked.dedup();
        asked.truncate(WORDS_OF_A_QUESTION);
        let mut scores = vec![0.0_f32; self.tools.len()];
        for word in &asked {
            // A tool that has several words with this beginning fits by the best of them, not by all.
            let mut best: HashMap<u32, f32> = HashMap::new();
            for (factor, places) in self.continuations(word) {
                let rarity = self.rarity(places.len());
                for &(tool, weight) in places {
                    let score = factor * rarity * self.saturated(tool, weight);
                    let best = best.entry(tool).or_default();
                    *best = best.max(score);
                }
            }
            for (tool, score) in best {
                scores[tool as usize] += score;
            }
        }
        // Whoever writes the very name means that tool.
        let whole = solid(question);
        if !whole.is_empty() {
            for (score, tool) in scores.iter_mut().zip(&self.tools) {
                if *score > 0.0 && solid(&tool.name) == whole {
                    *score += 1000.0;
                }
            }
        }
        let found = scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0);
        let mut hits: Vec<_> = found.map(|(tool, score)| Hit { tool, score }).collect();
        hits.sort_unstable_by(|a, b| self.order(a, b));
        hits.truncate(limit);
        hits
    }

    fn order(&self, a: &Hit, b: &Hit) -> Ordering {
        let names = || self.tools[a.tool].name.cmp(&self.tools[b.tool].name);
        b.score.total_cmp(&a.score).then_with(names).then(a.tool.cmp(&b.tool))
    }

    /// The word itself and those that begin like it.
    fn continuations<'i>(&'i self, word: &'i str) -> impl Iterator<Item = (f32, &'i [(u32, f32)])> {
        let from = self.words.partition_point(|(known, _)| &**known < word);
        let long_enough = word.chars().count() >= BEGINNING;
        let near = self.words[from..].iter().take_while(move |(known, _)| known.starts_with(word));
        near.filter(move |(known, _)| long_enough || &**known == word)
            .take(CONTINUATIONS)
            .map(move |(known, places)| (if &**known == word { 1.0 } else { BEGINS }, places.as_slice()))
    }

    fn rarity(&self, having: usize) -> f32 {
        let (all, having) = (self.tools.len() as f32, having as f32);
        (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
    }

    fn saturated(&self, tool: u32, weight: f32) -> f32 {
        let relative = self.tools[tool as usize].length / self.mean_length.max(1.0);
        weight * (K1 + 1.0) / (weight + K1 * (1.0 - B + B * relative))
    }
}

fn title(definition: &Value) -> &str {
    let titles = [&definition["title"], &definition["annotations"]["title"]];
    titles.into_iter().find_map(Value::as_str).unwrap_or_default()
}

/// The words of one tool as they are gathered.
#[derive(Default)]
struct Words {
    weights: HashMap<Box<str>, f32>,
    length: f32,
}

impl Words {
    fn add(&mut self, text: &str, weight: f32) {
        for word in words(text) {
            self.length += weight;
            if let Some(known) = self.weights.get_mut(word.as_str()) {
                *known += weight;
            } else if self.weights.len() < WORDS_OF_A_TOOL {
                self.weights.insert(word.into(), weight);
            }
        }
    }

    fn add_parameters(&mut self, schema: &Value, depth: usize) {
        let Some(below) = depth.checked_sub(1) else { return };
        if let Value::Object(parameters) = &schema["properties"] {
            for (name, parameter) in parameters.iter().take(WORDS_OF_A_TOOL) {
                self.add(name, PARAMETER);
                self.add(parameter["description"].as_str().unwrap_or_default(), PARAMETER_DESCRIPTION);
                self.add_parameters(parameter, below);
            }
        }
        if schema["items"].is_object() {
            self.add_parameters(&schema["items"], below);
        }
    }
}

/// The words of a text as they are compared: without case, accents and the endings of English, taken out of
/// `snake_case` and `camelCase`; scripts without spaces in pairs of characters.
fn words(text: &str) -> Vec<String> {
    let mut end = text.len().min(READ);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let plain: Vec<char> = plain(&text[..end]).collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    for (at, &c) in plain.iter().enumerate() {
        let next_is_lower = plain.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = match before {
            Some(before) => {
                spaceless(before) != spaceless(c) || c.is_uppercase() && (!before.is_uppercase() || next_is_lower)
            }
            None => false,
        };
        if begins || !c.is_alphanumeric() {
            finish(&mut word, &mut words);
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c.is_alphanumeric().then_some(c);
    }
    finish(&mut word, &mut words);
    words
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    if word.is_empty() {
        return;
    }
    let whole = std::mem::take(word);
    if whole.chars().next().is_some_and(spaceless) {
        let all: Vec<char> = whole.chars().collect();
        words.extend(all.windows(2).map(String::from_iter));
        if all.len() == 1 {
            words.push(whole);
        }
    } else {
        words.push(stem(whole));
    }
}

/// Compatibility forms and accents taken away (`ﬁ` → `fi`, `ü` → `u`).
fn plain(text: &str) -> impl Iterator<Item = char> {
    text.nfkd().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).nfc()
}

/// Han, Hiragana, Katakana and Thai: written without spaces.
fn spaceless(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// A name without what separates its words.
fn solid(text: &str) -> String {
    plain(text).filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Plurals, `-ing`, `-ed` and a last `e` taken off, so that `issues`, `creating` and `created` meet `issue` and `create`.
fn stem(mut word: String) -> String {
    if !word.is_ascii() || word.len() < 4 {
        return word;
    }
    if let Some(begin) = word.strip_suffix("ies").filter(|begin| begin.len() > 1) {
        word = format!("{begin}y");
    } else if ["sses", "xes", "zes", "ches", "shes"].iter().any(|end| word.ends_with(end)) {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word.pop();
    }
    for end in ["ing", "ed"] {
        let Some(begin) = word.strip_suffix(end) else { continue };
        if begin.len() > 2 && !begin.ends_with('e') && begin.contains(['a', 'e', 'i', 'o', 'u', 'y']) {
            let bytes = begin.as_bytes();
            let doubled = bytes[bytes.len() - 1] == bytes[bytes.len() - 2] && !begin.ends_with(['l', 's', 'z']);
            word.truncate(begin.len() - usize::from(doubled));
            break;
        }
    }
    if word.len() > 3 && word.ends_with('e') {
        word.pop();
    }
    word
}

/// About how many tokens a language model reads in `text`.
///
/// An estimate, made here without any model's vocabulary: a word counts one and one more for every eight letters after
/// the first eight, digits one for every three, punctuation one for every two in a row, a character of a script
/// without spaces one, other letters one for every two. Models differ from each other by about as much as from this.
pub fn tokens(text: &str) -> usize {
    #[derive(Clone, Copy, PartialEq)]
    enum Run {
        Letters,
        Digits,
        Other,
        Spaceless,
        Signs,
        Space,
    }
    let run = |c: char| match c {
        c if c.is_ascii_alphabetic() => Run::Letters,
        c if c.is_numeric() => Run::Digits,
        c if spaceless(c) => Run::Spaceless,
        c if c.is_alphabetic() => Run::Other,
        c if c.is_whitespace() => Run::Space,
        _ => Run::Signs,
    };
    let (mut tokens, mut length, mut current) = (0, 0_usize, Run::Space);
    let cost = |run, length: usize| match run {
        Run::Letters => length.div_ceil(8),
        Run::Digits => length.div_ceil(3),
        Run::Other | Run::Signs => length.div_ceil(2),
        Run::Spaceless => length,
        // One space belongs to the word after it.
        Run::Space => usize::from(length > 1),
    };
    for c in text.chars() {
        let next = run(c);
        if next != current {
            tokens += cost(current, length);
            (current, length) = (next, 0);
        }
        length += 1;
    }
    tokens + cost(current, length)
}
