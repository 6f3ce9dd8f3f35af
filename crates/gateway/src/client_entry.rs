//! The entry of one server for each MCP client: the one table that the home page and `portcullis connect` show.
//!
//! Every entry is the URL alone: the client finds the sign-in by itself (OAuth discovery), so no credential is ever
//! written into a file. Which files of a machine these are, and how they are edited, is the command's affair.

use base64::Engine as _;
use serde_json::{Map, Value, json};

mod table;

pub use table::CLIENTS;

/// The program that entries start which cannot be a URL.
pub const BRIDGE: &str = "portcullis";

/// A client.
#[derive(Debug)]
pub struct Client {
    /// Its short name, as `portcullis connect` takes it.
    pub id: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// Other names that people may type.
    pub aliases: &'static [&'static str],
    /// The file that keeps its servers; `None` when it has none that may be written.
    pub file: Option<File>,
    /// The entry for a URL.
    pub entry: fn(&str) -> Value,
    /// What else there is to do or to know.
    pub steps: &'static [Step],
}

/// The file in which a client keeps its servers.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Where it is, for people.
    pub place: &'static str,
    /// How it is written.
    pub format: Format,
}

/// How a client's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, perhaps with comments: an object of servers under this key.
    Json(&'static str),
    /// TOML: one table per server under `mcp_servers`.
    TomlTable,
    /// TOML: an array of tables `mcp_servers`, each with its `name`.
    TomlArray,
    /// YAML: a list under `mcpServers`, each item with its `name`.
    YamlList,
    /// YAML: a mapping under this key.
    YamlMap(&'static str),
}

/// Something to do or to know; `{name}`, `{url}` and `{link}` are filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command that makes the entry too.
    Run(&'static str),
    /// A link that makes the entry too.
    Open(&'static str),
    /// How to sign in once the entry is there.
    SignIn(&'static str),
    /// A remark.
    Note(&'static str),
}

impl Client {
    /// The client that `name` means.
    pub fn named(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        CLIENTS.iter().find(|client| client.id == name || client.aliases.contains(&name.as_str()))
    }

    /// The nearest id to a name that means none.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let names = CLIENTS.iter().flat_map(|client| client.aliases.iter().copied().chain([client.id]));
        let near = portcullis_policy::nearest(&name.to_ascii_lowercase(), names)?;
        Self::named(near).map(|client| client.id)
    }
}

impl Format {
    /// The key under which the servers stand.
    pub fn root(self) -> &'static str {
        match self {
            Self::Json(root) | Self::YamlMap(root) => root,
            Self::TomlTable | Self::TomlArray => "mcp_servers",
            Self::YamlList => "mcpServers",
        }
    }

    /// What stands there for a server: in a list, and for goose, the entry says its name first.
    pub fn value(self, name: &str, entry: &Value) -> Value {
        match self {
            Self::TomlArray | Self::YamlList | Self::YamlMap("extensions") => {
                let mut item = Map::from_iter([("name".to_owned(), Value::from(name))]);
                item.extend(entry.as_object().cloned().unwrap_or_default());
                Value::Object(item)
            }
            Self::Json(_) | Self::TomlTable | Self::YamlMap(_) => entry.clone(),
        }
    }

    /// A file with this entry and nothing else, as a person would paste it.
    pub fn text(self, name: &str, entry: &Value) -> String {
        let root = self.root();
        let value = self.value(name, entry);
        let members = value.as_object().into_iter().flatten();
        let lines: Vec<String> = match self {
            Self::Json(_) => vec![format!("{:#}", json!({ root: { name: value } }))],
            Self::TomlTable | Self::TomlArray => {
                let header = if self == Self::TomlTable { format!("[{root}.{name}]") } else { format!("[[{root}]]") };
                // Texts, numbers and truth values are written in TOML as in JSON.
                [header].into_iter().chain(members.map(|(key, value)| format!("{key} = {value}"))).collect()
            }
            Self::YamlList => {
                let lines = members.enumerate().map(|(n, (key, value))| {
                    let mark = if n == 0 { '-' } else { ' ' };
                    format!("  {mark} {key}: {}", scalar(value))
                });
                [format!("{root}:")].into_iter().chain(lines).collect()
            }
            Self::YamlMap(_) => {
                let lines = members.map(|(key, value)| format!("    {key}: {}", scalar(value)));
                [format!("{root}:"), format!("  {name}:")].into_iter().chain(lines).collect()
            }
        };
        lines.join("\n") + "\n"
    }
}

impl Step {
    /// The command, link or remark itself.
    pub fn text(self, name: &str, url: &str) -> String {
        let (Self::Run(text) | Self::Open(text) | Self::SignIn(text) | Self::Note(text)) = self;
        let config = base64::engine::general_purpose::STANDARD.encode(json!({ "url": url }).to_string());
        let link: String = url::form_urlencoded::byte_serialize(config.as_bytes()).collect();
        text.replace("{link}", &link).replace("{name}", name).replace("{url}", url)
    }

    /// The same with the words that lead to it.
    pub fn sentence(self, name: &str, url: &str) -> String {
        let lead = match self {
            Self::Run(_) => "or run: ",
            Self::Open(_) => "or open: ",
            Self::SignIn(_) => "then sign in: ",
            Self::Note(_) => "",
        };
        format!("{lead}{}", self.text(name, url))
    }

    /// Whether it is of no more use once the entry is written.
    pub fn replaces_entry(self) -> bool {
        matches!(self, Self::Run(_) | Self::Open(_))
    }
}

/// A value in YAML: plain where that is safe, else in double quotes, which YAML reads as JSON does.
fn scalar(value: &Value) -> String {
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
            && !matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
            )
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const URL: &str = "https://gw.example/mcp/acme";

    #[test]
    fn names_are_unique_and_slips_are_understood() {
        let mut seen = BTreeSet::new();
        for name in CLIENTS.iter().flat_map(|client| client.aliases.iter().chain([&client.id])) {
            assert!(seen.insert(*name), "{name}");
            assert!(Client::named(name).is_some());
        }
        assert_eq!(Client::named("VSCode").map(|client| client.id), Some("vscode"));
        assert_eq!(Client::nearest("claude-cod"), Some("claude-code"));
        assert_eq!(Client::nearest("curser"), Some("cursor"));
        assert_eq!(Client::nearest("emacs-with-wings"), None);
    }

    #[test]
    fn no_entry_carries_more_than_the_url() {
        for client in CLIENTS {
            let text = (client.entry)(URL).to_string();
            assert!(text.contains(URL), "{}", client.id);
            assert!(!text.to_lowercase().contains("bearer"), "{}", client.id);
            for step in client.steps.iter().map(|step| step.sentence("acme", URL)) {
                for hole in ["{name}", "{url}", "{link}"] {
                    assert!(!step.contains(hole), "{}: {step}", client.id);
                }
            }
        }
        let link = Client::named("cursor").unwrap().steps[0].sentence("acme", URL);
        assert!(link.starts_with("or open: cursor://"), "{link}");
        assert!(link.contains("config=eyJ1cmwiOiJodHRwczovL2d3LmV4YW1wbGUvbWNwL2FjbWUifQ%3D%3D"), "{link}");
    }

    #[test]
    fn yaml_texts_that_mean_something_else_are_quoted() {
        let shown = |text: &str| scalar(&Value::from(text));
        assert_eq!(shown("streamable-http"), "streamable-http");
        for text in ["no", "Y", "TRUE", "1.5", "", "a: b", "https://gw.example"] {
            assert_eq!(shown(text), format!("\"{text}\""));
        }
    }
}
