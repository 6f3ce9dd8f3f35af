//! What the name of a tool says.

use portcullis_base::{Class, Classes, Label, Labels};

use crate::{
    evidence::{Flaw, Ledger, Rule, Severity},
    server::{Profile, Server},
    tables::{self, Sureness, among},
    words::{self, Token},
};

/// What the name gave.
#[derive(Debug)]
pub(crate) struct Named {
    /// The words that count: without prefix and modifiers, compounds as one.
    pub(crate) tokens: Vec<Token>,
    pub(crate) how: How,
    pub(crate) sure: Sureness,
    /// A word of it makes of a change a loss.
    pub(crate) raising: Option<String>,
    /// It has `all` or the like.
    pub(crate) many: Option<String>,
    /// What it removes is missed by nobody.
    pub(crate) harmless: bool,
    /// It runs something that only looks, if nothing of free form is given to it.
    pub(crate) check: bool,
}

/// Where the verb was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The first word looks: what follows are things, unless something breaks this shield.
    Shielded,
    /// The verb at this place does something.
    Verb(usize),
    /// The last word is something to look at.
    Noun,
    Nothing,
}

impl Named {
    pub(crate) fn verb(&self) -> Option<&str> {
        match self.how {
            How::Shielded => self.tokens.first().map(|token| token.text.as_str()),
            How::Verb(at) => self.tokens.get(at).map(|token| token.text.as_str()),
            How::Noun | How::Nothing => None,
        }
    }

    pub(crate) fn has(&self, list: &'static str) -> Option<&str> {
        self.tokens.iter().map(|token| token.text.as_str()).find(|word| among(list, word))
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.text.as_str())
    }
}

/// Judges `name` as one tool of `server`.
pub(crate) fn judge(name: &str, server: &Server, ledger: &mut Ledger) -> Named {
    let read = words::name(name);
    let mut tokens = read.tokens;
    for prefix in &server.prefixes {
        if tokens.len() > 1 && tokens[0].text == *prefix {
            tokens.remove(0);
        }
    }
    let raising = tokens.iter().find(|token| among(tables::RAISING, &token.text)).map(|token| token.text.clone());
    let many = tokens.iter().find(|token| among(tables::MANY, &token.text)).map(|token| token.text.clone());
    let bare = tokens.iter().take_while(|token| among(tables::MODIFIERS, &token.text)).count();
    tokens.drain(..bare);
    let mut named = Named {
        tokens: joined(tokens),
        how: How::Nothing,
        sure: Sureness::Strong,
        raising,
        many,
        harmless: false,
        check: false,
    };
    find_verb(&mut named, ledger);
    if read.opaque {
        ledger.note(
            Rule::NameUnreadable,
            name,
            "too long, or of several alphabets",
            Class::Unknown.into(),
            Labels::NONE,
        );
    }
    if let Some(token) = named.tokens.iter().find(|token| token.disguised) {
        ledger.note(
            Rule::NameUnreadable,
            name,
            "letters that look like others",
            if ledger.classes.is_within(Class::Read.into()) { Class::Unknown.into() } else { Classes::NONE },
            Labels::NONE,
        );
        // What was only made to look like a verb that reads earns nothing by it.
        if named.how == How::Shielded && token == &named.tokens[0] {
            ledger.lower(Rule::NameUnreadable, name, "", Class::Read.into(), Class::Unknown);
        }
    }
    named
}

/// `tokens` with those that stand together for one thing as one.
fn joined(tokens: Vec<Token>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        match out.last_mut() {
            Some(last) if tables::COMPOUNDS.contains(&(last.text.as_str(), token.text.as_str())) => {
                last.text =
                    if last.text == "set" { "configure".to_owned() } else { format!("{} {}", last.text, token.text) };
                last.disguised |= token.disguised;
            }
            _ => out.push(token),
        }
    }
    out
}

fn find_verb(named: &mut Named, ledger: &mut Ledger) {
    let Some(first) = named.tokens.first().map(|token| token.text.clone()) else { return };
    if tables::reading(&first) {
        named.how = How::Shielded;
        ledger.class(Rule::NameFirst, &first, "", Class::Read);
        break_shield(named, ledger);
        return;
    }
    for at in 0..named.tokens.len() {
        let word = named.tokens[at].text.clone();
        // `x_bulk_delete`: how, and then what.
        let next = named.tokens.get(at + 1).map_or("", |token| token.text.as_str());
        if among(tables::MODIFIERS, &word) && tables::mutating(next).is_some() {
            continue;
        }
        let Some((classes, labels, sure)) = does(&word, named, at) else { continue };
        named.how = How::Verb(at);
        named.sure = sure;
        let rule = if at == 0 { Rule::NameFirst } else { Rule::NameInner };
        take(named, rule, &word, classes, labels, ledger);
        return;
    }
    // Verbs of other languages stand at either end.
    let last = named.tokens.len() - 1;
    for at in [0, last] {
        let word = named.tokens[at].text.clone();
        let classes: Classes = match tables::foreign(&word) {
            Some(class) if at == 0 || class != Class::Read => class.into(),
            _ => elsewhere(&word),
        };
        if !classes.is_empty() {
            named.how = if classes == Class::Read.into() { How::Noun } else { How::Verb(at) };
            ledger.add(if at == 0 { Rule::NameFirst } else { Rule::NameInner }, &word, classes, Labels::NONE);
            return;
        }
    }
    let noun = named.tokens[last].text.rsplit(' ').next().unwrap_or("").to_owned();
    if tables::reading_noun(&noun) {
        named.how = How::Noun;
        ledger.class(Rule::NameNoun, &named.tokens[last].text, "", Class::Read);
    }
}

/// What words without spaces of other alphabets say, anywhere in `text`.
pub(crate) fn elsewhere(text: &str) -> Classes {
    if text.is_ascii() {
        return Classes::NONE;
    }
    let found = tables::ELSEWHERE.iter().filter(|(_, list)| tables::words(list).any(|word| text.contains(word)));
    let classes: Classes = found.map(|(class, _)| *class).collect();
    let mutating = classes.without(Class::Read);
    if mutating.is_empty() { classes } else { mutating }
}

/// What the verb `word` at `at` does to what stands beside it.
fn does(word: &str, named: &Named, at: usize) -> Option<(Classes, Labels, Sureness)> {
    if word == "transfer" {
        let (classes, labels) = transfer(|list| named.has(list).is_some());
        return Some((classes, labels, Sureness::Strong));
    }
    if tables::financial_with_tokens(word) {
        return named.has(tables::TOKENS_OF_VALUE).map(|_| (Class::Financial.into(), Labels::NONE, Sureness::Strong));
    }
    if let Some(verb) = tables::mutating(word) {
        return Some((verb.classes, Labels::NONE, verb.sure));
    }
    // What undoes something can be undone.
    let undone = word.strip_prefix("un").filter(|_| at == 0)?;
    tables::mutating(undone).map(|_| (Class::Write.into(), Labels::NONE, Sureness::Strong))
}

/// What a transfer is, given what is named beside it.
pub(crate) fn transfer(names: impl Fn(&'static str) -> bool) -> (Classes, Labels) {
    if names(tables::TRANSFERS_MONEY) {
        (Class::Financial.into(), Labels::NONE)
    } else if names(tables::TRANSFERS_OWNERSHIP) {
        (Class::Destructive.into(), Label::IdentityAdmin.into())
    } else {
        (Class::Egress.into(), Labels::NONE)
    }
}

/// The classes of a verb that was found, with what its neighbours change about them.
fn take(named: &mut Named, rule: Rule, word: &str, classes: Classes, labels: Labels, ledger: &mut Ledger) {
    let mut classes = classes;
    let mut note = "";
    if classes.contains(Class::Destructive) && word != "transfer" {
        let at = named.words().position(|token| token == word).unwrap_or(0);
        let after: Vec<&str> = named.words().skip(at + 1).collect();
        let things: Vec<&str> = if after.is_empty() { named.words().take(at).collect() } else { after };
        if is_harmless(&things) {
            classes = classes.without(Class::Destructive).with(Class::Write);
            named.harmless = true;
            named.sure = Sureness::Strong;
            note = "of what nobody misses";
        }
    }
    let last = named.words().last().unwrap_or("");
    if ["run", "execute"].contains(&word) && among(tables::CHECKS, last) {
        named.check = true;
    }
    let reaching = among(tables::REACHING, word) && named.has(tables::PRODUCTION).is_some();
    ledger.note(rule, word, note, classes, labels);
    if reaching {
        let where_to = named.has(tables::PRODUCTION).unwrap_or("").to_owned();
        ledger.class(Rule::NameWord, &where_to, "a production feels it", Class::Destructive);
    }
}

/// Whether `things` are such as nobody misses, all of them.
pub(crate) fn is_harmless(things: &[&str]) -> bool {
    let mut things =
        things.iter().filter(|thing| !among(tables::PREPOSITIONS, thing) && !among(tables::RAISING, thing));
    let mut any = false;
    let all = things.all(|thing| {
        any = true;
        among(tables::HARMLESS, thing) && !among(tables::PRECIOUS, thing)
    });
    any && all
}

/// A verb that looks is followed by things; where a verb that does follows it, it is that verb's name.
fn break_shield(named: &mut Named, ledger: &mut Ledger) {
    let words: Vec<String> = named.words().map(str::to_owned).collect();
    let Some(second) = words.get(1) else { return };
    let does = |word: &&String| tables::mutating(word).is_some();
    // `get_and_delete`, `read_only_delete`, `find_users_and_remove_them`
    let joined = words.windows(2).enumerate().skip(1).find(|(at, pair)| {
        let joint = if *at == 1 { tables::JOINTS } else { tables::CONJUNCTIONS };
        among(joint, &pair[0]) && does(&&pair[1])
    });
    let found = joined
        .map(|(_, pair)| &pair[1])
        .or_else(|| {
            // The last word: `list_delete` and `query_create` do, `get_delete_policy` looks.
            let last = words.last().filter(|_| !among(tables::REHEARSALS, &words[0]))?;
            let strong = tables::mutating(last)
                .is_some_and(|verb| verb.classes.contains(Class::Destructive) && verb.sure == Sureness::Strong);
            (strong && !among(tables::ALSO_THINGS, last) || among(tables::SUFFIX_VERBS, last)).then_some(last)
        })
        .or_else(|| (words[0] == "read" && second == "write").then_some(second));
    let Some((word, verb)) = found.and_then(|word| Some((word, tables::mutating(word)?))) else { return };
    ledger.add(Rule::NameInner, word, verb.classes, Labels::NONE);
    if verb.classes.primary() > Class::Unknown {
        ledger.find(Flaw::NameConflict, Severity::Medium, &format!("“{word}” in it"));
    }
}

/// What the name says beyond its verb, once it is known whether the tool does anything.
pub(crate) fn neighbours(named: &Named, server: &Server, ledger: &mut Ledger) {
    let does = !ledger.classes.without(Class::Read).without(Class::Unknown).is_empty();
    if !does
        && let Some(thing) = named.has(tables::RUNNERS)
        && !ledger.classes.contains(Class::Read)
    {
        ledger.class(Rule::NameWord, thing, "runs what it is given", Class::Execute);
    }
    if !does {
        return;
    }
    if let Some(thing) = named.has(tables::RUNNERS) {
        ledger.class(Rule::NameWord, thing, "runs what it is given", Class::Execute);
    }
    let together =
        |list, verbs: &[&str]| named.has(list).filter(|_| named.verb().is_some_and(|verb| verbs.contains(&verb)));
    if let Some(thing) = together("lambda function", &["invoke"]).or(together("workflow pipeline", &["run", "trigger"]))
    {
        ledger.class(Rule::NameWord, thing, "runs what is behind it", Class::Execute);
    }
    if ledger.classes.contains(Class::Write)
        && !named.harmless
        && let Some(word) = &named.raising
    {
        ledger.class(Rule::NameWord, word, "reaches far", Class::Destructive);
    }
    if let Some(word) = &named.many {
        ledger.label(Rule::NameWord, word, Label::Bulk);
    }
    if let Some(word) = named.words().find(|word| among(tables::SHREDDING, word)) {
        ledger.label(Rule::NameWord, word, Label::Irreversible);
    }
    if let Some(profile) = server.browser
        && let Some(verb) = named.verb().filter(|verb| among(tables::BROWSING, verb))
    {
        let (note, classes) = match profile {
            Profile::MaySignIn => ("in a browser, perhaps with somebody's sessions", Class::Execute.into()),
            Profile::Empty => ("in a browser", Classes::NONE),
        };
        ledger.note(Rule::NameWord, verb, note, classes, Label::LocalMachine.into());
    }
    if let Some(thing) = money(named) {
        ledger.class(Rule::Money, &thing, "", Class::Financial);
    }
}

/// The money that the name speaks of, if it does something to it.
fn money(named: &Named) -> Option<String> {
    let acts = |at: usize| named.how == How::Verb(at);
    let words: Vec<&str> = named.words().collect();
    let found = (0..words.len()).find(|at| !acts(*at) && is_money(words[*at], &words))?;
    Some(words[found].to_owned())
}

/// Whether `word` means money beside `others`.
pub(crate) fn is_money(word: &str, others: &[&str]) -> bool {
    among(tables::MONEY, word)
        && !tables::NOT_MONEY
            .iter()
            .any(|(money, beside)| *money == word && others.iter().any(|other| among(beside, other)))
}

/// Labels that the words of the name give.
pub(crate) fn labels(named: &Named, server: &Server, ledger: &mut Ledger) {
    let reads = ledger.classes.contains(Class::Read);
    let does = !ledger.classes.without(Class::Read).is_empty();
    let find = |list: &'static str, compounds: &[&str]| {
        named.words().find(|word| among(list, word) || compounds.contains(word)).map(str::to_owned)
    };
    if let Some(word) = find(tables::SECRETS, &[]) {
        ledger.label(Rule::NameWord, &word, Label::SecretAccess);
    }
    if reads {
        let verb = named.verb().filter(|verb| among(tables::FROM_OUTSIDE, verb)).map(str::to_owned);
        if let Some(word) = verb.or_else(|| find(tables::OUTSIDERS, tables::OUTSIDERS_COMPOUND)) {
            ledger.label(Rule::NameWord, &word, Label::UntrustedContent);
        }
        if let Some(word) = find(tables::PRIVATE, &[]) {
            ledger.label(Rule::NameWord, &word, Label::PrivateData);
        }
    }
    if does {
        let by_verb = named.verb().filter(|verb| among(tables::IDENTITY_VERBS, verb)).map(str::to_owned);
        if let Some(word) = by_verb.or_else(|| find(tables::IDENTITY, tables::IDENTITY_COMPOUND)) {
            ledger.label(Rule::NameWord, &word, Label::IdentityAdmin);
        }
        if named.words().zip(named.words().skip(1)).any(|pair| pair == ("api", "key")) {
            ledger.label(Rule::NameWord, "api key", Label::IdentityAdmin);
        }
        if let Some(word) = find(tables::SINKS, &[]) {
            ledger.label(Rule::NameWord, &word, Label::PublicSink);
        }
        if server.public
            && let Some(word) = find(tables::TRACKED, tables::OUTSIDERS_COMPOUND)
        {
            ledger.note(Rule::Server, &word, "where everybody may read", Classes::NONE, Label::PublicSink.into());
        }
    }
}
