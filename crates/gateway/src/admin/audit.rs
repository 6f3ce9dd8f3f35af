//! `/admin/audit`: what happened, found by what one knows of it; and the story of one call.
//!
//! Whoever may look here sees who did what, and how it ended. Arguments and results are for auditors, who ask for them, and
//! that they looked stands in the record before they see anything.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use portcullis_audit::{Event, Kind, Outcome, Target};
use portcullis_base::Timestamp;
use portcullis_store::{AuditEntry, AuditFilter, AuditPage};
use serde::Deserialize;

use crate::{
    app::App,
    config,
    error::PageError,
    extract::{Auditor, LoggedIn},
    pages::admin::audit::{Audit, Chapter, Content, EventRow, Story, audit, story as story_page},
    roles::Role,
    story::{Sight, has_content, members, story},
};

/// So many events stand on one page.
const PER_PAGE: u32 = 50;
/// The most that a program is given at a time.
const MOST: u32 = 500;
/// The longest value that is looked for, in characters.
const LONGEST: usize = 2048;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/audit", get(list)).route("/admin/audit/calls/{call}", get(tell))
}

/// What is looked for, as it was typed.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub text: String,
    pub person: String,
    pub client: String,
    pub address: String,
    pub server: String,
    pub kind: String,
    pub outcome: String,
    pub effect: String,
    pub rule: String,
    pub method: String,
    pub name: String,
    pub call: String,
    pub request: String,
    pub trace: String,
    pub approval: String,
    pub grant: String,
    pub since: String,
    pub until: String,
    pub cursor: String,
    pub limit: String,
    pub arguments: String,
}

/// Why a question has no answer.
pub(super) enum Unanswered {
    /// It was asked wrongly.
    Question(&'static str),
    /// This is for auditors.
    Forbidden,
    /// The database or the journal cannot be reached.
    Unavailable(String),
}

/// A page of what was found.
pub(super) struct Found {
    pub entries: Vec<AuditEntry>,
    /// Where the next one begins, if there is one.
    pub next: Option<String>,
}

impl Wanted {
    /// Each condition as its name in an address and its value.
    pub(super) fn conditions(&self) -> [(&'static str, &str); 18] {
        [
            ("text", &self.text),
            ("person", &self.person),
            ("server", &self.server),
            ("name", &self.name),
            ("kind", &self.kind),
            ("outcome", &self.outcome),
            ("since", &self.since),
            ("until", &self.until),
            ("client", &self.client),
            ("effect", &self.effect),
            ("rule", &self.rule),
            ("method", &self.method),
            ("address", &self.address),
            ("call", &self.call),
            ("request", &self.request),
            ("trace", &self.trace),
            ("approval", &self.approval),
            ("grant", &self.grant),
        ]
    }

    fn filter(&self, now: Timestamp) -> Result<AuditFilter, Unanswered> {
        if self.conditions().iter().any(|(_, value)| value.chars().count() > LONGEST) {
            return Err(Unanswered::Question("A condition is too long."));
        }
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let when =
            |text: &str| given(text).map(|text| moment(&text, now).ok_or(Unanswered::Question(NO_MOMENT))).transpose();
        Ok(AuditFilter {
            person: given(&self.person),
            client: given(&self.client),
            address: given(&self.address),
            server: given(&self.server),
            kind: given(&self.kind),
            outcome: given(&self.outcome),
            effect: given(&self.effect),
            rule: given(&self.rule),
            method: given(&self.method),
            name: given(&self.name),
            call: given(&self.call),
            request: given(&self.request),
            trace: given(&self.trace),
            approval: given(&self.approval),
            grant: given(&self.grant),
            text: given(&self.text),
            since: when(&self.since)?,
            until: when(&self.until)?,
        })
    }

    fn page(&self) -> Result<AuditPage, Unanswered> {
        let limit = match self.limit.trim() {
            "" => PER_PAGE,
            text => {
                text.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or(Unanswered::Question(NO_LIMIT))?
            }
        };
        if self.cursor.is_empty() {
            return Ok(AuditPage::first(limit));
        }
        let mut parts = self.cursor.splitn(3, '.');
        let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
        let (at, seq) = (number(), number());
        let before =
            at.zip(seq).zip(parts.next()).map(|((at, seq), node)| (Timestamp::from_millis(at), node.into(), seq));
        let before = before.ok_or(Unanswered::Question("This is no place in the list: go back to its beginning."))?;
        Ok(AuditPage { limit, before: Some(before) })
    }
}

const NO_MOMENT: &str =
    "A time is written as 2026-11-23, 2026-11-23T04:00, 2026-11-23T04:00:00Z, or how long ago: 24h, 7d.";
const NO_LIMIT: &str = "At most 500 events are given at a time.";

/// A moment, a day or a minute of UTC, or how long ago.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}:00Z"), format!("{text}T00:00:00Z")];
    config::duration(text).map(|ago| now.minus(ago)).or_else(|| forms.iter().find_map(|form| Timestamp::parse(form)))
}

/// One page of what is looked for.
pub(super) async fn found(app: &App, wanted: &Wanted) -> Result<Found, Unanswered> {
    let (filter, page) = (wanted.filter(app.clock.now())?, wanted.page()?);
    let entries = app.store.audit(&filter, &page).await.map_err(|error| Unanswered::Unavailable(error.to_string()))?;
    let place = |last: &AuditEntry| format!("{}.{}.{}", last.row.at.as_millis(), last.row.seq, last.row.node);
    let next = entries.last().filter(|_| entries.len() == page.limit as usize).map(place);
    Ok(Found { entries, next })
}

/// What somebody sees of these events. If they ask for arguments and results, that they looked is written down first.
pub(super) async fn sight(
    app: &App,
    who: &LoggedIn,
    wanted: &str,
    of: (&'static str, String),
    entries: &[AuditEntry],
) -> Result<Sight, Unanswered> {
    if wanted != "yes" {
        return Ok(Sight::WithoutContent);
    }
    if !sees_content(who) {
        return Err(Unanswered::Forbidden);
    }
    if entries.iter().any(has_content) {
        let (what, which) = of;
        let event = Event::new(Kind::AuditViewed, app.clock.now()).by(who.actor()).outcome(Outcome::Success);
        let event = match what {
            "call" => event.on(Target { name: Some(which.into()), ..Target::default() }),
            _ => event.text(what, which),
        };
        let written = app.journal.append(event.text("with", "arguments and results")).await;
        written.map_err(|error| Unanswered::Unavailable(error.to_string()))?;
    }
    Ok(Sight::Whole)
}

/// Administrators look after this gateway; what people say through it is not theirs to read.
fn sees_content(who: &LoggedIn) -> bool {
    who.roles.has(Role::Auditor) || who.roles.has(Role::Owner)
}

async fn list(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let (found, wrong) = match found(&app, &Wanted { limit: String::new(), ..wanted.clone() }).await {
        Ok(found) => (found, None),
        Err(Unanswered::Question(why)) => (Found { entries: Vec::new(), next: None }, Some(why)),
        Err(unanswered) => return Err(refused(unanswered)),
    };
    let view = Audit {
        account: who.account(),
        asked: wanted.conditions(),
        rows: found.entries.iter().map(|entry| row(entry, Sight::WithoutContent)).collect(),
        later: !wanted.cursor.is_empty(),
        next: found.next,
        wrong,
    };
    Ok(audit(&view)
        .status(if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK })
        .into_response())
}

#[derive(Deserialize)]
struct Look {
    #[serde(default)]
    arguments: String,
}

async fn tell(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Path(call): Path<String>,
    Query(look): Query<Look>,
) -> Result<Response, PageError> {
    let events = story(&app.store, &call).await.map_err(PageError::unavailable)?;
    let Some(first) = events.first() else { return Err(PageError::not_found()) };
    let sight = sight(&app, &who, &look.arguments, ("call", call.clone()), &events).await.map_err(refused)?;
    let begun = first.row.at;
    let chapter = |entry: &AuditEntry| Chapter {
        after_ms: entry.row.at.as_millis() - begun.as_millis(),
        event: row(entry, sight),
    };
    let content = match sight {
        Sight::Whole => Content::Shown,
        Sight::WithoutContent if !events.iter().any(has_content) => Content::None,
        Sight::WithoutContent if sees_content(&who) => Content::Offered,
        Sight::WithoutContent => Content::Withheld,
    };
    let view = Story { account: who.account(), call: &call, chapters: events.iter().map(chapter).collect(), content };
    Ok(story_page(&view).into_response())
}

fn refused(unanswered: Unanswered) -> PageError {
    match unanswered {
        Unanswered::Question(_) => PageError::not_found(),
        Unanswered::Forbidden => PageError::new(
            StatusCode::FORBIDDEN,
            "role.missing",
            "This is for auditors",
            "Arguments and results are shown to auditors and owners. Nothing was shown.",
        ),
        Unanswered::Unavailable(why) => PageError::unavailable(why),
    }
}

fn row(entry: &AuditEntry, sight: Sight) -> EventRow {
    let row = entry.row.clone();
    let line = members(entry, sight);
    let details = line.get("details").and_then(|details| details.as_object()).into_iter().flatten();
    let details =
        details.map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), Into::into)));
    EventRow { details: details.collect(), row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_days_minutes_or_how_long_ago() {
        let now = Timestamp::from_secs(1_000_000);
        for (text, is) in [
            ("2026-11-23", Some("2026-11-23T00:00:00.000Z")),
            ("2026-11-23T04:05", Some("2026-11-23T04:05:00.000Z")),
            ("2026-11-23T04:05:06Z", Some("2026-11-23T04:05:06.000Z")),
            ("1h", Some("1970-01-12T12:46:40.000Z")),
            ("yesterday", None),
        ] {
            assert_eq!(moment(text, now).map(|at| at.to_string()).as_deref(), is, "{text}");
        }
    }

    #[test]
    fn a_place_in_the_list_leads_back_to_it_and_nothing_else_does() {
        let place =
            |cursor: &str| Wanted { cursor: cursor.into(), ..Wanted::default() }.page().ok().map(|page| page.before);
        assert_eq!(place(""), Some(None));
        assert_eq!(place("5.7.no.de"), Some(Some((Timestamp::from_millis(5), "no.de".into(), 7))));
        for wrong in ["x", "5", "5.x.node", "5.7", "99999999999999999999.1.n"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
