//! From YAML to rules: nothing unknown is passed over, since a rule that is half understood is half enforced.

pub(crate) mod demand;
pub(crate) mod limit;

use std::{sync::Arc, time::Duration};

use portcullis_base::printable;
use yaml_serde::{Mapping, Value};

use crate::{
    condition::{Condition, ConditionError},
    nearest::nearest,
    place::{Places, Step, line_of},
    rule::{Effect, Rule},
    source::{Misread, RuleError, Source},
    what::What,
    who::Who,
};

pub(crate) const KEYS: &[&str] =
    &["rule", "who", "what", "when", "then", "shadow", "ask", "step_up", "quota", "redact", "cap", "label"];
/// What a rule may have without a `then`.
const OBLIGATIONS: &[&str] = &["quota", "redact", "cap", "label"];
const EFFECTS: &[(&str, Effect)] =
    &[("allow", Effect::Allow), ("ask", Effect::Ask), ("step_up", Effect::StepUp), ("deny", Effect::Deny)];

/// A rule, where it stands, and whom it names where.
pub(crate) struct Found {
    pub(crate) rule: Rule,
    pub(crate) line: usize,
    pub(crate) named: Vec<(Who, usize)>,
}

/// What a file has.
pub(crate) struct File {
    pub(crate) rules: Vec<Found>,
    /// How many there would be without faults.
    pub(crate) count: usize,
}

/// The rules of `source`, the file of that number, with their lines; what is wrong goes to `faults`.
pub(crate) fn rules(source: &Source<'_>, file: usize, faults: &mut Vec<RuleError>) -> File {
    let fault = |line: usize, message: String| RuleError { file: source.name.into(), line, message, nearest: None };
    let items = match yaml_serde::from_str::<Value>(source.text) {
        Ok(Value::Null) => Vec::new(),
        Ok(Value::Sequence(items)) => items,
        Ok(_) => {
            faults.push(fault(
                line_of(source.text, &[]),
                "a rule file is a list: each rule begins with \"- rule:\"".into(),
            ));
            return File { rules: Vec::new(), count: 0 };
        }
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line());
            faults.push(fault(line, format!("this is not YAML: {}", printable(&error.to_string(), 200))));
            return File { rules: Vec::new(), count: 0 };
        }
    };
    let places = Places::new(source.text, items.len());
    let mut rules = Vec::new();
    for (item, value) in items.iter().enumerate() {
        let mut reader = Reader { source, places: &places, file, item, faults: &mut *faults };
        if let Some(rule) = reader.rule(value) {
            let named = reader.named(value);
            rules.push(Found { rule, line: reader.line(&[Step::Member("rule")]), named });
        }
    }
    File { rules, count: items.len() }
}

/// What a rule says of the calls that it applies to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Says(Effect),
}

/// Reads one rule.
struct Reader<'r> {
    source: &'r Source<'r>,
    places: &'r Places<'r>,
    file: usize,
    /// Which rule of the file.
    item: usize,
    faults: &'r mut Vec<RuleError>,
}

impl Reader<'_> {
    /// Notes a fault where `steps` lead from the rule.
    fn fault(&mut self, steps: &[Step<'_>], wrong: Misread) {
        let Misread { message, nearest } = wrong;
        let line = self.line(steps);
        self.faults.push(RuleError { file: self.source.name.into(), line, message, nearest });
    }

    /// The line of what `steps` lead to from the rule.
    fn line(&self, steps: &[Step<'_>]) -> usize {
        self.places.line(self.item, steps)
    }

    fn wrong<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        self.fault(&[Step::Member(key)], Misread { message: message.into(), nearest: None });
        None
    }

    fn rule(&mut self, value: &Value) -> Option<Rule> {
        let Value::Mapping(map) = value else {
            self.fault(&[], Misread { message: "this is not a rule".into(), nearest: None });
            return None;
        };
        // All of them are read before any is missed, so that every fault is told at once.
        let known = self.keys(map, KEYS, &[]);
        let name = self.name(map);
        let who = self.each(map, "who", Who::parse);
        let what = self.each(map, "what", What::parse);
        let when = self.when(map);
        let then = self.then(map);
        let shadow = self.flag(map, "shadow");
        let ask = self.ask(map, name.as_deref().unwrap_or_default(), then);
        let step_up = self.step_up(map, then);
        let quotas = self.quotas(map, name.as_deref().unwrap_or_default());
        let redactions = self.redactions(map);
        let cap = self.cap(map);
        let labels = self.labels(map);
        known?;
        Some(Rule {
            file: self.file,
            item: self.item,
            name: name?.into(),
            who: who?,
            what: what?,
            when: when?,
            then: match then? {
                Then::Nothing => None,
                Then::Says(effect) => Some(effect),
            },
            step_up: step_up?,
            ask: ask?.map(Arc::new),
            quotas: quotas?,
            redactions: redactions?,
            cap: cap?,
            labels: labels?,
            shadow: shadow?,
        })
    }

    /// Everybody whom a rule that was read names, in `who` and as approvers.
    fn named(&self, value: &Value) -> Vec<(Who, usize)> {
        let mut named = Vec::new();
        for keys in [&["who"][..], &["ask", "approvers"]] {
            let Some(found) = keys.iter().try_fold(value, |within, key| within.get(*key)) else { continue };
            let steps = || keys.iter().copied().map(Step::Member);
            let items = found.as_sequence().map_or(std::slice::from_ref(found), Vec::as_slice);
            for (at, item) in items.iter().enumerate() {
                let at = found.is_sequence().then_some(Step::Item(at));
                let line = || self.line(&steps().chain(at).collect::<Vec<_>>());
                named.extend(item.as_str().and_then(|text| Who::parse(text).ok()).map(|who| (who, line())));
            }
        }
        named
    }

    /// Refuses keys that are not `known` in the map that the steps `within` lead to from the rule.
    fn keys(&mut self, map: &Mapping, known: &[&'static str], within: &[Step<'_>]) -> Option<()> {
        let mut all_known = Some(());
        for key in map.keys() {
            let text = text_of(key).unwrap_or_default();
            if known.contains(&text.as_str()) {
                continue;
            }
            all_known = None;
            let shown = printable(&text, 64);
            let nearest = nearest(&text, known.iter().copied()).map(Into::into);
            let names = known.join(", ");
            let wrong = Misread { message: format!("there is no key \"{shown}\" here; the keys are {names}"), nearest };
            let steps: Vec<_> = within.iter().copied().chain([Step::Member(text.as_str())]).collect();
            self.fault(&steps, wrong);
        }
        all_known
    }

    fn name(&mut self, map: &Mapping) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match map.get("rule") {
            Some(Value::String(name)) if !name.is_empty() && name.len() <= 64 && name.chars().all(allowed) => {
                Some(name.clone())
            }
            Some(_) => self.wrong("rule", "a rule's name is 1 to 64 letters, digits, \"-\", \"_\" and \".\""),
            None => self.wrong("rule", "this rule has no name: begin it with \"- rule: NAME\""),
        }
    }

    /// A text or a list of texts, at least one.
    fn each<T>(&mut self, map: &Mapping, key: &str, parse: fn(&str) -> Result<T, Misread>) -> Option<Vec<T>> {
        let one;
        let items = match map.get(key) {
            Some(Value::Sequence(items)) if !items.is_empty() => items,
            Some(value @ Value::String(_)) => {
                one = vec![value.clone()];
                &one
            }
            Some(_) => return self.wrong(key, format!("\"{key}\" is a text or a list of at least one")),
            None => return self.wrong(key, format!("this rule does not say {key}; \"{key}: '*'\" is everything")),
        };
        let listed = matches!(map.get(key), Some(Value::Sequence(_)));
        let mut parsed = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let read = match item {
                Value::String(text) => parse(text),
                _ => Err(Misread { message: "this is not a text".into(), nearest: None }),
            };
            match read {
                Ok(read) => parsed.push(read),
                Err(wrong) => {
                    let steps = [Step::Member(key), Step::Item(at)];
                    self.fault(if listed { &steps } else { &steps[..1] }, wrong);
                }
            }
        }
        (parsed.len() == items.len()).then_some(parsed)
    }

    #[expect(clippy::option_option, reason = "outside: whether it could be read; inside: whether there is one")]
    fn when(&mut self, map: &Mapping) -> Option<Option<Condition>> {
        let text = match map.get("when") {
            None => return Some(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(_) => return self.wrong("when", "a condition is a text; put it in quotes"),
        };
        match Condition::compile(&text) {
            Ok(condition) => Some(Some(condition)),
            Err(error) => {
                let ConditionError { message, nearest } = error;
                self.fault(&[Step::Member("when")], Misread { message, nearest });
                None
            }
        }
    }

    /// The effect; without one a rule needs something else to do.
    fn then(&mut self, map: &Mapping) -> Option<Then> {
        let names = EFFECTS.iter().map(|(name, _)| *name);
        let idle = OBLIGATIONS.iter().find(|key| map.contains_key(*key));
        let Some(value) = map.get("then") else {
            if idle.is_some() {
                return Some(Then::Nothing);
            }
            let obligations = OBLIGATIONS.join(", ");
            let message = format!(
                "this rule does not say what then: allow, ask, step_up or deny; nor has it one of {obligations}"
            );
            return self.wrong("then", message);
        };
        let text = text_of(value).unwrap_or_default();
        let effect = EFFECTS.iter().find(|(name, _)| *name == text).map(|(_, effect)| *effect);
        if effect.is_none() {
            let message = format!("\"{}\" is none of allow, ask, step_up, deny", printable(&text, 64));
            let nearest = nearest(&text, names).map(Into::into);
            self.fault(&[Step::Member("then")], Misread { message, nearest });
        }
        if let (Some(Effect::Deny), Some(key)) = (effect, idle) {
            return self.wrong(key, format!("this rule denies, so there is nothing that \"{key}\" could be put on"));
        }
        effect.map(Then::Says)
    }

    fn flag(&mut self, map: &Mapping, key: &str) -> Option<bool> {
        match map.get(key) {
            None => Some(false),
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => self.wrong(key, format!("\"{key}\" is true or false")),
        }
    }
}

pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix(['s', 'm', 'h', 'd'])?;
    let number: u64 = if digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()?
    } else {
        return None;
    };
    let unit = match text.as_bytes()[digits.len()] {
        b's' => 1,
        b'm' => 60,
        b'h' => 3_600,
        _ => 86_400,
    };
    Some(Duration::from_secs(number * unit))
}
