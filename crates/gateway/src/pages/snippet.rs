//! What the home page says about each well-known client: the ways to make its entry, ready to be pasted.

use crate::client_entry::{Client, Step};

/// What to do for one client.
pub struct Snippet {
    /// The client's short name.
    pub client: &'static str,
    /// The client's name for people.
    pub label: &'static str,
    /// The ways to make the entry; one is enough.
    pub ways: Vec<Way>,
    /// What to do or to know afterwards, as sentences.
    pub after: Vec<String>,
}

/// One way to make an entry.
pub struct Way {
    /// Where the text goes.
    pub place: String,
    /// The text.
    pub text: String,
}

/// The clients on the page; `portcullis connect --list` names all.
const SHOWN: [&str; 8] =
    ["claude-code", "cursor", "vscode", "codex", "gemini-cli", "windsurf", "zed", "claude-desktop"];

/// The entries of server `name` at `url` for the clients of the page.
pub fn all(name: &str, url: &str) -> Vec<Snippet> {
    SHOWN.iter().filter_map(|id| Client::named(id)).map(|client| snippet(client, name, url)).collect()
}

fn snippet(client: &'static Client, name: &str, url: &str) -> Snippet {
    let mut ways: Vec<Way> = Vec::new();
    for step in client.steps.iter().filter(|step| matches!(step, Step::Run(_))) {
        ways.push(Way { place: "In a terminal".into(), text: step.text(name, url) });
    }
    if let Some(file) = client.file {
        let lead = if ways.is_empty() { "In" } else { "Or in" };
        let text = file.format.text(name, &(client.entry)(url));
        ways.push(Way { place: format!("{lead} {}", file.place), text: text.trim_end().to_owned() });
    }
    let after = client.steps.iter().filter(|step| !step.replaces_entry());
    let after = after.map(|step| capital(&step.sentence(name, url))).collect();
    Snippet { client: client.id, label: client.label, ways, after }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_names_the_server_and_its_address() {
        let snippets = all("acme", "https://gw.example/mcp/acme");
        assert_eq!(snippets.iter().map(|snippet| snippet.client).collect::<Vec<_>>(), SHOWN);
        for snippet in &snippets {
            assert!(!snippet.ways.is_empty(), "{}", snippet.client);
            for way in &snippet.ways {
                assert!(
                    way.text.contains("acme") && way.text.contains("https://gw.example/mcp/acme"),
                    "{}",
                    snippet.client
                );
            }
        }
    }

    #[test]
    fn a_command_comes_before_the_file_and_the_sign_in_after_both() {
        let shown = |id: &str| {
            let snippet = snippet(Client::named(id).unwrap(), "acme", "https://gw.example/mcp/acme");
            let ways = snippet.ways.iter().map(|way| format!("{}:\n{}", way.place, way.text));
            ways.chain(snippet.after.iter().cloned()).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(shown("codex"), @r#"
        In a terminal:
        codex mcp add acme --url https://gw.example/mcp/acme
        Or in ~/.codex/config.toml:
        [mcp_servers.acme]
        url = "https://gw.example/mcp/acme"
        Then sign in: codex mcp login acme
        "#);
        insta::assert_snapshot!(shown("claude-desktop"), @r#"
        In claude_desktop_config.json (Settings > Developer > Edit Config):
        {
          "mcpServers": {
            "acme": {
              "command": "portcullis",
              "args": [
                "bridge",
                "https://gw.example/mcp/acme"
              ]
            }
          }
        }
        This entry starts a bridge on this computer; the sign-in page opens by itself
        For a computer without the program portcullis, with Node.js: "command": "npx", "args": ["-y", "mcp-remote@0.15.1", "https://gw.example/mcp/acme"]
        If the gateway has a public https URL: Settings > Connectors > Add custom connector > https://gw.example/mcp/acme
        "#);
    }
}
