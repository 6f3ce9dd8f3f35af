//! Every route that the gateway has, read from the code that makes its router: one that is added is tried too.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Result, ensure};

/// Every route, with its place-holders.
pub fn routes() -> Result<BTreeSet<String>> {
    let mut texts = Vec::new();
    for part in ["gateway", "oauth"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../crates/{part}/src")), &mut texts)?;
    }
    let mut all = BTreeSet::new();
    for after in texts.iter().flat_map(|text| text.split(".route(").skip(1)) {
        let named = after.trim_start();
        if let Some(literal) = named.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
            all.insert(literal.to_owned());
        } else if named.starts_with(|first: char| first.is_ascii_uppercase()) {
            let name: String = named.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let paths = values(&texts, &name);
            ensure!(!paths.is_empty(), "where does the route {name} lead?");
            all.extend(paths);
        } else {
            // A method of that name, not one of a router.
            ensure!(named.starts_with('&'), "a route that nobody can read: {named:.40}");
        }
    }
    ensure!(all.len() > 70 && all.contains("/oauth/client.json"), "{all:?}");
    Ok(all)
}

/// What constants of that name say, where it is a path.
fn values(texts: &[String], name: &str) -> Vec<String> {
    let defined = format!("const {name}: &str = \"");
    let values = texts.iter().flat_map(|text| text.split(&defined).skip(1)).filter_map(|rest| rest.split('"').next());
    values.filter(|value| value.starts_with('/')).map(str::to_owned).collect()
}

fn read(folder: &Path, texts: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, texts)?;
        } else {
            texts.push(fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
