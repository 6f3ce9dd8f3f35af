//! What a rule puts on calls that go on: how many, how much, what is masked, what is cut, and what is remembered.

use std::{sync::Arc, time::Duration};

use portcullis_base::printable;
use yaml_serde::{Mapping, Value};

use super::{Reader, duration, text_of};
use crate::{
    amount::Amount,
    nearest::nearest,
    obligations::{Cap, Mask, Redact},
    path::Path,
    place::Step,
    quota::{Per, Quota, Sum},
    source::Misread,
};

pub(crate) const QUOTA_KEYS: &[&str] = &["per", "calls", "sum", "most", "unit", "window", "concurrent"];
pub(crate) const CAP_KEYS: &[&str] = &["bytes", "items"];
/// The longest time that is counted over.
const LONGEST: Duration = Duration::from_hours(31 * 24);
/// Of limits, masks or labels in one rule.
const MOST: usize = 16;

impl Reader<'_> {
    /// One limit or a list of them.
    pub(super) fn quotas(&mut self, map: &Mapping, rule: &str) -> Option<Vec<Arc<Quota>>> {
        let Some(value) = map.get("quota") else { return Some(Vec::new()) };
        let listed = value.is_sequence();
        let items = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
        if items.is_empty() || items.len() > MOST {
            return self.wrong("quota", format!("\"quota\" is a limit or a list of 1 to {MOST} of them"));
        }
        let mut quotas = Vec::new();
        for (place, item) in items.iter().enumerate() {
            let steps = [Step::Member("quota"), Step::Item(place)];
            let steps = if listed { &steps[..] } else { &steps[..1] };
            let Value::Mapping(wanted) = item else {
                let message = format!("a limit has the keys {}", QUOTA_KEYS.join(", "));
                self.fault(steps, Misread::new(message));
                continue;
            };
            if self.keys(wanted, QUOTA_KEYS, steps).is_none() {
                continue;
            }
            match quota(wanted, rule, place as u32) {
                Ok(quota) => quotas.push(Arc::new(quota)),
                Err((key, wrong)) => {
                    let steps: Vec<_> = steps.iter().copied().chain(key.map(Step::Member)).collect();
                    self.fault(&steps, wrong);
                }
            }
        }
        (quotas.len() == items.len()).then_some(quotas)
    }

    /// What is masked.
    pub(super) fn redactions(&mut self, map: &Mapping) -> Option<Vec<Arc<Redact>>> {
        self.some(map, "redact", |text| {
            if let Some(path) = text.strip_prefix("args.") {
                return Path::parse(path).map(Redact::Argument);
            }
            if let Some(path) = text.strip_prefix("result.") {
                return Path::parse(path).map(Redact::Result);
            }
            let pattern =
                text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|text| !text.is_empty());
            let Some(pattern) = pattern else {
                return Err(Misread {
                    message: format!("\"{}\" is none of args.PATH, result.PATH, /PATTERN/", printable(text, 64)),
                    nearest: Path::parse(text).ok().map(|path| format!("result.{path}")),
                });
            };
            Mask::parse(pattern).map(Redact::Pattern)
        })
        .map(|all| all.into_iter().map(Arc::new).collect())
    }

    /// How much of a result goes back.
    pub(super) fn cap(&mut self, map: &Mapping) -> Option<Cap> {
        let wanted = match map.get("cap") {
            None => return Some(Cap::default()),
            Some(Value::Mapping(wanted)) if !wanted.is_empty() => wanted,
            Some(_) => return self.wrong("cap", "\"cap\" has the keys bytes, items; at least one of them"),
        };
        self.keys(wanted, CAP_KEYS, &[Step::Member("cap")])?;
        let mut cap = Cap::default();
        for (key, value) in wanted {
            let key = text_of(key).unwrap_or_default();
            let (kept, wrong) = if key == "bytes" {
                cap.bytes = value.as_u64().or_else(|| value.as_str().and_then(size)).filter(|bytes| *bytes > 0);
                (cap.bytes, "\"bytes\" is a size such as 64KiB, at least 1")
            } else {
                cap.items = value.as_u64().filter(|items| *items > 0);
                (cap.items, "\"items\" is a number, at least 1")
            };
            if kept.is_none() {
                self.fault(&[Step::Member("cap"), Step::Member(&key)], Misread::new(wrong));
                return None;
            }
        }
        Some(cap)
    }

    /// What the session is called from then on.
    pub(super) fn labels(&mut self, map: &Mapping) -> Option<Vec<Arc<str>>> {
        self.some(map, "label", |text| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
            if !text.is_empty() && text.len() <= 32 && text.bytes().all(plain) {
                return Ok(text.into());
            }
            Err(Misread::new("a label is 1 to 32 of a-z, 0-9, \"-\" and \"_\""))
        })
    }

    /// A text or a list of texts, if it is there.
    fn some<T>(&mut self, map: &Mapping, key: &str, parse: fn(&str) -> Result<T, Misread>) -> Option<Vec<T>> {
        match map.get(key) {
            None => Some(Vec::new()),
            Some(Value::Sequence(items)) if items.len() > MOST => {
                self.wrong(key, format!("\"{key}\" has more than {MOST} entries"))
            }
            Some(_) => self.each(map, key, parse),
        }
    }
}

/// Where a limit is wrong, and why.
type Wrong = (Option<&'static str>, Misread);

fn quota(wanted: &Mapping, rule: &str, place: u32) -> Result<Quota, Wrong> {
    let at = |key: &'static str, message: &str| (Some(key), Misread::new(message));
    let calls = match wanted.get("calls").map(|calls| calls.as_u64().filter(|calls| *calls > 0)) {
        Some(None) => return Err(at("calls", "\"calls\" is a number, at least 1")),
        calls => calls.flatten(),
    };
    let concurrent = wanted.get("concurrent").map(|most| most.as_u64().filter(|most| (1..=10_000).contains(most)));
    let concurrent = match concurrent {
        Some(None) => return Err(at("concurrent", "\"concurrent\" is a number from 1 to 10000")),
        most => most.flatten().and_then(|most| u32::try_from(most).ok()),
    };
    let argument = |key: &'static str| match wanted.get(key) {
        None => Ok(None),
        Some(value) => match value.as_str().and_then(|text| text.strip_prefix("args.")) {
            Some(path) => Path::parse(path).map(Some).map_err(|wrong| (Some(key), wrong)),
            None => Err(at(key, &format!("\"{key}\" is an argument, such as args.{}", example(key)))),
        },
    };
    let (of, unit) = (argument("sum")?, argument("unit")?);
    let most = match wanted.get("most") {
        None => None,
        Some(value) => {
            // A number of YAML is a float behind the point: one with more digits than a float keeps must be a text.
            let text = text_of(value).filter(|text| value.is_string() || text.len() <= 15).unwrap_or_default();
            let most = Amount::parse(&text);
            Some(most.ok_or_else(|| at("most", "\"most\" is a number such as 500 or \"499.90\", not negative"))?)
        }
    };
    let sum = match (of, most) {
        (Some(of), Some(most)) => Some(Sum { of, most, unit }),
        (Some(_), None) => return Err(at("sum", "how much of it: \"most\" is missing")),
        (None, Some(_)) => return Err(at("most", "the most of what: \"sum\" is missing")),
        (None, None) if unit.is_some() => return Err(at("unit", "the unit of what: \"sum\" is missing")),
        (None, None) => None,
    };
    let window = match wanted.get("window") {
        None => None,
        Some(value) => {
            let window = value.as_str().and_then(duration).filter(|time| !time.is_zero() && *time <= LONGEST);
            Some(window.ok_or_else(|| at("window", "\"window\" is a time such as 1m, 1h or 1d, at most 31d"))?)
        }
    };
    match (calls.is_some() || sum.is_some(), window) {
        (true, None) => return Err((None, Misread::new("over which time: \"window\" is missing"))),
        (false, Some(_)) => return Err(at("window", "\"window\" is for \"calls\" and \"sum\", and there is neither")),
        (false, None) if concurrent.is_none() => {
            return Err((None, Misread::new("a limit has \"calls\", \"sum\" or \"concurrent\"")));
        }
        _ => {}
    }
    Ok(Quota { rule: rule.into(), place, per: per(wanted.get("per"))?, window, calls, sum, concurrent })
}

fn example(key: &str) -> &'static str {
    if key == "sum" { "amount" } else { "currency" }
}

/// Whose calls are counted together; each person's, if nothing is said.
fn per(value: Option<&Value>) -> Result<Box<[Per]>, Wrong> {
    let Some(value) = value else { return Ok([Per::Person].into()) };
    let items = value.as_sequence().map_or(std::slice::from_ref(value), Vec::as_slice);
    let words = || Per::ALL.into_iter().map(Per::as_str);
    let mut per = Vec::new();
    for item in items {
        let text = text_of(item).unwrap_or_default();
        let Some(one) = Per::parse(&text) else {
            let message = format!("\"per\" is one or more of {}", words().collect::<Vec<_>>().join(", "));
            return Err((Some("per"), Misread { message, nearest: nearest(&text, words()).map(Into::into) }));
        };
        per.push(one);
    }
    per.sort_unstable();
    per.dedup();
    match per.as_slice() {
        [] => Err((Some("per"), Misread::new("\"per\" is one or more words"))),
        [_, .., Per::Rule] => Err((Some("per"), Misread::new("\"rule\" is all together, so it stands alone"))),
        _ => Ok(per.into()),
    }
}

/// `512B`, `64KiB`, `2MB`.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits <= 9)?;
    let scale = match &text[digits..] {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok().map(|number| number * scale)
}
