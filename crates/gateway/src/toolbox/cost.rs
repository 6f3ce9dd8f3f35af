//! What the list of a toolbox costs a model that reads it, and what searching it costs instead.

use portcullis_base::ServerName;
use portcullis_mcp::{ranking::tokens, scan};
use portcullis_store::{Store, StoreError};

use super::{Toolbox, check, definitions, shown};

/// What a toolbox costs, as far as somebody has seen its servers' tools. Tokens are estimates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Its tools.
    pub tools: usize,
    /// Tokens of the whole list.
    pub list: usize,
    /// Tokens of the three tools that search.
    pub search: usize,
    /// Servers whose tools nobody has seen yet.
    pub unseen: Vec<ServerName>,
}

/// The cost of `toolbox` by the lists that were seen last.
pub async fn cost(store: &Store, toolbox: &Toolbox) -> Result<Cost, StoreError> {
    let mut cost = Cost { search: tokens(&definitions().to_string()), ..Cost::default() };
    for share in toolbox.shares.iter().filter(|share| !share.tools.is_empty()) {
        let Some(seen) = store.newest_tool_list(&share.server).await? else {
            cost.unseen.push(share.server.clone());
            continue;
        };
        for raw in scan::elements(&seen.list) {
            let Some(name) = scan::member(raw, "name").and_then(scan::string) else { continue };
            if share.tools.takes(&name) && check(raw).is_ok() {
                cost.tools += 1;
                cost.list += tokens(&shown(raw, &share.tool_name(&name), share.edits.get(&*name)));
            }
        }
    }
    Ok(cost)
}
