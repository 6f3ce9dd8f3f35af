//! Which groups may use a server, class by class.

use maud::{Markup, html};
use portcullis_base::Class;
use portcullis_policy::Effect;

use super::{
    super::{
        Account, Page,
        approvals::class_words,
        foreign,
        form::{Button, field, proof},
        table::{Head, actions, cell, table},
    },
    Tab, page, told,
};

/// What the page shows.
pub struct Access<'a> {
    /// Who reads it.
    pub account: Account<'a>,
    /// The server.
    pub server: &'a str,
    /// Its list.
    pub lines: Vec<Line>,
    /// Where it is written.
    pub from: From,
    /// Groups that there are, to choose from.
    pub groups: Vec<String>,
    /// What was just done.
    pub done: Option<&'a str>,
}

/// What one group may do.
pub struct Line {
    /// The group; `*` is everybody.
    pub group: String,
    /// Class by class.
    pub answers: Vec<(Class, Effect)>,
}

/// Where a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// In the settings file.
    Settings,
    /// In the database: it can be changed here.
    Database,
    /// Nowhere: it is the sample server.
    Sample,
}

const HEADS: [Head; 5] = [
    Head::Seen("Group"),
    Head::Seen("May"),
    Head::Seen("May if a human agrees"),
    Head::Seen("May not"),
    Head::Heard("Change"),
];

/// The list, and the form.
pub fn access(view: &Access<'_>) -> Page {
    let name = foreign(view.server);
    let changes = view.from == From::Database;
    page(
        Tab::Rules,
        "Access to a server",
        view.account,
        html! {
            (told(view.done))
            section aria-labelledby="access" {
                h1 id="access" { "Access to " (name) }
                p.lead { "Who may use the server, and what of it, by the class of a tool. This counts where no written rule has an effect; the more that any of somebody's groups may, they may." }
                @match view.from {
                    From::Settings => { p { "This list is written in the settings file, and changed there." } }
                    From::Sample => { p { "The sample server is for trying out. What it may be used for is not changed." } }
                    From::Database => {}
                }
                @if view.lines.is_empty() { div.card.empty { p.muted { "Nobody may use it." } } }
                @else { (table("Access list", &HEADS, view.lines.iter().map(|line| row(line, view, changes)))) }
                p { a href="/admin/rules" { "All rules" } }
            }
            @if changes {
                section aria-labelledby="let-in" {
                    h2.large id="let-in" { "Let a group in" }
                    form.card.stack method="post" action={ "/admin/servers/" (view.server) "/access" } {
                        (proof(view.account))
                        (field("group", "Group", html! {
                            input id="group" name="group" type="text" required maxlength="256" list="groups" autocapitalize="none"
                                autocomplete="off" spellcheck="false" aria-describedby="group-hint";
                            datalist id="groups" { @for group in &view.groups { option value=(group) {} } }
                            p.hint id="group-hint" { "A star is everybody. A group that is on the list is changed." }
                        }))
                        (classes("new", |class| if class == Class::Read { Effect::Allow } else { Effect::Ask }))
                        div.row { button.primary type="submit" { "Save" } }
                    }
                }
            }
        },
    )
}

fn row(line: &Line, view: &Access<'_>, changes: bool) -> Markup {
    let group = if line.group == "*" { "Everybody".to_owned() } else { foreign(&line.group) };
    let id = format!("of-{}", view.lines.iter().position(|other| other.group == line.group).unwrap_or_default());
    let of = |wanted: Effect| {
        let words =
            line.answers.iter().filter(move |(_, effect)| *effect == wanted).map(|(class, _)| class_words(*class).0);
        words.collect::<Vec<_>>()
    };
    let listed =
        |words: Vec<&str>| html! { @if words.is_empty() { span.muted { "Nothing" } } @else { (words.join(", ")) } };
    html! {
        (cell("Group", html! { b { (group) } }))
        (cell("May", listed(of(Effect::Allow))))
        (cell("May if a human agrees", listed(of(Effect::Ask))))
        (cell("May not", listed(of(Effect::Deny))))
        (actions(html! {
            @if changes {
                div.row.end {
                    details.change {
                        summary.button.small-button { "Change" span.visually-hidden { " what " (group) " may" } }
                        form.stack method="post" action={ "/admin/servers/" (view.server) "/access" } {
                            (proof(view.account))
                            input type="hidden" name="group" value=(line.group);
                            (classes(&id, |class| line.answers.iter().find(|(of, _)| *of == class).map_or(Effect::Deny, |(_, effect)| *effect)))
                            div.row { button type="submit" { "Save" } }
                        }
                    }
                    (Button { action: &format!("/admin/servers/{}/access", view.server), label: "Take off",
                        spoken: &format!("Take {group} off the list"), look: "danger" }
                        .form(view.account, &[("group", &line.group), ("remove", "yes")]))
                }
            }
        }))
    }
}

/// A choice for every class.
fn classes(id: &str, chosen: impl Fn(Class) -> Effect) -> Markup {
    html! {
        div.fields {
            @for class in Class::ALL {
                (field(&format!("{id}-{class}"), &capital(class_words(*class).0), html! {
                    select id=(format!("{id}-{class}")) name=(class.as_str()) {
                        @for (effect, word) in [(Effect::Allow, "Allow"), (Effect::Ask, "Ask a human"), (Effect::Deny, "Deny")] {
                            option value=(effect.as_str()) selected[chosen(*class) == effect] { (word) }
                        }
                    }
                }))
            }
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
