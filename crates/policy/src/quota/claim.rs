//! What one call takes of a limit.

use std::{fmt, sync::Arc};

use portcullis_base::Digest;

use super::{Per, Quota, Sum};
use crate::{
    amount::Amount,
    approval::Arguments,
    request::{Facts, Target},
};

/// What one call takes of a limit, and which counter it is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The limit.
    pub quota: Arc<Quota>,
    /// The name of the counter: the rule, the limit in it, and whose.
    pub key: Box<str>,
    /// How much, if an amount is limited.
    pub amount: Amount,
    /// Of what.
    pub unit: Option<Box<str>>,
}

/// A call that cannot be counted, as its arguments do not tell what is counted: it does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclaimable {
    /// The rule.
    pub rule: Arc<str>,
    /// The argument, and what is wrong with it.
    pub message: Box<str>,
}

impl fmt::Display for Unclaimable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule \"{}\" counts what this call does not tell: {}.", self.rule, self.message)
    }
}

impl std::error::Error for Unclaimable {}

/// The longest key that is kept as it is: names of tools and resources are as long as callers like.
const KEY: usize = 512;
/// The longest name of a unit.
const UNIT: usize = 16;
/// The most amounts in one call.
const AMOUNTS: usize = 10_000;

impl Quota {
    /// What the call takes; `None` if it is about nothing that is counted: lists and handshakes are not.
    ///
    /// spec: T-60, T-79: an amount that cannot be told is not let through; identical calls are told by their canonical form.
    pub fn claim(self: &Arc<Self>, facts: &Facts<'_>) -> Result<Option<Claim>, Unclaimable> {
        let (kind, name) = match facts.target {
            Target::Tool(name) => ("tool", name),
            Target::Prompt(name) => ("prompt", name),
            Target::Resource(name) => ("resource", name),
            Target::None | Target::Task(_) => return Ok(None),
        };
        let unclaimable = |message: String| Unclaimable { rule: Arc::clone(&self.rule), message: message.into() };
        let place = self.place.to_string();
        let arguments = if self.per.contains(&Per::Arguments) {
            let read = Arguments::read(facts.arguments);
            let read = read.map_err(|_| unclaimable("the arguments can be read in more than one way".into()))?;
            read.digest().to_base64url()
        } else {
            String::new()
        };
        let mut key = vec![&*self.rule, &place];
        for per in &self.per {
            match per {
                Per::Person => key.push(facts.person.as_str()),
                Per::Client => key.push(facts.client.as_str()),
                Per::Server => key.push(facts.server.as_str()),
                Per::Tool => key.extend([facts.server.as_str(), kind, name]),
                Per::Class => key.push(facts.risk().primary().as_str()),
                Per::Arguments => key.push(&arguments),
                Per::Rule => {}
            }
        }
        let (mut amount, mut unit) = (Amount::ZERO, None);
        if let (Some(sum), Target::Tool(_)) = (&self.sum, facts.target) {
            let taken = sum.taken(facts.arguments.unwrap_or("{}"));
            (amount, unit) = taken.map_err(unclaimable)?;
            key.extend(unit.as_deref());
        }
        let mut key = serde_json::to_string(&key).expect("texts have a JSON form");
        if key.len() > KEY {
            key = Digest::of(key.as_bytes()).to_base64url();
        }
        Ok(Some(Claim { quota: Arc::clone(self), key: key.into(), amount, unit }))
    }
}

impl Sum {
    /// How much, of what.
    fn taken(&self, arguments: &str) -> Result<(Amount, Option<Box<str>>), String> {
        let path = &self.of;
        let found = path.find(arguments).map_err(|_| String::from("the arguments are not valid JSON"))?;
        if found.is_empty() || found.len() > AMOUNTS {
            return Err(format!("args.{path} is {}", if found.is_empty() { "missing" } else { "too many" }));
        }
        let mut amount = Amount::ZERO;
        for text in found {
            let one = Amount::parse(text).ok_or_else(|| {
                format!("args.{path} is not a number from 0 with up to 17 digits before the point and 12 behind it")
            })?;
            amount = amount.plus(one);
        }
        let Some(path) = &self.unit else { return Ok((amount, None)) };
        let found = path.find(arguments).map_err(|_| String::from("the arguments are not valid JSON"))?;
        let unit = match found.as_slice() {
            [one] => serde_json::from_str::<String>(one).ok(),
            _ => None,
        };
        // One unit written in many ways would be one limit each.
        let unit = unit
            .filter(|unit| (1..=UNIT).contains(&unit.len()) && unit.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let unit = unit.ok_or_else(|| format!("args.{path} is not one unit such as eur"))?;
        Ok((amount, Some(unit.to_ascii_lowercase().into())))
    }
}
