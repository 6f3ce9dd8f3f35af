//! Filters (RFC 7644 section 3.4.2.2): read once against the schema, then asked of each resource.
//!
//! A filter is a stranger's program: its length, its depth and the number of its comparisons are bounded.

use portcullis_base::{Timestamp, printable};
use serde_json::Value;

use super::{
    error::ScimError,
    schema::{Attribute, Kind, Schema},
};

/// The longest filter, in bytes.
const LENGTH: usize = 4096;
/// How deep brackets may be nested.
const DEPTH: usize = 16;
/// How many comparisons.
const TERMS: usize = 64;

/// What a filter's names are names of.
#[derive(Clone, Copy)]
pub enum Scope {
    /// A whole resource.
    Resource(&'static Schema),
    /// One value of an attribute that has several.
    Value(&'static Attribute),
}

impl Scope {
    fn path(self, name: &str) -> Option<Path> {
        match self {
            Self::Resource(schema) => schema.path(name),
            Self::Value(attribute) => attribute.part(name).map(|part| vec![part]),
        }
    }
}

type Path = Vec<&'static Attribute>;

/// A filter that makes sense.
#[derive(Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// At least one of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// There is such a value.
    Present(Path),
    /// There is a value of the attribute for which this holds.
    Any(Path, Box<Filter>),
    /// The comparison holds for a value of the attribute.
    Compare(Path, Operator, Literal),
}

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// They are the same.
    Equal,
    /// They are not.
    NotEqual,
    /// One is in the other.
    Contains,
    /// One begins with the other.
    StartsWith,
    /// One ends with the other.
    EndsWith,
    /// It is greater.
    Greater,
    /// It is not less.
    GreaterOrEqual,
    /// It is less.
    Less,
    /// It is not greater.
    LessOrEqual,
}

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A text; in lower case where case does not count.
    Text(String),
    /// A moment.
    Moment(Timestamp),
    /// True or false.
    Flag(bool),
    /// No value.
    Null,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str, scope: Scope) -> Result<Self, ScimError> {
        if text.len() > LENGTH {
            return Err(ScimError::invalid_filter(format!("a filter is at most {LENGTH} bytes long")));
        }
        let mut parser = Parser { tokens: tokens(text)?, at: 0, terms: 0 };
        let filter = parser.or(scope, 0)?;
        match parser.peek() {
            None => Ok(filter),
            Some(token) => Err(unexpected(token)),
        }
    }

    /// Whether it holds for a resource, or for one value of an attribute.
    pub fn holds(&self, value: &Value) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.holds(value)),
            Self::Or(any) => any.iter().any(|filter| filter.holds(value)),
            Self::Not(filter) => !filter.holds(value),
            Self::Present(path) => values(value, path).into_iter().any(is_present),
            Self::Any(path, filter) => values(value, path).into_iter().any(|value| filter.holds(value)),
            Self::Compare(path, operator, literal) => {
                let exact = path.last().is_some_and(|attribute| attribute.is_exact());
                let found = values(value, path);
                let equal = |value: &&Value| compare(value, Operator::Equal, literal, exact);
                match (operator, literal) {
                    (Operator::Equal, Literal::Null) => !found.into_iter().any(is_present),
                    (Operator::NotEqual, Literal::Null) => found.into_iter().any(is_present),
                    (Operator::NotEqual, _) => !found.iter().any(equal),
                    (operator, _) => found.into_iter().any(|value| compare(value, *operator, literal, exact)),
                }
            }
        }
    }

    /// The texts that `attribute` must equal for the filter to hold, if it says so at the top: an index finds these.
    pub fn must_equal(&self, attribute: &str) -> Option<&str> {
        match self {
            Self::And(all) => all.iter().find_map(|filter| filter.must_equal(attribute)),
            Self::Compare(path, Operator::Equal, Literal::Text(text))
                if path.len() == 1 && path[0].name == attribute =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// Whether it asks for an attribute anywhere.
    pub fn mentions(&self, attribute: &str) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|filter| filter.mentions(attribute)),
            Self::Not(filter) => filter.mentions(attribute),
            Self::Present(path) | Self::Any(path, _) | Self::Compare(path, ..) => path[0].name == attribute,
        }
    }

    /// The values that make the filter hold, if it is nothing but equalities.
    pub fn equalities(&self) -> Option<Vec<(&'static Attribute, Value)>> {
        match self {
            Self::And(all) => {
                let parts: Option<Vec<_>> = all.iter().map(Self::equalities).collect();
                Some(parts?.concat())
            }
            Self::Compare(path, Operator::Equal, Literal::Text(text)) => Some(vec![(path[0], text.clone().into())]),
            Self::Compare(path, Operator::Equal, Literal::Flag(flag)) => Some(vec![(path[0], (*flag).into())]),
            _ => None,
        }
    }
}

/// The values at a path; of attributes with several values, each.
fn values<'a>(value: &'a Value, path: &[&'static Attribute]) -> Vec<&'a Value> {
    let mut found = vec![value];
    for attribute in path {
        found = found.into_iter().filter_map(|value| value.get(attribute.name)).flat_map(each).collect();
    }
    found
}

fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(value: &Value, operator: Operator, literal: &Literal, exact: bool) -> bool {
    match (value, literal) {
        (Value::Bool(flag), Literal::Flag(wanted)) => operator == Operator::Equal && flag == wanted,
        (Value::String(text), Literal::Moment(wanted)) => {
            Timestamp::parse(text).is_some_and(|moment| ordered(&moment, operator, wanted))
        }
        (Value::String(text), Literal::Text(wanted)) => {
            let text = if exact { text.clone() } else { text.to_lowercase() };
            match operator {
                Operator::Contains => text.contains(wanted.as_str()),
                Operator::StartsWith => text.starts_with(wanted.as_str()),
                Operator::EndsWith => text.ends_with(wanted.as_str()),
                operator => ordered(&text, operator, wanted),
            }
        }
        _ => false,
    }
}

fn ordered<T: Ord>(value: &T, operator: Operator, wanted: &T) -> bool {
    match operator {
        Operator::Equal => value == wanted,
        Operator::Greater => value > wanted,
        Operator::GreaterOrEqual => value >= wanted,
        Operator::Less => value < wanted,
        Operator::LessOrEqual => value <= wanted,
        Operator::NotEqual | Operator::Contains | Operator::StartsWith | Operator::EndsWith => false,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    OpenValue,
    CloseValue,
    Word(String),
    Text(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, ScimError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenValue, 1),
            ']' => (Token::CloseValue, 1),
            '"' => {
                // A text is one of JSON, escapes included.
                let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let text = stream.next().and_then(Result::ok);
                let text = text.ok_or_else(|| ScimError::invalid_filter("a text in the filter does not end"))?;
                (Token::Text(text), stream.byte_offset())
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    terms: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token, what: &str) -> Result<(), ScimError> {
        if self.next().as_ref() == Some(token) {
            return Ok(());
        }
        Err(ScimError::invalid_filter(format!("\"{what}\" is missing in the filter")))
    }

    /// spec: RFC7644#3.4.2.2: grouping first, then "not", then "and", then "or".
    fn or(&mut self, scope: Scope, depth: usize) -> Result<Filter, ScimError> {
        if depth > DEPTH {
            return Err(ScimError::invalid_filter("the filter's brackets are nested too deeply"));
        }
        let mut any = vec![self.and(scope, depth)?];
        while self.word("or") {
            any.push(self.and(scope, depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
    }

    fn and(&mut self, scope: Scope, depth: usize) -> Result<Filter, ScimError> {
        let mut all = vec![self.term(scope, depth)?];
        while self.word("and") {
            all.push(self.term(scope, depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Filter::And(all) })
    }

    fn term(&mut self, scope: Scope, depth: usize) -> Result<Filter, ScimError> {
        self.terms += 1;
        if self.terms > TERMS {
            return Err(ScimError::invalid_filter(format!("a filter has at most {TERMS} comparisons")));
        }
        if self.word("not") {
            self.expect(&Token::Open, "(")?;
            let filter = self.or(scope, depth + 1)?;
            self.expect(&Token::Close, ")")?;
            return Ok(Filter::Not(Box::new(filter)));
        }
        match self.next() {
            Some(Token::Open) => {
                let filter = self.or(scope, depth + 1)?;
                self.expect(&Token::Close, ")")?;
                Ok(filter)
            }
            Some(Token::Word(name)) => self.comparison(&name, scope, depth),
            Some(token) => Err(unexpected(&token)),
            None => Err(ScimError::invalid_filter("the filter ends where a comparison is missing")),
        }
    }

    fn comparison(&mut self, name: &str, scope: Scope, depth: usize) -> Result<Filter, ScimError> {
        let unknown = || ScimError::invalid_filter(format!("there is no attribute \"{}\" here", printable(name, 100)));
        let path = scope.path(name).ok_or_else(unknown)?;
        if self.peek() == Some(&Token::OpenValue) {
            let last = *path.last().ok_or_else(unknown)?;
            if last.parts.is_empty() || matches!(scope, Scope::Value(_)) {
                return Err(ScimError::invalid_filter(format!("\"{name}\" has no values with parts")));
            }
            self.at += 1;
            let filter = self.or(Scope::Value(last), depth + 1)?;
            self.expect(&Token::CloseValue, "]")?;
            return Ok(Filter::Any(path, Box::new(filter)));
        }
        if self.word("pr") {
            return Ok(Filter::Present(path));
        }
        let operator = match self.next() {
            Some(Token::Word(word)) => operator(&word)?,
            _ => return Err(ScimError::invalid_filter(format!("an operator is missing after \"{name}\""))),
        };
        let literal =
            self.next().ok_or_else(|| ScimError::invalid_filter("the filter ends where a value is missing"))?;
        compared(path, operator, &literal)
    }
}

fn operator(word: &str) -> Result<Operator, ScimError> {
    Ok(match word.to_ascii_lowercase().as_str() {
        "eq" => Operator::Equal,
        "ne" => Operator::NotEqual,
        "co" => Operator::Contains,
        "sw" => Operator::StartsWith,
        "ew" => Operator::EndsWith,
        "gt" => Operator::Greater,
        "ge" => Operator::GreaterOrEqual,
        "lt" => Operator::Less,
        "le" => Operator::LessOrEqual,
        _ => {
            let why = format!("\"{}\" is no operator: eq ne co sw ew gt ge lt le pr", printable(word, 40));
            return Err(ScimError::invalid_filter(why));
        }
    })
}

/// A comparison that its attribute allows.
fn compared(mut path: Path, operator: Operator, literal: &Token) -> Result<Filter, ScimError> {
    let Some(mut last) = path.last().copied() else { return Err(ScimError::invalid_filter("an attribute is missing")) };
    if last.kind() == Kind::Complex {
        // Of an attribute with several values, the value itself is meant.
        let value = last.part("value").filter(|_| last.is_many());
        last = value
            .ok_or_else(|| ScimError::invalid_filter(format!("\"{}\" has parts: compare one of them", last.name)))?;
        path.push(last);
    }
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    let literal = match (last.kind(), literal) {
        (Kind::Flag, Token::Word(word)) if equality && word == "true" => Literal::Flag(true),
        (Kind::Flag, Token::Word(word)) if equality && word == "false" => Literal::Flag(false),
        (_, Token::Word(word)) if equality && word == "null" => Literal::Null,
        (Kind::Text | Kind::Reference, Token::Text(text)) if last.is_exact() => Literal::Text(text.clone()),
        (Kind::Text | Kind::Reference, Token::Text(text)) => Literal::Text(text.to_lowercase()),
        (Kind::Moment, Token::Text(text)) => {
            let why = || ScimError::invalid_filter(format!("\"{}\" is not a time", printable(text, 60)));
            Literal::Moment(Timestamp::parse(text).ok_or_else(why)?)
        }
        // spec: RFC7644#3.4.2.2: what cannot be ordered, such as a boolean, "SHALL" fail as invalidFilter.
        _ => return Err(ScimError::invalid_filter(format!("\"{}\" cannot be compared like this", last.name))),
    };
    Ok(Filter::Compare(path, operator, literal))
}

fn unexpected(token: &Token) -> ScimError {
    let shown = match token {
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::OpenValue => "[".to_owned(),
        Token::CloseValue => "]".to_owned(),
        Token::Word(text) | Token::Text(text) => printable(text, 60),
    };
    ScimError::invalid_filter(format!("\"{shown}\" is out of place in the filter"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::schema::USER;

    fn ada() -> Value {
        json!({
            "id": "usr_Ab", "userName": "Ada@Example.com", "active": true, "externalId": "X1",
            "name": { "familyName": "O'Malley", "givenName": "Ada" },
            "emails": [
                { "value": "ada@example.com", "type": "work", "primary": true },
                { "value": "ada@home.example", "type": "home" },
            ],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "R&D \"x\"" },
            "meta": { "lastModified": "2026-11-23T02:13:20.123Z" },
        })
    }

    fn parse(text: &str) -> Result<Filter, ScimError> {
        Filter::parse(text, Scope::Resource(&USER))
    }

    // spec: RFC7644#3.4.2.2
    #[test]
    fn filters_hold_as_the_rfc_says() {
        for holds in [
            "userName eq \"ada@example.COM\"",
            "USERNAME Eq \"ada@example.com\"",
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"ADA\"",
            "name.familyName co \"o'mal\"",
            "userName ew \".com\" and active eq true",
            "title pr or userName pr",
            "not (title pr)",
            "title ne \"x\"",
            "title eq null and userName ne null",
            "emails eq \"ada@home.example\"",
            "emails.type eq \"HOME\"",
            "emails[type eq \"work\" and value co \"@example.com\"]",
            "not (emails[type eq \"work\" and value co \"@home\"])",
            "meta.lastModified gt \"2026-11-23T02:13:20Z\"",
            "meta.lastModified le \"2026-11-23T03:13:20.123+01:00\"",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"r&d \\\"X\\\"\"",
            "title pr and userName eq \"x\" or active eq true",
            "(title pr or active eq true) and (externalId eq \"X1\")",
            "id ge \"usr_Ab\" and id lt \"usr_b\"",
        ] {
            assert!(parse(holds).unwrap().holds(&ada()), "{holds}");
        }
        for does_not in [
            "userName eq \"ada\"",
            "externalId eq \"x1\"",
            "active eq false",
            "active ne true",
            "title pr",
            "emails[type eq \"home\" and primary eq true]",
            "emails.value ne \"ada@example.com\"",
            "title pr and (userName eq \"x\" or active eq true)",
            "meta.lastModified lt \"2026-11-23T02:13:20Z\"",
        ] {
            assert!(!parse(does_not).unwrap().holds(&ada()), "{does_not}");
        }
    }

    // spec: RFC7644#3.4.2.2
    #[test]
    fn what_makes_no_sense_is_an_invalid_filter() {
        let deep = format!("{}userName pr{}", "(".repeat(40), ")".repeat(40));
        let long = format!("userName eq \"{}\"", "x".repeat(5_000));
        let wide = vec!["userName pr"; 65].join(" or ");
        for bad in [
            "",
            "userName",
            "userName eq",
            "userName eq ada",
            "userName xx \"a\"",
            "userName eq \"a",
            "eq \"a\"",
            "favouriteColour eq \"blue\"",
            "name eq \"x\"",
            "name.colour pr",
            "active gt true",
            "active co \"t\"",
            "active eq \"true\"",
            "userName eq 1",
            "meta.created gt \"yesterday\"",
            "(userName pr",
            "userName pr)",
            "not userName pr",
            "emails[type eq \"work\"",
            "emails[colour pr]",
            "userName[type pr]",
            "userName pr pr",
            "userName pr and",
            "emails[type eq \"work\"].value pr",
            &deep,
            &long,
            &wide,
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.kind, Some("invalidFilter"), "{bad}");
        }
    }

    #[test]
    fn index_is_used_only_where_it_gives_all() {
        let name = |text: &str| parse(text).unwrap().must_equal("userName").map(str::to_owned);
        assert_eq!(name("active eq true and userName eq \"Ada\"").as_deref(), Some("ada"));
        assert_eq!(name("active eq true or userName eq \"Ada\""), None);
        assert_eq!(name("not (userName eq \"Ada\")"), None);
    }
}
