//! What an approval is bound to: a digest over everything that makes a call the call that it is, in canonical form
//! (RFC 8785), so that the order of members and the form of numbers change nothing and everything else does.

use std::{fmt, sync::Arc};

use portcullis_base::{ClientId, Digest, PersonId, ServerName, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, json};

use crate::{ask::Ask, request::Target};

/// The arguments of a call, read so that everybody who reads them reads the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    value: Value,
    /// Of the text itself, where canonical form would lose something of it.
    written: Option<Digest>,
}

/// These arguments cannot be bound: a server might read them in another way than we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBound;

/// A call, as far as an approval is bound to it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which gateway: its own URL.
    pub tenant: &'a str,
    /// Whose.
    pub person: &'a PersonId,
    /// Through which client.
    pub client: &'a ClientId,
    /// At which server.
    pub server: &'a ServerName,
    /// Which tool, prompt or resource.
    pub target: Target<'a>,
    /// The digest of the definition that it is called by, if one is known.
    pub definition: Option<&'a Digest>,
    /// With what.
    pub arguments: &'a Arguments,
}

impl Arguments {
    /// Reads `params.arguments` as it stands in the body. A call without arguments and one with none in them are the same.
    pub fn read(raw: Option<&str>) -> Result<Self, NotBound> {
        let raw = raw.unwrap_or("{}");
        let mut reader = serde_json::Deserializer::from_str(raw);
        let read = Strict.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        let value = read.ok().filter(Value::is_object).ok_or(NotBound)?;
        // Numbers are doubles in RFC 8785: it takes 9007199254740993 for 9007199254740992. A server may not.
        let written = numbers(raw).any(|number| !is_double(number)).then(|| Digest::of(raw.as_bytes()));
        Ok(Self { value, written })
    }

    /// Of all of it.
    pub fn digest(&self) -> Digest {
        digest(&self.bound())
    }

    /// Of one member, if it is there.
    pub(super) fn member(&self, name: &str) -> Option<Digest> {
        // What canonical form would lose is not compared member by member.
        if self.written.is_some() {
            return None;
        }
        self.value.get(name).map(digest)
    }

    fn bound(&self) -> Value {
        match &self.written {
            None => self.value.clone(),
            Some(written) => json!([self.value, written.to_base64url()]),
        }
    }
}

impl Call<'_> {
    /// What an approval of this call until `expires_at` stands for, and what a passkey signs.
    ///
    /// spec: T-80
    pub fn binding(&self, nonce: &str, expires_at: Timestamp) -> Digest {
        let mut document = self.document();
        document.insert("nonce".into(), nonce.into());
        document.insert("expires_at".into(), expires_at.as_millis().into());
        digest(&document.into())
    }

    /// What identical calls that wait share, so that they are one. With other demands it is another one: whoever changes the
    /// rules while a call waits gets it asked anew.
    ///
    /// spec: T-84, T-96
    pub fn fold(&self, demands: &[Arc<Ask>]) -> Digest {
        let mut document = self.document();
        document.insert("demands".into(), json!(demands));
        digest(&document.into())
    }

    /// The call itself, whatever is demanded of it: what the cool-down after a refusal goes by.
    pub fn digest(&self) -> Digest {
        digest(&self.document().into())
    }

    /// The call, as far as a decision knows it: not whose gateway this is, nor how the tool is defined.
    pub(crate) fn subject(&self) -> Digest {
        Self { tenant: "", definition: None, ..*self }.digest()
    }

    fn document(&self) -> Map<String, Value> {
        let (kind, target) = match self.target {
            Target::None => ("none", ""),
            Target::Tool(name) => ("tool", name),
            Target::Prompt(name) => ("prompt", name),
            Target::Resource(uri) => ("resource", uri),
            Target::Task(id) => ("task", id),
        };
        let mut document = Map::new();
        for (name, text) in [
            ("tenant", self.tenant),
            ("person", self.person.as_str()),
            ("client", self.client.as_str()),
            ("server", self.server.as_str()),
            ("kind", kind),
            ("target", target),
        ] {
            document.insert(name.into(), text.into());
        }
        document.insert("definition".into(), self.definition.map(Digest::to_base64url).into());
        document.insert("arguments".into(), self.arguments.bound());
        document
    }
}

fn digest(value: &Value) -> Digest {
    Digest::of(&serde_json_canonicalizer::to_vec(value).expect("what was read from JSON can be written as JSON"))
}

/// The numbers in a JSON text, as they are written.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let in_number = move |c: char| {
        let outside = !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        outside && (c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E'))
    };
    let mut in_number = in_number;
    // The letters of `true` and `false` are caught too; nothing that has no digit is a number.
    json.split(move |c| !in_number(c)).filter(|text| text.contains(|c: char| c.is_ascii_digit()))
}

/// Whether a number is what is written of the double that it is read as.
fn is_double(number: &str) -> bool {
    let Ok(read) = number.parse::<f64>() else { return false };
    read.is_finite() && decimal(number) == decimal(&format!("{read:e}"))
}

/// The digits of a number without zeros around them, and the power of ten of the last one.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (number, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = [whole, fraction].concat();
    let kept = digits.trim_end_matches('0');
    let exponent = exponent.parse::<i64>().ok()? - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() { Some((false, String::new(), 0)) } else { Some((negative, kept.to_owned(), exponent)) }
}

/// Reads a JSON value; one with a member that stands twice is none.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("this is no number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(arguments: &str, with: impl FnOnce(&mut Call<'_>) -> (&'static str, i64)) -> Digest {
        let arguments = Arguments::read(Some(arguments)).unwrap();
        let (person, client) = (PersonId::new("usr_a"), ClientId::new("c"));
        let server = ServerName::parse("shop").unwrap();
        let definition = Digest::of(b"definition");
        let mut call = Call {
            tenant: "https://gateway.example",
            person: &person,
            client: &client,
            server: &server,
            target: Target::Tool("refund"),
            definition: Some(&definition),
            arguments: &arguments,
        };
        let (nonce, expires_at) = with(&mut call);
        call.binding(nonce, Timestamp::from_secs(expires_at))
    }

    fn of(arguments: &str) -> Digest {
        bound(arguments, |_| ("n", 1))
    }

    /// spec: T-80
    #[test]
    fn order_of_members_and_form_of_numbers_change_nothing() {
        let one = of(r#"{"amount":100,"to":{"a":"é","b":[1,2]}}"#);
        for same in [
            r#"{"to":{"b":[1,2],"a":"é"},"amount":100}"#,
            r#" { "amount" : 1e2, "to" : { "a" : "\u00e9", "b" : [ 1.0, 0.2e1 ] } } "#,
            r#"{"amount":100.000,"to":{"a":"é","b":[10e-1,2]}}"#,
        ] {
            assert_eq!(of(same), one, "{same}");
        }
    }

    /// spec: T-80
    #[test]
    fn whatever_else_changes_is_another_call() {
        let plain = r#"{"amount":100,"to":["a","b"]}"#;
        let mut all = vec![of(plain)];
        for other in [
            r#"{"amount":101,"to":["a","b"]}"#,
            r#"{"amount":"100","to":["a","b"]}"#,
            r#"{"amount":-100,"to":["a","b"]}"#,
            r#"{"amount":100,"to":["b","a"]}"#,
            r#"{"amount":100,"to":["a","b",null]}"#,
            r#"{"amount":100,"to":["a","b"],"x":null}"#,
            r#"{"amount":100,"to":["a","b "]}"#,
            r#"{"amount":100,"to":["a","ｂ"]}"#,
            r#"{"Amount":100,"to":["a","b"]}"#,
            r#"{"amount":100}"#,
            "{}",
            // What doubles cannot tell apart, and a server may.
            r#"{"amount":9007199254740992}"#,
            r#"{"amount":9007199254740993}"#,
            r#"{"amount":9007199254740993.0}"#,
            r#"{"amount":0.1}"#,
            r#"{"amount":0.10000000000000000001}"#,
            r#"{"amount":0.100000000000000000011}"#,
        ] {
            all.push(of(other));
        }
        let (bob, other) = (PersonId::new("usr_b"), ClientId::new("d"));
        let (office, digest) = (ServerName::parse("office").unwrap(), Digest::of(b"changed"));
        all.push(bound(plain, |_| ("m", 1)));
        all.push(bound(plain, |_| ("n", 2)));
        let changes: [fn(&mut Call<'_>); 5] = [
            |call| call.tenant = "https://other.example",
            |call| call.target = Target::Tool("refunds"),
            |call| call.target = Target::Prompt("refund"),
            |call| call.target = Target::Resource("refund"),
            |call| call.definition = None,
        ];
        for change in changes {
            all.push(bound(plain, |call| {
                change(call);
                ("n", 1)
            }));
        }
        let arguments = Arguments::read(Some(plain)).unwrap();
        let mine = (PersonId::new("usr_a"), ClientId::new("c"), ServerName::parse("shop").unwrap());
        for (person, client, server, definition) in [
            (&bob, &mine.1, &mine.2, &Digest::of(b"definition")),
            (&mine.0, &other, &mine.2, &Digest::of(b"definition")),
            (&mine.0, &mine.1, &office, &Digest::of(b"definition")),
            (&mine.0, &mine.1, &mine.2, &digest),
        ] {
            let call = Call {
                tenant: "https://gateway.example",
                person,
                client,
                server,
                target: Target::Tool("refund"),
                definition: Some(definition),
                arguments: &arguments,
            };
            all.push(call.binding("n", Timestamp::from_secs(1)));
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    /// spec: T-96
    #[test]
    fn other_demands_are_another_fold_of_the_same_call() {
        let arguments = Arguments::read(None).unwrap();
        let call = Call {
            tenant: "t",
            person: &PersonId::new("usr_a"),
            client: &ClientId::new("c"),
            server: &ServerName::parse("shop").unwrap(),
            target: Target::Tool("refund"),
            definition: None,
            arguments: &arguments,
        };
        let plain = Arc::new(Ask::plain("r".into()));
        let two = Arc::new(Ask { quorum: 2, ..(*plain).clone() });
        let folds = [
            call.fold(&[]),
            call.fold(std::slice::from_ref(&plain)),
            call.fold(std::slice::from_ref(&two)),
            call.fold(&[plain, two]),
        ];
        for (at, fold) in folds.iter().enumerate() {
            assert_eq!(folds.iter().position(|other| other == fold), Some(at));
            assert_ne!(*fold, call.digest());
        }
    }

    /// spec: T-60
    #[test]
    fn what_can_be_read_in_two_ways_is_not_bound() {
        let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}{}",
            r#"{"a":1,"a":2}"#,
            r#"{"b":{"a":1,"\u0061":2}}"#,
            "{\"a\":1e999}",
            &deep,
        ] {
            assert_eq!(Arguments::read(Some(text)), Err(NotBound), "{text}");
        }
        assert_eq!(Arguments::read(Some(" {} ")), Arguments::read(None));
    }

    #[test]
    fn numbers_are_found_outside_of_texts_only() {
        let json = r#"{"a\"1":-1.5e+3,"2":[true,"\\",3],"x":"4"}"#;
        assert_eq!(numbers(json).collect::<Vec<_>>(), ["-1.5e+3", "3"]);
        for (number, double) in
            [("0", true), ("-0.0", true), ("1.50", true), ("1e400", false), ("18446744073709551615", false)]
        {
            assert_eq!(is_double(number), double, "{number}");
        }
    }
}
