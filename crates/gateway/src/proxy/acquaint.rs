//! What is known of the tool that a call is about. A call looks it up; only a call of a tool that nobody was shown has the
//! server's list read first, and one that is under way when its tool becomes another is stopped.

use futures_util::future::BoxFuture;
use portcullis_audit::Outcome;
use portcullis_base::{Digest, Holder};
use portcullis_mcp::{Method, ProtocolError, message::INVALID_PARAMS};
use portcullis_policy::Target;

use super::{
    decide::{Decided, Deed, Scene, decide},
    errand::Errand,
    legacy::bare,
    turn::{Turn, Visit},
};
use crate::{
    config::{Credential, ToolList},
    tools::Risk,
};

impl Turn<'_> {
    /// The deed's surroundings, with what is known of the tool that it is about.
    pub(super) fn scene(&self, risk: Risk) -> Scene<'_> {
        let Visit { parts, calls, crowd, snapshot, caller, endpoint, address, waited, .. } = self.visit;
        Scene { parts, calls, crowd, snapshot, caller, endpoint, server: self.server, address, risk, waited }
    }

    /// Whose list counts for the caller; `None` if it is everybody's.
    pub(super) fn shown_to(&self) -> Option<Holder> {
        match (self.server.tools, &*self.server.credential) {
            (ToolList::Public, _) | (ToolList::Personal, Credential::None) => None,
            (ToolList::Personal, _) => Some(self.parts.connections.holder_at(self.server, &self.whom())),
        }
    }

    /// What is known of `tool`, as the caller was shown it.
    fn risk(&self, tool: &str) -> Risk {
        let page = self.upstream.book().page(self.shown_to().as_ref(), tool);
        Risk::of(page.as_deref(), self.server.risk.get(tool))
    }

    /// What is known of the tool that `deed` is about, found out if nobody knows and the decision hinges on it.
    pub(super) async fn acquainted(&self, deed: &Deed<'_>) -> Risk {
        let Target::Tool(tool) = deed.target else { return Risk::default() };
        let known = self.risk(tool);
        if !known.classes.is_empty() || !self.scene(known).hinges_on_risk(deed) {
            return known;
        }
        self.look().await;
        self.risk(tool)
    }

    /// Reads the server's list here. That is a deed of its own, of the caller who made it necessary.
    // spec: T-54
    fn look(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let deed = Deed { ends: true, ..bare(Method::ToolsList.name()) };
            let scene = self.scene(Risk::default());
            let Ok(Decided::Permitted(permit, mut record)) = decide(&scene, &deed).await else { return };
            let Ok(mut errand) = Errand::new(self, permit, &record) else { return };
            let read = match errand.prepare().await {
                Ok(()) => errand.tools().await.is_some(),
                // The call itself will tell what is wrong.
                Err(_) => false,
            };
            if read {
                record.end(Outcome::Success, Some("read for a call of a tool that nobody had listed"));
            } else {
                record.end(Outcome::Failure, Some("the list could not be read"));
            }
        })
    }

    /// Whether a call that was judged by the definition `judged` may still go on: its server's list may have been read again
    /// since, and say that the tool is another.
    // spec: T-75
    pub(super) fn not_overtaken(&self, judged: Option<Digest>, deed: &Deed<'_>) -> Result<(), ProtocolError> {
        let Target::Tool(tool) = deed.target else { return Ok(()) };
        let risk = self.risk(tool);
        if risk.definition == judged || self.scene(risk).still_allows(deed) {
            return Ok(());
        }
        let name = portcullis_base::printable(tool, 100);
        let text = format!(
            "The server has made another tool of {name}, so this call was not passed on. List the tools, then decide anew."
        );
        Err(ProtocolError::new(INVALID_PARAMS, 200, text).with_id(deed.id))
    }
}
