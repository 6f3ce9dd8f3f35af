//! The consent page: who asks, where the answer goes, what it will be able to do.
//!
//! spec: AS-133, AS-139, AS-125, AS-138, T-12, T-21

use maud::{Markup, html};
use portcullis_base::printable;

use super::{Account, Page, foreign};

/// How the client's name came to us, and so how far it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// An administrator entered it in the settings.
    Configured,
    /// Its metadata document lies at this host, which proves the host and nothing else.
    Document {
        /// The host of the document.
        host: &'a str,
    },
    /// It registered itself; anyone may claim any name.
    Unverified,
}

/// What the consent page shows.
pub struct Consent<'a> {
    /// The client's name for itself.
    pub client_name: &'a str,
    /// How far that name can be believed.
    pub identity: Identity<'a>,
    /// The client's identifier.
    pub client_id: &'a str,
    /// Where the answer goes: the full URI.
    pub redirect_uri: &'a str,
    /// Its host and port, or its scheme if it has no host.
    pub redirect_host: &'a str,
    /// Origin that the form may end at.
    pub form_target: String,
    /// The server's name.
    pub server: &'a str,
    /// The servers that it leads to, if it is a toolbox.
    pub behind: Vec<String>,
    /// The server's own words about itself, if known.
    pub server_description: Option<&'a str>,
    /// The resource that the token will be good for.
    pub resource: &'a str,
    /// The scopes, as they will be granted.
    pub scopes: Vec<&'a str>,
    /// What to think about before allowing it.
    pub warnings: Vec<Warning<'a>>,
    /// Whether the page offers to remember the answer.
    pub remember: Remember,
    /// The sealed request.
    pub transaction: &'a str,
    /// Who is signed in, if somebody is; a visitor signs in next.
    pub account: Option<Account<'a>>,
    /// The value that proves a form came from this page.
    pub form_token: &'a str,
}

/// Whether an answer may be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remember {
    /// The page has a box for it.
    Offered,
    /// Never for this client.
    No,
}

/// What the reader should think about before allowing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning<'a> {
    /// Every redirect of the client is on this computer. spec: T-12
    Loopback,
    /// The redirect opens an application by a scheme that any program may claim.
    PrivateScheme,
    /// The name looks like that of a known vendor. spec: T-21
    Resembles(&'a str),
    /// Nobody here has allowed a client at this host before. spec: AS-138
    NewHost,
}

/// The consent page.
pub fn consent(view: &Consent<'_>) -> Page {
    let name = foreign(view.client_name);
    Page::new(
        "Allow access",
        view.account,
        html! {
            div.narrow.consent {
                p.eyebrow { "Access request" }
                h1 { "Allow " b { (name) } " to use " b { (foreign(view.server)) } "?" }
                (identity(view))
                (warnings(view, &name))
                section.card aria-labelledby="able" {
                    h2 id="able" { "It will be able to" }
                    ul.scopes {
                        @for scope in &view.scopes { (scope_item(scope, view.server)) }
                    }
                }
                section.card aria-labelledby="goes" {
                    h2 id="goes" { "Where the answer goes" }
                    p.host { (printable(view.redirect_host, 120)) }
                    dl.facts {
                        div { dt { "Redirect address" } dd.mono { (printable(view.redirect_uri, 400)) } }
                        div { dt { "Server" } dd.mono { (printable(view.resource, 300)) } }
                        @if !view.behind.is_empty() {
                            div { dt { "Servers behind it" } dd { (printable(&view.behind.join(", "), 400)) } }
                        }
                        @if let Some(text) = view.server_description {
                            div { dt { "About the server" } dd { (printable(text, 200)) } }
                        }
                        div { dt { "Client identifier" } dd.mono { (printable(view.client_id, 300)) } }
                    }
                }
                form.decide method="post" action="/oauth/authorize" {
                    input type="hidden" name="transaction" value=(view.transaction);
                    input type="hidden" name="form_token" value=(view.form_token);
                    @if view.remember == Remember::Offered {
                        label.check {
                            input type="checkbox" name="remember" value="yes";
                            span { "Do not ask again for this application, server and access" }
                        }
                    }
                    div.buttons {
                        button type="submit" name="decision" value="deny" { "Deny" }
                        button.primary type="submit" name="decision" value="approve" data-guarded { "Allow" }
                    }
                }
                @if view.account.is_none() {
                    p.small { "You will sign in next. Only then is anything decided." }
                }
                p.small.muted { "You can end this access at any time on your " a href="/" { "home page" } "." }
            }
        },
    )
    .form_target(view.form_target.clone())
}

/// What is shown of an application that nobody has looked at yet.
pub struct Unseen<'a> {
    /// Where its description lies.
    pub client_id: &'a str,
    /// The host of that.
    pub host: &'a str,
    /// The authorization request.
    pub request: &'a str,
}

/// The page before the consent page, for visitors: the description of the application is fetched for a person who asks.
pub fn unseen(view: &Unseen<'_>) -> Page {
    Page::new(
        "Access request",
        None,
        html! {
            div.narrow.consent {
                p.eyebrow { "Access request" }
                h1 { "An application of " b { (printable(view.host, 120)) } " asks for access" }
                p.lead { "Nothing was sent to it. Go on to see what it says of itself and what it wants." }
                dl.card.facts { div { dt { "Client identifier" } dd.mono { (printable(view.client_id, 300)) } } }
                form.card.stack method="post" action="/oauth/authorize/look" {
                    input type="hidden" name="request" value=(view.request);
                    button.primary.wide type="submit" { "Go on" }
                    a.button.wide href="/" { "Leave" }
                }
            }
        },
    )
}

fn identity(view: &Consent<'_>) -> Markup {
    html! {
        p.identity {
            @match view.identity {
                Identity::Configured => { span.tag.good { "Known" } " Set up by the administrator of this gateway." }
                Identity::Document { host } => {
                    span.tag { "Published by" } " " b.host-inline { (printable(host, 120)) }
                }
                Identity::Unverified => { span.tag.warn { "Unverified" } " It gave itself this name; nobody checked it." }
            }
        }
    }
}

fn warnings(view: &Consent<'_>, name: &str) -> Markup {
    html! {
        @if !view.warnings.is_empty() {
            div.notice.warn role="note" aria-label="Before you allow this" {
                @for warning in &view.warnings {
                    p {
                        @match warning {
                            Warning::Loopback => {
                                b { "The answer goes to a program on this computer." }
                                " Any program here can claim to be " (name)
                                ". Go on only if you have just started this sign-in yourself."
                            }
                            Warning::PrivateScheme => {
                                b { "The answer opens an application on this device." }
                                " Any application can claim this kind of address. Go on only if you have just started \
                                 this sign-in yourself."
                            }
                            Warning::Resembles(vendor) => {
                                b { "This name looks like " (vendor) ", but it is not known to be it." }
                                " Look closely at where the answer goes."
                            }
                            Warning::NewHost => {
                                b { "This is the first time that anyone here allows " (printable(view.redirect_host, 120)) "." }
                                " Make sure that you know it."
                            }
                        }
                    }
                }
            }
        }
    }
}

fn scope_item(scope: &str, server: &str) -> Markup {
    let server = foreign(server);
    html! {
        li {
            @match scope {
                "mcp:read" => {
                    b { "See what " (server) " offers" }
                    span { "List its tools, prompts and resources, and read them." }
                }
                "mcp:call" => {
                    b { "Use its tools as you" }
                    span { "Run any tool that you may run, also those that change or delete things." }
                }
                "offline_access" => {
                    b { "Stay signed in" }
                    span { "Renew its access without asking, until you end it." }
                }
                other => { b { (foreign(other)) } }
            }
            code.scope { (foreign(scope)) }
        }
    }
}
