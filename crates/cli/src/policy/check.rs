//! `portcullis policy check`: rules held against each other and against the tools that servers were seen to have.

use std::{path::PathBuf, sync::Arc};

use portcullis_base::{ServerName, printable};
use portcullis_gateway::{
    feed::SAMPLE,
    inspection::{definitions, shown_by},
    snapshot,
};
use portcullis_policy::{Definitions, Finding, Weight};
use portcullis_store::DatabaseSettings;
use serde_json::json;

use crate::{
    abroad,
    failure::{Failure, Result},
    house::House,
    output::{BAD, DIM, WARN, json as print_json, line, note, styled},
    settings::Settings,
};

/// Runs the command.
pub async fn check(rules: &[PathBuf], json: bool, settings: &Settings) -> Result<()> {
    let bundle = super::bundle(rules, settings)?;
    let findings = bundle.check(&known(settings).await?);
    for finding in &findings {
        if json {
            let error = &finding.error;
            print_json(&json!({
                "weight": word(finding.weight), "file": error.file, "line": error.line, "message": error.message,
                "nearest": error.nearest,
            }));
        } else {
            print(finding);
        }
    }
    let count = |weight| findings.iter().filter(|finding| finding.weight == weight).count();
    match (count(Weight::Fault), count(Weight::Caution)) {
        (0, _) if json => Ok(()),
        (0, 0) => {
            note(styled(DIM, format_args!("{} rules, nothing found", bundle.len())));
            Ok(())
        }
        (0, cautions) => {
            note(styled(DIM, format_args!("{} rules, {cautions} that may not be meant like that", bundle.len())));
            Ok(())
        }
        (faults, _) => Err(Failure::new(format!("{faults} of what was found cannot be meant like that"))),
    }
}

fn print(finding: &Finding) {
    let style = match finding.weight {
        Weight::Note => DIM,
        Weight::Caution => WARN,
        Weight::Fault => BAD,
    };
    line(format_args!("{}: {}", styled(style, word(finding.weight)), printable(&finding.error.to_string(), 600)));
}

fn word(weight: Weight) -> &'static str {
    match weight {
        Weight::Note => "note",
        Weight::Caution => "caution",
        Weight::Fault => "fault",
    }
}

/// What is known of the tools here. Where no gateway ran yet, that is which servers there will be.
async fn known(settings: &Settings) -> Result<Definitions> {
    let sample = ServerName::parse(SAMPLE).expect("these letters make a server name");
    if let DatabaseSettings::Sqlite(path) = &settings.config.database
        && !path.exists()
    {
        let mut known = Definitions::default();
        settings.config.servers.iter().for_each(|server| known.server(server.name.clone()));
        known.server(sample);
        return Ok(known);
    }
    let house = House::existing(settings).await?;
    let (servers, _) = abroad::servers(&house).await?;
    let mut shown = Vec::new();
    for server in &servers {
        let server = snapshot::Server::of(&server.server)
            .map_err(|error| Failure::usage(format!("{}: {error}", server.server.name)))?;
        shown.push(shown_by(&house.store, &Arc::new(server)).await.map_err(|error| house.failed(error))?);
    }
    let mut known = definitions(&shown);
    known.server(sample);
    Ok(known)
}

/// What stands before a rule that deserves a thought.
pub fn told(finding: &Finding) -> Option<String> {
    let style = match finding.weight {
        Weight::Note => return None,
        Weight::Caution => WARN,
        Weight::Fault => BAD,
    };
    Some(format!("{}: rules: {}", styled(style, word(finding.weight)), printable(&finding.error.to_string(), 600)))
}
