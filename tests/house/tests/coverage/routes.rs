//! The routes that the gateway has, read from its code.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use portcullis_gateway::{return_to, step_up};
use portcullis_oauth::upstream::document;

/// Paths that have a name in the code.
const NAMED: [(&str, &str); 5] = [
    ("DOCUMENT", document::DOCUMENT),
    ("KEYS", document::KEYS),
    ("AUTHORIZE_AGAIN", return_to::AUTHORIZE_AGAIN),
    ("FINISH", return_to::FINISH),
    ("FRESH", step_up::FRESH),
];
const METHODS: [(&str, &str); 6] =
    [("get", "GET"), ("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("delete", "DELETE"), ("any", "ANY")];
/// What the data path serves at each of its addresses, which `route_of` of the router names.
const DATA_PATH: [(&str, &[&str]); 3] =
    [("/mcp/{name}", &["GET", "POST", "DELETE"]), ("/mcp/{name}/sse", &["GET"]), ("/mcp/{name}/messages", &["POST"])];

/// Every route, with its method: `POST /login`.
pub fn all() -> Result<BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/gateway/src");
    let mut routes = BTreeSet::new();
    for file in files(&source)? {
        // Endpoints of the data path have a `route` of their own, which is another thing.
        if file.starts_with(source.join("proxy")) {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        for call in text.split(".route(").skip(1) {
            let call = arguments(call).with_context(|| format!("a route of {}", file.display()))?;
            let (path, methods) = call.split_once(',').context("a path and its methods")?;
            let path = path_of(path.trim()).with_context(|| file.display().to_string())?;
            let found = METHODS.iter().filter(|(word, _)| calls(methods, word)).map(|(_, method)| *method);
            let before = routes.len();
            routes.extend(found.map(|method| format!("{method} {path}")));
            ensure!(routes.len() > before, "no method, or the same route twice: {call}");
        }
    }
    let router = fs::read_to_string(source.join("router.rs"))?;
    for named in router.split("=> \"/mcp/").skip(1) {
        let path = format!("/mcp/{}", named.split('"').next().unwrap_or_default());
        let known = DATA_PATH.iter().find(|(known, _)| *known == path);
        let (_, methods) =
            known.with_context(|| format!("an address of the data path that is not known here: {path}"))?;
        routes.extend(methods.iter().map(|method| format!("{method} {path}")));
    }
    Ok(routes)
}

fn path_of(argument: &str) -> Result<String> {
    if let Some(literal) = argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Ok(literal.to_owned());
    }
    match NAMED.iter().find(|(name, _)| *name == argument) {
        Some((_, path)) => Ok((*path).to_owned()),
        None => bail!("a path with a name that is not known here: {argument}"),
    }
}

/// Whether `text` calls the function `word`.
fn calls(text: &str, word: &str) -> bool {
    let call = format!("{word}(");
    text.match_indices(&call)
        .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':'))
}

/// Up to the parenthesis that closes the call.
fn arguments(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(&text[..at]),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
