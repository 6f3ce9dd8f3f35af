//! `portcullis policy replay`: the calls of a period, as the audit index has them, judged by a draft.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Display,
};

use portcullis_audit::{Decided, Left};
use portcullis_base::{Class, Classes, ClientId, Clock, Label, PersonId, ServerName, Timestamp, printable};
use portcullis_gateway::roles::Appointments;
use portcullis_mcp::method::{Method, TargetKind};
use portcullis_policy::{Access, Effect, Given, Past, Replay, Replaying, Side, Subject, Untold};
use portcullis_store::{AuditEntry, AuditFilter, AuditPage};
use serde_json::{Value, json};

use super::{
    bundle,
    place::{self, Known, Listed},
};
use crate::{
    args::{FailOn, Replay as Wanted},
    audit::moment,
    failure::{Failure, Result},
    house::House,
    output::{BAD, BOLD, DIM, GOOD, WARN, json as print_json, line, note, progress, styled, table},
    settings::Settings,
};

/// Rows of one page of the index.
const PAGE: u32 = 1000;
/// Changed tools, and examples of each, that a person is shown; `--json` has them all.
const SHOWN: usize = 40;
const EXAMPLES: usize = 12;

/// Which calls.
struct Period {
    since: Timestamp,
    until: Timestamp,
}

/// Calls that nobody can judge any more, and why.
#[derive(Default)]
struct Gone {
    /// Their person is not there any more.
    people: u64,
    /// Their server is not there any more.
    servers: u64,
    /// Their line cannot be read.
    unreadable: u64,
}

/// Runs the command.
pub async fn replay(wanted: &Wanted, settings: &Settings) -> Result<()> {
    let draft = bundle(&wanted.policy, settings)?;
    let ours = bundle(&[], settings)?;
    let house = House::existing(settings).await?;
    let now = house.clock.now();
    let until = wanted.until.as_deref().map(|text| moment(text, now)).transpose()?.unwrap_or(now);
    let period = Period { since: moment(&wanted.since, now)?, until };
    if period.since >= period.until {
        return Err(Failure::usage(format!("nothing lies between {} and {}", period.since, period.until)));
    }
    let servers = place::servers(Some(&house), settings).await?;
    let lists: HashMap<&ServerName, &Access> = servers.iter().map(|(name, listed)| (name, &listed.access)).collect();
    // What is asked about is at one of these; nobody is on the list of what is not there.
    let nobody = Access::of(Vec::new());
    let access = |server: &ServerName| (*lists.get(server).unwrap_or(&&nobody)).clone();
    let mut replaying =
        Replaying::new(Side { bundle: &ours, access: &access }, Side { bundle: &draft, access: &access });
    let gone = read(wanted, &period, &house, &servers, &mut replaying).await?;
    let replay = replaying.finish();
    let revisions = (ours.revision().as_ref(), draft.revision().as_ref());
    if wanted.json {
        print_json(&told(&replay, &gone, &period, revisions));
    } else {
        show(&replay, &gone, &period, revisions);
    }
    failed(&replay, &wanted.fail_on)
}

/// Hands the recorded calls over one by one, the newest first.
async fn read(
    wanted: &Wanted,
    period: &Period,
    house: &House,
    servers: &BTreeMap<ServerName, Listed>,
    replaying: &mut Replaying<'_>,
) -> Result<Gone> {
    let appointments = Appointments::new(&house.config.roles);
    let people = house.store.people().await.map_err(|error| house.failed(error))?;
    let people: HashMap<PersonId, Known> =
        people.into_iter().map(|person| (person.id.clone(), Known::of(person, &appointments))).collect();
    let filter = AuditFilter {
        kind: Some("call.decided".to_owned()),
        person: wanted.person.clone(),
        server: wanted.server.clone(),
        since: Some(period.since),
        until: Some(period.until),
        ..AuditFilter::default()
    };
    let mut gone = Gone::default();
    let mut waited = HashSet::new();
    let mut before = None;
    loop {
        let page = AuditPage { limit: PAGE, before: before.take() };
        let found = house.store.audit(&filter, &page).await.map_err(|error| house.failed(error))?;
        for entry in &found {
            let Ok(Some(decided)) = Decided::parse(&entry.line) else {
                gone.unreadable += 1;
                continue;
            };
            // A call that waited for humans has a line for each time that it was tried: the newest tells of it.
            if let Some(approval) = &decided.approval
                && !waited.insert(approval.clone())
            {
                continue;
            }
            let row = &entry.row;
            let person = row.person.as_ref().and_then(|person| people.get(&PersonId::new(person.as_str())));
            let server = row.server.as_deref().and_then(|server| ServerName::parse(server).ok());
            let Some(person) = person else {
                gone.people += 1;
                continue;
            };
            let Some(server) = server.filter(|server| servers.contains_key(server)) else {
                gone.servers += 1;
                continue;
            };
            let Some(past) = past(entry, decided, person, &server) else {
                gone.unreadable += 1;
                continue;
            };
            replaying.judge(past);
        }
        before = found.last().map(|entry| (entry.row.at, entry.row.node.clone(), entry.row.seq));
        match &before {
            Some((at, ..)) if found.len() == PAGE as usize => {
                progress(format_args!("{} calls judged, back to {at}", replaying.calls()));
            }
            _ => break,
        }
    }
    progress("");
    Ok(gone)
}

/// What a line tells of a call.
fn past(entry: &AuditEntry, decided: Decided, person: &Known, server: &ServerName) -> Option<Past> {
    let row = &entry.row;
    let name = || row.name.as_deref().unwrap_or_default().into();
    let method = row.method.as_deref().unwrap_or_default();
    let target = match Method::parse(method).map(Method::target) {
        Some(TargetKind::Tool) => Subject::Tool(name()),
        Some(TargetKind::Prompt) => Subject::Prompt(name()),
        Some(TargetKind::Resource) => Subject::Resource(name()),
        Some(TargetKind::Task) => Subject::Task(name()),
        // Listening to resources names one of them at a time.
        None if row.name.is_some() => Subject::Resource(name()),
        Some(_) | None => Subject::None,
    };
    // How and when somebody had signed in, and what their session was labelled with, is in no record.
    let mut untold = vec![Untold::SignIn, Untold::Session];
    let takes_arguments = matches!(target, Subject::Tool(_) | Subject::Prompt(_));
    let arguments = match decided.arguments {
        Left::Whole(arguments) => Some(arguments),
        Left::Part(arguments) => {
            untold.push(Untold::Arguments);
            Some(arguments)
        }
        Left::Nothing => {
            untold.extend(takes_arguments.then_some(Untold::Arguments));
            None
        }
    };
    let classes: Classes = decided.classes.iter().flatten().filter_map(|word| Class::parse(word)).collect();
    if matches!(target, Subject::Tool(_)) && classes.is_empty() {
        untold.push(Untold::Risk);
    }
    let client = ClientId::new(row.client.as_deref().unwrap_or_default());
    let given = Given {
        method: method.into(),
        target,
        through: decided.through.and_then(|name| ServerName::parse(&name).ok()),
        classes,
        labels: decided.labels.iter().filter_map(|word| Label::parse(word)).collect(),
        arguments,
        address: row.address.as_deref().and_then(|address| address.parse().ok()),
        ..person.given(server, client, row.at)
    };
    let effect = Effect::parse(row.effect.as_deref()?)?;
    // What humans agreed to went on, and the rules had asked.
    Some(Past { given, untold, decided: if decided.agreed { Effect::Ask } else { effect } })
}

fn show(replay: &Replay, gone: &Gone, period: &Period, (ours, draft): (&str, &str)) {
    let count = |number: u64, what: &dyn Display| line(format_args!("{number:>8}  {what}"));
    line(format_args!("Calls from {} to {}", period.since, period.until));
    line(format_args!("judged by the draft (rules {draft}) and by the rules in force (rules {ours})"));
    line("");
    count(replay.calls, &"calls");
    count(replay.same, &styled(GOOD, "decided as before"));
    for (effect, style) in [(Effect::Allow, WARN), (Effect::Ask, BOLD), (Effect::StepUp, BOLD), (Effect::Deny, BAD)] {
        let now = replay.now(effect);
        if now > 0 {
            count(now, &styled(style, participle(effect)));
        }
    }
    if replay.uncertain > 0 {
        count(replay.uncertain, &"not judged, because a rule reads what the record does not tell:");
        for (untold, number) in &replay.untold {
            line(format_args!("{:>8}    {number} for want of {}", "", want(*untold)));
        }
    }
    for (number, what) in left_out(gone) {
        count(number, &what);
    }
    if replay.otherwise > 0 {
        line("");
        line(format_args!(
            "{} of these were decided in another way when they were made: rules, groups or access lists were others then.",
            replay.otherwise
        ));
    }
    if replay.tools.is_empty() {
        return;
    }
    line("");
    let rows = replay.tools.iter().flat_map(|tool| tool.changes.iter().map(move |change| (tool, change)));
    let row = |(tool, change): (&portcullis_policy::Changed, &portcullis_policy::Change)| {
        vec![
            change.count.to_string(),
            tool.server.to_string(),
            printable(subject(&tool.target), 60),
            change.before.as_str().to_owned(),
            change.after.as_str().to_owned(),
            format!("{} → {}", change.rules.0, change.rules.1),
        ]
    };
    let all: Vec<_> = rows.map(row).collect();
    table(&["CALLS", "SERVER", "WHAT", "WAS", "WOULD BE", "BY"], &all[..all.len().min(SHOWN)]);
    let more = all.len().saturating_sub(SHOWN) as u64 + replay.beyond;
    if more > 0 {
        note(styled(DIM, format_args!("{more} more changes are not shown; --json has those of the first 1000 tools")));
    }
    line("");
    line(styled(BOLD, "Examples"));
    let changes = replay.tools.iter().flat_map(|tool| &tool.changes);
    for (change, given) in changes.filter_map(|change| Some((change, change.examples.first()?))).take(EXAMPLES) {
        let arguments = given.arguments.as_deref().map(|text| format!(" {}", printable(text, 160))).unwrap_or_default();
        line(format_args!(
            "  {} {} at {}{arguments}",
            given.now,
            printable(&given.name, 60),
            printable(&format!("{}/{}", given.server, subject(&given.target)), 120)
        ));
        let (was, is) = (change.before.as_str(), change.after.as_str());
        line(styled(DIM, format_args!("    {was} by \"{}\", then {is} by \"{}\"", change.rules.0, change.rules.1)));
    }
}

fn told(replay: &Replay, gone: &Gone, period: &Period, (ours, draft): (&str, &str)) -> Value {
    let mut told = json!({
        "since": period.since.to_string(),
        "until": period.until.to_string(),
        "revisions": { "in_force": ours, "draft": draft },
        "now_allowed": replay.now(Effect::Allow),
        "now_asked": replay.now(Effect::Ask),
        "now_step_up": replay.now(Effect::StepUp),
        "now_denied": replay.now(Effect::Deny),
        "left_out": { "person": gone.people, "server": gone.servers, "unreadable": gone.unreadable },
    });
    let judged = serde_json::to_value(replay).expect("counts, names and facts have a JSON form");
    if let (Value::Object(told), Value::Object(judged)) = (&mut told, judged) {
        told.extend(judged);
    }
    told
}

/// Whether something came of the draft that must not.
fn failed(replay: &Replay, unwanted: &[FailOn]) -> Result<()> {
    let count = |unwanted: &FailOn| match unwanted {
        FailOn::Allow => replay.now(Effect::Allow),
        FailOn::Ask => replay.now(Effect::Ask),
        FailOn::StepUp => replay.now(Effect::StepUp),
        FailOn::Deny => replay.now(Effect::Deny),
        FailOn::Any => replay.changed(),
    };
    match unwanted.iter().map(count).max().unwrap_or_default() {
        0 => Ok(()),
        1 => Err(Failure::new("one call would come out as it must not")),
        many => Err(Failure::new(format!("{many} calls would come out as they must not"))),
    }
}

fn participle(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "now allowed",
        Effect::Ask => "now asked about",
        Effect::StepUp => "now in want of a fresh sign-in",
        Effect::Deny => "now denied",
    }
}

fn want(untold: Untold) -> &'static str {
    match untold {
        Untold::Arguments => "arguments as they were (see `audit.arguments` in the settings)",
        Untold::Risk => "the class of the tool",
        Untold::SignIn => "when and how the person had signed in",
        Untold::Session => "the labels of the session",
    }
}

fn left_out(gone: &Gone) -> impl Iterator<Item = (u64, &'static str)> {
    let all = [
        (gone.people, "left out: their person is not known any more"),
        (gone.servers, "left out: their server is not behind the gateway any more"),
        (gone.unreadable, "left out: their record cannot be read"),
    ];
    all.into_iter().filter(|(number, _)| *number > 0)
}

fn subject(subject: &Subject) -> &str {
    subject.name().unwrap_or("(lists and handshakes)")
}
