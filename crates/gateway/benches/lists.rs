//! What it costs to know the tools of a list: when it is news, and each time that it passes after that.
//!
//! `cargo bench -p portcullis-gateway`. Each number is that of the fastest of many rounds, which is the one that other
//! programs disturbed least; it is not part of the tests.

#![expect(clippy::print_stdout, reason = "this program is there to tell numbers")]
#![expect(clippy::expect_used, reason = "what is measured is written here")]

use std::{hint::black_box, sync::Arc, time::Instant};

use portcullis_base::{ClientId, PersonId, ServerName, Timestamp};
use portcullis_gateway::tools::{Book, Origin, Part, Risk, hinted};
use portcullis_mcp::scan;
use portcullis_policy::{Access, Bundle, Facts, Kind, Target, listed};

/// A tool as servers have them: about 900 bytes.
fn tool(n: usize) -> String {
    let verb = ["get", "list", "create", "update", "delete", "search", "send", "export"][n % 8];
    let properties: Vec<_> = (0..5)
        .map(|at| {
            format!(r#""field_{at}":{{"type":"string","description":"What field {at} is about, in so many words"}}"#)
        })
        .collect();
    format!(
        r#"{{"name":"{verb}_thing_{n}","title":"{verb} thing {n}","description":"Does {verb} with the thing of number {n}. Give its identifier, and what else is known of it. {}","inputSchema":{{"type":"object","properties":{{{}}},"required":["field_0"]}},"annotations":{{"readOnlyHint":true}}}}"#,
        "It is one of many. ".repeat(8),
        properties.join(",")
    )
}

/// Milliseconds of the fastest round of `work`.
fn fastest(rounds: u32, mut work: impl FnMut()) -> f64 {
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..rounds).map(|_| round(&mut work)).fold(f64::MAX, f64::min)
}

fn main() {
    // `cargo test --benches` runs this too: it only has to work then.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 60 } else { 1 };
    let server = ServerName::parse("things").expect("a name");
    let (person, client) = (PersonId::new("usr_1"), ClientId::new("https://app.example/client.json"));
    let (bundle, access) = (Bundle::default(), Access::default());
    let groups: [Arc<str>; 1] = ["everybody".into()];
    println!("tools    bytes    news, ms    known, ms    known, filtered and hinted, ms");
    for count in [10, 100, 1000] {
        let list = format!("[{}]", (0..count).map(tool).collect::<Vec<_>>().join(","));
        let news = fastest(rounds.min(10), || {
            black_box(Book::new(server.clone()).learn(None, Part::First, &list, &Origin::Stranger));
        });
        let book = Book::new(server.clone());
        let learn = || book.learn(None, Part::First, &list, &Origin::Stranger);
        learn();
        let known = fastest(rounds, || drop(black_box(learn())));
        let shown = fastest(rounds, || {
            let sheet = learn();
            let mut out = String::with_capacity(list.len() + list.len() / 4);
            for entry in scan::elements(&list) {
                let Some(name) = scan::member(entry, "name").and_then(scan::string) else { continue };
                let risk = Risk::of(sheet.page(&name).map(|page| &**page), None);
                let facts = Facts {
                    person: &person,
                    name: "alice",
                    kind: Kind::Person,
                    groups: &groups,
                    roles: &["member"],
                    client: &client,
                    server: &server,
                    through: None,
                    method: "tools/call",
                    target: Target::Tool(&name),
                    classes: risk.classes,
                    labels: risk.labels,
                    tags: &[],
                    arguments: None,
                    authenticated_at: None,
                    acr: None,
                    address: None,
                    session_labels: &[],
                    now: Timestamp::from_secs(1_795_400_000),
                };
                if listed(&bundle, &access, &facts) {
                    hinted(entry, &risk, &mut out);
                }
            }
            black_box(out);
        });
        println!("{count:>5}    {:>5}    {news:>8.3}    {known:>9.3}    {shown:>30.3}", list.len());
    }
}
