//! Rules of the house that a reviewer would overlook: they fail here instead.

#![expect(clippy::unwrap_used, reason = "these are the tools of tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What each crate may know of the others.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("base", &[]),
    ("mcp", &[]),
    ("oauth", &["base"]),
    ("openapi", &["base"]),
    ("policy", &["base"]),
    ("audit", &["base"]),
    ("risk", &["base"]),
    ("webauthn", &["base"]),
    ("sample", &["base", "mcp"]),
    ("sandbox", &[]),
    ("store", &["base", "oauth", "policy", "audit"]),
    (
        "gateway",
        &["base", "oauth", "openapi", "policy", "audit", "risk", "mcp", "store", "sample", "sandbox", "webauthn"],
    ),
    ("cli", &["base", "oauth", "openapi", "policy", "audit", "risk", "mcp", "store", "sample", "sandbox", "gateway"]),
    ("scan", &["base", "mcp"]),
];

const PURE: [&str; 8] = ["base", "oauth", "openapi", "mcp", "policy", "audit", "risk", "webauthn"];
const NOT_PURE: [&str; 10] = [
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "rusqlite",
    "tokio-postgres",
    "deadpool-postgres",
    "rustls",
    "tracing",
    "http",
];

#[test]
fn crates_depend_in_one_direction_and_pure_manifests_stay_pure() {
    for folder in folders(&root().join("crates")) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let used = manifest.split("[dev-dependencies]").next().unwrap().split("[dependencies]").nth(1).unwrap_or("");
        let used: Vec<_> = used
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| !name.is_empty())
            .collect();
        let (_, allowed) =
            MAY_USE.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} has no row in MAY_USE"));
        for dependency in &used {
            if let Some(own) = dependency.strip_prefix("portcullis-") {
                assert!(allowed.contains(&own), "{name} must not know {own}");
            }
            assert!(
                !PURE.contains(&name.as_str()) || !NOT_PURE.contains(dependency),
                "{name} is pure law: it has no place for {dependency}"
            );
        }
    }
}

#[test]
fn modules_of_a_crate_do_not_form_a_circle() {
    for folder in folders(&root().join("crates")) {
        let source = folder.join("src");
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in sources(&source) {
            let module = module_of(&source, &file);
            // Tests of a part may play with those that use it.
            let is_test =
                file.components().any(|part| ["tests", "tests.rs"].iter().any(|name| part.as_os_str() == *name));
            if module == "lib" || module == "main" || is_test {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let found = uses.entry(module.clone()).or_default();
            for part in code.split("crate::").skip(1) {
                let named: Vec<String> = match part.strip_prefix('{') {
                    // `use crate::{a, b::c}`: the names at the first level.
                    Some(list) => first_level(list),
                    None => vec![part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()],
                };
                found.extend(named.into_iter().filter(|name| *name != module));
            }
        }
        let modules: BTreeSet<_> = uses.keys().cloned().collect();
        for found in uses.values_mut() {
            found.retain(|name| modules.contains(name));
        }
        // What uses nothing that is left can be taken away; what remains at the end is a circle.
        while let Some(free) = uses.iter().find(|(_, found)| found.is_empty()).map(|(name, _)| name.clone()) {
            uses.remove(&free);
            for found in uses.values_mut() {
                found.remove(&free);
            }
        }
        assert!(uses.is_empty(), "{}: these modules know each other in a circle: {uses:#?}", folder.display());
    }
}

#[test]
fn every_rule_marked_in_code_is_marked_in_a_test() {
    let mut in_code: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut in_tests = BTreeSet::new();
    for file in sources(&root().join("crates")).into_iter().chain(sources(&root().join("tests"))) {
        let text = fs::read_to_string(&file).unwrap();
        let is_test = file.components().any(|part| part.as_os_str() == "tests");
        let (code, tests) = match text.find("#[cfg(test)]") {
            _ if is_test => ("", text.as_str()),
            Some(at) => text.split_at(at),
            None => (text.as_str(), ""),
        };
        in_code.extend(marks(code).into_iter().map(|mark| (mark, file.clone())));
        in_tests.extend(marks(tests));
    }
    assert!(in_code.len() > 100, "the marks are not found any more: {}", in_code.len());
    let bare: Vec<_> = in_code.iter().filter(|(mark, _)| !in_tests.contains(*mark)).collect();
    assert!(bare.is_empty(), "{} rules are obeyed in code but marked in no test: {bare:#?}", bare.len());
}

#[test]
fn nothing_is_left_for_later_or_switched_off() {
    let forbidden = ["#[ign", "todo", "unimpl", "FIX"].map(str::to_owned);
    let forbidden = [
        format!("{}ore", forbidden[0]),
        format!("{}!(", forbidden[1]),
        format!("{}emented!(", forbidden[2]),
        format!("{}ME", forbidden[3]),
    ];
    for file in sources(&root().join("crates")).into_iter().chain(sources(&root().join("tests"))) {
        let text = fs::read_to_string(&file).unwrap();
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{} contains {word}", file.display());
        }
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["util", "utils", "helper", "helpers", "common"].contains(&stem),
            "{}: name what it is",
            file.display()
        );
    }
}

#[test]
fn the_table_of_threats_names_the_tests_that_there_are() {
    let table = fs::read_to_string(root().join("docs/threats.md")).unwrap();
    let named: BTreeSet<String> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::t"))
        .map(str::to_owned)
        .collect();
    let mut written = BTreeSet::new();
    // With the real program.
    let beside = ["crash.rs", "bridge/hostile.rs"].map(|file| root().join("crates/cli/tests").join(file));
    let folders = ["threats", "console", "sinks", "crash"].map(|name| root().join("tests/house/tests").join(name));
    let played = folders
        .iter()
        .chain([&root().join("crates/cli/tests/crash")])
        .map(|folder| sources(folder))
        .collect::<Vec<_>>();
    for file in played.into_iter().flatten().chain(beside) {
        // What is in `main.rs` is called as its folder is.
        let named_by = if file.ends_with("main.rs") { file.parent().unwrap() } else { &file };
        let module = named_by.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let names = text.split("fn t").skip(1).filter_map(|rest| rest.split('(').next());
        let numbered = names.filter(|name| {
            name.split_once('_').is_some_and(|(n, _)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        written.extend(numbered.map(|name| format!("{module}::t{name}")));
    }
    assert!(written.len() > 30, "the tests are not found any more: {}", written.len());
    let missing: Vec<_> = named.difference(&written).collect();
    assert!(missing.is_empty(), "docs/threats.md names tests that do not exist: {missing:#?}");
    let unnamed: Vec<_> = written.difference(&named).collect();
    assert!(unnamed.is_empty(), "docs/threats.md does not name these tests: {unnamed:#?}");
}

/// Marks of the form `spec: AS-67, RFC7636#4.6`.
fn marks(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("spec: ").skip(1) {
        for mark in part.lines().next().unwrap_or("").split([',', ';', ' ', ')']).filter(|mark| !mark.is_empty()) {
            let mark = mark.trim_end_matches(['.', ':']);
            let is_mark = ["RFC", "OIDC", "WEBAUTHN", "AUTHZEN"].iter().any(|spec| mark.starts_with(spec))
                && mark.contains('#')
                || mark.split_once('-').is_some_and(|(group, number)| {
                    ["AS", "RS", "TR", "UP", "BR", "AG", "SEC", "T"].contains(&group)
                        && !number.is_empty()
                        && number.chars().all(|c| c.is_ascii_digit())
                });
            if !is_mark {
                break;
            }
            found.push(mark.to_owned());
        }
    }
    found
}

fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut name) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            c if depth == 0 => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names
        .iter()
        .map(|name| name.trim().split("::").next().unwrap().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The first-level module that a file belongs to.
fn module_of(source: &Path, file: &Path) -> String {
    let first = file.strip_prefix(source).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn sources(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["node_modules", "target"].contains(&name) && !name.starts_with('.') {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
