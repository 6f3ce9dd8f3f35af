//! What a title or a description says. It may make matters graver, never milder.

use portcullis_base::{Class, Classes, Label, Labels};

use crate::{
    evidence::{Flaw, Ledger, Rule, Severity},
    name::{How, Named, elsewhere, is_harmless, is_money, transfer},
    tables::{self, Sureness, among},
    words::{self, Form, Gap, Word},
};

/// How much of a text is looked at.
pub(crate) const LONGEST: usize = 4000;
/// What a verb acts on stands within so many words after it.
const REACH: usize = 5;
/// How far before a verb its negation may stand.
const DENIAL: usize = 4;
const MOST_SENTENCES: usize = 60;

/// A verb of a text.
#[derive(Debug)]
struct Said {
    word: String,
    classes: Classes,
    labels: Labels,
    sure: Sureness,
    /// It stands where a verb stands, and not a thing of the same name.
    is_verb: bool,
    harmless: bool,
    money: Option<String>,
}

/// What a parameter of free form changes: a run of it is one of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Free,
    Bound,
}

/// Judges a title (`rule` tells) or a description that was cleaned.
pub(crate) fn judge(rule: Rule, text: &str, named: &Named, input: Input, ledger: &mut Ledger) {
    let mut all = words::sentences(text);
    let first = all.next().map(words::sentence).unwrap_or_default();
    let mut said = main_verbs(&first, named.how);
    said.extend(all.take(MOST_SENTENCES).filter_map(|sentence| grave_opening(&words::sentence(sentence))));
    let foreign = elsewhere(text);
    let by_name = ledger.classes;
    for one in &said {
        weigh(rule, one, named, input, by_name, ledger);
    }
    let mut understood = !said.is_empty();
    if !foreign.is_empty() {
        understood = true;
        if by_name.is_empty() || foreign != Class::Read.into() {
            ledger.add(rule, "words of another language", foreign, Labels::NONE);
        }
    }
    if said.is_empty()
        && let Some((word, class)) = foreign_verb(&first)
    {
        understood = true;
        if by_name.is_empty() || class != Class::Read {
            ledger.class(rule, word, "", class);
        }
    }
    if !understood && rule == Rule::Text && is_foreign(text) {
        // What nobody here can read may say anything.
        if ledger.classes.is_within(Class::Read.into()) {
            ledger.lower(Rule::TextForeign, "", "", Class::Read.into(), Class::Unknown);
        }
    }
}

fn weigh(rule: Rule, said: &Said, named: &Named, input: Input, by_name: Classes, ledger: &mut Ledger) {
    let Said { word, classes, labels, .. } = said;
    let mut classes = *classes;
    if said.money.is_some() && !classes.is_within(Class::Read.into()) {
        classes = classes.with(Class::Financial);
    }
    match named.how {
        // A thing of the same name as a verb may warn, but earns no trust.
        How::Nothing if !said.is_verb => classes = classes.without(Class::Read),
        How::Nothing => {}
        How::Shielded => {
            let grave = [Class::Destructive, Class::Financial, Class::Egress];
            let mut breaks: Classes = classes.iter().filter(|class| grave.contains(class)).collect();
            if classes.contains(Class::Execute) && input == Input::Free {
                breaks = breaks.with(Class::Execute);
            }
            if !breaks.is_empty() && said.is_verb {
                ledger.add(rule, word, breaks, *labels);
                ledger.find(Flaw::NameConflict, Severity::Medium, &format!("“{word}” in its words"));
            } else if classes == Class::Read.into() {
                ledger.class(rule, word, "", Class::Read);
            }
            return;
        }
        How::Noun | How::Verb(_) if !said.is_verb => return,
        How::Noun | How::Verb(_) => {
            // A milder word takes nothing back.
            classes = classes.without(Class::Read);
            if named.check || named.harmless && said.harmless {
                classes = classes.without(Class::Execute).without(Class::Destructive);
            }
            if said.sure != Sureness::Strong && !by_name.contains(Class::Destructive) && said.harmless {
                classes = classes.without(Class::Destructive);
            }
            if named.how == How::Noun && said.classes == Class::Read.into() {
                classes = Class::Read.into();
            }
        }
    }
    if classes.is_empty() {
        return;
    }
    ledger.add(rule, word, classes, *labels);
    if let Some(money) = &said.money {
        ledger.class(rule, &format!("{word} … {money}"), "it acts on money", Class::Financial);
    }
}

/// The first verb of a sentence, and those that stand in one list with it.
fn main_verbs(words: &[Word], how: How) -> Vec<Said> {
    let opening = words.iter().take_while(|word| among(tables::OPENERS, &word.text)).count();
    let decides = how == How::Nothing;
    let verbs = || (0..words.len()).filter_map(|at| Some((at, verb_at(words, at, opening)?)));
    let said = |(_, (said, _)): &(usize, (Said, Form))| said.is_verb && (decides || !is_silent(said));
    let Some((at, (first, form))) = verbs().find(said).or_else(|| verbs().find(|(_, (said, _))| !is_silent(said)))
    else {
        return Vec::new();
    };
    let first_is_verb = first.is_verb;
    let mut out = vec![first];
    let mut in_list = true;
    let mut next = at + 1;
    while next < words.len() {
        let listed = matches!(words[next].gap, Gap::Comma | Gap::Slash);
        let joined = among(tables::CONJUNCTIONS, &words[next].text);
        if joined {
            next += 1;
            // "or completely overwrite"
            while words.get(next).is_some_and(|word| word.text.len() > 4 && word.text.ends_with("ly")) {
                next += 1;
            }
            if let Some((said, how)) = verb_at(words, next, opening).filter(|(said, _)| decides || !is_silent(said)) {
                // "Gets a message and deletes it": said in the same breath, in the same form.
                if in_list || how == form && is_grave(&said) {
                    let is_verb = first_is_verb || how == form && is_grave(&said);
                    out.push(Said { is_verb, ..said });
                    next += 1;
                    continue;
                }
            }
            in_list = false;
            continue;
        }
        match verb_at(words, next, opening).filter(|(said, _)| decides || !is_silent(said)) {
            Some((said, _)) if in_list && listed => out.push(Said { is_verb: first_is_verb, ..said }),
            Some((said, how)) if listed && how == form && is_grave(&said) => out.push(Said { is_verb: true, ..said }),
            _ => in_list = false,
        }
        next += 1;
    }
    // "Manages items: create/update/delete": what is listed so is done, wherever it stands.
    for slash in at + 1..words.len() {
        if words[slash].gap != Gap::Slash {
            continue;
        }
        let pair = [slash - 1, slash].map(|at| verb_at(words, at, opening));
        if let [Some((before, _)), Some((after, _))] = pair {
            for said in [before, after] {
                if !out.iter().any(|one: &Said| one.is_verb && one.word == said.word) {
                    out.push(Said { is_verb: true, ..said });
                }
            }
        }
    }
    out
}

/// A later sentence that begins with what the tool does: "Deletes the old one."
fn grave_opening(words: &[Word]) -> Option<Said> {
    let at =
        words.iter().take_while(|word| ["it", "then", "also", "automatically"].contains(&word.text.as_str())).count();
    let (said, form) = verb_at(words, at, at)?;
    (form == Form::Third && is_grave(&said)).then_some(said)
}

fn is_grave(said: &Said) -> bool {
    said.sure == Sureness::Strong
        && (said.classes.contains(Class::Destructive)
            || words::stems(&said.word).iter().any(|(stem, _)| among(tables::GRAVE_IN_TEXT, stem)))
        && !said.harmless
}

/// Whether it says in prose only how something looks: it may decide, but raises nothing.
fn is_silent(said: &Said) -> bool {
    words::stems(&said.word).iter().any(|(stem, _)| among(tables::SILENT_IN_TEXT, stem))
}

fn verb_at(words: &[Word], at: usize, opening: usize) -> Option<(Said, Form)> {
    let word = words.get(at)?;
    let before = at.checked_sub(1).map(|before| words[before].text.as_str());
    // "re-run", "bulk-delete"
    let bare = match word.text.split_once('-') {
        Some(("re" | "bulk" | "batch" | "force" | "hard" | "soft" | "auto" | "mass", bare)) => bare,
        _ => &word.text,
    };
    let things = object(words, at);
    let (verb, form) = words::stems(bare).into_iter().find_map(|(stem, form)| {
        if stem == "enable" && words.get(at + 1).is_some_and(|next| among(tables::OPENERS, &next.text)) {
            return None;
        }
        Some((meaning(&stem, &things)?, form))
    })?;
    if denied(words, at) {
        return None;
    }
    let (classes, labels, sure) = verb;
    let is_verb = at == opening || before.is_some_and(|before| among(tables::LEADING, before));
    let harmless = classes.contains(Class::Destructive) && is_harmless(&things);
    // What is acted on stands last: a subscription plan is a plan.
    let money = things.last().filter(|thing| is_money(thing, &things)).map(|thing| (*thing).to_owned());
    let mut said = Said { word: word.text.clone(), classes, labels, sure, is_verb, harmless, money };
    // "It reads but deletes": that form of such a verb is never a thing.
    said.is_verb |= form == Form::Third && word.text.ends_with("es") && is_grave(&said);
    Some((said, form))
}

fn meaning(verb: &str, things: &[&str]) -> Option<(Classes, Labels, Sureness)> {
    if verb == "transfer" {
        let (classes, labels) = transfer(|list| things.iter().any(|thing| among(list, thing)));
        return Some((classes, labels, Sureness::Strong));
    }
    if tables::financial_with_tokens(verb) {
        return things
            .iter()
            .any(|thing| among(tables::TOKENS_OF_VALUE, thing))
            .then(|| (Class::Financial.into(), Labels::NONE, Sureness::Strong));
    }
    if tables::captures(verb) && things.last().is_some_and(|thing| among(tables::PICTURES, thing)) {
        return Some((Class::Read.into(), Labels::NONE, Sureness::Strong));
    }
    if let Some(verb) = tables::mutating(verb) {
        return Some((verb.classes, Labels::NONE, verb.sure));
    }
    tables::reading_in_text(verb).then(|| (Class::Read.into(), Labels::NONE, Sureness::Strong))
}

/// What the verb at `at` acts on.
fn object(words: &[Word], at: usize) -> Vec<&str> {
    words
        .iter()
        .skip(at + 1)
        .take_while(|word| word.gap == Gap::Space && !among(tables::PREPOSITIONS, &word.text))
        .filter(|word| {
            !["a", "an", "the", "new", "all", "your", "this", "existing", "one"].contains(&word.text.as_str())
        })
        .take(REACH)
        .map(|word| word.text.as_str())
        .collect()
}

fn denied(words: &[Word], at: usize) -> bool {
    let mut place = at;
    let mut next = "";
    let mut comma = false;
    // "Without asking, deletes": only what is being done is left undone.
    let going = words[at].text.ends_with("ing");
    while place > 0 && at - place < DENIAL && words[place].gap != Gap::Break {
        comma |= words[place].gap == Gap::Comma;
        place -= 1;
        let word = words[place].text.as_str();
        if among(tables::INSISTING, word) {
            return false;
        }
        let denies = match word {
            "without" => going && !comma,
            "no" => next == "longer",
            "instead" => next == "of",
            // "Not only reads"
            "not" => !["only", "just"].contains(&next),
            _ => among(tables::NEGATIONS, word),
        };
        if denies {
            return true;
        }
        next = word;
    }
    false
}

fn foreign_verb(words: &[Word]) -> Option<(&str, Class)> {
    let found = words.iter().filter_map(|word| Some((word.text.as_str(), tables::foreign(&word.text)?)));
    found.max_by_key(|(_, class)| *class)
}

/// Whether most letters are of another alphabet.
fn is_foreign(text: &str) -> bool {
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    // Latin letters end before the Greek ones.
    let strange = letters().filter(|c| *c >= '\u{370}' && !('\u{1e00}'..'\u{1f00}').contains(c)).count();
    strange * 2 > letters().count()
}

/// Labels that the words of a description give.
pub(crate) fn labels(text: &str, ledger: &mut Ledger) {
    let does = !ledger.classes.without(Class::Read).is_empty();
    for sentence in words::sentences(text).take(MOST_SENTENCES) {
        let words = words::sentence(sentence);
        let find = |list: &'static str| words.iter().position(|word| among(list, &word.text));
        let pair = |at: &usize| {
            words
                .get(at + 1)
                .is_some_and(|next| tables::COSTLY_TOGETHER.contains(&(words[*at].text.as_str(), next.text.as_str())))
        };
        if let Some(at) = find(tables::COSTLY).or_else(|| (0..words.len()).find(pair))
            && !denied(&words, at)
        {
            ledger.label(Rule::TextWord, &words[at].text, Label::Cost);
        }
        if does
            && ledger.classes.contains(Class::Destructive)
            && let Some(at) = find(tables::FOR_GOOD)
        {
            // "Cannot be undone" denies what would be good.
            if words[at].text == "undone" || !denied(&words, at) {
                ledger.label(Rule::TextWord, &words[at].text, Label::Irreversible);
            }
        }
        if does
            && let Some(at) = find("public publicly")
            && !denied(&words, at)
        {
            ledger.label(Rule::TextWord, &words[at].text, Label::PublicSink);
        }
    }
}
