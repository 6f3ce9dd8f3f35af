//! How a rule asks: a person to approve, or the caller to sign in afresh.

use std::time::Duration;

use yaml_serde::{Mapping, Value};

use super::{Reader, Then, duration, text_of};
use crate::{
    ask::{Ask, Assurance, Own},
    nearest::nearest,
    place::Step,
    rule::{Effect, StepUp},
    source::Misread,
    who::Who,
};

pub(crate) const STEP_UP_KEYS: &[&str] = &["max_age", "acr"];
pub(crate) const ASK_KEYS: &[&str] = &["approvers", "quorum", "not_self", "assurance", "expires"];
/// Less would ask again before the person is back.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(30);
const ACR: &str = "\"acr\" is a text without spaces or a list of 1 to 8 of them";
/// The word for the person whose call it is, among approvers.
const CALLER: &str = "self";

impl Reader<'_> {
    /// What kind of sign-in is asked for.
    pub(super) fn step_up(&mut self, map: &Mapping, then: Option<Then>) -> Option<StepUp> {
        let value = map.get("step_up");
        if value.is_some() && then.is_some_and(|then| then != Then::Says(Effect::StepUp)) {
            return self
                .wrong("step_up", "\"step_up\" says how to sign in, and this rule does not say \"then: step_up\"");
        }
        let wanted = match value {
            None => return Some(StepUp::default()),
            Some(Value::Mapping(wanted)) if !wanted.is_empty() => wanted,
            Some(_) => return self.wrong("step_up", "\"step_up\" has the keys max_age, acr; at least one of them"),
        };
        self.keys(wanted, STEP_UP_KEYS, &[Step::Member("step_up")])?;
        let mut step_up = StepUp { max_age: None, acr: Vec::new() };
        for (key, value) in wanted {
            let key = text_of(key).unwrap_or_default();
            let wrong = match (key.as_str(), value) {
                ("max_age", value) => {
                    step_up.max_age = value.as_str().and_then(duration).filter(|age| *age >= SHORTEST_MAX_AGE);
                    step_up
                        .max_age
                        .is_none()
                        .then(|| Misread::new("\"max_age\" is a time such as 5m or 1h, at least 30s"))
                }
                (_, Value::String(one)) if is_acr(one) => {
                    step_up.acr = vec![one.as_str().into()];
                    None
                }
                (_, Value::Sequence(all)) if !all.is_empty() && all.len() <= 8 => {
                    let texts = all.iter().map(|one| one.as_str().filter(|text| is_acr(text)).map(Into::into));
                    step_up.acr = texts.collect::<Option<_>>().unwrap_or_default();
                    step_up.acr.is_empty().then(|| Misread::new(ACR))
                }
                _ => Some(Misread::new(ACR)),
            };
            if let Some(wrong) = wrong {
                self.fault(&[Step::Member("step_up"), Step::Member(&key)], wrong);
                return None;
            }
        }
        Some(step_up)
    }

    /// Who may approve, and how.
    #[expect(clippy::option_option, reason = "outside: whether it could be read; inside: whether there is one")]
    pub(super) fn ask(&mut self, map: &Mapping, rule: &str, then: Option<Then>) -> Option<Option<Ask>> {
        let value = map.get("ask");
        if value.is_some() && then.is_some_and(|then| then != Then::Says(Effect::Ask)) {
            return self.wrong("ask", "\"ask\" says how to ask, and this rule does not say \"then: ask\"");
        }
        let mut ask = Ask::plain(rule.into());
        let wanted = match value {
            None => return Some((then == Some(Then::Says(Effect::Ask))).then_some(ask)),
            Some(Value::Mapping(wanted)) => wanted,
            Some(_) => return self.wrong("ask", format!("\"ask\" has the keys {}", ASK_KEYS.join(", "))),
        };
        self.keys(wanted, ASK_KEYS, &[Step::Member("ask")])?;
        let (mut own, mut caller) = (None, false);
        for (key, value) in wanted {
            let key = text_of(key).unwrap_or_default();
            let wrong = match (key.as_str(), value) {
                ("approvers", Value::Sequence(_) | Value::String(_)) => match approvers(value) {
                    Ok(named) => {
                        caller = named.caller;
                        ask.approvers = named.others.into();
                        None
                    }
                    Err(wrong) => Some(wrong),
                },
                ("approvers", _) => Some(Misread::new(APPROVERS)),
                ("quorum", value) if value.as_u64().is_some_and(|quorum| (1..=Ask::MOST.into()).contains(&quorum)) => {
                    ask.quorum = value.as_u64().and_then(|quorum| quorum.try_into().ok()).unwrap_or(Ask::MOST);
                    None
                }
                ("quorum", _) => Some(Misread::new(format!("\"quorum\" is a number from 1 to {}", Ask::MOST))),
                ("not_self", Value::Bool(not_self)) => {
                    own = Some(*not_self);
                    None
                }
                ("not_self", _) => Some(Misread::new("\"not_self\" is true or false")),
                ("assurance", value) => match value.as_str().and_then(Assurance::parse) {
                    Some(assurance) => {
                        ask.assurance = assurance;
                        None
                    }
                    None => Some(no_assurance(value)),
                },
                (_, value) => match value.as_str().and_then(duration) {
                    // spec: T-81: "expires <= 15 min"
                    Some(time) if (Ask::SHORTEST..=Ask::LONGEST).contains(&time) => {
                        ask.expires = time;
                        None
                    }
                    Some(time) => Some(Misread {
                        message: "\"expires\" is from 30s to 15m: an approval is of what is wanted now".into(),
                        nearest: Some(if time > Ask::LONGEST { "15m" } else { "30s" }.into()),
                    }),
                    None => Some(Misread::new("\"expires\" is a time from 30s to 15m, such as 10m")),
                },
            };
            if let Some(wrong) = wrong {
                self.fault(&[Step::Member("ask"), Step::Member(&key)], wrong);
                return None;
            }
        }
        let named = wanted.contains_key("approvers");
        if caller && own == Some(true) {
            let message = "\"not_self\" takes back that \"approvers\" names self; leave one of them out";
            self.fault(&[Step::Member("ask"), Step::Member("not_self")], Misread::new(message));
            return None;
        }
        ask.own = match own {
            Some(true) => Own::Never,
            _ if caller => Own::Always,
            Some(false) if named => Own::AsApprover,
            None if named => Own::Never,
            _ => Own::Always,
        };
        Some(Some(ask))
    }
}

const APPROVERS: &str = "\"approvers\" is a text or a list of at least one";

/// Who may approve.
struct Approvers {
    /// Whether the person whose call it is is among them.
    caller: bool,
    others: Vec<Who>,
}

fn approvers(value: &Value) -> Result<Approvers, Misread> {
    let items = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
    if items.is_empty() {
        return Err(Misread::new(APPROVERS));
    }
    let mut found = Approvers { caller: false, others: Vec::new() };
    for item in items {
        match item.as_str() {
            None => return Err(Misread::new("this is not a text")),
            Some(CALLER) => found.caller = true,
            Some(text) => match Who::parse(text)? {
                // spec: T-82: a machine approves nothing.
                Who::Client(_) | Who::Service(_) => {
                    return Err(Misread::new(format!("\"{text}\" cannot approve: only a person can")));
                }
                who => found.others.push(who),
            },
        }
    }
    Ok(found)
}

fn no_assurance(value: &Value) -> Misread {
    let words = || Assurance::ALL.into_iter().map(Assurance::as_str);
    Misread {
        message: format!("\"assurance\" is one of {}", words().collect::<Vec<_>>().join(", ")),
        nearest: value.as_str().and_then(|text| nearest(text, words())).map(Into::into),
    }
}

/// Whether `text` can be one of several names with spaces between.
fn is_acr(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && text.bytes().all(|byte| byte.is_ascii_graphic())
}
