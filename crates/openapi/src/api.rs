//! A document as a list of tools.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use crate::{
    Scheme, Tool,
    document::{Limits, Problem, below, mapping, read, resolve, text, tidy},
    name::{is_name, unique},
    operation::{METHODS, Operation, Surroundings, tool},
    schema::{Revision, is_known_dialect},
    security, server,
};

/// What an administrator says of a document.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Where the API is, in place of what the document says.
    pub url: Option<Url>,
    /// The only operations that become tools; none said means all.
    pub include: Vec<String>,
    /// Operations that do not.
    pub exclude: Vec<String>,
    /// What operations are called, by what they are in the document.
    pub names: BTreeMap<String, String>,
    /// Whether tools say what they answer.
    pub outputs: Outputs,
    /// How much is read.
    pub limits: Limits,
}

/// Whether tools say what they answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outputs {
    /// As the document describes it; an answer that is not so is an error.
    #[default]
    Described,
    /// Not at all.
    Free,
}

/// An API as tools.
#[derive(Clone, Debug)]
pub struct Api {
    /// What it is called.
    pub title: String,
    /// Its version.
    pub version: String,
    /// What it says of itself.
    pub description: String,
    /// Where it is.
    pub base: Url,
    /// Its operations, in the order of their names.
    pub tools: Vec<Tool>,
    /// The credentials that its tools ask for.
    pub schemes: Vec<Scheme>,
    /// Operations that are no tools, and why.
    pub left_out: Vec<Problem>,
}

impl Api {
    /// Reads a document, JSON or YAML.
    ///
    /// What concerns one operation leaves that one out; an error is what leaves nothing to offer, or a choice that means
    /// nothing.
    pub fn read(document: &str, choices: &Choices) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let document = read(document, &choices.limits).map_err(one)?;
        let revision = revision(&document).map_err(one)?;
        let schemes = security::schemes(&document).map_err(one)?;
        let base = match &choices.url {
            Some(url) => url.clone(),
            None => server::first(&document, "#", None).map_err(one)?.ok_or_else(|| {
                one(Problem::new(
                    "#/servers",
                    "the document does not say where the API is",
                    "set `url` in the settings to the API's address",
                ))
            })?,
        };
        server::usable(&base, "url").map_err(one)?;
        let mut left_out = Vec::new();
        let all = operations(&document, &mut left_out).map_err(one)?;
        let chosen = chosen(&all, choices)?;
        let limit = choices.limits.operations;
        // spec: T-66
        if chosen.len() > limit {
            let what = format_args!("{} operations would become tools, at most {limit} can", chosen.len());
            return Err(one(Problem::new("#/paths", what, "choose some with `include` or `exclude`")));
        }
        let names = names(&chosen, choices)?;
        let around = Surroundings {
            document: &document,
            revision,
            schemes: &schemes,
            limits: &choices.limits,
            outputs: choices.outputs,
        };
        let mut tools = Vec::new();
        for (operation, name) in chosen.iter().zip(names) {
            let made = place_of(operation, &base).and_then(|own| tool(&around, operation, name, own));
            match made {
                Ok(tool) => tools.push(tool),
                Err(problem) => left_out.push(problem),
            }
        }
        if tools.is_empty() {
            let none = Problem::new("#/paths", "no operation can be offered", "see what is said of each");
            return Err(std::iter::once(none).chain(left_out).collect());
        }
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        let used = |scheme: &Scheme| tools.iter().any(|tool| tool.schemes.contains(&scheme.name));
        let schemes = schemes.iter().filter(|scheme| used(scheme)).cloned().collect();
        let info = &document["info"];
        Ok(Self {
            title: tidy(text(info, "title"), 200),
            version: tidy(text(info, "version"), 60),
            description: tidy(text(info, "description"), 2000),
            base,
            tools,
            schemes,
            left_out,
        })
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.binary_search_by(|tool| tool.name.as_str().cmp(name)).ok().map(|at| &self.tools[at])
    }
}

fn revision(document: &Value) -> Result<Revision, Problem> {
    if document.get("swagger").is_some() {
        let help = "convert it, for example with https://converter.swagger.io";
        return Err(Problem::new("#/swagger", "this is Swagger 2.0, not OpenAPI 3", help));
    }
    let version = match document.get("openapi") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(Problem::new("#/openapi", "this is no OpenAPI document", "it begins with openapi: 3.1.0")),
    };
    let revision = match version.split('.').take(2).collect::<Vec<_>>().as_slice() {
        ["3", "0"] => Revision::V3_0,
        ["3", _] => Revision::V3_1,
        _ => {
            return Err(Problem::new(
                "#/openapi",
                format_args!("OpenAPI {version} is not read"),
                "OpenAPI 3.0 and 3.1 are",
            ));
        }
    };
    match document.get("jsonSchemaDialect") {
        Some(dialect) if !dialect.as_str().is_some_and(is_known_dialect) => Err(Problem::new(
            "#/jsonSchemaDialect",
            "a dialect that is not read",
            "write the schemas in JSON Schema 2020-12",
        )),
        _ => Ok(revision),
    }
}

fn operations<'d>(document: &'d Value, left_out: &mut Vec<Problem>) -> Result<Vec<Operation<'d>>, Problem> {
    let mut found = Vec::new();
    for (path, item) in mapping(document, "paths", "#")? {
        if path.starts_with("x-") {
            continue;
        }
        let place = below("#/paths", path);
        let (item, item_place) = match resolve(document, item, &place) {
            Ok(resolved) => resolved,
            Err(problem) => {
                left_out.push(problem);
                continue;
            }
        };
        for (key, method) in METHODS {
            let Some(value) = item.get(key) else { continue };
            let place = below(&item_place, key);
            if value.is_object() {
                found.push(Operation { method, path, place, item, item_place: item_place.clone(), value });
            } else {
                left_out.push(Problem::new(&place, "an operation is a mapping", "write it as responses: …"));
            }
        }
    }
    Ok(found)
}

/// Whether an operation is meant: by its id, by `GET /path`, by `tag:name`; `*` stands for anything.
fn is_meant(operation: &Operation<'_>, by: &str) -> bool {
    if let Some(tag) = by.strip_prefix("tag:") {
        return operation.tags().any(|one| like(tag, one));
    }
    operation.id().is_some_and(|id| like(by, id)) || like(by, &operation.label())
}

fn like(pattern: &str, text: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut open) = text.strip_prefix(begin) else { return false };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match open.find(piece) {
            Some(at) => open = &open[at + piece.len()..],
            None => return false,
        }
    }
    open.ends_with(end)
}

fn chosen<'d>(all: &[Operation<'d>], choices: &Choices) -> Result<Vec<Operation<'d>>, Vec<Problem>> {
    let mut problems = Vec::new();
    for (key, list) in [("include", &choices.include), ("exclude", &choices.exclude)] {
        for by in list.iter().filter(|by| !all.iter().any(|operation| is_meant(operation, by))) {
            problems.push(unmeant(key, by));
        }
    }
    for by in choices.names.keys().filter(|by| !all.iter().any(|operation| is_exactly(operation, by))) {
        problems.push(unmeant("names", by));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let meant = |operation: &&Operation<'_>| {
        (choices.include.is_empty() || choices.include.iter().any(|by| is_meant(operation, by)))
            && !choices.exclude.iter().any(|by| is_meant(operation, by))
    };
    Ok(all.iter().filter(meant).cloned().collect())
}

fn unmeant(key: &str, by: &str) -> Problem {
    let what = format_args!("\"{by}\" means no operation of the document");
    Problem::new(
        key,
        what,
        "name it by its operationId, as \"GET /path\", or (not in names) as tag:name, with * for anything",
    )
}

fn is_exactly(operation: &Operation<'_>, by: &str) -> bool {
    operation.id() == Some(by) || operation.label() == by
}

fn names(chosen: &[Operation<'_>], choices: &Choices) -> Result<Vec<String>, Vec<Problem>> {
    let wishes: Vec<_> = chosen.iter().map(|operation| (operation.wish(), operation.label())).collect();
    let mut names = unique(wishes.iter().map(|(wish, label)| (wish.as_str(), label.clone())));
    let mut problems = Vec::new();
    for (by, wanted) in &choices.names {
        if !is_name(wanted) {
            let what = format_args!("\"{wanted}\" cannot be the name of a tool");
            problems.push(Problem::new(&format!("names.{by}"), what, "1 to 64 of the characters A-Z a-z 0-9 _ -"));
        }
        for (name, operation) in names.iter_mut().zip(chosen) {
            if is_exactly(operation, by) {
                name.clone_from(wanted);
            }
        }
    }
    let mut first: BTreeMap<&str, &Operation<'_>> = BTreeMap::new();
    for (name, operation) in names.iter().zip(chosen) {
        if let Some(other) = first.insert(name, operation) {
            let what = format_args!("{} and {} would both be called {name}", other.label(), operation.label());
            problems.push(Problem::new(&operation.place, what, "give one of them another name with `names`"));
        }
    }
    if problems.is_empty() { Ok(names) } else { Err(problems) }
}

/// Where one operation is, if the document has it elsewhere than the rest: on the same host, or nothing is sent there.
fn place_of(operation: &Operation<'_>, base: &Url) -> Result<Option<Url>, Problem> {
    for (holder, place) in [(operation.value, &operation.place), (operation.item, &operation.item_place)] {
        let Some(own) = server::first(holder, place, Some(base))? else { continue };
        if own.origin() != base.origin() {
            let what = format_args!(
                "it is at {}, and the others are at {}",
                own.origin().ascii_serialization(),
                base.origin().ascii_serialization()
            );
            return Err(Problem::new(
                &below(place, "servers"),
                what,
                "make it a server of its own, with `url` and `include`",
            ));
        }
        return Ok(Some(own));
    }
    Ok(None)
}
