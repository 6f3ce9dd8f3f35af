//! All clients, in the order in which they are listed.

use serde_json::{Value, json};

use super::{Client, File, Format, Step};

/// Another bridge than ours, for who has Node.js and not our program; pinned, as everything that `npx` runs should be.
const OTHER_BRIDGE: &str = "for a computer without the program portcullis, with Node.js: \"command\": \"npx\", \
                            \"args\": [\"-y\", \"mcp-remote@0.15.1\", \"{url}\"]";

fn url(url: &str) -> Value {
    json!({ "url": url })
}

fn http(url: &str) -> Value {
    json!({ "type": "http", "url": url })
}

fn server_url(url: &str) -> Value {
    json!({ "serverUrl": url })
}

/// For clients that can only start a command.
fn bridge(url: &str) -> Value {
    json!({ "command": super::BRIDGE, "args": ["bridge", url] })
}

/// All clients.
pub const CLIENTS: &[Client] = &[
    Client {
        id: "claude-code",
        label: "Claude Code",
        aliases: &["claude"],
        file: Some(File { place: "~/.claude.json", format: Format::Json("mcpServers") }),
        entry: http,
        steps: &[
            Step::Run("claude mcp add --transport http --scope user {name} {url}"),
            Step::SignIn("type /mcp in Claude Code and choose {name}"),
        ],
    },
    Client {
        id: "claude-desktop",
        label: "Claude Desktop",
        aliases: &[],
        file: Some(File {
            place: "claude_desktop_config.json (Settings > Developer > Edit Config)",
            format: Format::Json("mcpServers"),
        }),
        entry: bridge,
        steps: &[
            Step::Note("this entry starts a bridge on this computer; the sign-in page opens by itself"),
            Step::Note(OTHER_BRIDGE),
            Step::Note("if the gateway has a public https URL: Settings > Connectors > Add custom connector > {url}"),
        ],
    },
    Client {
        id: "cursor",
        label: "Cursor",
        aliases: &[],
        file: Some(File { place: "~/.cursor/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[Step::Open("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={link}")],
    },
    Client {
        id: "vscode",
        label: "VS Code",
        aliases: &["code", "vs-code", "visual-studio-code"],
        file: Some(File {
            place: "mcp.json (command MCP: Open User Configuration), or .vscode/mcp.json of a project",
            format: Format::Json("servers"),
        }),
        entry: http,
        steps: &[Step::Run("code --add-mcp '{\"name\":\"{name}\",\"type\":\"http\",\"url\":\"{url}\"}'")],
    },
    Client {
        id: "vscode-insiders",
        label: "VS Code Insiders",
        aliases: &["code-insiders"],
        file: Some(File {
            place: "mcp.json (command MCP: Open User Configuration), or .vscode/mcp.json of a project",
            format: Format::Json("servers"),
        }),
        entry: http,
        steps: &[Step::Run("code-insiders --add-mcp '{\"name\":\"{name}\",\"type\":\"http\",\"url\":\"{url}\"}'")],
    },
    Client {
        id: "vscodium",
        label: "VSCodium",
        aliases: &["codium"],
        file: Some(File {
            place: "mcp.json (command MCP: Open User Configuration), or .vscode/mcp.json of a project",
            format: Format::Json("servers"),
        }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "copilot-cli",
        label: "GitHub Copilot CLI",
        aliases: &["copilot"],
        file: Some(File { place: "~/.copilot/mcp-config.json", format: Format::Json("mcpServers") }),
        entry: |url| json!({ "type": "http", "url": url, "tools": ["*"] }),
        steps: &[],
    },
    Client {
        id: "copilot-jetbrains",
        label: "GitHub Copilot for JetBrains",
        aliases: &[],
        file: Some(File { place: "mcp.json in github-copilot/intellij", format: Format::Json("servers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "copilot-xcode",
        label: "GitHub Copilot for Xcode",
        aliases: &[],
        file: Some(File { place: "~/.config/github-copilot/xcode/mcp.json", format: Format::Json("servers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "visual-studio",
        label: "Visual Studio",
        aliases: &["vs"],
        file: Some(File { place: "~/.mcp.json", format: Format::Json("servers") }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "codex",
        label: "Codex (CLI, IDE, ChatGPT desktop)",
        aliases: &["codex-cli"],
        file: Some(File { place: "~/.codex/config.toml", format: Format::TomlTable }),
        entry: url,
        steps: &[Step::Run("codex mcp add {name} --url {url}"), Step::SignIn("codex mcp login {name}")],
    },
    Client {
        id: "gemini-cli",
        label: "Gemini CLI",
        aliases: &["gemini"],
        file: Some(File { place: "~/.gemini/settings.json", format: Format::Json("mcpServers") }),
        entry: http,
        steps: &[
            Step::Run("gemini mcp add --transport http -s user {name} {url}"),
            Step::SignIn("type /mcp auth {name} in Gemini CLI"),
        ],
    },
    Client {
        id: "qwen-code",
        label: "Qwen Code",
        aliases: &["qwen"],
        file: Some(File { place: "~/.qwen/settings.json", format: Format::Json("mcpServers") }),
        entry: |url| json!({ "httpUrl": url }),
        steps: &[Step::Run("qwen mcp add --scope user --transport http {name} {url}")],
    },
    Client {
        id: "antigravity",
        label: "Antigravity",
        aliases: &[],
        file: Some(File { place: "~/.gemini/antigravity/mcp_config.json", format: Format::Json("mcpServers") }),
        entry: server_url,
        steps: &[],
    },
    Client {
        id: "windsurf",
        label: "Windsurf",
        aliases: &["cascade"],
        file: Some(File { place: "~/.codeium/windsurf/mcp_config.json", format: Format::Json("mcpServers") }),
        entry: server_url,
        steps: &[],
    },
    Client {
        id: "zed",
        label: "Zed",
        aliases: &[],
        file: Some(File { place: "settings.json of Zed", format: Format::Json("context_servers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "continue",
        label: "Continue",
        aliases: &[],
        file: Some(File { place: "~/.continue/config.yaml", format: Format::YamlList }),
        entry: |url| json!({ "type": "streamable-http", "url": url }),
        steps: &[],
    },
    Client {
        id: "cline",
        label: "Cline",
        aliases: &[],
        file: Some(File { place: "cline_mcp_settings.json", format: Format::Json("mcpServers") }),
        entry: |url| json!({ "type": "streamableHttp", "url": url, "disabled": false }),
        steps: &[],
    },
    Client {
        id: "roo",
        label: "Roo Code",
        aliases: &["roo-code"],
        file: Some(File {
            place: "mcp_settings.json, or .roo/mcp.json of a project",
            format: Format::Json("mcpServers"),
        }),
        entry: |url| json!({ "type": "streamable-http", "url": url }),
        steps: &[],
    },
    Client {
        id: "goose",
        label: "Goose",
        aliases: &[],
        file: Some(File { place: "~/.config/goose/config.yaml", format: Format::YamlMap("extensions") }),
        entry: |url| json!({ "type": "streamable_http", "uri": url, "enabled": true, "timeout": 300, "headers": {} }),
        steps: &[],
    },
    Client {
        id: "lmstudio",
        label: "LM Studio",
        aliases: &["lm-studio"],
        file: Some(File { place: "~/.lmstudio/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[Step::Open("lmstudio://add_mcp?name={name}&config={link}")],
    },
    Client {
        id: "kiro",
        label: "Kiro",
        aliases: &["kiro-cli"],
        file: Some(File { place: "~/.kiro/settings/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "amazon-q",
        label: "Amazon Q Developer",
        aliases: &["amazonq", "q"],
        file: Some(File { place: "~/.aws/amazonq/mcp.json", format: Format::Json("mcpServers") }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "opencode",
        label: "opencode",
        aliases: &["open-code"],
        file: Some(File { place: "~/.config/opencode/opencode.json", format: Format::Json("mcp") }),
        entry: |url| json!({ "type": "remote", "url": url, "enabled": true }),
        steps: &[Step::SignIn("opencode mcp auth {name}")],
    },
    Client {
        id: "crush",
        label: "Crush",
        aliases: &[],
        file: Some(File { place: "~/.config/crush/crush.json", format: Format::Json("mcp") }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "junie",
        label: "JetBrains Junie",
        aliases: &["jetbrains"],
        file: Some(File { place: "~/.junie/mcp/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "warp",
        label: "Warp",
        aliases: &[],
        file: Some(File { place: "~/.warp/.mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "amp",
        label: "Amp",
        aliases: &[],
        file: Some(File { place: "~/.config/amp/settings.json", format: Format::Json("amp.mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "trae",
        label: "Trae",
        aliases: &[],
        file: Some(File { place: "mcp.json in Trae/User", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "qoder",
        label: "Qoder",
        aliases: &[],
        file: Some(File { place: "~/.qoder/mcp.json", format: Format::Json("mcpServers") }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "factory",
        label: "Factory Droid",
        aliases: &["droid", "factory-droid"],
        file: Some(File { place: "~/.factory/mcp.json", format: Format::Json("mcpServers") }),
        entry: http,
        steps: &[],
    },
    Client {
        id: "kimi",
        label: "Kimi CLI",
        aliases: &["kimi-cli"],
        file: Some(File { place: "~/.kimi/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "mistral-vibe",
        label: "Mistral Vibe",
        aliases: &["vibe"],
        file: Some(File { place: "~/.vibe/config.toml", format: Format::TomlArray }),
        entry: |url| json!({ "transport": "streamable-http", "url": url }),
        steps: &[],
    },
    Client {
        id: "abacus",
        label: "Abacus AI",
        aliases: &[],
        file: Some(File { place: "~/.abacusai/mcp.json", format: Format::Json("mcpServers") }),
        entry: url,
        steps: &[],
    },
    Client {
        id: "librechat",
        label: "LibreChat (librechat.yaml of the server)",
        aliases: &[],
        file: Some(File { place: "librechat.yaml of the server", format: Format::YamlMap("mcpServers") }),
        entry: |url| json!({ "type": "streamable-http", "url": url, "requiresOAuth": true }),
        steps: &[],
    },
    Client {
        id: "claude-ai",
        label: "claude.ai (web and mobile)",
        aliases: &["claude.ai"],
        file: None,
        entry: url,
        steps: &[
            Step::Note("Settings > Connectors > Add custom connector > {url}"),
            Step::Note("the connection comes from the cloud: the gateway needs a public https URL"),
        ],
    },
    Client {
        id: "chatgpt",
        label: "ChatGPT",
        aliases: &["openai"],
        file: None,
        entry: url,
        steps: &[
            Step::Note("Settings > Connectors > developer mode > add {url} with OAuth"),
            Step::Note("the connection comes from the cloud: the gateway needs a public https URL"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_bridge_is_the_release_that_is_tested() {
        let manifest: Value = serde_json::from_str(include_str!("../../../../tests/clients/package.json")).unwrap();
        let tested =
            manifest["dependencies"]["mcp-remote"].as_str().or(manifest["devDependencies"]["mcp-remote"].as_str());
        assert!(OTHER_BRIDGE.contains(&format!("\"mcp-remote@{}\"", tested.expect("a release"))));
    }
}
