//! From YAML to rules: nothing unknown is passed over, since a rule that is half understood is half enforced.

use std::time::Duration;

use portcullis_base::printable;
use yaml_serde::{Mapping, Value};

use crate::{
    condition::Condition,
    nearest::nearest,
    place::{Step, line_of},
    rule::{Effect, Misread, Rule, StepUp, What, Who},
    source::{RuleError, Source},
};

const KEYS: &[&str] = &["rule", "who", "what", "when", "then", "shadow", "ask", "step_up"];
/// Keys that will have a meaning, and must not be ignored until then.
const LATER: &[&str] = &["quota", "redact", "cap", "label"];
const EFFECTS: &[(&str, Effect)] =
    &[("allow", Effect::Allow), ("ask", Effect::Ask), ("step_up", Effect::StepUp), ("deny", Effect::Deny)];
const STEP_UP_KEYS: &[&str] = &["max_age", "acr"];
const ASK_KEYS: &[&str] = &["approvers", "quorum", "not_self", "assurance", "expires"];
/// Less would ask again before the person is back.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(30);
const ACR: &str = "\"acr\" is a text without spaces or a list of 1 to 8 of them";
/// How surely an approver is who they are, lowest first.
const ASSURANCES: &[&str] = &["elicitation", "chat", "session", "passkey"];

/// A rule, where it stands, and whom it names where.
pub(crate) struct Found {
    pub(crate) rule: Rule,
    pub(crate) line: usize,
    pub(crate) named: Vec<(Who, usize)>,
}

/// The rules of `source` with their lines; what is wrong goes to `faults`.
pub(crate) fn rules(source: &Source<'_>, faults: &mut Vec<RuleError>) -> Vec<Found> {
    let fault = |line: usize, message: String| RuleError { file: source.name.into(), line, message, nearest: None };
    let items = match yaml_serde::from_str::<Value>(source.text) {
        Ok(Value::Null) => Vec::new(),
        Ok(Value::Sequence(items)) => items,
        Ok(_) => {
            faults.push(fault(
                line_of(source.text, &[]),
                "a rule file is a list: each rule begins with \"- rule:\"".into(),
            ));
            return Vec::new();
        }
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line());
            faults.push(fault(line, format!("this is not YAML: {}", printable(&error.to_string(), 200))));
            return Vec::new();
        }
    };
    let mut rules = Vec::new();
    for (item, value) in items.iter().enumerate() {
        let mut reader = Reader { source, item, faults: &mut *faults };
        if let Some(rule) = reader.rule(value) {
            let named = reader.named(value);
            let line = line_of(source.text, &[Step::Item(item), Step::Member("rule")]);
            rules.push(Found { rule, line, named });
        }
    }
    rules
}

/// Reads one rule.
struct Reader<'r> {
    source: &'r Source<'r>,
    /// Which rule of the file.
    item: usize,
    faults: &'r mut Vec<RuleError>,
}

impl Reader<'_> {
    /// Notes a fault where `steps` lead from the rule.
    fn fault(&mut self, steps: &[Step<'_>], wrong: Misread) {
        let steps: Vec<_> = std::iter::once(Step::Item(self.item)).chain(steps.iter().copied()).collect();
        let Misread { message, nearest } = wrong;
        let line = line_of(self.source.text, &steps);
        self.faults.push(RuleError { file: self.source.name.into(), line, message, nearest });
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
        let known = self.keys(map, KEYS, None);
        let name = self.name(map);
        let who = self.each(map, "who", Who::parse);
        let what = self.each(map, "what", What::parse);
        let when = self.when(map);
        let then = self.then(map);
        let shadow = self.flag(map, "shadow");
        let ask = self.ask(map, then);
        let step_up = self.step_up(map, then);
        known.and(ask)?;
        Some(Rule {
            name: name?.into(),
            who: who?,
            what: what?,
            when: when?,
            then: then?,
            step_up: step_up?,
            shadow: shadow?,
        })
    }

    /// Everybody whom a rule that was read names, in `who` and as approvers.
    fn named(&self, value: &Value) -> Vec<(Who, usize)> {
        let mut named = Vec::new();
        for keys in [&["who"][..], &["ask", "approvers"]] {
            let Some(found) = keys.iter().try_fold(value, |within, key| within.get(*key)) else { continue };
            let steps = || std::iter::once(Step::Item(self.item)).chain(keys.iter().copied().map(Step::Member));
            let items = found.as_sequence().map_or(std::slice::from_ref(found), Vec::as_slice);
            for (at, item) in items.iter().enumerate() {
                let at = found.is_sequence().then_some(Step::Item(at));
                let line = || line_of(self.source.text, &steps().chain(at).collect::<Vec<_>>());
                named.extend(item.as_str().and_then(|text| Who::parse(text).ok()).map(|who| (who, line())));
            }
        }
        named
    }

    /// Refuses keys that are not `known`, in the rule or in the map under its key `within`.
    fn keys(&mut self, map: &Mapping, known: &[&'static str], within: Option<&str>) -> Option<()> {
        let mut all_known = Some(());
        for key in map.keys() {
            let text = text_of(key).unwrap_or_default();
            if known.contains(&text.as_str()) {
                continue;
            }
            all_known = None;
            let shown = printable(&text, 64);
            let wrong = if within.is_none() && LATER.contains(&text.as_str()) {
                Misread { message: format!("\"{shown}\" is not available yet"), nearest: None }
            } else {
                let nearest = nearest(&text, known.iter().copied()).map(Into::into);
                let known = known.join(", ");
                Misread { message: format!("there is no key \"{shown}\" here; the keys are {known}"), nearest }
            };
            let steps: Vec<_> = within.into_iter().chain([text.as_str()]).map(Step::Member).collect();
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
                let nearest = error.nearest.map(Into::into);
                self.fault(&[Step::Member("when")], Misread { message: error.message, nearest });
                None
            }
        }
    }

    fn then(&mut self, map: &Mapping) -> Option<Effect> {
        let names = EFFECTS.iter().map(|(name, _)| *name);
        let Some(value) = map.get("then") else {
            return self.wrong("then", "this rule does not say what then: allow, ask, step_up or deny");
        };
        let text = text_of(value).unwrap_or_default();
        let effect = EFFECTS.iter().find(|(name, _)| *name == text).map(|(_, effect)| *effect);
        if effect.is_none() {
            let message = format!("\"{}\" is none of allow, ask, step_up, deny", printable(&text, 64));
            let nearest = nearest(&text, names).map(Into::into);
            self.fault(&[Step::Member("then")], Misread { message, nearest });
        }
        effect
    }

    fn flag(&mut self, map: &Mapping, key: &str) -> Option<bool> {
        match map.get(key) {
            None => Some(false),
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => self.wrong(key, format!("\"{key}\" is true or false")),
        }
    }

    /// What kind of sign-in is asked for.
    fn step_up(&mut self, map: &Mapping, then: Option<Effect>) -> Option<StepUp> {
        let value = map.get("step_up");
        if value.is_some() && then.is_some_and(|then| then != Effect::StepUp) {
            return self
                .wrong("step_up", "\"step_up\" says how to sign in, and this rule does not say \"then: step_up\"");
        }
        let wanted = match value {
            None => return Some(StepUp::default()),
            Some(Value::Mapping(wanted)) if !wanted.is_empty() => wanted,
            Some(_) => return self.wrong("step_up", "\"step_up\" has the keys max_age, acr; at least one of them"),
        };
        self.keys(wanted, STEP_UP_KEYS, Some("step_up"))?;
        let mut step_up = StepUp { max_age: None, acr: Vec::new() };
        for (key, value) in wanted {
            let key = text_of(key).unwrap_or_default();
            let wrong = match (key.as_str(), value) {
                ("max_age", value) => {
                    step_up.max_age = value.as_str().and_then(duration).filter(|age| *age >= SHORTEST_MAX_AGE);
                    step_up.max_age.is_none().then(|| misread("\"max_age\" is a time such as 5m or 1h, at least 30s"))
                }
                (_, Value::String(one)) if is_acr(one) => {
                    step_up.acr = vec![one.as_str().into()];
                    None
                }
                (_, Value::Sequence(all)) if !all.is_empty() && all.len() <= 8 => {
                    let texts = all.iter().map(|one| one.as_str().filter(|text| is_acr(text)).map(Into::into));
                    step_up.acr = texts.collect::<Option<_>>().unwrap_or_default();
                    step_up.acr.is_empty().then(|| misread(ACR))
                }
                _ => Some(misread(ACR)),
            };
            if let Some(wrong) = wrong {
                self.fault(&[Step::Member("step_up"), Step::Member(&key)], wrong);
                return None;
            }
        }
        Some(step_up)
    }

    /// Who may approve, and how: checked now, used when approvals are there.
    fn ask(&mut self, map: &Mapping, then: Option<Effect>) -> Option<()> {
        let value = map.get("ask");
        if value.is_some() && then.is_some_and(|then| then != Effect::Ask) {
            return self.wrong("ask", "\"ask\" says how to ask, and this rule does not say \"then: ask\"");
        }
        let ask = match value {
            None => return Some(()),
            Some(Value::Mapping(ask)) => ask,
            Some(_) => return self.wrong("ask", format!("\"ask\" has the keys {}", ASK_KEYS.join(", "))),
        };
        self.keys(ask, ASK_KEYS, Some("ask"))?;
        for (key, value) in ask {
            let key = text_of(key).unwrap_or_default();
            let wrong = match (key.as_str(), value) {
                ("approvers", Value::Sequence(approvers)) if !approvers.is_empty() => {
                    approvers.iter().find_map(|who| {
                        who.as_str().map_or(Some(misread("this is not a text")), |who| Who::parse(who).err())
                    })
                }
                ("approvers", Value::String(who)) => Who::parse(who).err(),
                ("approvers", _) => Some(misread("\"approvers\" is a text or a list of at least one")),
                ("quorum", value) if value.as_u64().is_some_and(|quorum| (1..=20).contains(&quorum)) => None,
                ("quorum", _) => Some(misread("\"quorum\" is a number from 1 to 20")),
                ("not_self", Value::Bool(_)) => None,
                ("not_self", _) => Some(misread("\"not_self\" is true or false")),
                ("assurance", Value::String(text)) if ASSURANCES.contains(&text.as_str()) => None,
                ("assurance", value) => Some(Misread {
                    message: format!("\"assurance\" is one of {}", ASSURANCES.join(", ")),
                    nearest: value.as_str().and_then(|text| nearest(text, ASSURANCES.iter().copied())).map(Into::into),
                }),
                (_, Value::String(text)) if is_duration(text) => None,
                _ => Some(misread("\"expires\" is a time such as 30s, 30m or 12h")),
            };
            if let Some(wrong) = wrong {
                self.fault(&[Step::Member("ask"), Step::Member(&key)], wrong);
                return None;
            }
        }
        Some(())
    }
}

fn misread(message: &str) -> Misread {
    Misread { message: message.into(), nearest: None }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_duration(text: &str) -> bool {
    duration(text).is_some()
}

fn duration(text: &str) -> Option<Duration> {
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

/// Whether `text` can be one of several names with spaces between.
fn is_acr(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
