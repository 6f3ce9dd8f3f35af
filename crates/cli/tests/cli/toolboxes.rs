//! Endpoints over several servers: listed, shown, and set up as the guide says.

use serde_json::Value;

use super::{Sandbox, blocks, commands, documentation, transcript};

const SETTINGS: &str = "servers:
  - { name: github, url: \"https://github.example/mcp\" }
  - { name: crm, url: \"https://crm.example/mcp\" }
toolboxes:
  - name: support
    description: For the support team
    access: [group:support]
    search: on
    tools:
      - { server: crm }
      - { server: github, include: [\"search_*\", create_issue], exclude: [search_code], rename: { create_issue: open_ticket } }
    prompts: none
";

const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];

fn sandbox(settings: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("portcullis.yaml", settings);
    assert_eq!(sandbox.add_person("ana", &["--admin"]).code, 0);
    sandbox
}

#[test]
fn toolboxes_are_listed_and_shown() {
    let sandbox = sandbox(SETTINGS);
    let listed = sandbox.run(&["toolbox", "list"]);
    assert_eq!(listed.code, 0, "{}", transcript(&listed));
    for text in ["/mcp/support", "crm, github", "support", "/mcp/all"] {
        assert!(listed.out.contains(text), "{text}: {}", transcript(&listed));
    }
    let shown = sandbox.run(&["toolbox", "show", "support"]);
    assert_eq!(shown.code, 0, "{}", transcript(&shown));
    for text in [
        "search_*, create_issue but search_code",
        "create_issue is shown as open_ticket",
        "Search is on",
        "Not counted",
    ] {
        assert!(shown.out.contains(text), "{text}: {}", transcript(&shown));
    }
    let unknown = sandbox.run(&["toolbox", "show", "suport"]);
    assert!(unknown.code != 0 && unknown.err.contains("did you mean \"support\"?"), "{}", transcript(&unknown));
    let shown = sandbox.run(&["toolbox", "show", "all", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(shown["servers"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["cost"]["tools"], 0);
    let entry = sandbox.run(&["connect", "cursor", "--server", "support", "--print"]);
    assert!(entry.code == 0 && entry.out.contains("/mcp/support"), "{}", transcript(&entry));
    assert_eq!(sandbox.run(&["connect", "cursor", "--server", "all", "--print"]).code, 0);
}

#[test]
fn a_toolbox_of_a_server_that_is_not_there_stops_the_start() {
    let sandbox = sandbox(&SETTINGS.replace("{ server: crm }", "{ server: crn }"));
    let ended = sandbox.run(&UP);
    assert_ne!(ended.code, 0);
    assert!(ended.err.contains("portcullis.yaml:10: toolboxes[0].tools[0].server"), "{}", transcript(&ended));
    assert!(ended.err.contains("did you mean \"crm\"?"), "{}", transcript(&ended));
}

#[test]
fn the_guide_can_be_followed() {
    let guide = documentation("docs/guides/toolboxes.md");
    let settings = blocks(&guide, "yaml");
    assert!(settings.len() >= 3, "the settings are not found any more");
    let mut commands = commands(&guide);
    for text in &settings {
        let sandbox = sandbox(text);
        commands.retain(|command| {
            let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            let named = arguments.iter().any(|word| text.contains(&format!("- name: {word}\n")));
            if named || arguments == ["toolbox", "list"] {
                let ended = sandbox.run(&arguments);
                assert_eq!(ended.code, 0, "{command}\n{}", transcript(&ended));
            }
            !named && arguments != ["toolbox", "list"]
        });
        assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0, "{text}");
    }
    assert!(commands.is_empty(), "no settings of the guide are for {commands:?}");
}
