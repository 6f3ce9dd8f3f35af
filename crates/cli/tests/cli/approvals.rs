//! `portcullis approvals`, and the guide to them.

use std::collections::BTreeSet;

use super::{Sandbox, blocks, commands, documentation, transcript};

const UP: [&str; 5] = ["up", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0"];

fn secret_of(name: &str) -> &'static str {
    match name {
        "TEAMS_WEBHOOK" => "https://example.logic.azure.com/workflows/1?sig=0",
        _ => "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
    }
}

#[test]
fn the_guide_can_be_followed() {
    let guide = documentation("docs/guides/approvals.md");
    let names: BTreeSet<&str> = guide
        .split("env:")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default())
        .collect();
    let settings = blocks(&guide, "yaml");
    assert_eq!(settings.len(), 5, "the settings are not found any more");
    for text in &settings {
        let sandbox = Sandbox::new();
        // Two programs have two secrets.
        let mut text = text.clone();
        for name in &names {
            let other = if name.contains("DECISION") { "AAAA" } else { "" };
            sandbox.write(name, &format!("{other}{}", secret_of(name)));
            text = text.replace(&format!("env:{name}"), &format!("file:{name}"));
        }
        sandbox.write("portcullis.yaml", &text);
        assert_eq!(sandbox.start(&UP, "Ctrl-C stops").stop(), 0, "{text}");
        for command in commands(&guide) {
            let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
            let ended = sandbox.run(&arguments);
            assert_eq!(ended.code, 0, "{command}\n{}", transcript(&ended));
        }
    }
}
