//! `/admin/tools`: what each tool may do, and why we think so.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::get,
};
use portcullis_base::{Holder, PersonId, ServerName};
use portcullis_risk::Hints;
use serde::Deserialize;

use crate::{
    app::App,
    config::{Credential, Holders, ToolList},
    error::PageError,
    extract::Auditor,
    pages::admin::tools::{Said, Shown, ToolRow, Tools, tools},
    snapshot::Server,
    tools::{Risk, Sheet},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/admin/tools", get(show))
}

/// Whose tools are asked for.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    pub server: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Auditor(who): Auditor,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let mut servers: Vec<_> = app.snapshot.load().servers.keys().map(ToString::to_string).collect();
    servers.sort_unstable();
    let name = if wanted.server.is_empty() { servers.first().cloned().unwrap_or_default() } else { wanted.server };
    let (rows, shown) = match name.as_str() {
        "" => (Vec::new(), Shown::Nothing),
        name => found(&app, name, &who.person.id)?,
    };
    let view = Tools { account: who.account(), servers, server: &name, rows, shown };
    Ok(tools(&view).into_response())
}

/// The tools of a server, the gravest first, and whose list it is.
pub(super) fn found(app: &App, name: &str, reader: &PersonId) -> Result<(Vec<ToolRow>, Shown), PageError> {
    let name = ServerName::parse(name).map_err(|_| PageError::not_found())?;
    let server = app.snapshot.load().servers.get(&name).cloned().ok_or_else(PageError::not_found)?;
    let Some(sheet) = sheet(app, &server, reader) else { return Ok((Vec::new(), Shown::Nothing)) };
    let row = |(tool, page): (&str, &Arc<crate::tools::Page>)| {
        let verdict = server.risk.get(tool);
        let risk = Risk::of(Some(page), verdict);
        ToolRow {
            name: tool.to_owned(),
            classes: risk.classes,
            labels: risk.labels,
            found: page.assessment.found,
            confidence: page.assessment.confidence,
            needs_review: page.assessment.needs_review(),
            evidence: page.assessment.evidence.iter().map(ToString::to_string).collect(),
            findings: page.assessment.findings.iter().map(ToString::to_string).collect(),
            hints: Hints::of(risk.classes, risk.labels),
            definition: page.definition.to_base64url(),
            said: verdict.map(|verdict| Said {
                classes: verdict.classes,
                reason: verdict.reason.to_string(),
                counts: verdict.definition.is_none_or(|of| of == page.definition),
            }),
        }
    };
    let mut rows: Vec<_> = sheet.pages().map(row).collect();
    let gravest = |row: &ToolRow| row.classes.iter().last();
    rows.sort_by(|a, b| gravest(b).cmp(&gravest(a)).then_with(|| a.name.cmp(&b.name)));
    let shown = if is_personal(&server) { Shown::Yours } else { Shown::Everybodys };
    Ok((rows, shown))
}

/// The list that `person` was last shown by this node.
// spec: T-50: what others were shown is not looked at.
pub(super) fn sheet(app: &App, server: &Server, person: &PersonId) -> Option<Arc<Sheet>> {
    let upstream = app.upstreams.open(&server.name, &server.location, server.limits);
    let holder = match server.credential.holders() {
        Some(Holders::Shared) => Holder::Shared,
        Some(Holders::Each) | None => Holder::Person(person.clone()),
    };
    let own = is_personal(server).then(|| upstream.book().sheet(Some(&holder))).flatten();
    own.or_else(|| upstream.book().sheet(None))
}

fn is_personal(server: &Server) -> bool {
    server.tools == ToolList::Personal && !matches!(*server.credential, Credential::None)
}
