//! For every client: existing files keep their bytes, a second run changes nothing.

use super::*;
use portcullis_gateway::client_entry::{CLIENTS, Client};

const URL: &str = "https://gw.example/mcp/acme";

fn put_into(client: &str, text: &str) -> String {
    let client = Client::named(client).expect("client");
    let format = client.file.expect("file").format;
    match put(format, text, "acme", &(client.entry)(URL)) {
        Ok(Edited::New(new)) => new,
        other => panic!("{other:?}"),
    }
}

fn refused(client: &str, text: &str) -> String {
    let client = Client::named(client).expect("client");
    put(client.file.expect("file").format, text, "acme", &(client.entry)(URL)).expect_err("refused")
}

/// What was there before and after the inserted part.
fn kept<'a>(old: &'a str, new: &str) -> (&'a str, &'a str) {
    let before = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let after = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    let after = after.min(old.len() - before);
    (&old[..before], &old[old.len() - after..])
}

fn existing(format: Format, newline: &str, tab: &str) -> String {
    let text = match format {
        Format::Json(root) => format!(
            "{{\n\t// mine: keep\n\t\"zeta\": {{ \"odd\":   [1,2 , 3] }},\n\t\"{root}\": {{\n\t\t\"other\": {{\n\t\t\t\"command\": \"x\", // why\n\t\t\t\"unknownKey\": null\n\t\t}}\n\t}},\n\t\"last\": \"é\\u00e9\"\n}}\n"
        ),
        Format::TomlTable => "# mine: keep\nmodel   = 'gpt'  # odd\n\n[mcp_servers.other]\ncommand = \"x\"\nargs = [ 1,\n  2 ]\n\n[zeta]\nk = 1979-05-27\n".to_owned(),
        Format::TomlArray => "# mine: keep\nmodel   = 'm'  # odd\n\n[[mcp_servers]]\nname = \"other\"\ntransport = \"stdio\"\n\n[zeta]\nk = 1\n".to_owned(),
        Format::YamlList => "# mine: keep\nname:   me\nmcpServers:  # tools\n  # first\n  - name: other\n    command: x\n\nmodels:\n  - {a: 1}\n".to_owned(),
        Format::YamlMap(root) => format!("# mine: keep\nname:   me\n{root}:  # tools\n    # first\n    other:\n        cmd: x\n\nmodels:\n  - {{a: 1}}\n"),
    };
    let text = if matches!(format, Format::YamlList | Format::YamlMap(_)) { text } else { text.replace('\t', tab) };
    text.replace('\n', newline)
}

#[test]
fn existing_files_keep_every_byte_and_a_second_run_changes_nothing() {
    for client in CLIENTS {
        let Some(format) = client.file.map(|file| file.format) else { continue };
        for (newline, tab) in [("\n", "  "), ("\r\n", "\t"), ("\n", "\t"), ("\r\n", "    ")] {
            let old = existing(format, newline, tab);
            let new = put_into(client.id, &old);
            let (before, after) = kept(&old, &new);
            assert_eq!(before.len() + after.len(), old.len(), "{}: only an insertion\n{new}", client.id);
            let inserted = &new[before.len()..new.len() - after.len()];
            assert!(inserted.contains(URL), "{}: {inserted}", client.id);
            assert_eq!(
                inserted.matches('\n').count(),
                inserted.matches(newline).count(),
                "{}: {inserted:?}",
                client.id
            );
            assert!(holds(format, &new, "acme", &(client.entry)(URL)), "{}: {new}", client.id);
            assert_eq!(
                put(format, &format!("\u{feff}{old}"), "acme", &(client.entry)(URL)),
                Ok(Edited::New(format!("\u{feff}{new}")))
            );
        }
    }
}

#[test]
fn entry_is_written_in_the_style_of_the_file() {
    insta::assert_snapshot!(put_into("claude-code", "{\n\t\"mcpServers\": {\n\t\t\"other\": {}, // trailing comma below\n\t},\n}\n"), @r#"
    {
    	"mcpServers": {
    		"other": {}, // trailing comma below
    		"acme": {
    			"type": "http",
    			"url": "https://gw.example/mcp/acme",
    		},
    	},
    }
    "#);
    insta::assert_snapshot!(put_into("vscode", "// head\n{\n    \"servers\": {},\n    \"inputs\": []\n}"), @r#"
    // head
    {
        "servers": {
            "acme": {
                "type": "http",
                "url": "https://gw.example/mcp/acme"
            }
        },
        "inputs": []
    }
    "#);
    insta::assert_snapshot!(put_into("codex", "model = \"x\""), @r#"
    model = "x"

    [mcp_servers.acme]
    url = "https://gw.example/mcp/acme"
    "#);
    insta::assert_snapshot!(put_into("continue", "mcpServers: []\nmodels: []\n"), @r#"
    mcpServers:
      - name: acme
        type: streamable-http
        url: "https://gw.example/mcp/acme"
    models: []
    "#);
    insta::assert_snapshot!(put_into("continue", "mcpServers:\n- name: other\n  command: x\n"), @r#"
    mcpServers:
    - name: acme
      type: streamable-http
      url: "https://gw.example/mcp/acme"
    - name: other
      command: x
    "#);
    insta::assert_snapshot!(put_into("opencode", "{\"mcp\": {\"servers\": {}}}"), @r#"
    {"mcp": {"servers": {
          "acme": {
            "type": "remote",
            "url": "https://gw.example/mcp/acme",
            "enabled": true
          }
        }}}
    "#);
}

#[test]
fn new_files_hold_the_entry_alone() {
    for client in CLIENTS {
        let Some(file) = client.file else { continue };
        let alone = file.format.text("acme", &(client.entry)(URL));
        assert_eq!(put_into(client.id, ""), alone, "{}", client.id);
    }
    let shown: Vec<_> = [
        "claude-code",
        "claude-desktop",
        "cursor",
        "vscode",
        "codex",
        "gemini-cli",
        "windsurf",
        "cline",
        "opencode",
        "amp",
        "continue",
        "goose",
        "mistral-vibe",
        "librechat",
    ]
    .iter()
    .map(|id| {
        let client = Client::named(id).expect("client");
        format!("# {id}\n{}", client.file.expect("file").format.text("acme", &(client.entry)(URL)))
    })
    .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    # claude-code
    {
      "mcpServers": {
        "acme": {
          "type": "http",
          "url": "https://gw.example/mcp/acme"
        }
      }
    }

    # claude-desktop
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

    # cursor
    {
      "mcpServers": {
        "acme": {
          "url": "https://gw.example/mcp/acme"
        }
      }
    }

    # vscode
    {
      "servers": {
        "acme": {
          "type": "http",
          "url": "https://gw.example/mcp/acme"
        }
      }
    }

    # codex
    [mcp_servers.acme]
    url = "https://gw.example/mcp/acme"

    # gemini-cli
    {
      "mcpServers": {
        "acme": {
          "type": "http",
          "url": "https://gw.example/mcp/acme"
        }
      }
    }

    # windsurf
    {
      "mcpServers": {
        "acme": {
          "serverUrl": "https://gw.example/mcp/acme"
        }
      }
    }

    # cline
    {
      "mcpServers": {
        "acme": {
          "type": "streamableHttp",
          "url": "https://gw.example/mcp/acme",
          "disabled": false
        }
      }
    }

    # opencode
    {
      "mcp": {
        "acme": {
          "type": "remote",
          "url": "https://gw.example/mcp/acme",
          "enabled": true
        }
      }
    }

    # amp
    {
      "amp.mcpServers": {
        "acme": {
          "url": "https://gw.example/mcp/acme"
        }
      }
    }

    # continue
    mcpServers:
      - name: acme
        type: streamable-http
        url: "https://gw.example/mcp/acme"

    # goose
    extensions:
      acme:
        name: acme
        type: streamable_http
        uri: "https://gw.example/mcp/acme"
        enabled: true
        timeout: 300
        headers: {}

    # mistral-vibe
    [[mcp_servers]]
    name = "acme"
    transport = "streamable-http"
    url = "https://gw.example/mcp/acme"

    # librechat
    mcpServers:
      acme:
        type: streamable-http
        url: "https://gw.example/mcp/acme"
        requiresOAuth: true
    "#);
}

#[test]
fn an_entry_that_points_elsewhere_is_replaced_alone() {
    let old = "{\n  \"mcpServers\": {\n    \"acme\": { \"command\": \"npx\", \"env\": { \"TOKEN\": \"x\" } },\n    \"other\": {} // keep\n  }\n}\n";
    let new = put_into("cursor", old);
    insta::assert_snapshot!(new, @r#"
    {
      "mcpServers": {
        "acme": {
          "url": "https://gw.example/mcp/acme"
        },
        "other": {} // keep
      }
    }
    "#);
    let old = "# head\r\n[mcp_servers.acme] # mine\r\nurl = \"https://old.example\"\r\n\r\n[mcp_servers.acme.env]\r\nA = \"1\"\r\n\r\n[zeta]\r\nk = 1 # keep\r\n";
    insta::assert_snapshot!(put_into("codex", old).replace('\r', "␍"), @r#"
    # head␍
    [mcp_servers.acme] # mine␍
    url = "https://gw.example/mcp/acme"␍
    ␍
    [zeta]␍
    k = 1 # keep␍
    "#);
    let old = "mcp_servers = { acme = { url = \"https://old.example\" }, other = { url = \"x\" } }\n";
    insta::assert_snapshot!(put_into("codex", old), @r#"mcp_servers = { acme = { url = "https://gw.example/mcp/acme" }, other = { url = "x" } }"#);
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    insta::assert_snapshot!(refused("cursor", "{ \"mcpServers\": [] }"), @r#""mcpServers" in it is not an object"#);
    insta::assert_snapshot!(refused("cursor", "[1]"), @"its top level is not an object");
    insta::assert_snapshot!(refused("cursor", "{ \"mcpServers\": {}, \"mcpServers\": {} }"), @r#""mcpServers" stands in it 2 times"#);
    insta::assert_snapshot!(refused("cursor", "{ \"mcpServers\": { \"a\": "), @"it is not valid JSON: Expected value after colon in object property on line 1 column 24");
    insta::assert_snapshot!(refused("codex", "mcp_servers = 1"), @"it is written in a way that cannot be edited safely");
    assert_eq!(refused("codex", "# mixed\r\n[mcp_servers.acme]\nurl = \"https://old.example\"\n"), UNSAFE);
    insta::assert_snapshot!(refused("codex", "a = \n"), @"it is not valid TOML: string values must be quoted, expected literal string");
    insta::assert_snapshot!(refused("continue", "mcpServers: [{name: other}]\n"), @r#""mcpServers" in it is not written as a block"#);
    insta::assert_snapshot!(refused("continue", "mcpServers:\n  - name: acme\n    url: x\n"), @r#"another entry in it is called "acme": change it by hand, or choose another name"#);
    insta::assert_snapshot!(refused("goose", "extensions: &anchor\n  other: {}\n"), @r#""extensions" in it is not written as a block"#);
    insta::assert_snapshot!(refused("goose", "- a\n"), @"its top level is not a mapping");
}
