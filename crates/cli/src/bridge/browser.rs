//! Sending a person's browser to a page.
//!
//! The address comes from a server that nobody vouches for, so it is taken apart and put together again: nothing but http
//! and https, and nothing in it that any program on the way could take for more than an address. It is handed over as one
//! word of a command; no shell reads it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use portcullis_oauth::upstream::Reach;
use tokio::process::Command;
use url::{Position, Url};

/// The longest address that a browser is sent to; one with many scopes is long.
const LONGEST: usize = 16 * 1024;

/// An address that a browser may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageUrl(String);

impl PageUrl {
    /// Takes `text` apart and writes it again. `None` if it is none that a person may be sent to.
    ///
    /// spec: T-15: "parse, require https (or loopback http), re-serialise"
    pub fn parse(text: &str, reach: Reach) -> Option<Self> {
        let plain = text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"'));
        let url = plain.then(|| Url::parse(text).ok()).flatten().filter(|url| url.fragment().is_none())?;
        if !reach.admits(&url[..Position::AfterPath]) {
            return None;
        }
        let mut out = url[..Position::BeforePath].to_owned();
        // A host is letters, digits, `-` and `.`, or an IPv6 address: others do not come out of the parser, but for some
        // that a name may have and no name has.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'/' | b'[' | b']' | b'_');
        if !out.bytes().all(plain) || !out.starts_with("http") {
            return None;
        }
        for byte in url[Position::BeforePath..Position::AfterQuery].bytes() {
            // The structure of an address, and what is unreserved (RFC 3986 §2.3); `&` and `?` part a query.
            if byte.is_ascii_alphanumeric() || b"-._~/?&=%+:@".contains(&byte) {
                out.push(char::from(byte));
            } else {
                write!(out, "%{byte:02X}").ok()?;
            }
        }
        Some(Self(out))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Opens the page in the person's browser. Whether somebody sees it is not known; `false` if no browser could be started.
pub fn open(page: &PageUrl, environment: &BTreeMap<String, String>) -> bool {
    let Some(words) = opener(environment) else { return false };
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    // spec: T-15: "spawn opener with an argument vector, no shell".
    command.args(arguments).arg(page.as_str());
    // It must not hold our pipes: the client waits for their end. Nor end with us, if it is the browser itself.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).kill_on_drop(false);
    let Ok(mut child) = command.spawn() else { return false };
    // Whenever it ends, it is waited for and leaves no zombie.
    tokio::spawn(async move { child.wait().await });
    true
}

/// The command that opens pages: what the person says in `BROWSER`, else what the desktop has.
fn opener(environment: &BTreeMap<String, String>) -> Option<Vec<String>> {
    if let Some(named) = environment.get("BROWSER").filter(|named| !named.trim().is_empty()) {
        // The custom is a list with colons between, of commands that may have `%s` for the address; ours comes last.
        let first = named.split(':').find(|command| !command.trim().is_empty())?;
        let words: Vec<String> = first.split_whitespace().filter(|word| *word != "%s").map(str::to_owned).collect();
        let program = if words[0].contains('/') { PathBuf::from(&words[0]) } else { on_path(&words[0], environment)? };
        return Some([vec![program.display().to_string()], words[1..].to_vec()].concat());
    }
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    on_path(usual, environment).map(|program| vec![program.display().to_string()])
}

/// The program of this name in the directories of `PATH`; never one in the working directory.
pub fn on_path(name: &str, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let runs =
        |path: &Path| path.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
    let directories = environment.get("PATH")?.split(':').map(Path::new).filter(|path| path.is_absolute());
    directories.map(|directory| directory.join(name)).find(|path| runs(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn page(text: &str) -> Option<String> {
        PageUrl::parse(text, Reach::Loopback).map(|page| page.0)
    }

    /// spec: T-15
    #[test]
    fn only_pages_can_be_opened() {
        for text in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "ms-settings:network",
            "ssh://-oProxyCommand=id/",
            "-version",
            "--help https://gw.example/",
            "$(id)",
            "https://gw.example\\@evil.example/",
            "https://user:password@gw.example/",
            "https://$(id).example/",
            "https://`id`.example/",
            "https://a;id/",
            "http://gw.example/authorize",
            "https://gw.example/\n--flag",
            "https://gw.example/a b",
            "https://gw.example/#fragment",
            "",
        ] {
            assert_eq!(page(text), None, "{text}");
        }
        assert!(page("http://127.0.0.1:7878/oauth/authorize?a=b").is_some());
        assert_eq!(PageUrl::parse("http://127.0.0.1:7878/", Reach::Public), None);
    }

    /// spec: T-15: "command line never contains unescaped metacharacters"
    #[test]
    fn nothing_in_an_address_means_more_than_an_address() {
        let forbidden = |c: char| !(c.is_ascii_alphanumeric() || "-._~/?&=%+:@[]".contains(c));
        for code in 0x21..0x7f_u8 {
            let c = char::from(code);
            for text in [
                format!("https://gw.example/a{c}b?response_type=code"),
                format!("https://gw.example/authorize?x={c}id{c}&y=1"),
                format!("https://gw.example/{c}{c}$(touch x)`touch y`|id;id'\"<>^%22"),
                format!("https://a{c}b.example/"),
            ] {
                let Some(out) = page(&text) else { continue };
                assert!(out.starts_with("https://"), "{text}: {out}");
                assert!(!out.contains(forbidden), "{text}: {out}");
            }
        }
        assert_eq!(
            page("https://gw.example/authorize;v=1?x=$(id)&y=%20z").as_deref(),
            Some("https://gw.example/authorize%3Bv=1?x=%24%28id%29&y=%20z")
        );
    }

    #[test]
    fn the_command_is_the_persons_own() {
        let directory = tempfile::tempdir().expect("directory");
        let program = directory.path().join("xdg-open");
        fs::write(&program, "#!/bin/sh\n").expect("write");
        let path = format!("relative:{}", directory.path().display());
        let with = |pairs: &[(&str, &str)]| {
            opener(&pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        assert_eq!(with(&[("PATH", &path)]), None, "what cannot be run is no program");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        if cfg!(not(target_os = "macos")) {
            assert_eq!(with(&[("PATH", &path)]), Some(vec![program.display().to_string()]));
        }
        assert_eq!(
            with(&[("PATH", &path), ("BROWSER", "/opt/browser --new-tab %s:other")]),
            Some(vec!["/opt/browser".to_owned(), "--new-tab".to_owned()])
        );
        assert_eq!(with(&[("PATH", &path), ("BROWSER", "not-there")]), None);
        assert_eq!(with(&[]), None);
    }
}
