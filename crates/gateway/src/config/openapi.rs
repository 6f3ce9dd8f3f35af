//! An OpenAPI document as a server: `openapi` in the settings.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use portcullis_base::printable;
use portcullis_openapi::{Api, Choices, Kind, Limits, Outputs, Place, Problem, is_name};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Credential, Server, read::Node};

/// Problems of one document that are shown.
const SHOWN: usize = 10;

/// A document, and what an administrator says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenApi {
    /// Where the document is.
    pub file: PathBuf,
    /// Where the API is: as an administrator says, or as the document said when this was read.
    #[serde(with = "super::place::url_text")]
    pub url: Url,
    /// The only operations that are offered; none said means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Operations that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// What operations are called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// The parameter of the query that the person's key goes into, in place of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_in_query: Option<String>,
    /// Whether tools say what they answer.
    #[serde(default)]
    pub answers: Answers,
}

/// Whether tools say what they answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// As the document describes it; an answer that is not so is an error.
    #[default]
    Checked,
    /// No, and answers are passed on as they are.
    Free,
}

impl OpenApi {
    /// The document in `file`, which says where its API is unless `url` does, and what it describes.
    pub fn of_file(file: PathBuf, url: Option<Url>, private: bool) -> Result<(Self, Api), Vec<Problem>> {
        let mut found = Self::unread(file);
        let api = Api::read(&text(&found.file)?, &found.choices(url))?;
        match Server::check_url(api.base.as_str(), private) {
            Ok(base) => found.url = base,
            Err((what, help)) => {
                let what = format!("the address of the API, {}, {what}", printable(api.base.as_str(), 200));
                return Err(vec![Problem { place: "#/servers".into(), what, help }]);
            }
        }
        Ok((found, api))
    }

    fn unread(file: PathBuf) -> Self {
        Self {
            file,
            url: Url::parse("https://api.example.com").expect("an example is a URL"),
            include: Vec::new(),
            exclude: Vec::new(),
            names: BTreeMap::new(),
            key_in_query: None,
            answers: Answers::default(),
        }
    }

    /// The API as the document describes it now.
    pub fn read(&self) -> Result<Api, Vec<Problem>> {
        Api::read(&text(&self.file)?, &self.choices(Some(self.url.clone())))
    }

    fn choices(&self, url: Option<Url>) -> Choices {
        Choices {
            url,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            names: self.names.clone(),
            outputs: match self.answers {
                Answers::Checked => Outputs::Described,
                Answers::Free => Outputs::Free,
            },
            limits: Limits::default(),
        }
    }
}

/// The text of a document that is not too long to be read.
// spec: T-66
fn text(file: &Path) -> Result<String, Vec<Problem>> {
    let name = printable(&file.display().to_string(), 200);
    let wrong = |what: String, help: &str| vec![Problem { place: name.clone(), what, help: help.to_owned() }];
    let most = Limits::default().bytes;
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(most as u64 + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length <= most => Ok(text),
        Ok(_) => {
            Err(wrong(format!("of the document at most {most} bytes are read"), "take out of it what no tool needs"))
        }
        Err(error) => {
            Err(wrong(format!("the document cannot be read: {error}"), "name a file that the gateway's user may read"))
        }
    }
}

/// Reads `openapi`: the path of a document, or a mapping.
pub(super) fn openapi(node: Node<'_>, private: bool) -> Option<OpenApi> {
    const EXAMPLE: &str = "tickets.yaml";
    let file_alone = node.as_text().is_some();
    let mut found = OpenApi::unread(PathBuf::new());
    if file_alone {
        found.file = node.file_path(EXAMPLE);
        let api = opened(&node, &found, None)?;
        return at(&node, private, found, &api);
    }
    let mut section = node.section();
    let file_node = section.take("file");
    found.file = file_node.file_path(EXAMPLE);
    let url_node = section.take("url");
    let url = url_node.is_given().then(|| {
        let text = url_node.text("the address of the API", "https://api.example.com/v1");
        let checked = Server::check_url(&text, private);
        checked.map_err(|(what, help)| url_node.problem(what, help.replace("mcp", "api"))).ok()
    });
    found.include = section.take("include").texts("a list of operations", "[listTickets, GET /tickets/*, tag:tickets]");
    found.exclude = section.take("exclude").texts("a list of operations", "[deleteTicket, DELETE *]");
    let names = section.take("names").entries("{ listTickets: tickets }");
    for (operation, name) in names {
        let wanted = name.text("the name of a tool", "tickets");
        if !wanted.is_empty() && !is_name(&wanted) {
            name.problem(
                format!("\"{}\" cannot be the name of a tool", printable(&wanted, 80)),
                "1 to 64 of the characters A-Z a-z 0-9 _ -",
            );
        }
        found.names.insert(operation, wanted);
    }
    let key = section.take("key_in_query");
    found.key_in_query = key.is_given().then(|| key.text("the name of a parameter", "api_key"));
    let answers = section.take("answers");
    if answers.is_given() {
        found.answers = answers.choice(&[("checked", Answers::Checked), ("free", Answers::Free)]);
    }
    section.finish();
    let url = match url {
        Some(None) => return None,
        Some(url) => url,
        None => None,
    };
    let api = opened(&file_node, &found, url)?;
    let asked =
        |wanted: &str| api.schemes.iter().any(|scheme| scheme.kind == Kind::Key(Place::Query(wanted.to_owned())));
    if let Some(wanted) = found.key_in_query.as_deref().filter(|wanted| !asked(wanted)) {
        let keys: Vec<_> = api.schemes.iter().map(ToString::to_string).collect();
        key.problem(
            format!("the document asks for no key in the query parameter \"{}\"", printable(wanted, 60)),
            if keys.is_empty() { "take it out".into() } else { format!("it asks for:\n{}", keys.join("\n")) },
        );
    }
    at(&file_node, private, found, &api)
}

/// The API, or nothing after every problem of the document was reported.
fn opened(node: &Node<'_>, settings: &OpenApi, url: Option<Url>) -> Option<Api> {
    if settings.file.as_os_str().is_empty() {
        return None;
    }
    let read = text(&settings.file).and_then(|text| Api::read(&text, &settings.choices(url)));
    read.map_err(|problems| {
        for problem in problems.iter().take(SHOWN) {
            let file = printable(&settings.file.display().to_string(), 200);
            let place = if problem.place == file { file } else { format!("{file}: {}", problem.place) };
            node.problem(format!("{place}: {}", problem.what), problem.help.as_str());
        }
    })
    .ok()
}

fn at(node: &Node<'_>, private: bool, mut found: OpenApi, api: &Api) -> Option<OpenApi> {
    if let Err((what, help)) = Server::check_url(api.base.as_str(), private) {
        node.problem(format!("the address of the API, {}, {what}", printable(api.base.as_str(), 200)), help);
        return None;
    }
    found.url = api.base.clone();
    Some(found)
}

/// What a key in the query needs of `credential`: a key and nothing else.
pub(super) fn fits(openapi: &OpenApi, credential: &Credential) -> bool {
    openapi.key_in_query.is_none()
        || matches!(credential, Credential::Header(header) if header.prefix.is_empty() && header.options.is_empty())
}
