//! A server's sign-in, looked at step by step: what was asked, what came back, which rule it meets.

use maud::{Markup, html};
use portcullis_base::printable;

use super::{
    super::{Account, Page, foreign, form::Button},
    Tab, page,
    providers::state_tag,
};
use crate::check::{Check, CheckState, Step};

/// What the page shows.
pub struct Examined<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The server's name here.
    pub name: &'a str,
    /// Its address; none if it runs within the gateway.
    pub url: Option<&'a str>,
    /// The steps, once somebody has asked for them.
    pub steps: Option<Vec<Step>>,
}

/// The page, before and after.
pub fn examined(view: &Examined<'_>) -> Page {
    let name = foreign(view.name);
    let action = format!("/admin/servers/{}/check", view.name);
    let again = view.steps.is_some();
    page(
        Tab::Connections,
        "Check of a server's sign-in",
        view.account,
        html! {
            section aria-labelledby="check" {
                div.heading {
                    h1 id="check" { "Sign-in at " (name) }
                    @if view.url.is_some() {
                        (Button { action: &action, label: if again { "Check again" } else { "Check now" },
                        spoken: &format!("Check the sign-in at {name}"), look: if again { "" } else { "primary" } }.form(view.account, &[]))
                    }
                }
                @if let Some(url) = view.url { p.small.muted.mono { (printable(url, 300)) } }
                @match &view.steps {
                    None if view.url.is_none() => { p.lead { "It runs within this gateway and asks for no account." } }
                    None => { p.lead { "Walks the way that somebody goes who connects: each request, each answer, each rule. It registers nothing, asks nobody to sign in and shows no secret." } }
                    Some(steps) => {
                        (verdict(&name, steps))
                        ol.steps { @for (at, step) in steps.iter().enumerate() { (step_card(at + 1, step)) } }
                    }
                }
                p { a href={ "/admin/connections/" (view.name) } { "Connections of " (name) } }
            }
        },
    )
}

fn verdict(name: &str, steps: &[Step]) -> Markup {
    let count = |state| steps.iter().flat_map(|step| &step.checks).filter(|check| check.state == state).count();
    let (bad, warnings) = (count(CheckState::Bad), count(CheckState::Warning));
    html! {
        @if bad > 0 {
            div.notice.bad role="status" { p { b { @if bad == 1 { "One thing is wrong." } @else { (bad) " things are wrong." } } " People cannot connect to " (name) " until that is put right." } }
        } @else if warnings > 0 {
            div.notice.warn role="status" { p { b { "People can connect to " (name) "." } " Some of it could be better." } }
        } @else {
            div.notice.good role="status" { p { "People can connect to " (name) "." } }
        }
    }
}

fn step_card(number: usize, step: &Step) -> Markup {
    html! {
        li.card.stack {
            h2.large { span.muted { (number) ". " } (step.title) }
            @if let Some(request) = &step.request {
                p.label { "Asked" }
                pre.code { code { (printable(request, 2_000)) } }
            }
            @if let Some(answer) = &step.answer {
                @if answer.lines().count() > 4 || answer.len() > 400 {
                    details { summary { "Answer" } pre.code { code { (document(answer)) } } }
                } @else {
                    p.label { "Answer" }
                    pre.code { code { (document(answer)) } }
                }
            }
            @if !step.checks.is_empty() {
                ul.checks { @for check in &step.checks { (rule(check)) } }
            }
        }
    }
}

fn rule(check: &Check) -> Markup {
    html! {
        li {
            (state_tag(check.state))
            div {
                p { b { (check.name) } ": " (printable(&check.text, 800)) }
                @if let Some(advice) = &check.advice { p.small.muted { (printable(advice, 800)) } }
            }
        }
    }
}

/// Foreign text of several lines: each made harmless by itself, so that a document keeps its shape.
fn document(text: &str) -> String {
    let lines: Vec<String> = text.lines().take(400).map(|line| printable(line, 2_000)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::Standing;

    // spec: SEC-34, T-93
    #[test]
    fn what_a_server_answers_is_shown_as_text() {
        let step = Step {
            title: "Metadata of the server",
            request: Some("GET https://mcp.example.com/<script>".into()),
            answer: Some("{\n  \"resource\": \"<img src=x>\u{202e}\"\n}".into()),
            checks: vec![Check {
                name: "The resource is the server",
                state: CheckState::Bad,
                text: "<b>no</b>".into(),
                advice: None,
            }],
        };
        let account = Account { name: "ada", form_token: "t", standing: Standing::Administrator, glasses: &[] };
        let view =
            Examined { account, name: "tickets", url: Some("https://mcp.example.com/mcp"), steps: Some(vec![step]) };
        let page = examined(&view);
        assert!(!page.html().contains("<script>") && !page.html().contains("<img"), "{}", page.html());
        assert!(!page.html().contains('\u{202e}') && !page.html().contains("<b>no</b>"));
        assert!(page.html().contains("{\n  &quot;resource&quot;"), "a document keeps its lines");
        assert!(page.html().contains("One thing is wrong."));
    }
}
