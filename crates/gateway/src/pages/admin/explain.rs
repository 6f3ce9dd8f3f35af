//! One call that somebody asks about: what would be decided, and each rule that was looked at.

use maud::{Markup, html};
use portcullis_base::{Class, Label, printable};
use portcullis_policy::{Considered, Effect, Explanation};

use super::{
    super::{
        Account, Page, foreign,
        form::{field, proof},
    },
    Tab, page,
    rules::{effect, named},
};

/// What the page shows.
pub struct Explain<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// Account names, to choose from.
    pub people: Vec<String>,
    /// Servers, to choose from.
    pub servers: Vec<String>,
    /// Toolboxes, to choose from.
    pub toolboxes: Vec<String>,
    /// What was typed.
    pub asked: Asked<'a>,
    /// The answer, or what is wrong with the question.
    pub answer: Option<Result<Told, String>>,
}

/// What was typed.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The account name.
    pub person: &'a str,
    /// The client.
    pub client: &'a str,
    /// The server.
    pub server: &'a str,
    /// The toolbox that the call comes through.
    pub through: &'a str,
    /// The tool.
    pub tool: &'a str,
    /// The arguments.
    pub arguments: &'a str,
}

/// The answer.
pub struct Told {
    /// The decision and its reasons.
    pub explanation: Explanation,
    /// Whether anything is known of the tool.
    pub known: bool,
}

/// The form, and the answer under it.
pub fn explain(view: &Explain<'_>) -> Page {
    let wrong = matches!(view.answer, Some(Err(_)));
    page(
        Tab::Rules,
        "Explain a call",
        view.account,
        html! {
            section aria-labelledby="explain" {
                h1 id="explain" { "Explain a call" }
                p.lead { "What would be decided about a call, and why. No call is made, and nothing is recorded." }
                @if let Some(Err(why)) = &view.answer { div.notice.bad role="alert" id="wrong" { p { (printable(why, 300)) } } }
                (form(view, wrong))
                p { a href="/admin/rules" { "All rules" } }
            }
            @if let Some(Ok(told)) = &view.answer { (answer(told)) }
        },
    )
}

fn form(view: &Explain<'_>, wrong: bool) -> Markup {
    let asked = &view.asked;
    let described = wrong.then_some("wrong");
    html! {
        form.card.stack method="post" action="/admin/explain" aria-describedby=[described] {
            (proof(view.account))
            div.fields {
                (field("person", "Account name", html! {
                    input id="person" name="person" type="text" required maxlength="100" list="people" autocapitalize="none"
                        autocomplete="off" spellcheck="false" value=(foreign(asked.person));
                    datalist id="people" { @for name in &view.people { option value=(foreign(name)) {} } }
                }))
                (field("server", "Server", html! {
                    select id="server" name="server" required {
                        @if view.asked.server.is_empty() { option value="" { "Choose one" } }
                        @for server in &view.servers { option value=(server) selected[server == asked.server] { (foreign(server)) } }
                    }
                }))
                (field("tool", "Tool", html! {
                    input id="tool" name="tool" type="text" maxlength="256" autocapitalize="none" autocomplete="off"
                        spellcheck="false" value=(printable(asked.tool, 256)) aria-describedby="tool-hint";
                    p.hint id="tool-hint" { "Left empty: the list of tools" }
                }))
                (field("client", "Client", html! {
                    input id="client" name="client" type="text" maxlength="2000" autocapitalize="none" autocomplete="off"
                        spellcheck="false" value=(printable(asked.client, 2000)) aria-describedby="client-hint";
                    p.hint id="client-hint" { "Its identifier, where rules name clients" }
                }))
                (field("through", "Through", html! {
                    select id="through" name="through" {
                        option value="" { "The server's own address" }
                        @for toolbox in &view.toolboxes {
                            option value=(toolbox) selected[toolbox == asked.through] { "Toolbox " (foreign(toolbox)) }
                        }
                    }
                }))
            }
            (field("arguments", "Arguments", html! {
                textarea.mono id="arguments" name="arguments" rows="6" maxlength="32768" autocapitalize="none" autocomplete="off"
                    spellcheck="false" placeholder="{ \"amount\": 500 }" aria-describedby="arguments-hint" { (asked.arguments) }
                p.hint id="arguments-hint" { "A JSON object. Left empty, conditions that read arguments have no answer, and their rules restrict." }
            }))
            div.row { button.primary type="submit" { "Explain" } }
        }
    }
}

fn answer(Told { explanation, known }: &Told) -> Markup {
    let (look, word) = match explanation.effect {
        Effect::Allow => ("notice good", "It would be allowed"),
        Effect::Ask => ("notice warn", "It would wait for a human's word"),
        Effect::StepUp => ("notice warn", "It would ask for a fresh sign-in"),
        Effect::Deny => ("notice bad", "It would be denied"),
    };
    html! {
        section aria-labelledby="answer" {
            h2.large id="answer" { "The answer" }
            div class=(look) role="status" {
                p { b { (word) } " by " (by(&explanation.rule)) "." }
                @if let Some(because) = &explanation.because { p { (printable(&super::super::sentence(because), 600)) } }
            }
            @if !known { div.notice { p { "Nothing is known of this tool: nobody was shown it yet since the gateway was started. It counts as unknown." } } }
            (demands(explanation))
            (facts(explanation))
        }
        section aria-labelledby="way" {
            h2.large id="way" { "How it was decided" }
            div.card { ol.checks { @for rule in &explanation.rules { (considered(rule)) } (list(explanation)) } }
            @if explanation.others > 0 {
                p.small.muted { @if explanation.others == 1 { "One other rule is" } @else { (explanation.others) " other rules are" } " about something else." }
            }
            p.small.muted { "What only a real call shows is left out: when its person signed in, labels of its session, limits that are used up, and an external decision point." }
        }
    }
}

fn by(rule: &str) -> Markup {
    html! { @if rule == "access" { "the access list of the server" } @else { "the rule " b { (printable(rule, 120)) } } }
}

fn demands(explanation: &Explanation) -> Markup {
    let on = &explanation.obligations;
    html! {
        @if !on.is_empty() {
            ul.card.plain {
                @for ask in &on.asks {
                    li { "Wants the word of " (ask.quorum) " of "
                        @for (at, who) in ask.approvers.iter().enumerate() { @if at > 0 { " or " } (named(&who.to_string(), "anybody")) }
                        ", at least by " (ask.assurance.as_str()) " (" (by(&ask.rule)) ")" }
                }
                @for quota in &on.quotas { li { "Counts against limit " (quota.place + 1) " of " (by(&quota.rule)) } }
                @for redaction in &on.redactions { li { "Masks " code { (printable(&redaction.to_string(), 200)) } } }
                @if let Some(items) = on.cap.items { li { "Gives back at most " (items) " items" } }
                @if let Some(bytes) = on.cap.bytes { li { "Gives back at most " (bytes) " bytes" } }
                @if !on.labels.is_empty() { li { "Labels the session " (printable(&on.labels.join(", "), 300)) } }
            }
        }
    }
}

fn facts(explanation: &Explanation) -> Markup {
    let given = &explanation.facts;
    let words = |words: Vec<&str>| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let groups = words(given.groups.iter().map(|group| &**group).collect());
    let roles = words(given.roles.iter().map(|role| &**role).collect());
    let classes: Vec<_> = given.classes.iter().map(Class::as_str).collect();
    let classes = if classes.is_empty() { "unknown".to_owned() } else { classes.join(", ") };
    let labels = words(given.labels.iter().map(Label::as_str).collect());
    html! {
        dl.card.facts.columns {
            div { dt { "Caller" } dd { (foreign(&given.name)) " (" (given.kind.as_str()) ")" } }
            div { dt { "Groups" } dd { (printable(&groups, 600)) } }
            div { dt { "Roles" } dd { (printable(&roles, 200)) } }
            div { dt { "Asks for" } dd { (printable(&given.method, 80)) " at " (foreign(given.server.as_str()))
                @if let Some(through) = &given.through { " through " (foreign(through.as_str())) } } }
            @if given.target.name().is_some() {
                div { dt { "Classes of the tool" } dd { (classes) } }
                div { dt { "Labels of the tool" } dd { (labels) } }
            }
            div { dt { "In lists" } dd { @if explanation.listed { "It is shown" } @else { "It is not shown" } } }
        }
    }
}

fn considered(rule: &Considered) -> Markup {
    html! {
        li {
            div {
                @if rule.applies && (rule.effect.is_some() || !rule.obliges.is_empty()) { (effect(rule.effect)) }
                @else { span.tag { "Nothing" } }
            }
            div {
                p { @if rule.decides { b { (printable(&rule.rule, 120)) } " decides" } @else { (printable(&rule.rule, 120)) }
                    @if rule.shadow { " " span.tag { "In shadow" } } }
                p.small.muted {
                    @match (&rule.who, &rule.what) {
                        (None, _) => "It does not concern the caller.",
                        (_, None) => "It does not concern this.",
                        (Some(who), Some(what)) => {
                            (named(who, "everybody")) " → " (named(what, "everything"))
                            @if let Some(when) = &rule.when {
                                "; " @match (&rule.unjudged, rule.holds) {
                                    (Some(why), _) => { "its condition cannot be judged (" (printable(why, 200)) "): " }
                                    (None, Some(false)) => "its condition does not hold: ",
                                    (None, _) => "its condition holds: ",
                                }
                                code { (printable(when, 300)) }
                            }
                        }
                    }
                }
                p.small.muted.mono { (printable(&rule.place, 200)) }
            }
        }
    }
}

fn list(explanation: &Explanation) -> Markup {
    html! {
        li {
            div { (effect(Some(explanation.access))) }
            div {
                p { @if &*explanation.rule == "access" { b { "Access list of the server" } " decides" } @else { "Access list of the server" } }
                p.small.muted { @if &*explanation.rule == "access" { "No rule has an effect on this." } @else { "A rule overrules it." } }
            }
        }
    }
}
