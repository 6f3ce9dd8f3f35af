//! Which files hold a client's servers, for a person and for a project.

use portcullis_gateway::client_entry::Client;

use super::place::Base;

/// The files of a client. One that is not listed here has none that we know.
#[derive(Debug)]
pub struct Files {
    /// Whose.
    client: &'static str,
    /// Where the file of a person may be: the first that exists, or else the first that makes sense here.
    pub user: &'static [(Base, &'static str)],
    /// The file of a project, relative to its root.
    pub project: Option<&'static str>,
}

const NONE: Files = Files { client: "", user: &[], project: None };

const FILES: &[Files] = &[
    Files {
        client: "claude-code",
        user: &[(Base::Variable("CLAUDE_CONFIG_DIR"), ".claude.json"), (Base::Home, ".claude.json")],
        project: Some(".mcp.json"),
    },
    Files {
        client: "claude-desktop",
        user: &[(Base::Application, "Claude/claude_desktop_config.json")],
        project: None,
    },
    Files { client: "cursor", user: &[(Base::Home, ".cursor/mcp.json")], project: Some(".cursor/mcp.json") },
    Files { client: "vscode", user: &[(Base::Application, "Code/User/mcp.json")], project: Some(".vscode/mcp.json") },
    Files {
        client: "vscode-insiders",
        user: &[(Base::Application, "Code - Insiders/User/mcp.json")],
        project: Some(".vscode/mcp.json"),
    },
    Files {
        client: "vscodium",
        user: &[(Base::Application, "VSCodium/User/mcp.json")],
        project: Some(".vscode/mcp.json"),
    },
    Files {
        client: "copilot-cli",
        user: &[(Base::Variable("COPILOT_HOME"), "mcp-config.json"), (Base::Home, ".copilot/mcp-config.json")],
        project: Some(".mcp.json"),
    },
    Files {
        client: "copilot-jetbrains",
        user: &[
            (Base::WindowsLocal, "github-copilot/intellij/mcp.json"),
            (Base::Unix, ".config/github-copilot/intellij/mcp.json"),
        ],
        project: None,
    },
    Files { client: "copilot-xcode", user: &[(Base::Home, ".config/github-copilot/xcode/mcp.json")], project: None },
    Files { client: "visual-studio", user: &[(Base::Home, ".mcp.json")], project: Some(".vs/mcp.json") },
    Files {
        client: "codex",
        user: &[(Base::Variable("CODEX_HOME"), "config.toml"), (Base::Home, ".codex/config.toml")],
        project: Some(".codex/config.toml"),
    },
    Files {
        client: "gemini-cli",
        user: &[(Base::Home, ".gemini/settings.json")],
        project: Some(".gemini/settings.json"),
    },
    Files { client: "qwen-code", user: &[(Base::Home, ".qwen/settings.json")], project: Some(".qwen/settings.json") },
    Files {
        client: "antigravity",
        user: &[(Base::Home, ".gemini/antigravity/mcp_config.json"), (Base::Home, ".gemini/config/mcp_config.json")],
        project: None,
    },
    Files { client: "windsurf", user: &[(Base::Home, ".codeium/windsurf/mcp_config.json")], project: None },
    Files {
        client: "zed",
        user: &[
            (Base::Windows, "Zed/settings.json"),
            (Base::Config, "zed/settings.json"),
            (Base::Mac, "Zed/settings.json"),
        ],
        project: Some(".zed/settings.json"),
    },
    Files {
        client: "continue",
        user: &[(Base::Variable("CONTINUE_GLOBAL_DIR"), "config.yaml"), (Base::Home, ".continue/config.yaml")],
        project: None,
    },
    Files {
        client: "cline",
        user: &[
            (Base::Variable("CLINE_DIR"), "data/settings/cline_mcp_settings.json"),
            (Base::Home, ".cline/data/settings/cline_mcp_settings.json"),
            (Base::Application, "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"),
        ],
        project: None,
    },
    Files {
        client: "roo",
        user: &[(Base::Application, "Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json")],
        project: Some(".roo/mcp.json"),
    },
    Files {
        client: "goose",
        user: &[(Base::Windows, "Block/goose/config/config.yaml"), (Base::Config, "goose/config.yaml")],
        project: None,
    },
    Files {
        client: "lmstudio",
        user: &[(Base::Home, ".lmstudio/mcp.json"), (Base::Home, ".cache/lm-studio/mcp.json")],
        project: None,
    },
    Files {
        client: "kiro",
        user: &[(Base::Home, ".kiro/settings/mcp.json")],
        project: Some(".kiro/settings/mcp.json"),
    },
    Files { client: "amazon-q", user: &[(Base::Home, ".aws/amazonq/mcp.json")], project: Some(".amazonq/mcp.json") },
    Files {
        client: "opencode",
        user: &[
            (Base::Variable("OPENCODE_CONFIG"), ""),
            (Base::Variable("OPENCODE_CONFIG_DIR"), "opencode.json"),
            (Base::Home, ".config/opencode/opencode.json"),
            (Base::Home, ".config/opencode/opencode.jsonc"),
            (Base::Home, ".opencode/opencode.json"),
            (Base::Home, ".opencode/opencode.jsonc"),
        ],
        project: Some("opencode.json"),
    },
    Files {
        client: "crush",
        user: &[(Base::WindowsLocal, "crush/crush.json"), (Base::Config, "crush/crush.json")],
        project: Some("crush.json"),
    },
    Files { client: "junie", user: &[(Base::Home, ".junie/mcp/mcp.json")], project: Some(".junie/mcp/mcp.json") },
    Files { client: "warp", user: &[(Base::Home, ".warp/.mcp.json")], project: Some(".warp/.mcp.json") },
    Files {
        client: "amp",
        user: &[(Base::Windows, "amp/settings.json"), (Base::Unix, ".config/amp/settings.json")],
        project: None,
    },
    Files { client: "trae", user: &[(Base::Application, "Trae/User/mcp.json")], project: None },
    Files {
        client: "qoder",
        user: &[(Base::Windows, "Qoder/SharedClientCache/mcp.json"), (Base::Unix, ".qoder/mcp.json")],
        project: None,
    },
    Files { client: "factory", user: &[(Base::Home, ".factory/mcp.json")], project: Some(".factory/mcp.json") },
    Files { client: "kimi", user: &[(Base::Home, ".kimi/mcp.json")], project: None },
    Files { client: "mistral-vibe", user: &[(Base::Home, ".vibe/config.toml")], project: None },
    Files { client: "abacus", user: &[(Base::Home, ".abacusai/mcp.json")], project: Some(".abacusai/mcp.json") },
];

impl Files {
    /// The files of `client`.
    pub fn of(client: &Client) -> &'static Self {
        FILES.iter().find(|files| files.client == client.id).unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_gateway::client_entry::CLIENTS;

    use super::*;

    #[test]
    fn files_are_where_the_table_of_clients_tells_people() {
        for client in CLIENTS {
            let files = Files::of(client);
            let Some(file) = client.file else {
                assert!(files.user.is_empty() && files.project.is_none(), "{}", client.id);
                continue;
            };
            // LibreChat's file is on its server.
            assert!(!files.user.is_empty() || client.id == "librechat", "{}", client.id);
            let told = |(base, rest): &(Base, &str)| match (file.place.strip_prefix("~/"), base) {
                (Some(place), Base::Config) => place == format!(".config/{rest}"),
                (Some(place), Base::Home | Base::Unix) => place == *rest,
                (Some(_), _) => false,
                (None, _) => file.place.starts_with(rest.rsplit('/').next().unwrap_or(rest)),
            };
            assert!(files.user.is_empty() || files.user.iter().any(told), "{}: {}", client.id, file.place);
        }
    }

    #[test]
    fn every_file_belongs_to_one_client() {
        for (at, files) in FILES.iter().enumerate() {
            assert!(CLIENTS.iter().any(|client| client.id == files.client), "{}", files.client);
            assert!(FILES[..at].iter().all(|other| other.client != files.client), "{}", files.client);
        }
    }
}
