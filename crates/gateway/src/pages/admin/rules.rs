//! The rules in force, how often each decided, and what those in shadow would have changed.

use maud::{Markup, html};
use portcullis_base::{Timestamp, printable};
use portcullis_policy::{Effect, Weight, Written};

use super::{
    super::{
        Account, Page, foreign, moment, sentence,
        table::{Head, cell, table},
    },
    Tab, page,
    people::Paging,
};

/// What the page shows.
pub struct Rules<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The revision of the rules.
    pub revision: &'a str,
    /// The rules of this page.
    pub rules: Vec<RuleRow>,
    /// Which page of how many, and how many rules in all.
    pub paging: Paging,
    /// How often access lists decided.
    pub lists: Hits,
    /// The servers that have one.
    pub servers: Vec<String>,
    /// Rules in shadow that said something.
    pub shadows: Vec<ShadowRow>,
    /// Rules that decided and are not in force any more.
    pub gone: Vec<(String, u64)>,
    /// What is odd in the rules.
    pub findings: Vec<FindingRow>,
    /// What it was counted over.
    pub counted: Counted,
    /// The present moment.
    pub now: Timestamp,
}

/// A rule, and how often it decided.
pub struct RuleRow {
    /// As it was written.
    pub rule: Written,
    /// How often.
    pub hits: Hits,
}

/// How often something decided, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Calls that it let through.
    pub allow: u64,
    /// Calls that it asked about.
    pub ask: u64,
    /// Calls that it wanted a sign-in for.
    pub step_up: u64,
    /// Calls that it refused.
    pub deny: u64,
    /// When it decided last.
    pub last: Option<Timestamp>,
}

/// A rule in shadow.
pub struct ShadowRow {
    /// Its name.
    pub rule: String,
    /// How many calls it concerned.
    pub applied: u64,
    /// How many of them it would have decided in another way.
    pub changed: u64,
    /// Some of these, the newest first.
    pub examples: Vec<Example>,
}

/// A call that a rule in shadow would have decided in another way.
pub struct Example {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub person: String,
    /// What was called.
    pub what: String,
    /// What was decided.
    pub was: Effect,
    /// What would have been.
    pub would: Effect,
}

/// Something odd.
pub struct FindingRow {
    /// How bad it is.
    pub weight: Weight,
    /// Where.
    pub place: String,
    /// What.
    pub text: String,
}

/// What hits are counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The days that were asked for.
    pub days: u32,
    /// How many decisions there were.
    pub decisions: u64,
    /// So many decisions were looked at, and there were more.
    pub capped: Option<u32>,
}

/// The days that can be asked for.
pub const DAYS: [u32; 3] = [1, 7, 30];

impl Hits {
    /// All of them.
    pub const fn all(&self) -> u64 {
        self.allow + self.ask + self.step_up + self.deny
    }

    /// Takes in so many more.
    pub fn add(&mut self, effect: Effect, count: u64, last: Timestamp) {
        let to = match effect {
            Effect::Allow => &mut self.allow,
            Effect::Ask => &mut self.ask,
            Effect::StepUp => &mut self.step_up,
            Effect::Deny => &mut self.deny,
        };
        *to += count;
        self.last = self.last.max(Some(last));
    }

    /// Each with the word for it and its colour, those that are none left out. What a rule that asks let through, humans agreed to.
    fn parts(&self, asks: Option<Effect>) -> impl Iterator<Item = (u64, &'static str, &'static str)> {
        let allowed = if asks == Some(Effect::Ask) { "agreed to" } else { "allowed" };
        let all = [
            (self.allow, allowed, "good"),
            (self.ask, "asked", "warn"),
            (self.step_up, "asked to sign in", "warn"),
            (self.deny, "denied", "bad"),
        ];
        all.into_iter().filter(|(count, ..)| *count > 0)
    }
}

/// The list of rules.
pub fn rules(view: &Rules<'_>) -> Page {
    page(
        Tab::Rules,
        "Rules",
        view.account,
        html! {
            section aria-labelledby="rules" {
                div.heading {
                    h1 id="rules" { "Rules" }
                    @if super::may_change(view.account) { a.button.tall href="/admin/explain" { "Explain a call" } }
                }
                p.lead { "The strongest of all written rules that apply decides: deny, then a fresh sign-in, then ask, then allow. Where none has an effect, the access list of the server does. Rules are written in the settings and changed there." }
                (period(view.counted))
                (listed(view))
                (view.paging.links(|page| format!("/admin/rules?days={}&page={page}", view.counted.days)))
                p.small.muted { "Revision " code { (view.revision) }
                    @if !view.gone.is_empty() {
                        ". Decided in this time by rules that are not in force any more: "
                        @for (at, (rule, count)) in view.gone.iter().enumerate() { @if at > 0 { ", " } (foreign(rule)) " (" (count) ")" }
                    }
                }
            }
            @if super::may_change(view.account) && !view.servers.is_empty() {
                section aria-labelledby="lists" {
                    h2.large id="lists" { "Access lists" }
                    p { "They are rules too, shortened: which groups may use a server, and what asks a human." }
                    ul.chips { @for server in &view.servers { li { a.button.small-button href={ "/admin/servers/" (server) "/access" } { (foreign(server)) } } } }
                }
            }
            (findings(&view.findings))
            (shadows(view))
        },
    )
}

fn period(counted: Counted) -> Markup {
    html! {
        form.filter method="get" action="/admin/rules" {
            label.visually-hidden for="days" { "Counted over" }
            select id="days" name="days" {
                @for days in DAYS { option value=(days) selected[days == counted.days] { (over(days)) } }
            }
            button type="submit" { "Show" }
        }
        p.muted role="status" {
            @match counted.decisions {
                0 => "Nothing was decided in this time.",
                1 => "One decision in this time.",
                many => { (many) " decisions in this time." },
            }
            @if let Some(most) = counted.capped { " Only the newest " (most) " are counted." }
        }
    }
}

const fn over(days: u32) -> &'static str {
    match days {
        1 => "The last 24 hours",
        7 => "The last 7 days",
        _ => "The last 30 days",
    }
}

const HEADS: [Head; 5] =
    [Head::Seen("Rule"), Head::Seen("Says"), Head::Seen("Of whom and what"), Head::Seen("Decided"), Head::Seen("Last")];

fn listed(view: &Rules<'_>) -> Markup {
    // Most calls hang on access lists alone: beside them, rules would be too small to see.
    let most = view.rules.iter().map(|row| row.hits.all()).max().unwrap_or_default();
    let rules = view.rules.iter().map(|row| rule(row, most, view.now));
    let is_last = view.paging.page == view.paging.pages;
    let lists = is_last.then(|| {
        html! {
            (cell("Rule", html! { b { "Access lists" } div.small.muted { "of the servers" } }))
            (cell("Says", html! { span.muted { "by class" } }))
            (cell("Of whom and what", html! { "everybody whom a list lets in, where no rule has an effect" }))
            (cell("Decided", html! { span.small { (words(&view.lists, None)) } }))
            (cell("Last", moment::past_or(view.now, view.lists.last, "Not in this time")))
        }
    });
    table("Rules in force", &HEADS, rules.chain(lists))
}

fn rule(RuleRow { rule, hits }: &RuleRow, most: u64, now: Timestamp) -> Markup {
    html! {
        (cell("Rule", html! {
            b { (printable(&rule.rule, 120)) }
            div.small.muted.mono { (printable(&rule.file, 120)) ":" (rule.line) }
        }))
        (cell("Says", html! {
            (effect(rule.then))
            @if rule.shadow { " " span.tag { "In shadow" } }
        }))
        (cell("Of whom and what", html! {
            (several(&rule.who, "everybody")) " → " (several(&rule.what, "everything"))
            @if rule.when.is_some() || !rule.obliges.is_empty() {
                ul.plain.small.muted {
                    @if let Some(when) = &rule.when { li { "when " code { (printable(when, 300)) } } }
                    @for obliges in &rule.obliges { li { (printable(obliges, 300)) } }
                }
            }
        }))
        (cell("Decided", html! {
            @if rule.shadow { span.muted { "Nothing: see below" } }
            @else if rule.then.is_none() { span.muted { "Nothing: it only limits" } }
            @else { (bar(hits, rule.then, most)) }
        }))
        (cell("Last", html! {
            @if rule.shadow || rule.then.is_none() { span.muted { "–" } }
            @else { (moment::past_or(now, hits.last, "Not in this time")) }
        }))
    }
}

/// Names of those whom, or what, a rule concerns.
fn several(names: &[String], all: &str) -> Markup {
    html! { @for (at, name) in names.iter().enumerate() { @if at > 0 { ", " } (named(name, all)) } }
}

/// One of them; a star is all.
pub(super) fn named(name: &str, all: &str) -> Markup {
    html! { @if name == "*" { (all) } @else { code { (printable(name, 120)) } } }
}

/// What a rule says, as a tag.
pub(super) fn effect(effect: Option<Effect>) -> Markup {
    let (class, word) = match effect {
        Some(Effect::Allow) => ("tag good", "Allow"),
        Some(Effect::Ask) => ("tag warn", "Ask"),
        Some(Effect::StepUp) => ("tag warn", "Sign in"),
        Some(Effect::Deny) => ("tag bad", "Deny"),
        None => ("tag", "Limit"),
    };
    html! { span class=(class) { (word) } }
}

/// Hits as a bar, beside the same in words.
fn bar(hits: &Hits, then: Option<Effect>, most: u64) -> Markup {
    let width = |count: u64| format!("{:.2}", count as f64 * 100.0 / most.max(1) as f64);
    let parts: Vec<_> = hits.parts(then).collect();
    let mut from = 0;
    let part = |(count, _, colour): &(u64, &str, &str)| {
        let x = width(from);
        from += count;
        (x, width(*count), format!("{colour}-bar"))
    };
    let rects: Vec<_> = parts.iter().map(part).collect();
    html! {
        div.bar-chart {
            svg viewBox="0 0 100 8" preserveAspectRatio="none" width="100%" height="8" aria-hidden="true" focusable="false" {
                rect.empty-bar x="0" y="0" width="100" height="8" {}
                @for (x, width, colour) in &rects { rect class=(colour) x=(x) y="0" width=(width) height="8" {} }
            }
            span.small { (words(hits, then)) }
        }
    }
}

fn words(hits: &Hits, then: Option<Effect>) -> Markup {
    let words: Vec<_> = hits.parts(then).map(|(count, word, _)| format!("{count} {word}")).collect();
    html! { @if words.is_empty() { span.muted { "Nothing" } } @else { (words.join(", ")) } }
}

fn findings(findings: &[FindingRow]) -> Markup {
    html! {
        @if !findings.is_empty() {
            section aria-labelledby="findings" {
                h2.large id="findings" { "What is odd in them" }
                div.card { ul.checks {
                    @for finding in findings {
                        li {
                            @match finding.weight {
                                Weight::Fault => { span.tag.bad { "Wrong" } }
                                Weight::Caution => { span.tag.warn { "Look" } }
                                Weight::Note => { span.tag { "Note" } }
                            }
                            div {
                                p { (sentence(&printable(&finding.text, 600))) }
                                p.small.muted.mono { (printable(&finding.place, 200)) }
                            }
                        }
                    }
                } }
            }
        }
    }
}

fn shadows(view: &Rules<'_>) -> Markup {
    html! {
        @if !view.shadows.is_empty() {
            section aria-labelledby="shadows" {
                h2.large id="shadows" { "Rules in shadow" }
                p.lead { "They are judged and recorded, and enforce nothing: this is what they would have changed." }
                @for shadow in &view.shadows { (shadowed(shadow, view.now)) }
            }
        }
    }
}

fn shadowed(shadow: &ShadowRow, now: Timestamp) -> Markup {
    let name = printable(&shadow.rule, 120);
    html! {
        div.stack {
            h3 { (name) }
            p {
                @if shadow.applied == 0 { span.muted { "It applied to no call in this time." } }
                @else {
                    "It applied to " (shadow.applied) @if shadow.applied == 1 { " call" } @else { " calls" } " and would have changed "
                    b { @if shadow.changed == 0 { "none" } @else { (shadow.changed) } } " of them."
                }
            }
            @if !shadow.examples.is_empty() {
                (table(&format!("Calls that {name} would have changed"),
                    &[Head::Seen("When"), Head::Seen("Who"), Head::Seen("What"), Head::Seen("Was"), Head::Seen("Would be")],
                    shadow.examples.iter().map(|example| html! {
                        (cell("When", moment::past(now, example.at)))
                        (cell("Who", html! { (foreign(&example.person)) }))
                        (cell("What", html! { (foreign(&example.what)) }))
                        (cell("Was", effect(Some(example.was))))
                        (cell("Would be", effect(Some(example.would))))
                    })))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Standing;

    fn view<'a>(rules: Vec<RuleRow>, shadows: Vec<ShadowRow>) -> Rules<'a> {
        Rules {
            account: Account { name: "ada", form_token: "t", standing: Standing::Auditor, glasses: &[] },
            revision: "abc",
            rules,
            paging: Paging::of(1, 100, 1),
            lists: Hits::default(),
            servers: Vec::new(),
            shadows,
            gone: vec![("<old>".into(), 2)],
            findings: Vec::new(),
            counted: Counted { days: 7, decisions: 4, capped: None },
            now: Timestamp::from_secs(1_800_000_000),
        }
    }

    fn written() -> Written {
        Written {
            rule: "no-<b>deletes".into(),
            file: "rules.yaml".into(),
            line: 7,
            who: vec!["*".into()],
            what: vec!["stripe/delete_*".into(), "<img src=x>".into()],
            when: Some("args.amount > 5 && '<script>' != \"\u{202e}\"".into()),
            then: Some(Effect::Deny),
            obliges: Vec::new(),
            shadow: false,
        }
    }

    // spec: SEC-34, T-93
    #[test]
    fn rules_are_shown_as_text_and_hits_as_bars_with_words() {
        let mut hits = Hits::default();
        hits.add(Effect::Deny, 3, Timestamp::from_secs(1_799_999_000));
        hits.add(Effect::Ask, 1, Timestamp::from_secs(1_799_998_000));
        let shadow = ShadowRow { rule: "draft".into(), applied: 2, changed: 0, examples: Vec::new() };
        let page = rules(&view(vec![RuleRow { rule: written(), hits }], vec![shadow]));
        let html = page.html();
        for text in [
            "1 asked, 3 denied",
            "rules.yaml",
            "16 minutes ago",
            "&lt;old&gt;",
            "would have changed <b>none</b> of them",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(html.contains(r#"<rect class="warn-bar" x="0.00" y="0" width="25.00""#), "{html}");
        assert!(html.contains(r#"<rect class="bad-bar" x="25.00" y="0" width="75.00""#), "{html}");
        for bad in ["<script>", "<img", "<b>deletes", "\u{202e}", "style="] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        assert!(!html.contains("/admin/explain"), "an auditor is not shown the form");
    }
}
