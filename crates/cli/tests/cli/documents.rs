//! What the README and the guides say, held against the commands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Sandbox, sandbox::BINARY, transcript};

/// A file of the repository.
pub fn documentation(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands in the fenced blocks of one language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The commands in the blocks of a guide, without their comments.
pub fn commands(guide: &str) -> Vec<String> {
    let blocks = blocks(guide, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines()).filter(|line| line.starts_with("portcullis "));
    lines.map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned()).collect()
}

/// Also those within sentences.
fn mentioned(guide: &str) -> Vec<String> {
    let text = guide.replace('\n', " ");
    let spans = text.split('`').skip(1).step_by(2).filter(|span| span.starts_with("portcullis "));
    spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn commands_of_the_readme_work_as_they_stand() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("bin")).expect("directory");
    std::os::unix::fs::symlink(BINARY, sandbox.path("bin/portcullis")).expect("link");
    let sample = sandbox.start(&["sample", "--listen", "127.0.0.1:0"], "sample server is at");
    let address = format!("http://{}/mcp", sample.address());
    let readme = documentation("README.md");
    let lines: Vec<String> = blocks(&readme, "sh")
        .iter()
        .flat_map(|block| block.lines())
        .filter(|line| line.split_whitespace().any(|word| word == "portcullis"))
        .map(|line| line.replace("http://127.0.0.1:3001/mcp", &address))
        .collect();
    assert!(lines.iter().any(|line| line.contains(&address)), "no command protects the server of the example");
    for line in &lines {
        let command = line.split(" #").next().unwrap_or_default().trim();
        let stays =
            command == "portcullis" || ["portcullis up", "portcullis sample"].iter().any(|it| command.contains(it));
        assert!(!stays, "this does not end by itself, so this test cannot run it: {line}");
        // A shell reads them as the reader's would: quotes, pipes and comments.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).current_dir(sandbox.directory.path()).env_clear().stdin(Stdio::null());
        shell.env("HOME", sandbox.path("home")).env("PATH", format!("{}:/usr/bin:/bin", sandbox.path("bin").display()));
        let output = shell.output().expect("run");
        assert_eq!(output.status.code(), Some(0), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let written = fs::read_to_string(sandbox.path("home/.cursor/mcp.json")).expect("the entry is written");
    assert!(written.contains("http://127.0.0.1:7878/mcp/everything"), "{written}");
    assert_eq!(sample.stop(), 0);
}

#[test]
fn the_readme_names_every_command_and_no_other() {
    let sandbox = Sandbox::new();
    let readme = documentation("README.md");
    let help = sandbox.run(&["--help"]).out;
    let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    for command in listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(readme.contains(&format!("`portcullis {command}")), "{command} is not in README.md");
    }
    let rows: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("| `portcullis ")).collect();
    assert!(rows.len() > 5, "the table of commands is not found any more");
    for row in rows {
        let words = row.split('`').next().expect("command").split(' ');
        // Words in capitals stand for what a person fills in.
        let arguments: Vec<&str> = words.filter(|word| *word != word.to_uppercase()).chain(["--help"]).collect();
        let ended = sandbox.run(&arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {}", transcript(&ended));
    }
    for flag in ["--config FILE", "--data DIR"] {
        assert!(readme.contains(flag), "{flag}");
    }
}

#[test]
fn settings_of_the_readme_load_and_their_rules_compile() {
    let sandbox = Sandbox::new();
    let examples = blocks(&documentation("README.md"), "yaml");
    assert!(!examples.is_empty(), "no example of settings is found any more");
    for example in examples {
        sandbox.write("example.yaml", &example);
        let secret = [("COMPANY_SECRET", "0123456789abcdef")];
        let shown = sandbox.run_with(&["config", "show", "--config", "example.yaml"], "", &secret);
        assert_eq!(shown.code, 0, "{}", transcript(&shown));
        // There is no PostgreSQL here, and secrets come from a file; a start reads the rules too.
        sandbox.write("secret", "0123456789abcdef");
        let lines = example.lines().map(|line| match line.split_once(':') {
            Some(("database", _)) => "database: sqlite",
            _ => line,
        });
        let local = lines.collect::<Vec<_>>().join("\n").replace("env:COMPANY_SECRET", "file:secret");
        sandbox.write("local.yaml", &local);
        let arguments =
            ["up", "--config", "local.yaml", "--listen", "127.0.0.1:0", "--operations", "127.0.0.1:0", "--data", "up"];
        let gateway = sandbox.start(&arguments, "Ctrl-C stops");
        assert!(gateway.said.contains("https://mcp.example.com/mcp/wiki"), "{}", gateway.said);
        assert_eq!(gateway.stop(), 0);
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let pages = ["docs", "docs/guides"].map(|directory| fs::read_dir(repository().join(directory)).expect("directory"));
    let pages = pages.into_iter().flatten().map(|entry| entry.expect("entry").path());
    let pages =
        pages.filter(|path| path.extension().is_some_and(|end| end == "md")).chain([repository().join("README.md")]);
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("page");
        for rest in text.split("](").skip(1) {
            let link = rest.split(')').next().expect("target");
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let there = if target.is_empty() { page.clone() } else { page.parent().expect("directory").join(target) };
            let leads = there.exists() && (anchor.is_empty() || anchors(&there).any(|known| known == anchor));
            if !leads {
                broken.push(format!("{}: {link}", page.file_name().expect("name").display()));
            }
        }
    }
    assert!(seen > 20, "links are not found any more");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What the headings of a page are linked by.
fn anchors(page: &Path) -> impl Iterator<Item = String> + use<> {
    let text = fs::read_to_string(page).unwrap_or_default();
    let headings: Vec<_> = text.lines().filter_map(|line| line.strip_prefix('#')).map(str::to_owned).collect();
    headings.into_iter().map(|heading| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
        kept.collect::<String>().replace(' ', "-")
    })
}

#[test]
fn commands_in_sentences_of_the_guides_are_commands() {
    let sandbox = Sandbox::new();
    for guide in [
        "docs/guides/stdio.md",
        "docs/guides/upstreams.md",
        "docs/guides/keys.md",
        "docs/guides/identity.md",
        "docs/guides/bridge.md",
        "docs/guides/toolboxes.md",
        "docs/guides/approvals.md",
        "docs/guides/audit.md",
        "docs/guides/telemetry.md",
    ] {
        let found = mentioned(&documentation(guide));
        assert!(!found.is_empty(), "{guide}: no command is found any more");
        for command in found {
            // Words in capitals stand for what a person fills in; what a command asks of them is not asked here.
            let words = command.split_whitespace().skip(1).chain(["--help"]);
            let ended = sandbox.run(&words.collect::<Vec<_>>());
            assert_eq!(ended.code, 0, "{guide}: {command}: {}", transcript(&ended));
        }
    }
}
