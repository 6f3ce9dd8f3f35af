//! One caller, one call, and what is decided about it.

use std::sync::Arc;

use portcullis_base::{Class, Classes, ClientId, Labels, PersonId, ServerName, Timestamp};
use portcullis_policy::{Access, Bundle, Decision, Facts, Kind, Source, Target, decide};

pub fn bundle(text: &str) -> Bundle {
    Bundle::load(&[Source { name: "rules.yaml", text }]).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// What is wrong with `text`.
pub fn faults(text: &str) -> Vec<String> {
    let loaded = Bundle::load(&[Source { name: "r.yaml", text }]);
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// A call of alice, who is in the group `support`, at the server `stripe`.
#[derive(Clone)]
pub struct Call<'a> {
    pub target: Target<'a>,
    pub classes: &'a [Class],
    pub labels: Labels,
    pub tags: &'a [&'a str],
    pub arguments: &'a str,
    pub through: Option<&'a str>,
    pub session: &'a [&'a str],
    pub kind: Kind,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            target: Target::Tool("create_refund"),
            classes: &[Class::Financial],
            labels: Labels::NONE,
            tags: &[],
            arguments: "{}",
            through: None,
            session: &[],
            kind: Kind::Person,
        }
    }
}

impl<'a> Call<'a> {
    pub fn of(classes: &'a [Class]) -> Self {
        Self { classes, ..Self::default() }
    }

    pub fn with<T>(&self, then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let shared = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect::<Vec<Arc<str>>>();
        let through = self.through.map(|name| ServerName::parse(name).expect("a name"));
        then(&Facts {
            person: &PersonId::new("usr_1"),
            name: "alice",
            kind: self.kind,
            groups: &shared(&["support"]),
            roles: &["member"],
            client: &ClientId::new("app"),
            server: &ServerName::parse("stripe").expect("a name"),
            through: through.as_ref(),
            method: "tools/call",
            target: self.target,
            classes: self.classes.iter().copied().collect::<Classes>(),
            labels: self.labels,
            tags: &shared(self.tags),
            arguments: Some(self.arguments),
            authenticated_at: None,
            acr: None,
            address: None,
            session_labels: &shared(self.session),
            now: Timestamp::from_secs(1_795_400_000),
        })
    }

    pub fn decided(&self, rules: &str, access: &Access) -> Decision {
        self.with(|facts| decide(&bundle(rules), access, facts))
    }
}
