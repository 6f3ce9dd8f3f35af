//! The rules held against the tools that servers were seen to have. What is found is told and never enforced: a server that
//! changes its tools must not keep a gateway from starting. Rules that are wrong whatever tools there are never load.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_base::{Holder, ServerName, Timestamp};
use portcullis_mcp::scan;
use portcullis_policy::{Definition, Definitions, Finding, Weight};
use portcullis_store::{Store, StoreError, ToolList};
use tokio::{sync::Mutex, task::spawn_blocking};

use crate::{
    snapshot::{Server, Snapshot},
    tools::{Book, Origin, Part, Risk},
    upstream::{Location, Upstreams},
};

/// Lists of one server that are looked at, the newest: most people are shown the same.
const LISTS: u32 = 16;

/// What was found the last time that there was something new.
#[derive(Default)]
pub struct Inspection {
    findings: ArcSwap<Vec<Finding>>,
    /// What there was when it was found.
    seen: Mutex<Option<Seen>>,
}

#[derive(PartialEq, Eq)]
struct Seen {
    /// Of servers and rules.
    revision: i64,
    lists: (i64, Option<Timestamp>),
}

/// One server with the lists that people were shown there, the newest first.
pub struct Shown {
    /// The server.
    pub server: Arc<Server>,
    /// Who wrote its definitions.
    pub origin: Origin,
    /// Arrays of definitions.
    pub lists: Vec<String>,
}

impl Inspection {
    /// What is wrong or odd in the rules in force, in view of the tools that there are.
    pub fn findings(&self) -> Arc<Vec<Finding>> {
        self.findings.load_full()
    }

    /// Looks again, if rules, servers or the tools of one are others than the last time.
    pub async fn round(&self, store: &Store, snapshot: &Snapshot, upstreams: &Upstreams) -> Result<(), StoreError> {
        if snapshot.bundle.is_empty() {
            return Ok(());
        }
        let mut seen = self.seen.lock().await;
        let now = Some(Seen { revision: snapshot.revision, lists: store.tool_lists_mark().await? });
        if *seen == now {
            return Ok(());
        }
        let mut shown = Vec::new();
        for server in snapshot.servers.values() {
            let origin = upstreams.open(&server.name, &server.location, server.limits).origin();
            shown.push(Shown { origin, ..shown_by(store, server).await? });
        }
        let bundle = snapshot.bundle.clone();
        let checked = spawn_blocking(move || bundle.check(&definitions(&shown))).await;
        match checked {
            Ok(found) => {
                let before = self.findings.swap(Arc::new(found));
                told(&before, &self.findings.load());
                *seen = now;
            }
            Err(error) => tracing::error!(%error, "the rules could not be held against the tools"),
        }
        Ok(())
    }
}

/// Writes into the log what was not found before.
fn told(before: &[Finding], now: &[Finding]) {
    for finding in now.iter().filter(|finding| !before.contains(finding)) {
        match finding.weight {
            Weight::Note => tracing::debug!(rule = %finding.error, "not checked"),
            Weight::Caution => tracing::warn!(rule = %finding.error, "a rule may not be meant like that"),
            Weight::Fault => tracing::error!(rule = %finding.error, "a rule cannot be meant like that"),
        }
    }
}

/// What people were shown by `server`; whose its definitions are is not asked.
pub async fn shown_by(store: &Store, server: &Arc<Server>) -> Result<Shown, StoreError> {
    let lists = match &server.location {
        Location::InProcess(_) => store.tool_lists(&server.name, LISTS).await?,
        Location::Url { .. } | Location::Command { .. } => recalled(store, server, LISTS).await?,
    };
    let lists = lists.into_iter().map(|(_, list)| list.list).collect();
    Ok(Shown { server: server.clone(), origin: Origin::Stranger, lists })
}

/// The lists that people were shown by `server` where it is now, the newest first. Of one that moved nothing is known.
pub(crate) async fn recalled(
    store: &Store,
    server: &Server,
    most: u32,
) -> Result<Vec<(Option<Holder>, ToolList)>, StoreError> {
    let is_here = match &server.location {
        Location::Url { url, .. } => {
            store.server_facts(&server.name).await?.is_some_and(|facts| facts.url == url.as_str())
        }
        Location::Command { .. } => true,
        // What is of this process is what this process is.
        Location::InProcess(_) => false,
    };
    if is_here { store.tool_lists(&server.name, most).await } else { Ok(Vec::new()) }
}

/// The tools that `shown` makes known, as rules are told of them when one is called.
pub fn definitions(shown: &[Shown]) -> Definitions {
    let mut definitions = Definitions::default();
    for Shown { server, origin, lists } in shown {
        definitions.server(server.name.clone());
        match origin {
            Origin::Api(api) => {
                let tools: Vec<_> = api.tools.iter().map(|tool| tool.definition.as_str()).collect();
                learn(&mut definitions, server, origin, &format!("[{}]", tools.join(",")));
            }
            // Where two lists differ, the newer one has the last word.
            Origin::Stranger | Origin::Ours => {
                lists.iter().rev().for_each(|list| learn(&mut definitions, server, origin, list));
            }
        }
    }
    definitions
}

fn learn(definitions: &mut Definitions, server: &Server, origin: &Origin, list: &str) {
    let sheet = Book::new(server.name.clone()).learn(None, Part::First, list, origin);
    for tool in scan::elements(list) {
        let Some(name) = scan::member(tool, "name").and_then(scan::string) else { continue };
        let risk = Risk::of(sheet.page(&name).map(|page| &**page), server.risk.get(&*name));
        let schema = scan::member(tool, "inputSchema").unwrap_or("{}");
        let mut definition = Definition::new(schema);
        (definition.classes, definition.labels) = (risk.classes, risk.labels);
        definitions.tool(ServerName::clone(&server.name), &name, definition);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use portcullis_base::Digest;
    use portcullis_policy::{Bundle, Source};
    use portcullis_store::{DatabaseSettings, ServerFacts};

    use super::*;
    use crate::{
        config::{Entry, Environment},
        outbound::Dialer,
    };

    #[tokio::test]
    async fn rules_are_held_against_what_servers_list_whenever_that_changes() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let store = Store::open(&DatabaseSettings::Sqlite(dir.path().join("db")), now).await.unwrap();
        let url = "https://shop.example.com/mcp";
        let entry = Entry::from_json(&format!(r#"{{"name":"shop","url":"{url}"}}"#)).unwrap();
        let server = Arc::new(Server::of(&entry.server(&Environment::default()).unwrap()).unwrap());
        let rules = "- { rule: r, who: '*', what: shop/get_order, when: args.amout > 5, then: deny }\n";
        let snapshot = Snapshot {
            servers: HashMap::from([(server.name.clone(), server.clone())]),
            toolboxes: HashMap::new(),
            people: HashMap::new(),
            service_accounts: 0,
            bundle: Arc::new(Bundle::load(&[Source { name: "rules.yaml", text: rules }]).unwrap()),
            revision: 1,
        };
        let (inspection, upstreams) = (Inspection::default(), Upstreams::new(Dialer::new([]).unwrap()));
        let found = async || {
            inspection.round(&store, &snapshot, &upstreams).await.unwrap();
            let findings = inspection.findings();
            findings.iter().map(|finding| (finding.weight, finding.error.to_string())).collect::<Vec<_>>()
        };
        let show = async |list: &str, seconds| {
            let seen = ToolList {
                digest: Digest::of(list.as_bytes()),
                list: list.into(),
                seen_at: Timestamp::from_secs(seconds),
            };
            store.put_tool_list(&server.name, None, &seen).await.unwrap();
        };
        let unknown = "rules.yaml:1: the tools of \"shop\" are not known, so what rules say of them is not checked";
        assert_eq!(found().await, [(Weight::Note, unknown.to_owned())]);

        let facts = ServerFacts { url: url.into(), versions: Vec::new(), learned_at: now };
        store.put_server_facts(&server.name, &facts).await.unwrap();
        let tool = |name: &str| {
            format!(
                r#"{{"name":"{name}","inputSchema":{{"type":"object","properties":{{"amount":{{"type":"number"}}}},"additionalProperties":false}}}}"#
            )
        };
        show(&format!("[{}]", tool("get_orders")), 1).await;
        let renamed = "rules.yaml:1: no tool of \"shop\" is called \"get_order\"; did you mean \"shop/get_orders\"?";
        assert_eq!(found().await, [(Weight::Fault, renamed.to_owned())]);

        show(&format!("[{}]", tool("get_order")), 2).await;
        let mistyped = "rules.yaml:1: shop/get_order has no argument \"amout\"; did you mean \"amount\"?";
        assert_eq!(found().await, [(Weight::Fault, mistyped.to_owned())]);
        // What was seen where it no longer is says nothing of it.
        store
            .put_server_facts(&server.name, &ServerFacts { url: "https://old.example.com/mcp".into(), ..facts })
            .await
            .unwrap();
        show(&format!("[{}]", tool("get_order")), 3).await;
        assert_eq!(found().await, [(Weight::Note, unknown.to_owned())]);
    }
}
