//! Reads what is said of a server that is a process of this machine.

use std::path::{Component, Path, PathBuf};

use portcullis_base::{Secret, printable};
use portcullis_policy::nearest;

use super::{
    Credential, KeySource, Network, Process, ProcessLimits, Sandbox, Sharing, hosts, pins,
    process::meet,
    read::{Node, Section},
};

/// Variables by which whoever sets them runs code of their own in a program, or that are set by us. spec: T-88
const REFUSED: [&str; 32] = [
    "BASH_ENV",
    "BUN_OPTIONS",
    "CLASSPATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "GCONV_PATH",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_NODE_OPTIONS",
    "NPM_CONFIG_SCRIPT_SHELL",
    "OPENSSL_CONF",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PHPRC",
    "PROMPT_COMMAND",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "TMPDIR",
    "_JAVA_OPTIONS",
];
const REFUSED_BEGINNINGS: [&str; 3] = ["LD_", "DYLD_", "BASH_FUNC_"];

/// Parts of names that say that the value is a secret.
const SECRET: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];

/// Places that are not a server's business, or that it gets its own of.
const CLOSED: [&str; 4] = ["/proc", "/sys", "/dev", "/run"];

const MIB: usize = 1 << 20;

/// Reads `command:`, a list of program and arguments.
pub(super) fn command(node: &Node<'_>) -> Option<Vec<String>> {
    const EXAMPLE: &str = "[npx, -y, \"@modelcontextprotocol/server-everything@2025.9.25\"]";
    if let Some(line) = node.as_text() {
        // spec: SEC-31, T-88: there is no shell that would take a line apart
        let words: Vec<_> = line.split_whitespace().map(|word| printable(word, 60)).collect();
        node.problem(
            "expected a list of program and arguments, found one text: nothing here goes through a shell",
            format!("example: command: [{}]", words.join(", ")),
        );
        return None;
    }
    let words = node.list("a list of program and arguments", EXAMPLE);
    // As they are, blanks and all: other texts are trimmed.
    let word = |word: &Node<'_>| {
        word.as_text().map_or_else(|| word.text("a text; put numbers into quotes", "\"8080\""), str::to_owned)
    };
    let argv: Vec<_> = words.iter().map(word).collect();
    if argv.is_empty() || argv[0].is_empty() {
        node.problem("names no program", format!("example: command: {EXAMPLE}"));
        return None;
    }
    if argv.iter().any(|word| word.contains('\0')) {
        node.problem("has a NUL character in it", "take it out");
        return None;
    }
    if let Err((what, help)) = pins::check(&argv) {
        node.problem(what, help);
        return None;
    }
    Some(argv)
}

/// Reads the keys beside `command`.
pub(super) fn process(
    section: &mut Section<'_>,
    limits: &mut Section<'_>,
    credential: &Credential,
    data: Option<&Path>,
    around: Process,
) -> Process {
    let environment_node = section.take("env");
    let environment = environment(&environment_node, around.key_variable.as_deref());
    let sharing_node = section.take("sharing");
    let words = [("person", Sharing::Person), ("shared", Sharing::Shared), ("session", Sharing::Session)];
    let sharing = if sharing_node.is_given() { sharing_node.choice(&words) } else { Sharing::Person };
    let personal = matches!(credential, Credential::Header(header) if header.key == KeySource::Each);
    if sharing == Sharing::Shared && personal {
        // spec: TR-161: "shared (stateless, no user credentials)"
        sharing_node.problem(
            "one process for everybody cannot have each person's own key",
            "take it out, or give everybody one key: credential: { kind: env, name: NAME, shared: true }",
        );
    }
    let directory_node = section.take("directory");
    let directory = directory_node.is_given().then(|| path(&directory_node)).flatten();
    let (read, write) = (paths(&section.take("read"), data), paths(&section.take("write"), data));
    let known = |path: &PathBuf| read.iter().chain(&write).any(|given| path.starts_with(given));
    if directory.as_ref().is_some_and(|path| !known(path)) {
        directory_node.problem("is nothing that this server may read", "name it under `read` or `write` too");
    }
    let network_node = section.take("network");
    let network = network(&network_node);
    // spec: T-89: who is held to a list has no other proxy
    if let Network::Hosts(_) = network {
        for (name, _) in environment.iter().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY")) {
            environment_node.problem(
                format!("{name} is set by the gateway itself where `network` is a list of hosts"),
                "take it out, or the list: a proxy of your own goes with network: all",
            );
        }
    }
    let sandbox_node = section.take("sandbox");
    let walls = [("standard", Sandbox::Standard), ("strict", Sandbox::Strict), ("weak", Sandbox::Weak)];
    let sandbox = if sandbox_node.is_given() { sandbox_node.choice(&walls) } else { Sandbox::Standard };
    Process { environment, sharing, directory, read, write, network, sandbox, limits: self::limits(limits), ..around }
}

/// The name of a variable that may be set; `None` after reporting.
pub(super) fn variable(node: &Node<'_>, name: &str) -> Option<String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(letters) || name.starts_with(|c: char| c.is_ascii_digit()) {
        node.problem(
            format!("\"{}\" is not the name of a variable", printable(name, 60)),
            "letters, digits and underscores, such as GITHUB_TOKEN",
        );
        return None;
    }
    let upper = name.to_ascii_uppercase();
    if REFUSED.contains(&upper.as_str()) || REFUSED_BEGINNINGS.iter().any(|beginning| upper.starts_with(beginning)) {
        node.problem(
            format!("\"{name}\" is refused: by it a program is made to run other code, or the gateway sets it itself"),
            "take it out; what a program needs can often be said as an argument in `command`",
        );
        return None;
    }
    Some(name.to_owned())
}

fn environment(node: &Node<'_>, taken: Option<&str>) -> Vec<(String, Secret)> {
    let read = |(name, value): (String, Node<'_>)| {
        let name = variable(&value, &name)?;
        if taken == Some(name.as_str()) {
            value.problem("is the variable that `credential` fills", "keep one of the two");
        }
        let text = value.as_text();
        if text.is_some_and(|text| text.starts_with("env:") || text.starts_with("file:")) {
            return Some((name, value.secret("env:NAME")?));
        }
        if SECRET.iter().any(|part| name.to_ascii_uppercase().contains(part)) {
            return Some((name, value.secret("env:SERVER_KEY")?));
        }
        let text = value.text("a text; put numbers into quotes", "\"8080\"");
        (!text.contains('\0')).then(|| (name, Secret::new(text)))
    };
    node.entries("{ LOG_LEVEL: info, SERVER_KEY: env:SERVER_KEY }").into_iter().filter_map(read).collect()
}

fn paths(node: &Node<'_>, data: Option<&Path>) -> Vec<PathBuf> {
    let given = |node: &Node<'_>| {
        let path = path(node)?;
        // spec: T-89
        if data.is_some_and(|data| meet(&path, data)) {
            node.problem(
                "leads to the gateway's own data directory, which no server may see",
                "name the directories that this one needs, or move the gateway's: data: /var/lib/portcullis",
            );
        }
        Some(path)
    };
    node.list("a list of paths", "[/srv/documents]").iter().filter_map(given).collect()
}

/// A path that may be shown to a server; `None` after reporting.
fn path(node: &Node<'_>) -> Option<PathBuf> {
    let path = node.file_path("/srv/documents");
    if path.as_os_str().is_empty() {
        return None;
    }
    let path = std::path::absolute(&path).unwrap_or(path);
    if path.components().any(|part| part == Component::ParentDir) {
        node.problem("goes upwards (..)", "write the path as it is");
        return None;
    }
    if path.parent().is_none() || CLOSED.iter().any(|closed| path.starts_with(closed)) {
        node.problem(
            format!("{} is closed to servers", printable(&path.display().to_string(), 200)),
            "name the directories that this one needs",
        );
        return None;
    }
    Some(path)
}

fn network(node: &Node<'_>) -> Network {
    if !node.is_given() {
        return Network::None;
    }
    match node.as_text() {
        None => hosts::hosts(node).map_or(Network::None, Network::Hosts),
        Some("none") => Network::None,
        Some("all") => Network::All,
        Some(text) => {
            let help = match nearest(text, ["none", "all"]) {
                Some(word) if !text.contains(['.', ':']) => format!("did you mean \"{word}\"?"),
                _ => format!("one host is a list too: network: [\"{}\"]", printable(text, 100)),
            };
            let what = format!("expected none, all or a list of hosts, found \"{}\"", printable(text, 60));
            node.problem(what, help);
            Network::None
        }
    }
}

fn limits(section: &mut Section<'_>) -> ProcessLimits {
    let usual = ProcessLimits::default();
    let (memory, file_size) = (section.take("memory"), section.take("file_size"));
    let (processes, files) = (section.take("processes"), section.take("files"));
    let cpu = section.take("cpu_percent");
    ProcessLimits {
        memory: if memory.is_given() { memory.size(32 * MIB..=1 << 40, "512MiB") as u64 } else { usual.memory },
        processes: if processes.is_given() { processes.number(4..=65_536) } else { usual.processes },
        files: if files.is_given() { files.number(16..=65_536) } else { usual.files },
        file_size: if file_size.is_given() { file_size.size(MIB..=1 << 44, "100MiB") as u64 } else { usual.file_size },
        processors: if cpu.is_given() { cpu.number(5..=12_800) } else { usual.processors },
    }
}
