//! `portcullis policy show`: what is in force, for everybody or for one person, tool or client.

use std::collections::BTreeMap;

use portcullis_audit::Decided;
use portcullis_base::{Class, Classes, ClientId, Clock, Labels, ServerName, Timestamp, printable};
use portcullis_gateway::{roles::Appointments, snapshot::right, system::SystemClock};
use portcullis_policy::{
    About, AccessEntry, Answer, Bundle, Effect, Explanation, Given, Risk, Subject, Written, answers, explain,
};
use portcullis_store::{AccessGrant, AuditFilter, AuditPage};
use serde_json::{Value, json};

use super::{
    bundle,
    place::{self, Known, Listed},
};
use crate::{
    args::Show,
    failure::{Failure, Result},
    house::House,
    output::{BAD, BOLD, DIM, GOOD, WARN, json as print_json, line, styled, table},
    settings::Settings,
};

/// What was asked about.
struct Asked<'a> {
    bundle: &'a Bundle,
    servers: &'a BTreeMap<ServerName, Listed>,
    person: Option<&'a Known>,
    client: Option<&'a ClientId>,
    tool: Option<&'a Tool>,
    now: Timestamp,
}

/// A tool, or a whole server.
struct Tool {
    server: ServerName,
    name: Option<String>,
    risk: Option<(Risk, String)>,
}

/// Runs the command.
pub async fn show(wanted: &Show, settings: &Settings) -> Result<()> {
    let bundle = bundle(&[], settings)?;
    let house = place::house(settings).await?;
    let mut servers = place::servers(house.as_ref(), settings).await?;
    let now = SystemClock.now();
    let grants = match &house {
        Some(house) => house.store.access_grants(now).await.map_err(|error| house.failed(error))?,
        None => Vec::new(),
    };
    for grant in &grants {
        if let Some(listed) = servers.get_mut(&grant.server) {
            listed.access.rights.push(right(grant));
        }
    }
    let person = match (&wanted.person, &house) {
        (None, _) => None,
        (Some(name), Some(house)) => {
            Some(Known::of(house.person(name).await?, &Appointments::new(&settings.config.roles)))
        }
        (Some(_), None) => {
            return Err(Failure::new("there are no accounts yet: the database does not exist")
                .help("name the data directory with --data DIR"));
        }
    };
    let tool = match &wanted.tool {
        None => None,
        Some(text) => Some(tool(text, &servers, house.as_ref(), settings).await?),
    };
    let client = wanted.client.as_deref().map(ClientId::new);
    let asked = Asked {
        bundle: &bundle,
        servers: &servers,
        person: person.as_ref(),
        client: client.as_ref(),
        tool: tool.as_ref(),
        now,
    };
    let rights = rights(grants, &asked, house.as_ref()).await?;
    let rules = bundle.written(&asked.about());
    if wanted.json {
        print_json(&asked.told(&rules, &rights));
    } else {
        asked.print(&rules, &rights);
    }
    Ok(())
}

/// The tool that `text` names, with what is known of it: what the administrator says, or what it was taken for when it was
/// last called.
async fn tool(
    text: &str,
    servers: &BTreeMap<ServerName, Listed>,
    house: Option<&House>,
    settings: &Settings,
) -> Result<Tool> {
    let (server, name) = text.split_once('/').map_or((text, None), |(server, tool)| (server, Some(tool)));
    let server = ServerName::parse(server).ok().filter(|server| servers.contains_key(server)).ok_or_else(|| {
        let near = portcullis_policy::nearest(server, servers.keys().map(ServerName::as_str));
        let help = near
            .map_or_else(|| "portcullis server list shows all".to_owned(), |near| format!("did you mean \"{near}\"?"));
        Failure::usage(format!("there is no server \"{}\"", printable(server, 60))).help(help)
    })?;
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Tool { server, name: None, risk: None }) };
    let entry = settings.config.servers.iter().find(|entry| entry.name == server);
    let verdict = entry.and_then(|entry| entry.risk.get(name)).filter(|verdict| verdict.definition.is_none());
    let risk = match (verdict, house) {
        (Some(verdict), _) => {
            let labels = verdict.labels.unwrap_or(Labels::NONE);
            Some(((verdict.classes, labels), format!("the settings say: {}", verdict.reason)))
        }
        (None, Some(house)) => last_called(&server, name, house).await?,
        (None, None) => None,
    };
    Ok(Tool { server, name: Some(name.to_owned()), risk })
}

async fn last_called(server: &ServerName, name: &str, house: &House) -> Result<Option<(Risk, String)>> {
    let filter = AuditFilter {
        kind: Some("call.decided".to_owned()),
        server: Some(server.to_string()),
        method: Some("tools/call".to_owned()),
        name: Some(name.to_owned()),
        ..AuditFilter::default()
    };
    let page = AuditPage { limit: 1, before: None };
    let found = house.store.audit(&filter, &page).await.map_err(|error| house.failed(error))?;
    let Some(entry) = found.first() else { return Ok(None) };
    let Ok(Some(decided)) = Decided::parse(&entry.line) else { return Ok(None) };
    let classes: Classes = decided.classes.iter().flatten().filter_map(|word| Class::parse(word)).collect();
    let labels = decided.labels.iter().filter_map(|word| portcullis_base::Label::parse(word)).collect();
    Ok((!classes.is_empty()).then(|| ((classes, labels), format!("as it was last called, {}", entry.row.at))))
}

/// A right that ends, with the name of whose it is.
struct Right {
    grant: AccessGrant,
    person: String,
}

/// Those that were asked about.
async fn rights(grants: Vec<AccessGrant>, asked: &Asked<'_>, house: Option<&House>) -> Result<Vec<Right>> {
    let mut rights = Vec::new();
    let Some(house) = house else { return Ok(rights) };
    for grant in grants {
        let theirs = asked.person.is_none_or(|person| person.id == grant.person);
        if theirs && asked.tool.is_none_or(|tool| tool.server == grant.server) {
            let known = house.store.person(&grant.person).await.map_err(|error| house.failed(error))?;
            let person = known.map_or_else(|| grant.person.to_string(), |person| person.name);
            rights.push(Right { grant, person });
        }
    }
    Ok(rights)
}

impl Asked<'_> {
    fn about(&self) -> About<'_> {
        About {
            somebody: self.person.map(Known::somebody),
            client: self.client,
            server: self.tool.map(|tool| &tool.server),
            tool: self.tool.and_then(|tool| tool.name.as_deref()),
            risk: self.tool.and_then(|tool| tool.risk.as_ref()).map(|(risk, _)| *risk),
        }
    }

    /// The servers that were asked about.
    fn servers(&self) -> impl Iterator<Item = (&ServerName, &Listed)> {
        self.servers.iter().filter(|(name, _)| self.tool.is_none_or(|tool| tool.server == **name))
    }

    fn given(&self, person: &Known, server: &ServerName) -> Given {
        let client = self.client.cloned().unwrap_or_else(|| ClientId::new("any"));
        person.given(server, client, self.now)
    }

    /// Class by class, what is decided for the person.
    fn answers(&self) -> Vec<(&ServerName, Vec<Answer>)> {
        let Some(person) = self.person else { return Vec::new() };
        let answers = |(name, listed): (&_, &Listed)| answers(self.bundle, &listed.access, &self.given(person, name));
        self.servers().map(|(name, listed)| (name, answers((name, listed)))).collect()
    }

    /// What is decided when the person calls the tool.
    fn explained(&self) -> Option<Explanation> {
        let (person, tool) = (self.person?, self.tool?);
        let access = &self.servers.get(&tool.server)?.access;
        let (classes, labels) = tool.risk.as_ref().map(|(risk, _)| *risk).unwrap_or_default();
        let target = Subject::Tool(tool.name.as_deref()?.into());
        let given = Given { target, classes, labels, ..self.given(person, &tool.server) };
        Some(given.with(|facts| explain(self.bundle, access, facts)))
    }

    fn print(&self, rules: &[Written], rights: &[Right]) {
        self.print_who();
        let all = self.bundle.len();
        let head = match rules.len() {
            0 if all == 0 => "No rule is written: access lists alone decide".to_owned(),
            0 => format!("None of the {all} rules concerns this"),
            some if some == all => format!("Rules in force: {all} (revision {})", self.bundle.revision()),
            some => format!("Rules that can concern this: {some} of {all} (revision {})", self.bundle.revision()),
        };
        line(styled(BOLD, head));
        rules.iter().for_each(print_rule);
        line("");
        self.print_lists();
        if !rights.is_empty() {
            line("");
            line(styled(BOLD, "Rights that end"));
            let row = |right: &Right| {
                let Right { grant, person } = right;
                vec![person.clone(), grant.server.to_string(), may(grant), grant.ends_at.to_string()]
            };
            table(&["PERSON", "SERVER", "MAY", "ENDS"], &rights.iter().map(row).collect::<Vec<_>>());
        }
        self.print_answers();
        if let Some(explanation) = self.explained() {
            line("");
            for (at, text) in explanation.to_string().lines().enumerate() {
                let text = printable(text, 600);
                line(if at == 0 { styled(BOLD, text) } else { text });
            }
        }
    }

    fn print_who(&self) {
        if let Some(person) = self.person {
            let groups = if person.groups.is_empty() { "no group".to_owned() } else { person.groups.join(", ") };
            let roles = if person.roles.is_empty() { "none".to_owned() } else { person.roles.join(", ") };
            line(printable(&format!("{} ({}): in {groups}; role {roles}", person.name, person.kind.as_str()), 600));
        }
        if let Some(Tool { server, name: Some(name), risk }) = self.tool {
            let risk = match risk {
                Some(((classes, labels), why)) => {
                    let labels: Vec<_> = labels.iter().map(|label| format!(", {label}")).collect();
                    format!("class {}{} ({why})", words(*classes), labels.concat())
                }
                None => "its class is not known here: nobody called it yet".to_owned(),
            };
            line(printable(&format!("{server}/{name}: {risk}"), 600));
        }
        if self.person.is_some() || self.tool.is_some_and(|tool| tool.name.is_some()) {
            line("");
        }
    }

    fn print_lists(&self) {
        line(styled(BOLD, "Access lists: who gets in, and what counts where no rule has an effect"));
        let mut rows = Vec::new();
        for (name, listed) in self.servers() {
            let theirs = listed.access.entries.iter().filter(|entry| self.is_theirs(entry));
            let row = |entry: &AccessEntry| {
                let group = if &*entry.group == "*" { "everybody".to_owned() } else { entry.group.to_string() };
                vec![name.to_string(), group, words(entry.allow), words(entry.ask), listed.from.clone()]
            };
            let before = rows.len();
            rows.extend(theirs.map(row));
            if rows.len() == before {
                let nobody = if self.person.is_some() { "(not on the list)" } else { "(nobody)" };
                rows.push(vec![name.to_string(), nobody.to_owned(), String::new(), String::new(), listed.from.clone()]);
            }
        }
        table(&["SERVER", "GROUP", "MAY", "MAY IF A HUMAN AGREES", "FROM"], &rows);
    }

    fn is_theirs(&self, entry: &AccessEntry) -> bool {
        self.person.is_none_or(|person| &*entry.group == "*" || person.groups.contains(&entry.group))
    }

    fn print_answers(&self) {
        let answers = self.answers();
        if answers.is_empty() {
            return;
        }
        line("");
        line(styled(BOLD, "What is decided, by the class of a tool that no rule names"));
        let mut open = std::collections::BTreeSet::new();
        let mut rows = Vec::new();
        for (server, answers) in &answers {
            let mut row = vec![server.to_string()];
            for answer in answers {
                let mark = if answer.depends_on.is_empty() { "" } else { " (*)" };
                open.extend(answer.depends_on.iter().map(ToString::to_string));
                row.push(format!("{}{mark}", answer.effect.as_str()));
            }
            rows.push(row);
        }
        let heads: Vec<String> = Class::ALL.iter().map(|class| class.as_str().to_uppercase()).collect();
        let heads: Vec<&str> = std::iter::once("SERVER").chain(heads.iter().map(String::as_str)).collect();
        table(&heads, &rows);
        if !open.is_empty() {
            let open = open.into_iter().collect::<Vec<_>>().join(", ");
            line(styled(DIM, format_args!("(*) conditions can make it another answer: {open}")));
        }
    }

    fn told(&self, rules: &[Written], rights: &[Right]) -> Value {
        let entry = |entry: &AccessEntry| json!({ "group": entry.group, "allow": entry.allow, "ask": entry.ask });
        let list = |(name, listed): (&ServerName, &Listed)| {
            let entries = &listed.access.entries;
            let entries = entries.iter().filter(|entry| self.is_theirs(entry)).map(entry);
            json!({ "server": name, "entries": entries.collect::<Vec<_>>(), "from": listed.from })
        };
        let right = |Right { grant, person }: &Right| {
            json!({
                "person": person, "server": grant.server, "classes": grant.classes, "tool": grant.tool, "why": grant.why,
                "ends_at": grant.ends_at.to_string(),
            })
        };
        let answers: BTreeMap<_, _> = self.answers().into_iter().map(|(name, all)| (name.as_str(), all)).collect();
        let tool = self.tool.and_then(|tool| {
            let (risk, known_by) = tool.risk.as_ref()?;
            Some(json!({ "classes": risk.0, "labels": risk.1, "known_by": known_by }))
        });
        let who = self.person.map(|person| {
            json!({ "name": person.name, "kind": person.kind.as_str(), "groups": person.groups, "roles": person.roles })
        });
        json!({
            "revision": self.bundle.revision(), "rules": rules,
            "access": self.servers().map(list).collect::<Vec<_>>(),
            "rights": rights.iter().map(right).collect::<Vec<_>>(),
            "person": who, "tool": tool, "answers": answers, "explanation": self.explained(),
        })
    }
}

fn print_rule(rule: &Written) {
    let (says, style) = match rule.then {
        Some(Effect::Allow) => ("allow", GOOD),
        Some(Effect::Ask) => ("ask", WARN),
        Some(Effect::StepUp) => ("step_up", WARN),
        Some(Effect::Deny) => ("deny", BAD),
        None => ("limits", DIM),
    };
    let shadow = if rule.shadow { ", in shadow: recorded, not enforced" } else { "" };
    line("");
    let from = styled(DIM, format_args!("{}:{}", rule.file, rule.line));
    line(format_args!("{} {}{shadow}  {from}", styled(style, says), printable(&rule.rule, 120)));
    let part = |name: &str, text: &str| line(format_args!("  {name:<5} {}", printable(text, 600)));
    part("who", &rule.who.join(", "));
    part("what", &rule.what.join(", "));
    if let Some(when) = &rule.when {
        part("when", when);
    }
    for obliges in &rule.obliges {
        part("with", obliges);
    }
}

/// What a right is for.
fn may(grant: &AccessGrant) -> String {
    match &grant.tool {
        Some(tool) => format!("{} ({})", printable(tool, 100), words(grant.classes)),
        None => words(grant.classes),
    }
}

fn words(classes: Classes) -> String {
    let words: Vec<_> = classes.iter().map(Class::as_str).collect();
    if words.len() == Class::ALL.len() { "everything".to_owned() } else { words.join(", ") }
}
