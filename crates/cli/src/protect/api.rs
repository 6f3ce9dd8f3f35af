//! An API that an OpenAPI document describes: what it has, and what it wants to see of who calls it.

use std::path::{Path, absolute};

use portcullis_base::printable;
use portcullis_gateway::config::{self, Entry, OpenApi, Place, Server};
use portcullis_openapi::{Api, Class, Kind, Place as KeyPlace, Scheme};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    asks::{self, Asked},
    unusable,
};
use crate::{
    args::{CredentialKind, Protect},
    failure::{Failure, Result},
    house::House,
    output::{DIM, WARN, line, styled},
    settings::Settings,
};

/// Problems of one document that are shown.
const SHOWN: usize = 10;

/// A document, and what is made of it.
pub(super) struct Described {
    /// As an entry has it.
    pub document: OpenApi,
    pub api: Api,
    /// The scheme that its credential is for, by its place among those of the API.
    scheme: Option<usize>,
}

/// Reads the document. Nothing is asked of anybody.
pub(super) fn read(file: &Path, args: &Protect) -> Result<Described> {
    let shown = printable(&file.display().to_string(), 200);
    if shown.starts_with("https://") || shown.starts_with("http://") {
        return Err(Failure::usage("a document is read from a file, and none is fetched").help(format!(
            "curl -fsSLo api.yaml {shown}\nportcullis protect --openapi api.yaml{}",
            args.name.as_ref().map(|name| format!(" --name {}", printable(name, 60))).unwrap_or_default()
        )));
    }
    // The gateway may run in another directory than this program.
    let file = absolute(file).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
    let url = args.url.as_deref().map(|url| address(url, args)).transpose()?;
    let (mut document, api) = OpenApi::of_file(file, url, args.private).map_err(|problems| {
        let problems: Vec<_> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
        let help = problems.join("\n").replace("set `url` in the settings to", "write behind the file");
        Failure::new(format!("{shown} cannot be served as it is")).help(help)
    })?;
    let scheme =
        if is_from_document(args) { api.schemes.iter().position(|scheme| keys(scheme).is_some()) } else { None };
    if let Some(Kind::Key(KeyPlace::Query(name))) = scheme.map(|at| &api.schemes[at].kind) {
        document.key_in_query = Some(name.clone());
    }
    Ok(Described { document, api, scheme })
}

fn address(url: &str, args: &Protect) -> Result<Url> {
    Server::check_url(url, args.private).map_err(|(what, help)| {
        let help = help.replace("example: url: https://mcp.example.com/mcp", "example: https://api.example.com/v1");
        Failure::usage(format!("{} {what}", printable(url, 200))).help(help)
    })
}

/// Whether the document says where a credential belongs, and no flag.
fn is_from_document(args: &Protect) -> bool {
    let kind = matches!(args.credential, None | Some(CredentialKind::Header));
    kind && args.header.is_none() && args.issuer.is_none()
}

/// The keys of `credential` for what a scheme asks for; `None` if that needs to know more than the document says.
fn keys(scheme: &Scheme) -> Option<Map<String, Value>> {
    let (header, prefix) = match &scheme.kind {
        Kind::Key(KeyPlace::Header(header)) => (Some(header.as_str()), Some(String::new())),
        Kind::Key(KeyPlace::Query(_)) => (None, Some(String::new())),
        Kind::Key(KeyPlace::Cookie(cookie)) => (Some("Cookie"), Some(format!("{cookie}="))),
        Kind::Bearer => (None, None),
        Kind::Basic => (None, Some("Basic ".to_owned())),
        Kind::OAuth | Kind::OpenId | Kind::Certificate | Kind::Other(_) => return None,
    };
    let mut keys = Map::from_iter([("kind".to_owned(), json!("header"))]);
    keys.extend(header.map(|header| ("header".to_owned(), json!(header))));
    keys.extend(prefix.map(|prefix| ("prefix".to_owned(), json!(prefix))));
    Some(keys)
}

/// Writes into `entry` what the API wants where nobody said it.
pub(super) async fn ask(
    described: Described,
    entry: &mut Entry,
    args: &Protect,
    house: &House,
    settings: &Settings,
) -> Result<Asked> {
    let said = asks::is_said(args);
    let scheme = described.scheme.and_then(|at| keys(&described.api.schemes[at]));
    let known = entry.more.contains_key("credential");
    if let Some(mut keys) = scheme.filter(|_| said || !known) {
        asks::whose(&mut keys, args)?;
        entry.more.insert("credential".into(), Value::Object(keys));
    } else if let Some(credential) = asks::chosen(args)? {
        entry.more.insert("credential".into(), credential);
    } else if !known && !described.api.schemes.is_empty() {
        return Err(needs_more(&described, args));
    }
    let server = entry.server(&house.config.environment).map_err(|problems| unusable(&problems))?;
    let found = match &server.credential {
        config::Credential::OAuth(oauth) if oauth.issuer.is_some() => {
            match asks::oauth(entry, &server, None, args, house, settings).await? {
                Asked::OAuth(found) => Some(found),
                _ => None,
            }
        }
        _ => None,
    };
    Ok(Asked::Described(Box::new(described), found))
}

fn needs_more(described: &Described, args: &Protect) -> Failure {
    let file = printable(&args.openapi.as_deref().unwrap_or(Path::new("")).display().to_string(), 200);
    let asked: Vec<_> = described.api.schemes.iter().map(ToString::to_string).collect();
    Failure::new(format!("{} asks for what its document alone does not tell", described.document.url)).help(format!(
        "it asks for (and the settings file writes that as):\n{}\nIs it OAuth? Say whose:  portcullis protect --openapi {file} --issuer https://login.example.com\nDoes a key do as well?   the same with --credential header, or --header X-Api-Key\nDoes it want nothing?    the same with --credential none",
        asked.join("\n")
    ))
}

impl Described {
    fn count(&self, class: Class) -> usize {
        self.api.tools.iter().filter(|tool| tool.class == class).count()
    }

    /// Tools that the credential is not for.
    fn others(&self) -> usize {
        let Some(scheme) = self.scheme.map(|at| &self.api.schemes[at].name) else { return 0 };
        let other = |schemes: &[String]| !schemes.is_empty() && !schemes.contains(scheme);
        self.api.tools.iter().filter(|tool| other(&tool.schemes)).count()
    }

    pub(super) fn to_json(&self) -> Value {
        let asks: Vec<_> = self.api.schemes.iter().map(|scheme| scheme.kind.to_string()).collect();
        let left_out: Vec<_> = self.api.left_out.iter().map(ToString::to_string).collect();
        json!({
            "name": self.api.title, "version": self.api.version, "tools": self.api.tools.len(),
            "read": self.count(Class::Read), "write": self.count(Class::Write),
            "destroy": self.count(Class::Destructive), "asks_for": asks, "left_out": left_out,
        })
    }

    pub(super) fn print(&self, place: &Place) {
        let api = &self.api;
        let own = [api.title.as_str(), &api.version].join(" ");
        let tools = if api.tools.len() == 1 { "1 tool".to_owned() } else { format!("{} tools", api.tools.len()) };
        let classes = [("read", Class::Read), ("write", Class::Write), ("destroy", Class::Destructive)];
        let classes = classes.map(|(word, class)| (word, self.count(class)));
        let classes: Vec<_> =
            classes.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}")).collect();
        line(styled(DIM, format_args!("  {place}: {}, {tools} ({})", printable(own.trim(), 300), classes.join(", "))));
        match self.scheme {
            Some(at) => line(format_args!("  It wants to see {}.", api.schemes[at].kind)),
            None if api.schemes.is_empty() => line("  Its document asks for no credential."),
            None => {}
        }
        if self.others() > 0 {
            let kinds: Vec<_> = api.schemes.iter().map(|scheme| scheme.kind.to_string()).collect();
            line(format_args!(
                "  {} {} of its tools want something else than that; it asks for: {}",
                styled(WARN, "!"),
                self.others(),
                kinds.join(", ")
            ));
        }
        for problem in api.left_out.iter().take(SHOWN) {
            line(format_args!("  {} left out: {}", styled(WARN, "!"), printable(&problem.to_string(), 600)));
        }
        if let Some(more @ 1..) = api.left_out.len().checked_sub(SHOWN) {
            line(format_args!("  {} left out, and {more} more: see --json", styled(WARN, "!")));
        }
    }
}
