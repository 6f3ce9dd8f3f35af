//! Tasks of the servers of a toolbox: an id leads to the one server that it opens for (BR-82), so nothing is kept for it.

use http::Response;
use portcullis_mcp::{Headers, Method, Version, message::Call};

use super::{
    Part, Unboxed,
    calls::{Inner, lens},
    uris::Asked,
};
use crate::proxy::{
    answer::Answer,
    refusal::Refusal,
    tasks::{self, Tasks},
};

impl<'a> Unboxed<'a> {
    /// `tasks/get`, `tasks/update`, `tasks/cancel`
    pub(super) async fn task(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
        method: Method,
    ) -> Result<Response<Answer>, Refusal> {
        let [(_, part)] = self.tasks(call, method)?[..] else { return Err(tasks::unknown().with_id(call.id).into()) };
        let inner = Inner { method, version, call, members: Vec::new(), without: &[] };
        self.pass(headers, part, lens(part, self.owners_seen(), Asked::Otherwise), &inner).await
    }

    /// The raw ids of tasks that `call` is about, each with its server.
    // spec: BR-82, T-108
    pub(super) fn tasks<'c>(&self, call: &Call<'c>, method: Method) -> Result<Vec<(&'c str, Part<'a>)>, Refusal> {
        let presented = tasks::presented(call, method).map_err(|error| error.with_id(call.id))?;
        let found = presented.into_iter().map(|raw| {
            let part = self.parts().find(|part| Tasks::has(&self.visit, &part.server.name, raw));
            let part = part.ok_or_else(|| tasks::unknown().with_id(call.id))?;
            Ok((raw, part))
        });
        found.collect()
    }
}
