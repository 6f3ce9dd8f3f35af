//! What the other tools of a server tell about one of them.

use std::collections::HashMap;

use crate::{
    tables::{self, BROWSING, TRACKERS, among},
    words,
};

/// Whether a server's own words may be believed where they promise less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Anybody may have written the definition: it can only make matters graver.
    Untrusted,
    /// Somebody has looked at this very definition: it is from the curated catalogue, or pinned by its digest.
    Trusted,
}

/// What a browser that a server steers is signed in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Perhaps somebody's sessions: clicking is doing whatever the page does.
    MaySignIn,
    /// It begins empty each time; an administrator knows that.
    Empty,
}

/// What is known of a server before one of its tools is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub(crate) name: Vec<String>,
    /// First words that most of its tools share, and which so say nothing.
    pub(crate) prefixes: Vec<String>,
    pub(crate) source: Source,
    /// Its tools steer a browser, and this one.
    pub(crate) browser: Option<Profile>,
    /// What is written there may be read by everybody.
    pub(crate) public: bool,
}

const MOST_TOOLS: usize = 20_000;
const MOST_PREFIXES: usize = 3;

impl Server {
    /// The server called `name`, with the names of all its `tools`.
    pub fn new<'a>(name: &str, tools: impl IntoIterator<Item = &'a str>, source: Source) -> Self {
        let name: Vec<String> = words::name(name).tokens.into_iter().map(|token| token.text).collect();
        let mut tools: Vec<Vec<String>> = tools
            .into_iter()
            .take(MOST_TOOLS)
            .map(|tool| words::name(tool).tokens.into_iter().map(|token| token.text).collect())
            .collect();
        // Several of them: a type or a press of some kind is no browser.
        let steering = tables::words(BROWSING).filter(|verb| tools.iter().flatten().any(|word| word == verb)).count();
        let mut prefixes = Vec::new();
        while prefixes.len() < MOST_PREFIXES
            && let Some(prefix) = shared(&tools)
        {
            for tool in &mut tools {
                if tool.first() == Some(&prefix) {
                    tool.remove(0);
                }
            }
            prefixes.push(prefix);
        }
        let public = name.iter().any(|word| among(TRACKERS, word));
        Self { name, prefixes, source, browser: (steering >= 3).then_some(Profile::MaySignIn), public }
    }

    /// The same, if the browser that it steers (where it steers one) has this `profile`.
    #[must_use]
    pub fn with_profile(mut self, profile: Profile) -> Self {
        self.browser = self.browser.map(|_| profile);
        self
    }

    /// A server of which nothing is known.
    pub fn unknown(source: Source) -> Self {
        Self::new("", [], source)
    }
}

/// The first word of four in five of `tools`, if there are three and it is no verb.
fn shared(tools: &[Vec<String>]) -> Option<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    // What would leave a name empty is not its prefix.
    for first in tools.iter().filter(|tool| tool.len() > 1).filter_map(|tool| tool.first()) {
        *counts.entry(first).or_default() += 1;
    }
    let (first, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (tools.len() >= 3 && count * 5 >= tools.len() * 4 && !tables::is_verb(first)).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(tools: &[&str]) -> Vec<String> {
        Server::new("some", tools.iter().copied(), Source::Untrusted).prefixes
    }

    #[test]
    fn a_prefix_is_what_four_in_five_share_and_no_verb() {
        assert_eq!(prefixes(&["notion-search", "notion-fetch", "notion-move"]), ["notion"]);
        assert_eq!(prefixes(&["a_b_get", "a_b_put", "a_b_list"]), ["a", "b"]);
        assert_eq!(prefixes(&["a_get", "a_put", "a_list", "a_do", "other"]), ["a"]);
        let none = Vec::<String>::new();
        assert_eq!(prefixes(&["d1_create", "kv_get", "r2_put", "d1_delete"]), none);
        assert_eq!(prefixes(&["get_a", "get_b", "get_c"]), none);
        assert_eq!(prefixes(&["a_get", "a_put"]), none);
        assert_eq!(prefixes(&["a", "a", "a"]), none);
    }
}
