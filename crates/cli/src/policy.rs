//! `portcullis policy`: rules shown, tried on cases and on calls of the past, explained for one call, described to editors, and
//! begun from other policies.

mod place;
mod replay;
mod show;

mod check;

use std::{fs, path::PathBuf};

use portcullis_base::{ServerName, printable};
use portcullis_gateway::start;
use portcullis_policy::{
    Access, Bundle, CASES_SCHEMA, Case, RULES_SCHEMA, RuleError, Source, World, cases, import_intercept,
};
use serde_json::{Map, Value, json};

pub use self::check::told;
use crate::{
    args::{Explain, PolicyCommand, SchemaOf},
    failure::{Failure, Result},
    output::{BAD, BOLD, DIM, GOOD, json as print_json, line, note, raw, styled},
    settings::Settings,
};

/// Runs the command.
pub async fn run(command: &PolicyCommand, settings: &Settings) -> Result<()> {
    match command {
        PolicyCommand::Test { cases, rules, json } => test(cases, &bundle(rules, settings)?, *json, settings),
        PolicyCommand::Check { rules, json } => check::check(rules, *json, settings).await,
        PolicyCommand::Explain(call) => explain(call, settings),
        PolicyCommand::Schema { of } => {
            raw(match of {
                SchemaOf::Rules => RULES_SCHEMA,
                SchemaOf::Cases => CASES_SCHEMA,
            });
            Ok(())
        }
        PolicyCommand::Import { file, server } => import(file, server),
        PolicyCommand::Show(wanted) => show::show(wanted, settings).await,
        PolicyCommand::Replay(wanted) => replay::replay(wanted, settings).await,
    }
}

fn read(path: &PathBuf) -> Result<(String, String)> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => Err(Failure::usage(format!("{name}: {error}"))),
    }
}

fn wrong(faults: &[RuleError]) -> Failure {
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    Failure::usage(faults.join("\n"))
}

/// The rules of these files, or those of the settings.
fn bundle(files: &[PathBuf], settings: &Settings) -> Result<Bundle> {
    if files.is_empty() {
        return start::rules(&settings.config).map_err(|faults| wrong(&faults));
    }
    let texts = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let sources: Vec<_> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    Bundle::load(&sources).and_then(Bundle::consistent).map_err(|faults| wrong(&faults))
}

/// The access list that the settings have for a server.
fn access(settings: &Settings, server: &ServerName) -> Option<Access> {
    settings.config.servers.iter().find(|known| known.name == *server).map(|server| server.access.clone())
}

fn test(files: &[PathBuf], bundle: &Bundle, json: bool, settings: &Settings) -> Result<()> {
    let mut all: Vec<Case> = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        let (name, text) = read(file)?;
        match cases(&Source { name: &name, text: &text }) {
            Ok(read) => all.extend(read),
            Err(wrong) => faults.extend(wrong),
        }
    }
    if !faults.is_empty() {
        return Err(wrong(&faults));
    }
    let access = |server: &ServerName| access(settings, server);
    let world = World { access: &access, ..World::empty() };
    let mut failed = 0;
    for case in &all {
        let outcome = case.run(bundle, &world);
        failed += usize::from(!outcome.failures.is_empty());
        if json {
            let failures = outcome.failures.iter().map(|(line, why)| json!({ "line": line, "why": why }));
            print_json(&json!({
                "file": case.file, "line": case.line, "name": case.name, "passed": outcome.failures.is_empty(),
                "failures": failures.collect::<Vec<_>>(), "effect": outcome.explanation.effect, "rule": outcome.explanation.rule,
            }));
            continue;
        }
        let name = printable(&case.name, 120);
        if outcome.failures.is_empty() {
            line(format_args!("{} {name}", styled(GOOD, "ok")));
            continue;
        }
        line(format_args!("{} {name}", styled(BAD, "failed")));
        for (at, why) in &outcome.failures {
            line(format_args!("  {}:{at}: {}", case.file, printable(why, 600)));
        }
    }
    match failed {
        0 if json => Ok(()),
        0 => {
            note(styled(DIM, format_args!("{} cases, all as expected", all.len())));
            Ok(())
        }
        failed => Err(Failure::new(format!("{failed} of {} cases are not as expected", all.len()))),
    }
}

fn explain(call: &Explain, settings: &Settings) -> Result<()> {
    let mut given = Map::new();
    let mut give = |key: &str, value: Value| given.insert(key.to_owned(), value);
    give("server", json!(call.server));
    give("person", json!(call.person));
    give("groups", json!(call.group));
    if !call.role.is_empty() {
        give("roles", json!(call.role));
    }
    if !call.class.is_empty() {
        give("classes", json!(call.class));
    }
    give("session", json!(call.session));
    for (key, value) in
        [("tool", &call.tool), ("client", &call.client), ("through", &call.through), ("time", &call.time)]
    {
        if let Some(value) = value {
            give(key, json!(value));
        }
    }
    if let Some(arguments) = &call.arguments {
        let arguments: Value = serde_json::from_str(arguments)
            .map_err(|error| Failure::usage(format!("--arguments is not JSON: {error}")))?;
        give("arguments", arguments);
    }
    // JSON is YAML: what the flags say is read by the one reader of cases.
    let text = json!([{ "name": "call", "given": given, "expect": { "effect": "allow" } }]).to_string();
    let read = cases(&Source { name: "command line", text: &text }).map_err(|faults| {
        Failure::usage(faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>().join("\n"))
    })?;
    let bundle = bundle(&call.rules, settings)?;
    let access = |server: &ServerName| access(settings, server);
    let world = World { access: &access, ..World::empty() };
    for case in &read {
        let explanation = case.run(&bundle, &world).explanation;
        if call.json {
            print_json(&serde_json::to_value(&explanation).expect("an explanation has a JSON form"));
            continue;
        }
        let told = explanation.to_string();
        for (at, text) in told.lines().enumerate() {
            let text = printable(text, 600);
            line(if at == 0 { styled(BOLD, text) } else { text });
        }
    }
    Ok(())
}

fn import(file: &PathBuf, server: &str) -> Result<()> {
    let server = ServerName::parse(server).map_err(|error| Failure::usage(error.to_string()))?;
    let (name, text) = read(file)?;
    let imported = import_intercept(&Source { name: &name, text: &text }, &server).map_err(|fault| wrong(&[fault]))?;
    raw(&imported.text);
    for left in &imported.left {
        note(format_args!("not carried over: {left}"));
    }
    note(styled(
        DIM,
        format_args!("{} rules; try them with `portcullis policy test` before they count", imported.rules),
    ));
    Ok(())
}
