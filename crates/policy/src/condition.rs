//! Conditions: CEL expressions, checked and compiled when rules are loaded, bounded when they are judged.
//!
//! The interpreter has no budget of its own, so what goes in is bounded: the expression by length, nesting and known
//! names, the arguments by size, and both together by the steps that loops over them could take.

mod arguments;
mod check;
mod moment;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value, objects::Key};

use self::arguments::{Arguments, ArgumentsError};
use crate::request::{Facts, Target};

/// The functions of all conditions. Building it registers some two hundred overloads, so there is one.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    moment::declare(&mut env).expect("the standard library has no such functions on numbers");
    Arc::new(env)
});

/// Steps that the loops of one condition may take: some ten milliseconds.
const STEPS: u64 = 10_000;
/// The same for what one step may touch, in members times bytes.
const TOUCHED: u64 = 10_000_000;

/// A compiled condition.
#[derive(Debug)]
pub(crate) struct Condition {
    program: Program,
    shape: check::Shape,
}

/// What is wrong in an expression.
pub(crate) struct ConditionError {
    pub(crate) message: String,
    pub(crate) nearest: Option<&'static str>,
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
        Ok(Self { program, shape })
    }

    /// Whether the arguments of a call matter to it.
    pub(crate) fn reads_arguments(&self) -> bool {
        self.shape.reads_arguments
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
    members: u64,
    bytes: u64,
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
        let loops = condition.shape.loops;
        let steps = prepared.members.saturating_pow(loops);
        if loops > 0 && (steps > STEPS || prepared.members.saturating_mul(prepared.bytes) > TOUCHED) {
            return Err(Unjudged::Failed("the arguments are too large to loop over".into()));
        }
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
    let texts = |texts: &mut dyn Iterator<Item = &str>| Value::List(Arc::new(texts.map(Value::from).collect()));
    let person = [
        ("id", Value::from(facts.person.as_str())),
        ("name", Value::from(facts.name)),
        ("groups", texts(&mut facts.groups.iter().map(|group| &**group))),
        ("roles", texts(&mut facts.roles.iter().copied())),
    ];
    let person: HashMap<Key, Value> = person.into_iter().map(|(name, value)| (Key::from(name), value)).collect();
    // What is not known is not there, and a condition on it has no answer.
    let age =
        facts.authenticated_at.map(|at| Value::from(i64::try_from(facts.now.since(at).as_secs()).unwrap_or(i64::MAX)));
    let sign_in = [("age_seconds", age), ("acr", facts.acr.map(Value::from))];
    let sign_in: HashMap<Key, Value> =
        sign_in.into_iter().filter_map(|(name, value)| Some((Key::from(name), value?))).collect();
    let tool = if let Target::Tool(name) = facts.target { name } else { "" };

    let mut context = Context::with_env(Arc::clone(&ENV));
    context.add_variable_from_value("args", arguments.value);
    context.add_variable_from_value("person", Value::Map(person.into()));
    context.add_variable_from_value("signin", Value::Map(sign_in.into()));
    context.add_variable_from_value("client", facts.client.as_str());
    context.add_variable_from_value("server", facts.server.as_str());
    context.add_variable_from_value("tool", tool);
    context.add_variable_from_value("method", facts.method);
    context.add_variable_from_value("now", facts.now.as_secs());
    Ok(Prepared { context, members: arguments.members, bytes: arguments.bytes })
}

#[cfg(test)]
mod tests {
    use portcullis_base::{ClientId, PersonId, ServerName, Timestamp};

    use super::*;

    fn judge(text: &str, arguments: &str) -> Result<bool, String> {
        let facts = Facts {
            person: &PersonId::new("usr_1"),
            name: "alice",
            groups: &["eng".into(), "ops".into()],
            roles: &["admin"],
            client: &ClientId::new("https://app.example/client.json"),
            server: &ServerName::parse("sample").unwrap(),
            method: "tools/call",
            target: Target::Tool("echo"),
            arguments: Some(arguments),
            authenticated_at: Some(Timestamp::from_secs(1_795_400_000 - 90)),
            acr: None,
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
            "1",
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
        assert_eq!(nearest("arg.amount > 1"), Some("args"));
        assert_eq!(nearest("person.group == 'x'"), Some("groups"));
        assert_eq!(nearest("signin.age_second < 60"), Some("age_seconds"));
        assert_eq!(nearest("sigin.acr == 'mfa'"), Some("signin"));
        assert_eq!(nearest("args.a.startWith('x')"), Some("startsWith"));
        for text in [
            "",
            "args.a >",
            "args.a.matches('x+')",
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
