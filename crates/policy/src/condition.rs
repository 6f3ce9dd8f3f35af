//! Conditions: CEL expressions, checked and compiled when rules are loaded, bounded when they are judged.
//!
//! The interpreter has no budget of its own, so what goes in is bounded: the expression by length, nesting and known
//! names, the arguments by size, and both together by what judging them can cost at most ([`cost`]).

mod arguments;
mod check;
mod cost;
mod moment;
mod network;
pub(crate) mod types;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value, objects::Key};
use portcullis_base::{Class, Label, ServerName};

use self::{
    arguments::{Arguments, ArgumentsError},
    check::Variables,
    cost::Size,
    types::Scope,
};
use crate::request::{Facts, Target};

/// The functions of all conditions. Building it registers some two hundred overloads, so there is one.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    moment::declare(&mut env).expect("the standard library has no such functions on numbers");
    network::declare(&mut env).expect("the standard library has no such function on texts");
    Arc::new(env)
});

/// A compiled condition.
#[derive(Debug)]
pub(crate) struct Condition {
    text: Box<str>,
    program: Program,
    shape: check::Shape,
}

/// What is wrong in an expression.
pub(crate) struct ConditionError {
    pub(crate) message: String,
    pub(crate) nearest: Option<String>,
}

impl Condition {
    /// Checks and compiles `text`.
    pub(crate) fn compile(text: &str) -> Result<Self, ConditionError> {
        check::text(text)?;
        let program = ENV.compile(text).map_err(|errors| {
            let first = errors.errors.first().map_or_else(|| errors.to_string(), |error| error.msg.clone());
            ConditionError { message: format!("the condition cannot be read: {first}"), nearest: None }
        })?;
        let shape = check::expression(program.expression())?;
        let condition = Self { text: text.into(), program, shape };
        condition.fits(Scope::default())?;
        Ok(condition)
    }

    /// Checks that everything in it can be as it wants it, where it is judged.
    pub(crate) fn fits(&self, scope: Scope<'_>) -> Result<(), ConditionError> {
        types::check(self.program.expression(), scope)
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it asks whether something is there.
    pub(crate) fn has_guards(&self) -> bool {
        self.shape.guards
    }

    /// Whether it matters to it what is known of the tool.
    pub(crate) fn reads_risk(&self) -> bool {
        self.shape.variables.has_risk()
    }

    /// Whether it matters to it what the session is called.
    pub(crate) fn reads_session(&self) -> bool {
        self.shape.variables.has_session()
    }

    /// Whether the arguments of a call matter to it.
    pub(crate) fn reads_arguments(&self) -> bool {
        self.shape.variables.has_arguments()
    }

    /// Whether this variable matters to it.
    pub(crate) fn reads(&self, variable: &str) -> bool {
        self.shape.variables.names().any(|name| name == variable)
    }
}

/// The facts of one call as the variables of conditions: built when the first condition is judged, used for all.
pub(crate) struct Judge<'f> {
    facts: &'f Facts<'f>,
    /// Built at most once. An error stands for arguments that no condition can be judged on.
    prepared: Option<Result<Prepared, ArgumentsError>>,
}

struct Prepared {
    context: Context<'static, 'static>,
    /// Which variables the context has.
    known: Variables,
    /// How large the arguments and everything else are.
    arguments: Size,
    others: Size,
    /// What conditions may still cost.
    left: u64,
}

/// Why a condition has no answer.
#[derive(Debug)]
pub(crate) enum Unjudged {
    /// The arguments are no JSON object: no rule decides this.
    Unreadable(&'static str),
    /// Anything else: an allow does not apply, everything stronger does.
    Failed(String),
}

impl<'f> Judge<'f> {
    pub(crate) fn new(facts: &'f Facts<'f>) -> Self {
        Self { facts, prepared: None }
    }

    /// Whether `condition` holds for these facts.
    pub(crate) fn holds(&mut self, condition: &Condition) -> Result<bool, Unjudged> {
        let facts = self.facts;
        let prepared = match self.prepared.get_or_insert_with(|| prepare(facts)) {
            Ok(prepared) => prepared,
            Err(ArgumentsError::Unreadable(why)) => return Err(Unjudged::Unreadable(why)),
            Err(ArgumentsError::TooLarge(why)) => return Err(Unjudged::Failed((*why).into())),
        };
        for variable in condition.shape.variables.without(prepared.known).names() {
            prepared.context.add_variable_from_value(variable, value(variable, facts));
        }
        prepared.known = prepared.known.or(condition.shape.variables);
        let cost = cost::bound(condition.program.expression(), prepared.arguments, prepared.others);
        if cost > cost::CONDITION {
            return Err(Unjudged::Failed("the arguments are too large for this condition".into()));
        }
        prepared.left = match prepared.left.checked_sub(cost) {
            Some(left) => left,
            None => return Err(Unjudged::Failed("the arguments are too large for all conditions together".into())),
        };
        match condition.program.execute(&prepared.context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(Unjudged::Failed("the condition is neither true nor false".into())),
            // The texts of these errors may quote arguments: kept short, and for the log only.
            Err(error) => Err(Unjudged::Failed(portcullis_base::printable(&error.to_string(), 200))),
        }
    }
}

fn prepare(facts: &Facts<'_>) -> Result<Prepared, ArgumentsError> {
    let arguments = Arguments::read(facts.arguments.unwrap_or("{}"))?;
    let mut context = Context::with_env(Arc::clone(&ENV));
    context.add_variable_from_value("args", arguments.value);
    // Whatever else a condition looks at, it is no larger than all of it together.
    let texts = facts.groups.iter().chain(facts.tags).chain(facts.session_labels).map(|text| text.len());
    let others =
        [facts.name, facts.person.as_str(), facts.client.as_str(), facts.method, facts.acr.unwrap_or_default()];
    let named = others.into_iter().map(str::len).chain([facts.target.name().map_or(0, str::len)]);
    let (bytes, items) = texts.chain(named).fold((0, 64), |(bytes, items), length| (bytes + length as u64, items + 1));
    let others = Size { bytes: bytes + 1024, items };
    Ok(Prepared { context, known: Variables::ARGUMENTS, arguments: arguments.size, others, left: cost::CALL })
}

/// The value of a variable other than `args`.
fn value(variable: &str, facts: &Facts<'_>) -> Value {
    fn texts<'t>(texts: impl Iterator<Item = &'t str>) -> Value {
        Value::List(Arc::new(texts.map(Value::from).collect()))
    }
    // What is not known is not there, and a condition on it has no answer.
    fn map<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
        let known = members.into_iter().filter_map(|(name, value)| Some((Key::from(name), value?)));
        Value::Map(known.collect::<HashMap<_, _>>().into())
    }
    let shared = |texts_of: &[Arc<str>]| texts(texts_of.iter().map(|text| &**text));
    match variable {
        "person" => map([
            ("id", Some(facts.person.as_str().into())),
            ("name", Some(facts.name.into())),
            ("kind", Some(facts.kind.as_str().into())),
            ("groups", Some(shared(facts.groups))),
            ("roles", Some(texts(facts.roles.iter().copied()))),
        ]),
        "signin" => {
            let age = facts.authenticated_at.map(|at| facts.now.since(at).as_secs());
            let age = age.map(|age| Value::from(i64::try_from(age).unwrap_or(i64::MAX)));
            map([("age_seconds", age), ("acr", facts.acr.map(Value::from))])
        }
        "network" => map([("address", facts.address.map(|at| Value::from(at.to_canonical().to_string())))]),
        "session" => map([("labels", Some(shared(facts.session_labels)))]),
        "classes" => texts(facts.risk().iter().map(Class::as_str)),
        "labels" => texts(facts.labels.iter().map(Label::as_str)),
        "tags" => shared(facts.tags),
        "client" => facts.client.as_str().into(),
        "server" => facts.server.as_str().into(),
        "through" => facts.through.map_or("", ServerName::as_str).into(),
        "tool" => if let Target::Tool(name) = facts.target { name } else { "" }.into(),
        "method" => facts.method.into(),
        "now" => facts.now.as_secs().into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::{Classes, ClientId, PersonId, Timestamp};

    use super::*;
    use crate::who::Kind;

    fn judge(text: &str, arguments: &str) -> Result<bool, String> {
        let facts = Facts {
            person: &PersonId::new("usr_1"),
            name: "alice",
            kind: Kind::Person,
            groups: &["eng".into(), "ops".into()],
            roles: &["admin"],
            client: &ClientId::new("https://app.example/client.json"),
            server: &ServerName::parse("sample").unwrap(),
            through: Some(&ServerName::parse("daily").unwrap()),
            method: "tools/call",
            target: Target::Tool("echo"),
            classes: Classes::from(Class::Write).with(Class::Destructive),
            labels: Label::PrivateData.into(),
            tags: &["pci".into()],
            arguments: Some(arguments),
            authenticated_at: Some(Timestamp::from_secs(1_795_400_000 - 90)),
            acr: None,
            address: Some("::ffff:10.1.2.3".parse().unwrap()),
            session_labels: &["tainted".into()],
            // A Monday, 02:13:20.
            now: Timestamp::from_secs(1_795_400_000),
        };
        let condition = Condition::compile(text).map_err(|error| error.message)?;
        Judge::new(&facts).holds(&condition).map_err(|why| format!("{why:?}"))
    }

    #[test]
    fn conditions_see_arguments_person_client_server_tool_method_and_time() {
        let arguments = r#"{"amount":500,"rate":0.5,"big":18446744073709551615,"currency":"eur","to":["a@x","b@x"],
            "deep":{"a":[{"b":null}]},"text":"h\u00e9\ud83d\ude42"}"#;
        for holds in [
            "args.amount <= 50000 && args.currency in [\"eur\", \"usd\"]",
            "args.rate < 1 && args.big > 1u && args.amount == 500.0",
            "args.to.all(m, m.endsWith('@x')) && size(args.to) == 2",
            "args.deep.a[0].b == null && !has(args.nothing)",
            "args.text == 'hé🙂' && args.text.contains('é')",
            "person.name == 'alice' && 'ops' in person.groups && 'admin' in person.roles && person.id.startsWith('usr_')",
            "client.startsWith('https://app.example/') && server == 'sample' && tool == 'echo' && method == 'tools/call'",
            "now.getDayOfWeek() == 1 && now.getHours() == 2 && now.getMinutes() == 13 && now < timestamp('2027-01-01T00:00:00Z')",
            "args.to.exists(m, args.deep.a.exists(d, m == 'a@x'))",
            "signin.age_seconds == 90 && signin.age_seconds < 15 * 60 && !has(signin.acr)",
            "classes == ['write', 'destructive'] && 'private_data' in labels && 'pci' in tags && through == 'daily'",
            "person.kind == 'person' && session.labels.exists(l, l == 'tainted')",
            "network.address == '10.1.2.3' && network.address.within('10.0.0.0/8') && network.address.within('10.1.2.3')",
            "!network.address.within('10.2.0.0/16') && !network.address.within('fd00::/8')",
        ] {
            assert_eq!(judge(holds, arguments), Ok(true), "{holds}");
        }
        assert_eq!(judge("args.amount > 500", arguments), Ok(false));
        assert_eq!(judge("size(args) == 0", "{}"), Ok(true));
    }

    #[test]
    fn conditions_without_an_answer_say_so() {
        for unjudged in [
            "args.nothing == 1",
            "args.a + 1 > 2",
            "args.a",
            "timestamp('soon') < now",
            "1 / 0 == 1",
            "signin.acr == 'mfa'",
        ] {
            assert!(judge(unjudged, r#"{"a":"x"}"#).unwrap_err().starts_with("Failed"), "{unjudged}");
        }
        for unreadable in ["", "[]", "\"x\"", "{", r#"{"a":1,"a":2}"#, r#"{"a":1}{}"#, r#"{"a":1e999}"#] {
            assert!(judge("true", unreadable).unwrap_err().starts_with("Unreadable"), "{unreadable}");
        }
    }

    #[test]
    fn arguments_too_large_for_a_condition_are_not_judged() {
        let list = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(","));
        assert_eq!(judge("args.a.all(x, x == 1)", &list(1000)), Ok(true));
        assert!(judge("args.a.all(x, x == 1)", &list(10_000)).is_err());
        assert!(judge("args.a.all(x, args.a.all(y, y == x))", &list(1000)).is_err());
        assert_eq!(judge("args.a[0] == 1", &list(9000)), Ok(true));
        assert!(judge("args.a[0] == 1", &list(40_000)).is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(judge("true", &deep).is_err());
    }

    #[test]
    fn expressions_are_refused_when_they_name_what_is_not_there_or_nest_too_deep() {
        let refused = |text: &str| Condition::compile(text).err().map(|error| (error.message, error.nearest));
        let nearest = |text: &str| refused(text).unwrap().1;
        assert_eq!(nearest("arg.amount > 1").as_deref(), Some("args"));
        assert_eq!(nearest("person.group == 'x'").as_deref(), Some("groups"));
        assert_eq!(nearest("signin.age_second < 60").as_deref(), Some("age_seconds"));
        assert_eq!(nearest("sigin.acr == 'mfa'").as_deref(), Some("signin"));
        assert_eq!(nearest("args.a.startWith('x')").as_deref(), Some("startsWith"));
        assert_eq!(nearest("network.adress == ''").as_deref(), Some("address"));
        assert_eq!(nearest("'x' in session.label").as_deref(), Some("labels"));
        assert_eq!(nearest("'destuctive' in classes").as_deref(), Some("destructive"));
        assert_eq!(
            nearest("labels.exists(l, l == 'bulk') || 'privat_data' in labels").as_deref(),
            Some("private_data")
        );
        for text in [
            "",
            "args.a >",
            "args.a.matches('x+')",
            "1",
            "person.name",
            "person.name > 5",
            "person.groups == 'ops'",
            "now == '2027'",
            "now.startsWith('2')",
            "person.groups.exists(g, g > 1)",
            "size(args) + 'x' == 'x'",
            "client - 1 == 2",
            "!person.name",
            "args.a && tool",
            "1 in client",
            "args.n > 1 ? server : tool",
            "person.name.first == 'x'",
            "'robot' == person.kind",
            "network.address.within('10.0.0.0/33')",
            "network.address.within('intern')",
            "Foo{a: 1} == Foo{a: 1}",
            &"(".repeat(2000),
            &format!("{}true{}", "(".repeat(30), ")".repeat(30)),
            &format!("1{} == 1", "+1".repeat(900)),
            &format!("args{} == 1", ".b".repeat(900)),
            &format!("{}1{} == 1", "true?".repeat(300), ":1".repeat(300)),
            &format!("'{}' == args.a", "x".repeat(3000)),
            "args.a.all(x, args.b.all(y, args.c.all(z, x == y && y == z)))",
        ] {
            assert!(refused(text).is_some(), "{}", &text[..text.len().min(60)]);
        }
    }
}
