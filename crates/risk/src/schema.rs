//! What the parameters of a tool say of it.

use portcullis_base::{Class, Classes, Label, Labels};
use serde_json::Value;

use crate::{
    evidence::{Evidence, Flaw, Ledger, Rule, Severity},
    fields::{Field, Fields},
    name::{How, Named},
    tables::{self, among},
    text::Input,
    words,
};

/// Run whatever they hold.
const COMMANDS: &str = "command cmd shell script eval program argv bash powershell command_line shell_command commands";
/// Hold code, which a tool that only looks may well be given to look at.
const CODE: &str = "code expression python javascript js snippet macro python_code js_code source_code code_snippet";
/// Choose what is done.
const ACTIONS: &str = "action operation op command cmd verb method";
const STATEMENTS: &str = "sql statement cypher graphql gql sql_query sql_statement raw_sql query_sql cypher_query \
    graphql_query raw_query";
/// What statements are written in, and what runs them: a tool that is called after one and nothing else runs any of them.
const LANGUAGES: &str = "sql ql gql graphql cypher sparql gremlin mysql postgres postgresql pg sqlite mssql mariadb mongo \
    mongodb bigquery redshift snowflake clickhouse duckdb neo4j";
/// Words after such a name that say nothing more.
const QUERIES: &str = "query queries statement statements request requests raw read only";
/// First words of tools that look at statements, or for them, and run none.
const STUDIES: &str = "search find list lookup describe format lint parse optimize generate suggest convert translate complete \
    document introspect";
/// Where such a tool takes what it runs.
const LOOSELY: &str = "query queries q document request body payload input text";
/// Queries that can only ask.
const QUESTIONS: &str = "jql kql promql";
pub(crate) const ADDRESSES: &str =
    "url uri endpoint webhook callback host hostname domain target_url proxy webhook_url callback_url";
pub(crate) const RECIPIENTS: &str =
    "to cc bcc recipient recipients email emails phone channel chat_id room audience mention channel_id phone_number";
const CONTENTS: &str = "body content text message html payload data attachment attachments";
pub(crate) const AMOUNTS: &str = "amount price total slippage gas";
const PAYEES: &str = "currency iban account_number routing_number card cvv wallet address recipient to";
/// Nothing but money has these.
const ONLY_MONEY: &str = "iban account_number routing_number cvv slippage";
const PATHS: &str = "path file filename filepath file_path directory dir folder dest destination output_path glob";
/// Flags that make of a change a loss, and what else they say.
const FLAGS: &str = "force recursive cascade hard permanent purge overwrite skip_confirmation no_verify yes all";
const MANY: &str = "recursive cascade all";
const SELECTORS: &str = "filter where query selector";
const LIMITS: &str = "limit max max_items top count page_size";
const SAFEGUARDS: &str = "dry_run preview validate_only confirm_token expected_version etag if_match dryrun";
const SECRETS: &str = "password passwd secret token api_key apikey access_key private_key credential credentials otp pin \
    ssn access_token auth_token client_secret new_password secret_key";
const ROLES: &str =
    "role permission permissions scope scopes policy acl grant member owner public visibility anonymous roles";
const TENANTS: &str = "user_id tenant tenant_id org org_id organization organization_id workspace workspace_id account \
    account_id";
/// Poured out into: (field, words of a tool that needs it).
const POURS: &[(&str, &str)] = &[
    (
        "prompt",
        "prompt prompts query generate ask chat complete completion agent llm model image video music research summarize \
        sampling create edit message",
    ),
    ("instructions", "instructions instruction generate agent ask run create update edit"),
    ("system", "system systems prompt agent llm model"),
    ("context", "context kubectl kube cluster browser ask agent generate think log logs"),
    ("reasoning", "reasoning think thinking reason thought"),
    ("notes", "note notes create update add edit log record set complete close"),
    ("sidenote", "sidenote"),
    ("metadata", "metadata"),
];
const RUNS: &str = "execute executes executing run runs running raw any arbitrary";

/// Whether anything of free form goes in.
pub(crate) fn input(fields: &Fields<'_>) -> Input {
    const LOOSE: &str = "query input args arguments params body payload data content text task prompt";
    let free = |field: &Field<'_>| {
        !field.bound && [COMMANDS, CODE, STATEMENTS, LOOSE].iter().any(|list| among(list, &field.key))
    };
    if fields.all.iter().any(free) { Input::Free } else { Input::Bound }
}

/// What name and words said, before a parameter is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// It reads, by its name.
    Reads,
    /// It reads, but only its description says so: that is trusted less.
    SaysItReads,
    /// It does something, or nothing is known.
    Does,
}

impl Stance {
    fn of(named: &Named, ledger: &Ledger) -> Self {
        if ledger.classes != Class::Read.into() {
            Self::Does
        } else if named.how == How::Nothing {
            Self::SaysItReads
        } else {
            Self::Reads
        }
    }
}

/// Adds what `fields` say. `text` is the cleaned description.
pub(crate) fn judge(fields: &Fields<'_>, named: &Named, text: &str, ledger: &mut Ledger) {
    if fields.cut {
        ledger.class(Rule::TooLarge, "its schema", "", Class::Unknown);
    }
    if let Some(open) = &fields.open {
        ledger.find(Flaw::OpenSchema, Severity::Medium, open);
    }
    let by_words = ledger.classes;
    let before = Stance::of(named, ledger);
    for field in &fields.all {
        runs(field, fields, named, text, before, ledger);
    }
    // What names no parameter takes any.
    if fields.all.is_empty() && fields.open.is_some() && is_generic(named) {
        ledger.class(Rule::Field, "any arguments", "statements of free form", Class::Execute);
    }
    methods(fields, ledger);
    for field in fields.all.iter().filter(|field| among(ACTIONS, &field.key)) {
        actions(field, ledger);
    }
    let stance = Stance::of(named, ledger);
    for field in &fields.all {
        reaches(field, fields, stance, ledger);
        marks(field, fields, stance, named, text, ledger);
    }
    money(fields, stance, ledger);
    raises(fields, named, ledger);
    if named.how == How::Shielded
        && let Some(class) =
            ledger.classes.iter().filter(|class| !by_words.contains(*class) && *class != Class::Unknown).last()
    {
        let of_class = |one: &&Evidence| one.rule == Rule::Field && one.classes.contains(class);
        let what = ledger.evidence.iter().find(of_class).map_or(String::new(), |one| format!("“{}”", one.seen));
        ledger.find(Flaw::NameConflict, Severity::Medium, &what);
    }
}

/// Code, commands and queries.
fn runs(field: &Field<'_>, fields: &Fields<'_>, named: &Named, text: &str, stance: Stance, ledger: &mut Ledger) {
    let key = &field.key;
    let is_code = among(CODE, key) || key == "formula" && says_run(named, text);
    let command = among(COMMANDS, key) && field.is_text() && !field.is_fixed();
    if command || is_code && !field.bound && (stance != Stance::Reads || says_run(named, text)) {
        ledger.class(Rule::Field, field.name, "code or commands", Class::Execute);
    }
    let pipeline = key == "pipeline"
        && (text.to_ascii_lowercase().contains("aggregat") || named.has("aggregate mongo mongodb").is_some());
    if among(STATEMENTS, key) || pipeline {
        if only_selects(field) {
            // A query that can only select is a question.
            let asks = named.verb().is_some_and(|verb| among("run exec execute query", verb));
            let all = fields.all.iter().filter(|field| among(STATEMENTS, &field.key)).all(only_selects);
            if asks && all && ledger.classes.is_within(Classes::from(Class::Execute).with(Class::Read)) {
                let note = "its schema allows questions only";
                ledger.lower(Rule::Field, field.name, note, Class::Execute.into(), Class::Read);
            }
        } else if !field.is_fixed() {
            ledger.class(Rule::Field, field.name, "statements of free form", Class::Execute);
        }
    } else if among(QUESTIONS, key) {
        if says_run(named, text) && named.has(RUNS).is_some() {
            ledger.class(Rule::Field, field.name, "queries of free form", Class::Execute);
        } else if ledger.classes.is_empty() {
            ledger.class(Rule::Field, field.name, "a query that only asks", Class::Read);
        }
    } else if !field.bound
        && (key == "query" && (named.has(RUNS).is_some() || runs_queries(text))
            || among(LOOSELY, key) && is_generic(named))
    {
        ledger.class(Rule::Field, field.name, "queries of free form", Class::Execute);
    }
}

/// Whether the name promises statements of some language and nothing about them: `graphql`, `query_sql`, `postgres_query`.
// spec: T-105: "generic tools are class `execute` whatever their text says"
fn is_generic(named: &Named) -> bool {
    let words: Vec<&str> = named.tokens.iter().map(|token| token.text.as_str()).collect();
    let last = words.iter().rposition(|word| !among(QUERIES, word));
    let studies = words.first().is_some_and(|first| among(STUDIES, first) || among(tables::REHEARSALS, first));
    !studies && last.is_some_and(|last| among(LANGUAGES, words[last]))
}

fn says_run(named: &Named, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    named.has(RUNS).is_some()
        || text
            .split(|c: char| !c.is_ascii_alphabetic())
            .take(60)
            .any(|word| among("execute executes run runs evaluate evaluates", word))
}

/// "Run a SQL query", "any Cypher", "raw queries": what is run is a query, and not a search for anything.
fn runs_queries(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).take(60).collect();
    words.iter().enumerate().any(|(at, word)| {
        among(RUNS, word)
            && words
                .iter()
                .skip(at + 1)
                .take(4)
                .any(|next| among("query queries sql cypher graphql statement statements gql mql soql sparql", next))
    })
}

/// Whether the schema of `field` lets nothing but one question through.
fn only_selects(field: &Field<'_>) -> bool {
    if let Some(choices) = field.choices() {
        return !choices.is_empty() && choices.iter().all(|one| one.starts_with("select ") && !one.contains(';'));
    }
    let Some(pattern) = field.schema.get("pattern").and_then(Value::as_str) else { return false };
    let Some(rest) = pattern.strip_prefix('^') else { return false };
    let rest = rest.trim_start_matches("\\s*").to_ascii_lowercase();
    let select = ["select", "[ss][ee][ll][ee][cc][tt]"].iter().any(|word| rest.starts_with(word));
    // One statement, to its end, without another way to match.
    select && !rest.contains('|') && (rest.ends_with("[^;]*$") || rest.ends_with("[^;]+$"))
}

/// A tool that does one of several things may do each of them.
fn actions(field: &Field<'_>, ledger: &mut Ledger) {
    let mut said = Classes::NONE;
    for choice in field.choices().into_iter().flatten() {
        let verbs: Vec<String> = words::name(&choice).tokens.into_iter().map(|token| token.text).collect();
        if verbs.first().is_some_and(|first| tables::reading(first)) {
            continue;
        }
        // "user.delete" and "delete_user"
        let classes = verbs.iter().find_map(|verb| tables::mutating(verb)).map_or(Classes::NONE, |verb| verb.classes);
        if !classes.is_within(said) {
            said = said.or(classes);
            let both = format!("{}: {choice}", field.name);
            ledger.note(Rule::Field, &both, "one of its choices", classes, Labels::NONE);
        }
    }
}

/// Parameters that choose an HTTP method, or a whole request.
fn methods(fields: &Fields<'_>, ledger: &mut Ledger) {
    let unbound = |list: &'static str| fields.all.iter().find(|field| among(list, &field.key) && !field.bound);
    let address = unbound("url uri endpoint target_url path route");
    for field in fields.all.iter().filter(|field| ["method", "http_method"].contains(&field.key.as_str())) {
        match field.choices() {
            Some(choices) => {
                if choices.iter().any(|one| one == "delete") {
                    ledger.class(Rule::Field, field.name, "DELETE may be chosen", Class::Destructive);
                }
                if choices.iter().any(|one| ["post", "put", "patch"].contains(&one.as_str())) {
                    let both = Classes::from(Class::Write).with(Class::Egress);
                    ledger.note(Rule::Field, field.name, "POST, PUT or PATCH may be chosen", both, Labels::NONE);
                }
            }
            None if !field.bound && (field.key == "http_method" || address.is_some()) => {
                ledger.class(Rule::Field, field.name, "any request to anywhere", Class::Execute);
            }
            None => {}
        }
    }
    let any = unbound("url uri target_url").filter(|field| !field.bound);
    if let (Some(url), Some(body)) = (any, fields.all.iter().find(|field| among("body payload", &field.key))) {
        ledger.class(Rule::Field, &format!("{}, {}", url.name, body.name), "any request to anywhere", Class::Execute);
    }
}

/// Where something goes, and what.
fn reaches(field: &Field<'_>, fields: &Fields<'_>, stance: Stance, ledger: &mut Ledger) {
    let key = &field.key;
    let has = |list: &'static str| fields.all.iter().any(|other| among(list, &other.key));
    if among(ADDRESSES, key) && field.is_text() && field.choices().is_none() {
        // Who reads and tells the result to an address of the caller's sends it there.
        if stance == Stance::Does || among("webhook webhook_url callback callback_url", key) {
            ledger.class(Rule::Field, field.name, "where it goes; may lead into the own network", Class::Egress);
        } else if !ledger.labels.contains(Label::UntrustedContent) && among("url uri endpoint target_url host", key) {
            let note = "where it looks; may lead into the own network";
            ledger.note(Rule::Field, field.name, note, Classes::NONE, Label::UntrustedContent.into());
        }
    }
    if stance != Stance::Reads && among(RECIPIENTS, key) && !field.is_only_flag() {
        ledger.class(Rule::Field, field.name, "whom it goes to", Class::Egress);
    }
    if stance != Stance::Reads && among(CONTENTS, key) && (has(RECIPIENTS) || has(ADDRESSES)) {
        ledger.class(Rule::Field, field.name, "what goes there", Class::Egress);
    }
    let by_path = among(PATHS, key) || key == "pattern" && has("path");
    if by_path && field.is_text() {
        let note = if ledger.classes.contains(Class::Write) { "may overwrite" } else { "" };
        ledger.note(Rule::Field, field.name, note, Classes::NONE, Label::LocalMachine.into());
    }
}

/// Secrets, roles, tenants, and what invites to tell too much.
fn marks(field: &Field<'_>, fields: &Fields<'_>, stance: Stance, named: &Named, text: &str, ledger: &mut Ledger) {
    let key = &field.key;
    let says = || field.schema.get("description").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase();
    if among(SECRETS, key) && (field.is_text() || may_be_number(field)) && !field.is_only_flag() {
        let of_a_page =
            key == "token" && ["page", "pagination", "cursor", "continu"].iter().any(|word| says().contains(word));
        if !of_a_page {
            ledger.label(Rule::Field, field.name, Label::SecretAccess);
            ledger.find(Flaw::AsksSecret, Severity::High, field.name);
        }
    }
    let owns_a_repository =
        ["owner", "org"].contains(&key.as_str()) && fields.all.iter().any(|other| among("repo repository", &other.key));
    if stance != Stance::Reads && among(ROLES, key) && !owns_a_repository {
        ledger.label(Rule::Field, field.name, Label::IdentityAdmin);
        if among("public visibility", key) && ledger.classes.contains(Class::Write) {
            ledger.label(Rule::Field, field.name, Label::PublicSink);
        }
    }
    if among(TENANTS, key) && !owns_a_repository && field.is_text() && field.choices().is_none() {
        ledger.label(Rule::Field, field.name, Label::CrossTenantSelector);
    }
    if let Some((_, needs)) = POURS.iter().find(|(pour, _)| pour == key)
        && !field.bound
        && field.is_text()
        && (key != "metadata" || field.schema.get("type").is_some())
    {
        let needed = named.has(needs).is_some()
            || text.to_ascii_lowercase().split(|c: char| !c.is_alphanumeric()).take(40).any(|word| among(needs, word));
        if !needed {
            ledger.find(Flaw::ExfilParam, Severity::High, field.name);
        }
    }
}

fn may_be_number(field: &Field<'_>) -> bool {
    ["integer", "number"].iter().any(|kind| crate::fields::may_be(field.schema, kind))
}

fn money(fields: &Fields<'_>, stance: Stance, ledger: &mut Ledger) {
    if stance == Stance::Reads {
        return;
    }
    let find = |list: &'static str| fields.all.iter().find(|field| among(list, &field.key));
    let amount = find(AMOUNTS).or_else(|| find("price").filter(|_| find("quantity").is_some()));
    if let Some(field) = find(ONLY_MONEY) {
        ledger.class(Rule::Field, field.name, "money", Class::Financial);
    } else if let (Some(amount), Some(payee)) = (amount, find(PAYEES)) {
        let both = format!("{}, {}", amount.name, payee.name);
        ledger.class(Rule::Field, &both, "how much money, and which or whose", Class::Financial);
    }
}

/// Flags that make of a change a loss, and selectors of many things.
fn raises(fields: &Fields<'_>, named: &Named, ledger: &mut Ledger) {
    let safeguard = fields.all.iter().find(|field| among(SAFEGUARDS, &field.key));
    if ledger.classes.contains(Class::Write) || ledger.classes.contains(Class::Destructive) {
        for field in &fields.all {
            let key = &field.key;
            let confirmed = key == "confirm" && field.schema.get("default") == Some(&Value::Bool(true));
            if !(among(FLAGS, key) && field.is_flag() || confirmed) {
                continue;
            }
            let label = if among(MANY, key) { Label::Bulk } else { Label::Irreversible };
            // Who can try it first is a step farther from what cannot be put back.
            let labels = if label == Label::Irreversible && safeguard.is_some() { Labels::NONE } else { label.into() };
            ledger.note(Rule::Field, field.name, "reaches far", Class::Destructive.into(), labels);
        }
    }
    if let Some(field) = safeguard {
        ledger.note(Rule::Field, field.name, "a safeguard", Classes::NONE, Labels::NONE);
    }
    let changes = ledger.classes.contains(Class::Destructive)
        || matches!(named.how, How::Verb(_)) && named.verb() == Some("update");
    if changes && !fields.all.iter().any(|field| among(LIMITS, &field.key)) {
        for field in &fields.all {
            let list = field.schema.get("type").is_some_and(|kind| crate::fields::is_type(kind, "array"));
            if among(SELECTORS, &field.key) || list && (field.key == "ids" || field.key.ends_with("_ids")) {
                ledger.label(Rule::Field, field.name, Label::Bulk);
            }
        }
    }
}

/// What an output schema says.
pub(crate) fn output(fields: &Fields<'_>, ledger: &mut Ledger) {
    for field in &fields.all {
        if among(SECRETS, &field.key) && field.is_text() && !among("token pin", &field.key) {
            ledger.label(Rule::Output, field.name, Label::SecretAccess);
        }
        if ledger.classes.contains(Class::Read) && among("html email emails inbox", &field.key) {
            let label = if field.key == "html" { Label::UntrustedContent } else { Label::PrivateData };
            ledger.label(Rule::Output, field.name, label);
        }
    }
}

impl Field<'_> {
    fn is_only_flag(&self) -> bool {
        self.schema.get("type").is_some_and(|kind| kind == "boolean")
    }
}
