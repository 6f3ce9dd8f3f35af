//! The names under which things of several servers are shown at one endpoint.
//!
//! A server's name has no underscore, so the first `__` of a shown name ends the server's part of it: names of two servers
//! never meet, whatever they call their tools, and no server moves a name of another by coming or going.

use portcullis_base::{Digest, ServerName};

use super::SEARCHING;

/// Between the server and what it calls the thing.
const BETWEEN: &str = "__";
/// The longest shown name: what providers of models take (AG-4).
const LONGEST: usize = 64;
/// Hexadecimal digits of the digest behind a name that was cleaned.
const DIGITS: usize = 8;

/// The name under which what `server` calls `name` is shown.
// spec: AG-2, AG-3, AG-4, AG-5, AG-6, T-73
pub fn exposed(server: &ServerName, name: &str) -> String {
    let plain = format!("{server}{BETWEEN}{name}");
    if !name.is_empty() && is_plain(name) && plain.len() <= LONGEST && !looks_cleaned(name) {
        return plain;
    }
    let digest = Digest::of(name.as_bytes());
    let [first, second, third, fourth, ..] = *digest.as_bytes();
    let digits = format!("{:0DIGITS$x}", u32::from_be_bytes([first, second, third, fourth]));
    let room = LONGEST - server.as_str().len() - BETWEEN.len() - 1 - DIGITS;
    let cleaned: String = name.chars().take(room).map(|c| if is_plain_char(c) { c } else { '_' }).collect();
    format!("{server}{BETWEEN}{cleaned}_{digits}")
}

/// Whether it ends as a cleaned name does. Such a name is cleaned too, so that nobody can choose the name that another one's
/// cleaning gives.
fn looks_cleaned(name: &str) -> bool {
    let end = name.len().checked_sub(DIGITS + 1).and_then(|at| name.as_bytes().get(at..));
    end.is_some_and(|end| end[0] == b'_' && end[1..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_plain(name: &str) -> bool {
    name.chars().all(is_plain_char)
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// Why a name cannot be given to a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has other characters, or is too long or empty.
    #[error("is not a tool name: use 1 to 64 of A-Z, a-z, 0-9, \"_\" and \"-\"")]
    Form,
    /// It looks like the name that a server's tool has here by itself.
    #[error("has \"__\", which stands between a server and its own name for a tool")]
    Between,
    /// It looks like one of the tools that search.
    #[error("looks like search_tools, describe_tool or call_tool, which search a toolbox")]
    Searching,
}

/// Whether a tool may be renamed to `name`.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() || name.len() > LONGEST || !is_plain(name) {
        return Err(NameError::Form);
    }
    if name.contains(BETWEEN) {
        return Err(NameError::Between);
    }
    if SEARCHING.iter().any(|other| skeleton(other) == skeleton(name)) {
        return Err(NameError::Searching);
    }
    Ok(())
}

/// What is left of a name for an eye that does not look closely: case, separators and characters of one shape are nothing.
// spec: T-73: "collision after case-fold/confusable skeleton"
pub fn skeleton(name: &str) -> String {
    folded(name).replace('_', "")
}

/// Whether `name`, given to a tool of another server, would look like one of `server`.
pub fn shadows(name: &str, server: &ServerName) -> bool {
    folded(name).starts_with(&format!("{}_", folded(server.as_str())))
}

fn folded(name: &str) -> String {
    let fold = |c: char| match c.to_ascii_lowercase() {
        '0' => 'o',
        '1' | 'i' => 'l',
        '5' => 's',
        '-' => '_',
        c => c,
    };
    name.chars().map(fold).collect::<String>().replace("rn", "m").replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::parse(name).unwrap()
    }

    // spec: AG-2, AG-3, AG-4
    #[test]
    fn ordinary_names_follow_their_server() {
        assert_eq!(exposed(&server("github"), "search"), "github__search");
        assert_eq!(exposed(&server("github"), "_x"), "github___x");
        assert_eq!(exposed(&server("a"), "b__x"), "a__b__x");
    }

    // spec: AG-3, AG-5, AG-6
    #[test]
    fn odd_names_become_fitting_ones_that_differ_as_they_do() {
        let long = "x".repeat(200);
        let longer = "x".repeat(201);
        let names = [
            "такси",
            "такcи",
            "a.b",
            "a/b",
            "a b",
            "",
            "\u{202e}evil",
            long.as_str(),
            longer.as_str(),
            "a_b",
            "a_b_deadbeef",
            "send_email",
            "send_emaіl",
            "Send_Email",
            "😀",
        ];
        let mut shown = HashMap::new();
        for server in [server("s"), server(&"s".repeat(32))] {
            for name in names {
                let exposed = exposed(&server, name);
                assert!(check_form(&exposed), "{exposed}");
                assert_eq!(exposed.split_once("__").unwrap().0, server.as_str());
                assert_eq!(shown.insert(exposed.clone(), (server.clone(), name)), None, "{exposed}");
                assert_eq!(super::exposed(&server, name), exposed, "the same every time");
            }
            // Who calls a tool as the cleaning of another one's name is called gets another name.
            let taken = exposed(&server, "a.b");
            let own = taken.split_once("__").unwrap().1;
            assert_ne!(exposed(&server, own), taken);
        }
    }

    fn check_form(name: &str) -> bool {
        !name.is_empty() && name.len() <= 64 && is_plain(name)
    }

    // spec: T-73
    #[test]
    fn names_are_not_given_that_look_like_others() {
        assert_eq!(check_name("open_ticket"), Ok(()));
        assert_eq!(check_name("open ticket"), Err(NameError::Form));
        assert_eq!(check_name("send_emaіl"), Err(NameError::Form));
        assert_eq!(check_name("github__search"), Err(NameError::Between));
        assert_eq!(check_name("Search-T00ls"), Err(NameError::Searching));
        assert!(shadows("GitHub_search", &server("github")) && shadows("g1thub-search", &server("github")));
        assert!(!shadows("githubber", &server("github")));
        assert_eq!(skeleton("Send-Emai1"), skeleton("send_email"));
    }
}
