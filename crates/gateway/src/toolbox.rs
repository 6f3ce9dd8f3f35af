//! Toolboxes: what somebody chose of several servers, behind one endpoint. What is chosen, under which names, is settled
//! here, purely; asking the servers is the data path's.

mod cost;
mod glob;
mod name;
mod schema;
mod searching;

use std::{collections::BTreeMap, sync::Arc};

use portcullis_base::ServerName;
use portcullis_policy::Access;

pub use self::{
    cost::{Cost, cost},
    glob::Glob,
    name::{NameError, check_name, exposed, shadows, skeleton},
    schema::{Unfit, bare, check, settled, shown},
    searching::{MOST, SEARCHING, definitions},
};

/// The name of the endpoint with everything that its caller may use; no server and no toolbox is called so.
pub const ALL: &str = "all";

/// A chosen set of what several servers offer, with an endpoint of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolbox {
    /// Its name in `/mcp/{name}`.
    pub name: ServerName,
    /// What it is for.
    pub description: Option<String>,
    /// What clients are told of it, in the place of what its servers say of themselves.
    pub instructions: Option<String>,
    /// Who may use it, of those who may use its servers.
    pub access: Access,
    /// Whether tools are found by searching instead of by reading the list.
    pub search: Search,
    /// What it takes of each server, in the order in which it is shown.
    pub shares: Vec<Share>,
}

/// How tools are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Search {
    /// By the whole list.
    #[default]
    Off,
    /// By words: the list has three tools that search, describe and call.
    On,
}

/// What a toolbox takes of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The server.
    pub server: ServerName,
    /// Its tools.
    pub tools: Choice,
    /// Its prompts.
    pub prompts: Choice,
    /// Its resources and templates, by URI.
    pub resources: Choice,
    /// What is different here about some of its tools, by their own names.
    pub edits: BTreeMap<String, Edit>,
}

/// Which of several things are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Those that fit one of these.
    pub include: Vec<Glob>,
    /// But none that fits one of these.
    pub exclude: Vec<Glob>,
}

/// What is different in a toolbox about one tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The name it is shown under.
    pub rename: Option<String>,
    /// Its description.
    pub describe: Option<String>,
    /// Arguments that are always these, as raw JSON; nobody who calls sees or sets them.
    pub fixed: BTreeMap<String, String>,
    /// Arguments that are these unless the call says otherwise, as raw JSON.
    pub defaults: BTreeMap<String, String>,
}

impl Choice {
    /// Everything.
    pub fn all() -> Self {
        Self { include: vec![Glob::new("*")], exclude: Vec::new() }
    }

    /// Nothing.
    pub fn none() -> Self {
        Self { include: Vec::new(), exclude: Vec::new() }
    }

    /// Whether `name` is taken.
    // spec: AG-26: "a hidden tool is uncallable": calls ask this too
    pub fn takes(&self, name: &str) -> bool {
        let fits = |globs: &[Glob]| globs.iter().any(|glob| glob.fits(name));
        fits(&self.include) && !fits(&self.exclude)
    }

    /// Whether anything can be taken.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty()
    }
}

impl Toolbox {
    /// The endpoint with everything: `servers` in their order. Whoever calls finds of it what they may use.
    pub fn all(servers: impl IntoIterator<Item = ServerName>) -> Arc<Self> {
        let share = |server| Share {
            server,
            tools: Choice::all(),
            prompts: Choice::all(),
            resources: Choice::all(),
            edits: BTreeMap::new(),
        };
        Arc::new(Self {
            name: ServerName::parse(ALL).expect("the name follows the rules"),
            description: Some("Everything that you may use here, behind one address".into()),
            instructions: None,
            access: Access::open(),
            search: Search::Off,
            shares: servers.into_iter().map(share).collect(),
        })
    }

    /// What it takes of `server`.
    pub fn share(&self, server: &str) -> Option<&Share> {
        self.shares.iter().find(|share| share.server.as_str() == server)
    }
}

impl Share {
    /// The name under which its server's tool `name` is shown.
    // spec: AG-2
    pub fn tool_name(&self, name: &str) -> String {
        let renamed = self.edits.get(name).and_then(|edit| edit.rename.clone());
        renamed.unwrap_or_else(|| exposed(&self.server, name))
    }
}
