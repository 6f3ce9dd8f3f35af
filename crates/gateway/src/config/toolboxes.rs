//! Endpoints over several servers.

use std::collections::{BTreeMap, HashMap};

use portcullis_base::{ServerName, printable};
use portcullis_policy::nearest;

use super::{
    Config, Problem, Problems, Server,
    read::{Node, Section},
    servers::{access, server_name},
};
use crate::toolbox::{ALL, Choice, Edit, Glob, Search, Share, Toolbox, check_name, shadows, skeleton};

/// A name in a toolbox's settings, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// File and line.
    pub place: String,
    /// The key.
    pub key: String,
    /// The name.
    pub name: ServerName,
    /// Whose it is.
    pub of: NameOf,
}

/// Whose a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOf {
    /// A toolbox: no server may have it.
    Toolbox,
    /// A server, which must be there.
    Server,
}

impl Config {
    /// Checks what toolboxes name against all servers there are, those of the database too.
    pub fn check_toolboxes(&self, known: &[ServerName]) -> Result<(), Problems> {
        let problem = |named: &Named, what: String, help: String| Problem {
            place: named.place.clone(),
            key: named.key.clone(),
            what,
            help: Some(help),
        };
        let wrong = self.named.iter().filter_map(|named| match named.of {
            NameOf::Toolbox if known.contains(&named.name) => Some(problem(
                named,
                format!("\"{}\" is the name of a server", named.name),
                "give the toolbox a name of its own".to_owned(),
            )),
            NameOf::Server if !known.contains(&named.name) => {
                let names = known.iter().map(ServerName::as_str);
                let near = nearest(named.name.as_str(), names).map(|near| format!("; did you mean \"{near}\"?"));
                let what = format!("there is no server \"{}\"{}", named.name, near.unwrap_or_default());
                let names = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                Some(problem(
                    named,
                    what,
                    format!("servers are: {}", if names.is_empty() { "none yet" } else { &names }),
                ))
            }
            _ => None,
        });
        let wrong: Vec<_> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Problems(wrong)) }
    }
}

pub(super) fn toolboxes(node: &Node<'_>, servers: &[Server]) -> (Vec<Toolbox>, Vec<Named>) {
    let (mut toolboxes, mut named): (Vec<Toolbox>, Vec<Named>) = (Vec::new(), Vec::new());
    for item in node.list("a list of toolboxes", "[{ name: support, tools: [{ server: github }] }]") {
        let mut section = item.section();
        let name_node = section.take("name");
        let name = toolbox_name(&name_node, servers, &toolboxes);
        let toolbox = Toolbox {
            name: name.clone().unwrap_or_else(|| ServerName::parse(ALL).expect("a valid name")),
            description: text(section.take("description"), "Tools of the support team"),
            instructions: text(section.take("instructions"), "Look for an open ticket before you make one."),
            access: access(&section.take("access")),
            search: Some(section.take("search"))
                .filter(Node::is_given)
                .map_or(Search::Off, |node| node.choice(&[("off", Search::Off), ("on", Search::On)])),
            shares: shares(&mut section, servers, &mut named),
        };
        section.finish();
        if let Some(name) = name {
            let (place, key) = name_node.named();
            named.push(Named { place, key, name, of: NameOf::Toolbox });
            toolboxes.push(toolbox);
        }
    }
    (toolboxes, named)
}

fn toolbox_name(node: &Node<'_>, servers: &[Server], toolboxes: &[Toolbox]) -> Option<ServerName> {
    let name = server_name(node)?;
    if name.as_str() == ALL {
        node.problem(
            "\"all\" is the name of the endpoint with everything that its caller may use",
            "give the toolbox another name; /mcp/all is there without being set up",
        );
    } else if servers.iter().any(|server| server.name == name) {
        node.problem(format!("\"{name}\" is the name of a server"), "give the toolbox a name of its own");
    } else if toolboxes.iter().any(|toolbox| toolbox.name == name) {
        node.problem(format!("\"{name}\" names a second toolbox"), "give each toolbox a name of its own");
    }
    Some(name)
}

fn text(node: Node<'_>, example: &str) -> Option<String> {
    Some(node).filter(Node::is_given).map(|node| node.text("a text", example))
}

fn shares(section: &mut Section<'_>, servers: &[Server], named: &mut Vec<Named>) -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    let mut renames = Vec::new();
    let tools = section.take("tools");
    for item in
        tools.list("a list of servers and which of their tools", "[{ server: github, include: [\"search_*\"] }]")
    {
        let mut section = item.section();
        let server = server_of(&mut section, servers, named);
        let tools = choice(&mut section);
        let edits = edits(&mut section, &tools, &mut renames, server.as_ref());
        section.finish();
        let Some((server, node)) = server else { continue };
        if shares.iter().any(|share| share.server == server) {
            node.problem(
                format!("\"{server}\" is here a second time"),
                "write everything about one server in one entry",
            );
            continue;
        }
        shares.push(Share { server, tools, prompts: Choice::none(), resources: Choice::none(), edits });
    }
    others(&section.take("prompts"), servers, named, &mut shares, |share| &mut share.prompts);
    others(&section.take("resources"), servers, named, &mut shares, |share| &mut share.resources);
    if shares.is_empty() {
        tools.problem(
            "is missing: a toolbox has tools, prompts or resources of at least one server",
            "example: tools: [{ server: github }]",
        );
    }
    clashes(&renames, &shares);
    shares
}

/// Prompts or resources: of all servers of the tools, of none, or of these.
fn others(
    node: &Node<'_>,
    servers: &[Server],
    named: &mut Vec<Named>,
    shares: &mut Vec<Share>,
    of: impl Fn(&mut Share) -> &mut Choice,
) {
    if !node.is_given() || node.as_text().is_some() {
        let all = !node.is_given() || node.choice(&[("all", true), ("none", false)]);
        for share in shares.iter_mut().filter(|_| all) {
            *of(share) = Choice::all();
        }
        return;
    }
    for item in node.list("all, none or a list of servers", "[{ server: github }]") {
        let mut section = item.section();
        let server = server_of(&mut section, servers, named);
        let choice = choice(&mut section);
        section.finish();
        let Some((server, _)) = server else { continue };
        if let Some(share) = shares.iter_mut().find(|share| share.server == server) {
            *of(share) = choice;
            continue;
        }
        let (none, edits) = (Choice::none(), BTreeMap::new());
        let mut share = Share { server, tools: none.clone(), prompts: none.clone(), resources: none, edits };
        *of(&mut share) = choice;
        shares.push(share);
    }
}

fn server_of<'n>(
    section: &mut Section<'n>,
    servers: &[Server],
    named: &mut Vec<Named>,
) -> Option<(ServerName, Node<'n>)> {
    let node = section.take("server");
    let name = server_name(&node)?;
    // spec: RS-21: who issues the tokens of a server's endpoint decides alone who gets there.
    if servers.iter().any(|server| server.name == name && server.authorization.is_some()) {
        node.problem(
            format!("\"{name}\" has an authorization server of its own, so tokens of this gateway are not for it"),
            "take it out; its own endpoint stays as it is",
        );
    }
    let (place, key) = node.named();
    named.push(Named { place, key, name: name.clone(), of: NameOf::Server });
    Some((name, node))
}

fn choice(section: &mut Section<'_>) -> Choice {
    let mut globs = |key| {
        let node = section.take(key);
        let given = node.is_given();
        let all = node.as_text() == Some("all");
        let globs = if all {
            vec!["*".to_owned()]
        } else {
            node.texts("a list of names, in which * stands for anything", "[search_*]")
        };
        (given, globs.iter().map(|glob| Glob::new(glob)).collect::<Vec<_>>())
    };
    let (chosen, include) = globs("include");
    let (_, exclude) = globs("exclude");
    Choice { include: if chosen { include } else { Choice::all().include }, exclude }
}

/// A name that is given to a tool.
struct Rename<'n> {
    node: Node<'n>,
    name: String,
    server: Option<ServerName>,
}

fn edits<'n>(
    section: &mut Section<'n>,
    tools: &Choice,
    renames: &mut Vec<Rename<'n>>,
    server: Option<&(ServerName, Node<'_>)>,
) -> BTreeMap<String, Edit> {
    let mut edits: BTreeMap<String, Edit> = BTreeMap::new();
    let known = |tool: &str, node: &Node<'_>| {
        if !tools.takes(tool) {
            node.problem(
                format!("\"{}\" is not among the tools that are taken", printable(tool, 80)),
                "add it to include, or take it out of exclude",
            );
        }
    };
    for (tool, node) in section.take("rename").entries("{ create_issue: open_ticket }") {
        known(&tool, &node);
        let name = node.text("the tool's name here", "open_ticket");
        match check_name(&name) {
            Ok(()) => {
                renames.push(Rename { node, name: name.clone(), server: server.map(|(name, _)| name.clone()) });
                edits.entry(tool).or_default().rename = Some(name);
            }
            Err(_) if name.is_empty() => {}
            Err(error) => node.problem(format!("\"{}\" {error}", printable(&name, 80)), "example: open_ticket"),
        }
    }
    for (tool, node) in section.take("describe").entries("{ create_issue: Opens a ticket }") {
        known(&tool, &node);
        edits.entry(tool).or_default().describe = Some(node.text("a text", "Opens a ticket"));
    }
    for (key, fixed) in [("fixed", true), ("defaults", false)] {
        for (tool, node) in section.take(key).entries("{ create_issue: { repo: acme/support } }") {
            known(&tool, &node);
            let edit = edits.entry(tool).or_default();
            for (argument, value) in node.entries("{ repo: acme/support }") {
                let Some(json) = value.json() else { continue };
                if !fixed && edit.fixed.contains_key(&argument) {
                    value.problem("is fixed too, so nobody can give another value", "keep one of the two");
                }
                let arguments = if fixed { &mut edit.fixed } else { &mut edit.defaults };
                arguments.insert(argument, json);
            }
        }
    }
    edits
}

/// Refuses names under which somebody would see another tool than the one they know.
// spec: T-73, AG-5: "fail startup on an unresolvable clash"
fn clashes(renames: &[Rename<'_>], shares: &[Share]) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for rename in renames {
        let shown = printable(&rename.name, 80);
        let others = shares.iter().filter(|share| Some(&share.server) != rename.server.as_ref());
        if let Some(other) = seen.insert(skeleton(&rename.name), &rename.name) {
            let (what, help) = if other == rename.name {
                (format!("\"{shown}\" is given to a second tool"), "give each tool a name of its own")
            } else {
                let what = format!("\"{shown}\" looks like \"{other}\", which is another tool here");
                (what, "tell them apart clearly")
            };
            rename.node.problem(what, help);
        } else if let Some(share) = others.into_iter().find(|share| shadows(&rename.name, &share.server)) {
            rename.node.problem(
                format!("\"{shown}\" looks like a tool of the server \"{}\", and is one of another", share.server),
                "give it a name that does not begin with another server's",
            );
        }
    }
}
