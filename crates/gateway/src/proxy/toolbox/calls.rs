//! What is done with one thing of one server: a tool called, a prompt rendered, a resource read, an argument completed.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use http::Response;
use portcullis_base::printable;
use portcullis_mcp::{
    Era, Headers, Method, ProtocolError, Version,
    dialect::RESOURCE_NOT_FOUND,
    message::{self, Call, INVALID_PARAMS},
    object::{Object, quoted},
    scan,
};
use portcullis_policy::Target;
use serde_json::json;

use super::{
    Part, Unboxed,
    gather::Freshness,
    shelf::Kind,
    unknown,
    uris::{Asked, Owners, Uris, Whose},
};
use crate::{
    proxy::{
        answer::Answer,
        decide::Deed,
        record::Record,
        refusal::Refusal,
        rewrite::rewrite,
        turn::{Lens, deed},
    },
    toolbox::{self, Edit, SEARCHING, Search, exposed, settled},
};

/// What a request becomes for its server.
pub(super) struct Inner<'c> {
    pub method: Method,
    pub version: Version,
    pub call: &'c Call<'c>,
    /// Members of the parameters that take the place of the client's.
    pub members: Vec<(&'static str, String)>,
    /// Members that the server is not to see.
    pub without: &'static [&'static str],
}

impl<'a> Unboxed<'a> {
    /// `tools/call`
    pub(super) async fn call(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let name = call.target.as_deref().unwrap_or_default();
        if self.toolbox.search == Search::On && SEARCHING.contains(&name) {
            return self.searching(name, call, version).await;
        }
        self.call_tool(headers, call, version, name, call.arguments).await
    }

    /// Calls the tool that is shown as `name` with the client's `arguments`.
    // spec: T-105: "our own meta-tools unwrap to the inner tool before policy, approval, audit": every way to a tool of a
    // server leads through here, and from here to the server's own turn.
    pub(super) async fn call_tool(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
        name: &str,
        arguments: Option<&str>,
    ) -> Result<Response<Answer>, Refusal> {
        let Some((part, own)) = self.tool(name).await? else {
            // spec: AG-8: "-32602, without contacting any upstream"; AG-26
            let text = format!("There is no tool {} here.", printable(name, 100));
            return Err(unknown(text, call));
        };
        let none = Edit::default();
        let edit = part.share.edits.get(&own).unwrap_or(&none);
        let settled = settled(arguments, edit).map_err(|taken| {
            let text = format!("The argument {} is set by this toolbox and cannot be given.", printable(&taken, 60));
            unknown(text, call)
        })?;
        let mut members = vec![("name", quoted(&own))];
        members.extend(settled.map(|arguments| ("arguments", arguments)));
        let without: &[&str] = if members.len() == 1 { &["arguments"] } else { &[] };
        let inner = Inner { method: Method::ToolsCall, version, call, members, without };
        let lens = Lens {
            arguments,
            fixed: Some(&edit.fixed).filter(|fixed: &&BTreeMap<_, _>| !fixed.is_empty()),
            uris: Arc::new(Uris::new(&part.server.name, self.owners_seen(), Asked::Otherwise)),
        };
        self.pass(headers, part, lens, &inner).await
    }

    /// The tool that is shown as `name`: its server and its own name there.
    async fn tool(&self, name: &str) -> Result<Option<(Part<'a>, String)>, Refusal> {
        let mut parts = self.parts();
        let renamed = parts.find_map(|part| {
            let mut edits = part.share.edits.iter();
            let own = edits.find(|(_, edit)| edit.rename.as_deref() == Some(name)).map(|(own, _)| own.clone())?;
            Some((part, Some(own)))
        });
        let found = renamed.or_else(|| Some((self.prefixed(name)?, None)));
        let Some((part, own)) = found else { return Ok(None) };
        let shown = |own: &str| part.share.tools.takes(own) && part.share.tool_name(own) == name;
        let plain = || name.split_once("__").map(|(_, rest)| rest.to_owned());
        let own = own.or_else(plain).filter(|own| shown(own));
        // spec: T-105: "same denial and same audit record": what a rule hides is refused by that rule, and recorded so.
        let sieve = self.visit.turn(part.server).list_sieve(Method::ToolsList, Era::Modern);
        if let Some(own) = own.as_ref().filter(|own| sieve.hides(own)) {
            return Ok(Some((part, own.clone())));
        }
        let mut freshness = Freshness::Seen;
        loop {
            let found = self.gather(part, Kind::Tools, freshness).await?;
            let mut items = found.list.iter().flat_map(|list| &list.items);
            if let Some(item) = items.find(|item| shown(&item.name) && toolbox::check(&item.raw).is_ok()) {
                return Ok(Some((part, item.name.to_string())));
            }
            if found.trouble.is_some() {
                // Its list cannot be had; the call itself will tell what the matter is, and what helps.
                return Ok(own.map(|own| (part, own)));
            }
            // What appeared since the list was seen is found by looking once more, but not for every slip.
            match freshness {
                Freshness::Seen => freshness = Freshness::Recent,
                _ => return Ok(None),
            }
        }
    }

    /// The server whose name stands before `__`.
    fn prefixed(&self, name: &str) -> Option<Part<'a>> {
        let (server, _) = name.split_once("__")?;
        self.parts().find(|part| part.server.name.as_str() == server)
    }

    /// `prompts/get`
    pub(super) async fn prompt(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let name = call.target.as_deref().unwrap_or_default();
        let Some((part, own)) = self.prompt_named(name).await? else {
            let text = format!("There is no prompt {} here.", printable(name, 100));
            return Err(unknown(text, call));
        };
        let members = vec![("name", quoted(&own))];
        let inner = Inner { method: Method::PromptsGet, version, call, members, without: &[] };
        self.pass(headers, part, lens(part, self.owners_seen(), Asked::Otherwise), &inner).await
    }

    async fn prompt_named(&self, name: &str) -> Result<Option<(Part<'a>, String)>, Refusal> {
        let Some(part) = self.prefixed(name) else { return Ok(None) };
        let shown = |own: &str| part.share.prompts.takes(own) && exposed(&part.server.name, own) == name;
        for freshness in [Freshness::Seen, Freshness::Recent] {
            let found = self.gather(part, Kind::Prompts, freshness).await?;
            let mut items = found.list.iter().flat_map(|list| &list.items);
            if let Some(item) = items.find(|item| shown(&item.name)) {
                return Ok(Some((part, item.name.to_string())));
            }
            if found.trouble.is_some() {
                let plain = name.split_once("__").map(|(_, rest)| rest.to_owned());
                return Ok(plain.filter(|own| shown(own)).map(|own| (part, own)));
            }
        }
        Ok(None)
    }

    /// `resources/read`
    pub(super) async fn read(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let (part, own, asked) = self.resource_named(call, INVALID_PARAMS).await?;
        let members = vec![("uri", quoted(&own))];
        let inner = Inner { method: Method::ResourcesRead, version, call, members, without: &[] };
        self.pass(headers, part, lens(part, Owners::default(), asked), &inner).await
    }

    /// `resources/subscribe` of a session: decided at the server whose resource it is.
    pub(in crate::proxy) async fn subscribed(&self, call: &Call<'_>) -> Result<Record, Refusal> {
        let (part, own, _) = self.resource_named(call, RESOURCE_NOT_FOUND).await?;
        let deed = Deed { target: Target::Resource(&own), ..deed(call, Method::ResourcesSubscribe) };
        let (permit, record) = self.visit.turn(part.server).decide(&deed).await?;
        drop(permit);
        Ok(record)
    }

    /// The resource that `call` is about: its server, its own URI there, and how it was asked for. If there is none, that is
    /// an error with this code.
    // spec: AG-34: "Unknown resource: -32602 (modern) or -32002 (legacy), never an empty contents"
    async fn resource_named(&self, call: &Call<'_>, code: i64) -> Result<(Part<'a>, String, Asked), Refusal> {
        let uri = call.target.as_deref().unwrap_or_default();
        self.resource(uri, |owners| owners.whose(uri)).await?.map_err(|why| {
            let mut error = ProtocolError::new(code, 200, why).with_id(call.id);
            // By this it is known for what it is where it is told to a session.
            error.data = Some(Box::new(json!({ "uri": uri })));
            error.into()
        })
    }

    /// Whose a resource is, by what is written or by the lists of all; or why nobody's.
    pub(super) async fn resource(
        &self,
        uri: &str,
        whose: impl Fn(&Owners) -> Whose,
    ) -> Result<Result<(Part<'a>, String, Asked), String>, Refusal> {
        let mut found = whose(&Owners::default());
        // What has its server in it needs no list.
        for freshness in [Freshness::Seen, Freshness::Recent] {
            if matches!(found, Whose::Nobody) {
                found = whose(&self.owners_asked(freshness).await?);
            }
        }
        let shown = printable(uri, 200);
        Ok(match found {
            Whose::Of(server, own, asked) => {
                let part = self.parts().find(|part| part.server.name == server);
                // spec: AG-32: "check access each time": here what the toolbox takes, then the server's own rules
                let part = part.filter(|part| part.share.resources.takes(&own));
                part.map(|part| (part, own, asked)).ok_or_else(|| format!("There is no resource {shown} here."))
            }
            Whose::Several => Err(format!("Several servers have {shown}; use the URI that the list gives.")),
            Whose::Nobody => Err(format!("There is no resource {shown} here.")),
        })
    }

    async fn owners_asked(&self, freshness: Freshness) -> Result<Owners, Refusal> {
        let parts: Vec<_> = self.parts().filter(|part| !part.share.resources.is_empty()).collect();
        let asked = parts.iter().flat_map(|part| {
            [Kind::Resources, Kind::Templates]
                .map(|kind| async move { (kind, *part, self.gather(*part, kind, freshness).await) })
        });
        let mut owners = Owners::default();
        for (kind, part, found) in join_all(asked).await {
            let items = found?.list;
            let items = items.iter().flat_map(|list| &list.items);
            items
                .filter(|item| part.share.resources.takes(&item.name))
                .for_each(|item| owners.add(kind, part, &item.name));
        }
        Ok(owners)
    }

    /// `completion/complete`
    // spec: AG-7: "completion/complete ref"; AG-35
    pub(super) async fn complete(
        &self,
        headers: Option<&Headers<'_>>,
        call: &Call<'_>,
        version: Version,
    ) -> Result<Response<Answer>, Refusal> {
        let wrong = |text: String| unknown(text, call);
        let reference = call.params.and_then(|params| scan::member(params, "ref")).unwrap_or("{}");
        let text = |name: &str| scan::member(reference, name).and_then(scan::string);
        let Some(mut changed) = Object::read(reference) else { return Err(wrong("ref is no object.".to_owned())) };
        let part = match text("type").as_deref() {
            Some("ref/prompt") => {
                let name = text("name").unwrap_or_default();
                let found = self.prompt_named(&name).await?;
                let (part, own) =
                    found.ok_or_else(|| wrong(format!("There is no prompt {} here.", printable(&name, 100))))?;
                changed.set("name", quoted(&own));
                part
            }
            Some("ref/resource") => {
                let uri = text("uri").unwrap_or_default();
                let found = self.resource(&uri, |owners| owners.whose_template(&uri)).await?;
                let (part, own, _) = found.map_err(wrong)?;
                changed.set("uri", quoted(&own));
                part
            }
            _ => return Err(wrong("ref is neither ref/prompt nor ref/resource.".to_owned())),
        };
        let members = vec![("ref", changed.finish().into_owned())];
        let inner = Inner { method: Method::Complete, version, call, members, without: &[] };
        self.pass(headers, part, lens(part, Owners::default(), Asked::Otherwise), &inner).await
    }

    /// Makes the request at its server. Everything in it that is not named anew is the client's own, byte for byte.
    pub(super) async fn pass(
        &self,
        headers: Option<&Headers<'_>>,
        part: Part<'a>,
        lens: Lens<'_>,
        inner: &Inner<'_>,
    ) -> Result<Response<Answer>, Refusal> {
        let call = inner.call;
        let broken = || Refusal::from(ProtocolError::internal(500, "The call cannot be passed on.").with_id(call.id));
        let raw = call.params.ok_or_else(broken)?;
        let mut params = Object::read(raw).ok_or_else(broken)?;
        inner.without.iter().for_each(|name| drop(params.remove(name)));
        for (name, value) in &inner.members {
            params.set(name, value.as_str());
        }
        params.set("_meta", self.meta.as_str());
        let params = params.finish();
        let text = rewrite(call.raw, &mut [(raw, &params)]).ok_or_else(broken)?;
        let text = std::str::from_utf8(&text).map_err(|_| broken())?;
        let message = message::message(text)?;
        let mut turn = self.visit.turn(part.server);
        turn.lens = Some(lens);
        turn.modern(headers, &message, inner.version, Some(inner.method)).await
    }
}

/// For what has no arguments that a toolbox sets.
pub(super) fn lens<'a>(part: Part<'_>, owners: Owners, asked: Asked) -> Lens<'a> {
    Lens { arguments: None, fixed: None, uris: Arc::new(Uris::new(&part.server.name, owners, asked)) }
}
