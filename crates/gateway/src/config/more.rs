//! What the settings file and an entry of the database say of a server in the same words: credential, headers,
//! certificates, limits.

use std::path::{Path, PathBuf};

use http::HeaderName;
use portcullis_base::{Secret, printable};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use url::Url;
use yaml_serde::Value;

use super::{
    Allow, ClientCertificate, Credential, Environment, Place, Problems, Process, Provider, Server, ServerAudit, Speaks,
    Tls, ToolList, audit,
    credentials::{self, credential},
    headers,
    issuers::Asked,
    layers::Settings,
    pins, processes,
    read::{Node, Section},
    verdicts::verdicts,
};
use crate::tools::Verdicts;

/// What is said of a server besides where it is and who may use it.
pub(super) struct More {
    pub credential: Credential,
    pub headers: Vec<(HeaderName, Secret)>,
    pub request_headers: Vec<HeaderName>,
    pub tls: Tls,
    pub concurrent: u32,
    pub tools: ToolList,
    pub process: Process,
    pub speaks: Speaks,
    pub allow: Allow,
    pub risk: Verdicts,
    pub audit: ServerAudit,
}

impl More {
    /// Whose the list of tools is: one that a document makes is the same for everybody.
    pub(super) const fn tools_of(&self, place: &Place) -> ToolList {
        match place {
            Place::Url(_) | Place::Command(_) => self.tools,
            Place::OpenApi(_) => ToolList::Public,
        }
    }
}

/// Where the server is and what house it comes into.
pub(super) struct Around<'p> {
    /// Its URL, when that is known to be good.
    pub url: Option<&'p Url>,
    /// Its command, if it is run here.
    pub command: Option<&'p [String]>,
    /// The gateway's data directory; `None` where only the running gateway knows it.
    pub data: Option<&'p Path>,
    /// Whether it may be on a private network.
    pub private: bool,
    /// The identity providers; `None` where only the running gateway knows them.
    pub providers: Option<&'p [Provider]>,
}

/// Reads the keys of an entry of the database; `called` is what problems call it.
///
/// Whether a private address may be asked is not looked at here: whoever asks it looks again.
pub(super) fn of_entry(
    called: &str,
    text: &str,
    place: &Around<'_>,
    environment: &Environment,
) -> Result<More, Problems> {
    let mut settings = Settings::new(Value::Mapping(yaml_serde::Mapping::new()), environment.variables());
    settings.lay_file(called, text);
    let mut top = settings.top();
    if let Some(argv) = place.command {
        pins::check(argv).unwrap_or_else(|(what, help)| top.take("command").problem(what, help));
    }
    let more = more(&mut top, place, &mut Asked::default());
    top.finish();
    settings.finish(more, Vec::new()).map(|(more, _)| more)
}

/// Reads the keys of one server.
pub(super) fn more<'a>(section: &mut Section<'a>, place: &Around<'_>, asked: &mut Asked<'a>) -> More {
    let own = place.url.filter(|url| place.private || Server::is_on_this_machine(url)).map(Url::origin);
    let around = credentials::Around { providers: place.providers, origin: own };
    let (credential, key_variable) = match place.command {
        None => (credential(section.take("credential"), &around, asked), None),
        Some(_) => credentials::of_process(section.take("credential")),
    };
    let headers_node = section.take("headers");
    let headers = headers::constants(&headers_node);
    let credential_header = match &credential {
        Credential::Header(header) => Some(&header.header),
        Credential::Assertion(assertion) => Some(&assertion.header),
        _ => None,
    };
    if let Some(name) = credential_header.filter(|name| headers.iter().any(|(other, _)| other == *name)) {
        headers_node.problem(format!("\"{name}\" is what `credential` is sent in"), "keep one of the two");
    }
    let taken: Vec<_> = headers.iter().map(|(name, _)| name.clone()).chain(credential_header.cloned()).collect();
    let request_headers = headers::of_clients(&section.take("request_headers"), &taken);
    let tls = tls(section.take("tls"), place.url);
    let mut limits = section.take("limits").section();
    let concurrent = limits.take("concurrent");
    let concurrent = if concurrent.is_given() { concurrent.number(1..=100_000) } else { Server::CONCURRENT };
    let mut process = Process { key_variable, ..Process::default() };
    if place.command.is_some() {
        process = processes::process(section, &mut limits, &credential, place.data, process);
    }
    limits.finish();
    let tools = section.take("tools");
    let tools = if tools.is_given() {
        tools.choice(&[("personal", ToolList::Personal), ("public", ToolList::Public)])
    } else {
        ToolList::Personal
    };
    let speaks = section.take("speaks");
    let speaks = if speaks.is_given() {
        speaks.choice(&[
            ("auto", Speaks::Auto),
            ("stateless", Speaks::Stateless),
            ("sessions", Speaks::Sessions),
            ("sse", Speaks::Sse),
        ])
    } else {
        Speaks::Auto
    };
    let allow = allow(&section.take("allow"), place);
    let audit = audit::of_server(section.take("audit"));
    let risk_node = section.take("risk");
    let risk = verdicts(&risk_node);
    // The file is what its readers see together with the rest, and by the name of a tool they know what is meant. What a
    // program writes into the database was said of one definition, by somebody who was shown it, and stays with that one.
    if place.data.is_none() {
        for (tool, _) in risk.iter().filter(|(_, verdict)| verdict.definition.is_none()) {
            let what =
                format!("says something of \"{}\" without the definition that it is said of", printable(tool, 60));
            risk_node.problem(what, "write its digest beside it: definition: …");
        }
    }
    More { credential, headers, request_headers, tls, concurrent, tools, process, speaks, allow, risk, audit }
}

/// What a server may ask of clients, and tell them.
// spec: BR-76
fn allow(node: &Node<'_>, place: &Around<'_>) -> Allow {
    if !node.is_given() {
        return if place.url.is_some() { Allow::REMOTE } else { Allow::LOCAL };
    }
    let mut allow = Allow { sampling: false, roots: false, files: false, logging: false };
    for item in node.list("a list of what it may ask of clients, and tell them", "[sampling, roots, logging]") {
        match item.choice(&[("sampling", 0), ("roots", 1), ("files", 2), ("logging", 3)]) {
            0 => allow.sampling = true,
            1 => allow.roots = true,
            2 => (allow.roots, allow.files) = (true, true),
            _ => allow.logging = true,
        }
    }
    allow
}

pub(super) fn tls(node: Node<'_>, url: Option<&Url>) -> Tls {
    if !node.is_given() {
        return Tls::default();
    }
    if url.is_some_and(|url| url.scheme() == "http") {
        node.problem(
            "is for https, and the URL of this server begins with http://",
            "use its https:// URL, or take it out",
        );
    }
    let mut section = node.section();
    let ca_node = section.take("ca_file");
    let ca_file = ca_node.is_given().then(|| certificates(&ca_node, "company-ca.pem"));
    let (certificate_node, key_node) = (section.take("client_certificate"), section.take("client_key"));
    section.finish();
    for (here, there, name) in
        [(&certificate_node, &key_node, "client_key"), (&key_node, &certificate_node, "client_certificate")]
    {
        if here.is_given() && !there.is_given() {
            here.problem(format!("is of no use without `{name}`"), format!("write {name}: beside it"));
        }
    }
    let client = (certificate_node.is_given() && key_node.is_given()).then(|| {
        let certificate = certificates(&certificate_node, "gateway.pem");
        let key = key_node.secret("file:gateway-key.pem")?;
        if PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).is_err() {
            key_node.problem(
                "what it refers to is not a private key in PEM form, or is one with a password",
                "example: client_key: file:gateway-key.pem",
            );
        }
        Some(ClientCertificate { certificate, key })
    });
    Tls { ca_file, client: client.flatten() }
}

/// The path of a PEM file with certificates.
fn certificates(node: &Node<'_>, example: &str) -> PathBuf {
    let path = node.file_path(example);
    let found = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => node
            .problem("there is no certificate in this file", "it must have the PEM form: -----BEGIN CERTIFICATE-----"),
        Ok(_) => {}
        Err(error) => node.problem(
            format!("cannot be read as certificates: {error}"),
            "name a PEM file that the gateway's user may read",
        ),
    }
    path
}
