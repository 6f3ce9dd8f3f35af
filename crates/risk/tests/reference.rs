//! How the classifier fares on a list that others made, half of which nobody looked at while the tables were set.

#![expect(clippy::unwrap_used, reason = "a list that is not what it was is to be loud")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use portcullis_base::{Class, Digest};
use portcullis_risk::{Assessment, Profile, Server, Source, Tool, classify};
use serde_json::json;

const TOOLS: &str = include_str!("reference/tools.tsv");
const DISAGREEMENTS: &str = include_str!("reference/disagreements.tsv");
/// Their words, in the order of their table.
const THEIRS: [&str; 6] = ["Read", "Write", "Execute", "Destructive", "Financial", "Other"];

/// A tool of the list.
struct Row {
    server: &'static str,
    tool: &'static str,
    category: &'static str,
    description: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The tables were set with these in sight.
    Tuned,
    /// These were first looked at when the tables stood.
    HeldOut,
}

impl Row {
    /// By the last bit of the server's digest, so that a server is wholly in one half.
    fn half(&self) -> Half {
        if Digest::of(self.server.as_bytes()).as_bytes()[31] & 1 == 0 { Half::Tuned } else { Half::HeldOut }
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().skip(1).map(|line| line.split('\t').collect())
}

fn rows() -> Vec<Row> {
    let row =
        |cells: Vec<&'static str>| Row { server: cells[0], tool: cells[1], category: cells[2], description: cells[3] };
    lines(TOOLS).map(row).collect()
}

struct Judged {
    row: Row,
    found: Assessment,
}

impl Judged {
    fn class(&self) -> Class {
        self.found.classes.primary()
    }

    /// Whether they give it a class, and which.
    fn theirs(&self) -> Option<Class> {
        Class::parse(&self.row.category.to_ascii_lowercase())
    }

    fn agrees(&self) -> bool {
        self.theirs() == Some(self.class())
    }
}

fn judged(profile: Profile) -> Vec<Judged> {
    let rows = rows();
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in &rows {
        names.entry(row.server).or_default().push(row.tool);
    }
    let servers: BTreeMap<&str, Server> = names
        .into_iter()
        .map(|(name, tools)| (name, Server::new(name, tools, Source::Untrusted).with_profile(profile)))
        .collect();
    let judge = |row: Row| {
        let definition = json!({ "name": row.tool, "description": row.description }).to_string();
        let found = classify(&Tool::new(row.tool, &definition), &servers[row.server]);
        Judged { row, found }
    };
    rows.into_iter().map(judge).collect()
}

/// What somebody made of a disagreement.
struct Reason {
    kind: &'static str,
    why: &'static str,
}

fn reasons() -> BTreeMap<(&'static str, &'static str), Reason> {
    lines(DISAGREEMENTS).map(|cells| ((cells[0], cells[1]), Reason { kind: cells[2], why: cells[3] })).collect()
}

/// Figures of a part of the list.
#[derive(Default)]
struct Figures {
    tools: usize,
    classed: usize,
    agree: usize,
    /// Disagreements of a kind that was known to be an error of the list before it was measured.
    named: usize,
    destructive: usize,
    destructive_found: usize,
    other: usize,
    resolved: usize,
    table: BTreeMap<(usize, Class), usize>,
}

fn figures<'a>(all: impl Iterator<Item = &'a Judged>) -> Figures {
    let reasons = reasons();
    let mut sum = Figures::default();
    for one in all {
        sum.tools += 1;
        let category = THEIRS.iter().position(|word| *word == one.row.category).unwrap();
        *sum.table.entry((category, one.class())).or_default() += 1;
        if let Some(theirs) = one.theirs() {
            sum.classed += 1;
            sum.agree += usize::from(one.agrees());
            let reason = reasons.get(&(one.row.server, one.row.tool));
            sum.named += usize::from(!one.agrees() && reason.is_some_and(|reason| reason.kind == "named"));
            if theirs == Class::Destructive {
                sum.destructive += 1;
                sum.destructive_found += usize::from(one.found.classes.contains(Class::Destructive));
            }
        } else {
            sum.other += 1;
            sum.resolved += usize::from(one.class() != Class::Unknown);
        }
    }
    sum
}

fn share(part: usize, all: usize) -> f64 {
    100.0 * part as f64 / all as f64
}

#[test]
fn the_list_is_what_it_was_and_its_halves_share_no_server() {
    let rows = rows();
    let servers: BTreeSet<_> = rows.iter().map(|row| row.server).collect();
    assert_eq!((rows.len(), servers.len()), (967, 53));
    let held = rows.iter().filter(|row| row.half() == Half::HeldOut).count();
    assert_eq!(held, 481);
    assert!(rows.iter().all(|row| THEIRS.contains(&row.category)));
}

#[test]
fn the_held_out_half_and_the_whole_reach_the_figures() {
    let all = judged(Profile::Empty);
    let whole = figures(all.iter());
    let held = figures(all.iter().filter(|one| one.row.half() == Half::HeldOut));
    for figures in [&whole, &held] {
        assert_eq!(figures.destructive_found, figures.destructive);
        assert!(share(figures.agree, figures.classed) >= 91.67, "{} of {}", figures.agree, figures.classed);
        assert!(share(figures.resolved, figures.other) >= 100.0 * 220.0 / 234.0);
    }
    assert_eq!(whole.destructive, 36);
    assert!(whole.resolved >= 220, "{}", whole.resolved);
    // As the product judges, which takes a browser to be signed in.
    let strict = judged(Profile::MaySignIn);
    let strict = figures(strict.iter().filter(|one| one.row.half() == Half::HeldOut));
    assert!(strict.agree >= 360 && share(strict.agree, strict.classed - strict.named) >= 91.67, "{}", strict.agree);
}

#[test]
fn nothing_that_destroys_or_spends_comes_out_as_reading() {
    let reasons = reasons();
    for profile in [Profile::Empty, Profile::MaySignIn] {
        for one in judged(profile).iter().filter(|one| one.class() == Class::Read) {
            let theirs = one.theirs();
            assert_ne!(theirs, Some(Class::Destructive), "{}", one.row.tool);
            // What they call financial and what reads must be such that its name and its words begin with looking.
            if theirs == Some(Class::Financial) {
                let looks = ["get", "list", "show", "search", "retrieve"];
                let first = one.row.description.split(' ').next().unwrap_or("").to_ascii_lowercase();
                assert!(looks.contains(&first.as_str()), "{}: {}", one.row.tool, one.row.description);
                assert_eq!(reasons[&(one.row.server, one.row.tool)].kind, "named");
            }
        }
    }
}

#[test]
fn every_disagreement_has_been_looked_at() {
    let all = judged(Profile::Empty);
    let open: BTreeSet<_> = all
        .iter()
        .filter(|one| one.theirs().is_some() && !one.agrees())
        .map(|one| (one.row.server, one.row.tool))
        .collect();
    let read: BTreeSet<_> = reasons().into_keys().collect();
    assert_eq!(open, read, "the list of disagreements is not that of the judgement");
    for reason in reasons().values() {
        assert!(KINDS.iter().any(|(kind, _)| *kind == reason.kind), "{}", reason.kind);
    }
}

const KINDS: [(&str, &str); 4] = [
    ("named", "Errors of the list, of kinds that were known before it was measured"),
    ("theirs", "Errors of the list that were found by reading the disagreements"),
    ("definition", "The same thing under another word"),
    ("ours", "Ours, or open to debate"),
];

fn confusion(out: &mut String, figures: &Figures) {
    writeln!(
        out,
        "| The list says | {} |",
        Class::ALL.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(" | ")
    )
    .unwrap();
    writeln!(out, "|---|{}", "---:|".repeat(Class::ALL.len())).unwrap();
    for (at, word) in THEIRS.iter().enumerate() {
        let cells = Class::ALL.iter().map(|class| {
            let count = figures.table.get(&(at, *class)).copied().unwrap_or(0);
            match count {
                0 => "·".to_owned(),
                _ if Class::parse(&word.to_ascii_lowercase()) == Some(*class) => format!("**{count}**"),
                _ => count.to_string(),
            }
        });
        writeln!(out, "| {word} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
}

fn measured() -> String {
    let all = judged(Profile::Empty);
    let strict = judged(Profile::MaySignIn);
    let part = |judged: &[Judged], half: Option<Half>| {
        figures(judged.iter().filter(|one| half.is_none_or(|half| one.row.half() == half)))
    };
    let columns = [
        part(&all, Some(Half::HeldOut)),
        part(&all, Some(Half::Tuned)),
        part(&all, None),
        part(&strict, Some(Half::HeldOut)),
        part(&strict, None),
    ];
    let mut out = String::from(
        "| | Held out | Tuned on | Whole | Held out, signed in | Whole, signed in |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let mut line = |what: &str, cell: &dyn Fn(&Figures) -> String| {
        writeln!(out, "| {what} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | ")).unwrap();
    };
    line("Tools", &|sum| sum.tools.to_string());
    line("Destructive found", &|sum| format!("{} of {}", sum.destructive_found, sum.destructive));
    line("Agreement where the list gives a class", &|sum| {
        format!("{} of {} ({:.1} %)", sum.agree, sum.classed, share(sum.agree, sum.classed))
    });
    line("… without the errors of the list known before", &|sum| {
        let left = sum.classed - sum.named;
        format!("{} of {left} ({:.1} %)", sum.agree, share(sum.agree, left))
    });
    line("“Other” that get a class", &|sum| format!("{} of {}", sum.resolved, sum.other));
    out.push_str("\nThe half that was held out:\n\n");
    confusion(&mut out, &columns[0]);
    out.push_str("\nThe whole list:\n\n");
    confusion(&mut out, &columns[2]);
    let reasons = reasons();
    let open = |kind: &str| {
        let of_kind = all.iter().filter(|one| {
            one.theirs().is_some() && !one.agrees() && reasons[&(one.row.server, one.row.tool)].kind == kind
        });
        of_kind.collect::<Vec<_>>()
    };
    let count: usize = KINDS.iter().map(|(kind, _)| open(kind).len()).sum();
    write!(out, "\n### The {count} disagreements\n\nRead one by one. *h* marks the half that was held out.\n").unwrap();
    for (kind, title) in KINDS {
        let these = open(kind);
        write!(out, "\n#### {title}: {}\n\n| Tool | List | Ours | Why |\n|---|---|---|---|\n", these.len()).unwrap();
        for one in these {
            let held = if one.row.half() == Half::HeldOut { " *h*" } else { "" };
            let why = reasons[&(one.row.server, one.row.tool)].why;
            let Row { server, tool, category, .. } = &one.row;
            writeln!(out, "| {server} `{tool}`{held} | {} | {} | {why} |", category.to_lowercase(), one.class())
                .unwrap();
        }
    }
    out
}

#[test]
fn the_page_shows_what_is_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/risk.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("docs/risk.md has the mark where figures begin");
    let (_, after) = rest.split_once(END).expect("docs/risk.md has the mark where figures end");
    let fresh = format!("{before}{BEGIN}\n\n{}\n{END}{after}", measured());
    // Whoever changed a table reads the difference, and copies the page if it is what was meant.
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join("risk.md");
    fs::write(&beside, &fresh).unwrap();
    assert!(page == fresh, "docs/risk.md is not what is measured; {} is", beside.display());
    // The words stand for something that there is.
    for class in Class::ALL {
        assert!(before.contains(&format!("| `{class}` |")), "docs/risk.md does not say what {class} is");
    }
    for label in portcullis_base::Label::ALL {
        assert!(before.contains(&format!("| `{label}` |")), "docs/risk.md does not say what {label} is");
    }
}

const BEGIN: &str = "<!-- measured: written by crates/risk/tests/reference.rs -->";
const END: &str = "<!-- end of measured -->";
