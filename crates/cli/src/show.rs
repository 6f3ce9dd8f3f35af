//! `portcullis config show`: the settings in force and where each came from.

use portcullis_gateway::config::DEFAULTS;
use serde_json::json;

use crate::{
    args::ConfigCommand,
    output::{DIM, json as print_json, line, raw, styled, table},
    settings::Settings,
};

/// Prints the documented defaults.
pub fn defaults() {
    raw(DEFAULTS);
}

/// Prints the settings.
pub fn run(command: &ConfigCommand, settings: &Settings) {
    let ConfigCommand::Show { origin, json, .. } = command;
    let rows = settings.origins.rows();
    if *json {
        for (key, value, from) in rows {
            print_json(&json!({ "key": key, "value": value, "origin": from.to_string() }));
        }
    } else if *origin {
        let rows: Vec<_> = rows.into_iter().map(|(key, value, from)| vec![key, value, from.to_string()]).collect();
        table(&["KEY", "VALUE", "ORIGIN"], &rows);
    } else {
        for (key, value, _) in rows {
            line(format_args!("{key}{} {value}", styled(DIM, ":")));
        }
    }
}
