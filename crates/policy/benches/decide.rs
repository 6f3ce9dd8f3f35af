//! What a decision costs: with 10, 100 and 1,000 rules, and for a list of 1,000 tools.
//!
//! `cargo bench -p portcullis-policy`. Each number is that of the fastest of many rounds, which is the one that other
//! programs disturbed least; it is not part of the tests.

#![expect(clippy::print_stdout, reason = "this program is there to tell numbers")]
#![expect(clippy::expect_used, reason = "what is measured is written here")]

use std::{fmt::Write as _, hint::black_box, sync::Arc, time::Instant};

use portcullis_base::{Class, Classes, ClientId, Label, Labels, PersonId, ServerName, Timestamp};
use portcullis_policy::{Access, Bundle, Facts, Kind, Source, Target, decide, listed};

/// Rules as a company has them: most about one tool, some about classes, labels and everything.
fn rules(count: usize) -> String {
    let mut text = String::from(
        "- {rule: limit, who: '*', what: '*', quota: {calls: 600, window: 1m}}
- {rule: careful, who: '*', what: class:destructive, then: ask}
- {rule: money, who: 'group:support', what: class:financial, then: ask, ask: {approvers: group:finance}}
- {rule: tainted, who: '*', what: class:egress, when: '\"tainted\" in session.labels', then: ask}
- {rule: taint, who: '*', what: label:untrusted_content, label: tainted}
",
    );
    let effects = ["allow", "ask", "deny", "allow"];
    for n in text.lines().count()..count {
        let (server, tool) = (n % 20, n / 20);
        let (group, effect) = (n % 7, effects[n % effects.len()]);
        writeln!(
            text,
            "- {{rule: r{n}, who: ['group:g{group}', 'group:support'], what: s{server}/tool_{tool}, when: 'args.amount <= {n} && args.currency in [\"eur\", \"usd\"]', then: {effect}}}"
        )
        .expect("a text takes it");
    }
    text
}

struct Caller {
    person: PersonId,
    client: ClientId,
    groups: Vec<Arc<str>>,
}

impl Caller {
    fn facts<'a>(&'a self, server: &'a ServerName, tool: &'a str, arguments: Option<&'a str>) -> Facts<'a> {
        Facts {
            person: &self.person,
            name: "alice",
            kind: Kind::Person,
            groups: &self.groups,
            roles: &["member"],
            client: &self.client,
            server,
            through: None,
            method: "tools/call",
            target: Target::Tool(tool),
            classes: Classes::from(Class::Write).with(Class::Egress),
            labels: Labels::from(Label::PrivateData),
            tags: &[],
            arguments,
            authenticated_at: Some(Timestamp::from_secs(1_795_399_000)),
            acr: Some("mfa"),
            address: None,
            session_labels: &[],
            now: Timestamp::from_secs(1_795_400_000),
        }
    }
}

/// Nanoseconds of one turn of `work`, in the fastest of the rounds.
fn fastest(turns: u32, rounds: u32, mut work: impl FnMut(usize)) -> f64 {
    let round = |work: &mut dyn FnMut(usize)| {
        let start = Instant::now();
        for turn in 0..turns {
            work(turn as usize);
        }
        start.elapsed().as_nanos() as f64 / f64::from(turns)
    };
    (0..rounds).map(|_| round(&mut work)).fold(f64::MAX, f64::min)
}

fn main() {
    // `cargo test --benches` runs this too: it only has to work then.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 60 } else { 1 };
    let caller = Caller {
        person: PersonId::new("usr_1"),
        client: ClientId::new("https://app.example/client.json"),
        groups: ["everybody", "support", "emea"].map(Arc::from).to_vec(),
    };
    let arguments =
        r#"{"amount":1500,"currency":"eur","reason":"a parcel that never came","lines":[{"id":1},{"id":2}]}"#;
    let access = Access::default();
    let servers: Vec<_> = (0..20).map(|n| ServerName::parse(&format!("s{n}")).expect("a name")).collect();
    let tools: Vec<_> = (0..1000).map(|n| format!("tool_{n}")).collect();
    println!("rules    call, µs    call without conditions, µs    list of 1000 tools, ms");
    for count in [0, 10, 100, 1000] {
        let text = if count == 0 { String::new() } else { rules(count) };
        let bundle = Bundle::load(&[Source { name: "rules.yaml", text: &text }]).expect("these are rules");
        let call = fastest(2000, rounds, |turn| {
            let facts = caller.facts(&servers[turn % 20], &tools[turn % 50], Some(arguments));
            black_box(decide(&bundle, &access, &facts));
        });
        let plain = fastest(2000, rounds, |turn| {
            let mut facts = caller.facts(&servers[turn % 20], &tools[900 + turn % 50], Some(arguments));
            facts.classes = Class::Write.into();
            black_box(decide(&bundle, &access, &facts));
        });
        let list = fastest(2, rounds, |_| {
            for tool in &tools {
                black_box(listed(&bundle, &access, &caller.facts(&servers[0], tool, None)));
            }
        });
        println!("{count:>5}    {:>8.2}    {:>27.2}    {:>22.2}", call / 1e3, plain / 1e3, list / 1e6);
    }
}
