//! A browser that walks from one site to another and back: cookies for each host, redirects one at a time, and the headers by
//! which a site learns where a visitor comes from.

use anyhow::{Context, Result, bail, ensure};
use url::{Position, Url};

use crate::{
    gateway::TestGateway,
    http::{Answer, Request, Trust, request},
    person::{Form, form, form_to},
    provider::Providers,
};

/// How many redirects a browser follows.
const PATIENCE: usize = 20;

/// A browser with nothing in it but its cookies.
#[derive(Clone)]
pub struct Walker {
    home: String,
    trust: Trust,
    jar: Vec<Cookie>,
    /// The pages it has been to, without their queries.
    pub visited: Vec<String>,
}

#[derive(Clone, Debug)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
    strict: bool,
    lax: bool,
}

/// A page, or a redirect that was not followed.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// What the site said.
    pub answer: Answer,
    /// Who sent the browser here: `None` if its owner did.
    sender: Option<Sender>,
}

/// The page with the link or the form, and how far from it the way has led so far.
#[derive(Clone, Debug)]
struct Sender {
    page: Url,
    distance: Distance,
}

/// What `Sec-Fetch-Site` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    SameOrigin,
    SameSite,
    CrossSite,
}

impl Page {
    /// Where it leads, if it is a redirect.
    pub fn leads_to(&self) -> Option<Url> {
        self.answer.header("location").and_then(|location| self.url.join(location).ok())
    }

    /// Its text.
    pub fn text(&self) -> String {
        self.answer.text()
    }

    /// What its main part says to a reader.
    pub fn said(&self) -> String {
        let text = self.text();
        let main = text.find("<main").map_or(text.as_str(), |start| &text[start..]);
        let words = main.split('<').map(|part| part.split_once('>').map_or(part, |(_, words)| words).trim());
        words.filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The form in its main part.
    pub fn form(&self) -> Result<Form> {
        form(&self.text()).with_context(|| format!("no form at {}: {} {}", self.url, self.answer.status, self.text()))
    }

    /// Whether it asks for consent.
    pub fn asks(&self) -> bool {
        self.answer.status == 200 && self.text().contains("name=\"decision\" value=\"approve\"")
    }
}

impl Walker {
    /// A fresh browser that knows where the gateway is and trusts the providers' authority.
    pub fn new(house: &TestGateway, providers: &Providers) -> Result<Self> {
        Ok(Self::at(&house.authority, providers.trust()?))
    }

    /// A fresh browser with a gateway at `authority` (`host:port`) for its home.
    pub fn at(authority: &str, trust: Trust) -> Self {
        Self { home: format!("http://{authority}"), trust, jar: Vec::new(), visited: Vec::new() }
    }

    /// The owner types an address, or a path of the gateway; redirects are not followed.
    pub async fn open(&mut self, address: &str) -> Result<Page> {
        let url = Url::parse(&self.home)?.join(address)?;
        self.navigate("GET", url, None, None).await
    }

    /// A link or a redirect on a page of `from` leads to `url`.
    pub async fn come(&mut self, from: &str, url: &str) -> Result<Page> {
        let sender = Sender { page: Url::parse(from)?, distance: Distance::SameOrigin };
        self.navigate("GET", Url::parse(&self.home)?.join(url)?, Some(sender), None).await
    }

    /// One redirect.
    pub async fn step(&mut self, page: Page) -> Result<Page> {
        let url = page.leads_to().with_context(|| format!("{} leads nowhere", page.url))?;
        self.navigate("GET", url, page.sender, None).await
    }

    /// Follows redirects up to one for which `stop` holds, or which leads to nobody we know; that one is not followed.
    pub async fn follow_until(&mut self, mut page: Page, stop: impl Fn(&Url) -> bool) -> Result<Page> {
        for _ in 0..PATIENCE {
            match page.leads_to() {
                Some(url) if !stop(&url) && self.knows(&url) => page = self.step(page).await?,
                _ => return Ok(page),
            }
        }
        bail!("redirects without end: {:?}", self.visited)
    }

    /// Follows redirects to their end.
    pub async fn follow(&mut self, page: Page) -> Result<Page> {
        self.follow_until(page, |_| false).await
    }

    /// Sends the form of a page; redirects are not followed.
    pub async fn submit(&mut self, page: &Page, extra: &[(&str, &str)]) -> Result<Page> {
        self.send_form(page, &page.form()?, extra).await
    }

    /// Sends some form as one of a page.
    pub async fn send_form(&mut self, page: &Page, form: &Form, extra: &[(&str, &str)]) -> Result<Page> {
        let own = form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = own.chain(extra.iter().copied()).collect();
        let url = page.url.join(&form.action)?;
        let sender = Sender { page: page.url.clone(), distance: Distance::SameOrigin };
        self.navigate("POST", url, Some(sender), Some(&fields)).await
    }

    /// Goes on from a page as a person would who is `login` at every provider and agrees to everything: follows, approves,
    /// signs in. Gives the redirect that leaves for the client, or the first page with nothing to do on it.
    pub async fn go_on(&mut self, page: Page, login: &str) -> Result<Page> {
        self.go_on_until(page, login, |_| false).await
    }

    /// The same up to a redirect for which `stop` holds.
    pub async fn go_on_until(&mut self, page: Page, login: &str, stop: impl Fn(&Url) -> bool) -> Result<Page> {
        let mut page = self.follow_until(page, &stop).await?;
        for _ in 0..6 {
            if page.leads_to().is_some() {
                return Ok(page);
            }
            let text = page.text();
            let next = if text.contains("name=\"login\"") {
                self.submit(&page, &[("login", login), ("password", "password")]).await?
            } else if page.asks() {
                self.submit(&page, &[("decision", "approve")]).await?
            } else if text.contains("name=\"agree\"") {
                self.submit(&page, &[("agree", "yes")]).await?
            } else if text.contains("action=\"/oauth/authorize/look\"") {
                self.submit(&page, &[]).await?
            } else {
                return Ok(page);
            };
            page = self.follow_until(next, &stop).await?;
        }
        bail!("the pages go round in a circle: {:?}", self.visited)
    }

    /// Signs in at the gateway through a provider, without any client; gives the page at the end.
    pub async fn sign_in(&mut self, provider: &str, login: &str) -> Result<Page> {
        let page = self.open(&format!("/login/{provider}?return_to=/")).await?;
        let page = self.go_on(page, login).await?;
        ensure!(
            page.answer.status == 200,
            "signing in ended at {} with {}: {}",
            page.url,
            page.answer.status,
            page.text()
        );
        Ok(page)
    }

    /// Connects an account at a server, from its page to the end, as somebody whose name is the same everywhere: `login` is
    /// their name and password at the gateway. Gives the last page.
    pub async fn connect(&mut self, server: &str, login: (&str, &str)) -> Result<Page> {
        let page = self.open(&format!("/connections/{server}")).await?;
        self.connect_from(page, login).await
    }

    /// The same from any page that leads there.
    pub async fn connect_from(&mut self, page: Page, login: (&str, &str)) -> Result<Page> {
        let mut page = self.follow(page).await?;
        for _ in 0..8 {
            let text = page.text();
            let (form, extra): (_, &[(&str, &str)]) = if let Some(form) = form_to(&text, "/confirm") {
                (form, &[("decision", "connect")])
            } else if let Some(form) = form_to(&text, "/connect") {
                (form, &[])
            } else if text.contains("name=\"login\"") {
                (page.form()?, &[("login", login.0), ("password", "password")])
            } else if text.contains("name=\"agree\"") {
                (page.form()?, &[("agree", "yes")])
            } else if text.contains("type=\"password\"") && text.contains("name=\"name\"") {
                (page.form()?, &[("name", login.0), ("password", login.1)])
            } else if text.contains("value=\"approve\"") && page.url.scheme() == "https" {
                (page.form()?, &[("action", "approve")])
            } else {
                return Ok(page);
            };
            let next = self.send_form(&page, &form, extra).await?;
            let end =
                next.leads_to().is_some_and(|url| url.query().is_some_and(|query| query.contains("done=connected")));
            if end {
                return Ok(next);
            }
            page = self.follow(next).await?;
        }
        bail!("the pages go round in a circle: {:?}", self.visited)
    }

    /// A request of this browser, for tests that change something about it.
    pub fn request(&self, method: &str, url: &Url) -> Request {
        let host = url.host_str().unwrap_or_default();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let request = request(&authority, method, &url[Position::BeforePath..Position::AfterQuery]);
        if url.scheme() == "https" { request.over(&self.trust) } else { request }
    }

    /// The `Cookie` header for an address.
    pub fn cookies_for(&self, url: &Url) -> String {
        self.cookie_header(url, |_| true)
    }

    /// Puts a cookie for the gateway into the jar, as somebody in a position to plant one would.
    pub fn plant(&mut self, name: &str, value: &str) {
        self.jar.push(Cookie {
            host: self.home.rsplit('/').next().and_then(|host| host.split(':').next()).unwrap_or_default().to_owned(),
            path: "/".into(),
            name: name.to_owned(),
            value: value.to_owned(),
            strict: false,
            lax: true,
        });
    }

    /// Loses the cookies for which `lost` holds.
    pub fn lose(&mut self, lost: impl Fn(&str) -> bool) {
        self.jar.retain(|cookie| !lost(&cookie.name));
    }

    /// Names and values of the cookies for the gateway.
    pub fn cookies(&self) -> Vec<(String, String)> {
        let host = Url::parse(&self.home).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let own = self.jar.iter().filter(|cookie| cookie.host == host);
        own.map(|cookie| (cookie.name.clone(), cookie.value.clone())).collect()
    }

    fn cookie_header(&self, url: &Url, sent: impl Fn(&Cookie) -> bool) -> String {
        let host = url.host_str().unwrap_or_default();
        let below = |path: &str| {
            url.path() == path
                || url.path().starts_with(path) && (path.ends_with('/') || url.path()[path.len()..].starts_with('/'))
        };
        let fitting = self.jar.iter().filter(|cookie| cookie.host == host && below(&cookie.path) && sent(cookie));
        fitting.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect::<Vec<_>>().join("; ")
    }

    fn knows(&self, url: &Url) -> bool {
        url.as_str().starts_with(&format!("{}/", self.home))
            || url.scheme() == "https" && url.host_str() == Some("localhost")
    }

    async fn navigate(
        &mut self,
        method: &str,
        url: Url,
        sender: Option<Sender>,
        fields: Option<&[(&str, &str)]>,
    ) -> Result<Page> {
        let sender =
            sender.map(|sender| Sender { distance: sender.distance.max(distance(&sender.page, &url)), ..sender });
        let strange = sender.as_ref().is_some_and(|sender| sender.distance == Distance::CrossSite);
        let told = match sender.as_ref().map(|sender| sender.distance) {
            None => "none",
            Some(Distance::SameOrigin) => "same-origin",
            Some(Distance::SameSite) => "same-site",
            Some(Distance::CrossSite) => "cross-site",
        };
        let cookies = self.cookie_header(&url, |cookie| !strange || !cookie.strict && (method == "GET" || !cookie.lax));
        let mut request = self
            .request(method, &url)
            .header("accept", "text/html")
            .header("sec-fetch-site", told)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Walker/1.0");
        if !cookies.is_empty() {
            request = request.header("cookie", &cookies);
        }
        if let (Some(fields), Some(sender)) = (fields, &sender) {
            request = request.header("origin", &sender.page.origin().ascii_serialization()).form(fields);
        }
        self.visited.push(format!("{method} {}", &url[..Position::AfterPath]));
        let answer = request.send().await?;
        self.remember(&url, &answer);
        Ok(Page { url, answer, sender })
    }

    fn remember(&mut self, url: &Url, answer: &Answer) {
        let host = url.host_str().unwrap_or_default();
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let attribute = |name: &str| {
                attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
            };
            let path = attribute("path").unwrap_or("/").to_owned();
            self.jar.retain(|known| known.host != host || known.name != name || known.path != path);
            let ended = value.is_empty() || attribute("max-age") == Some("0");
            if !ended {
                let same_site = attribute("samesite").unwrap_or("lax").to_ascii_lowercase();
                self.jar.push(Cookie {
                    host: host.to_owned(),
                    path,
                    name: name.to_owned(),
                    value: value.to_owned(),
                    strict: same_site == "strict",
                    lax: same_site == "lax",
                });
            }
        }
    }
}

/// A site is the scheme and, for the hosts of these tests, the name without the port.
fn distance(from: &Url, to: &Url) -> Distance {
    if from.origin() == to.origin() {
        Distance::SameOrigin
    } else if from.scheme() == to.scheme() && from.host_str() == to.host_str() {
        Distance::SameSite
    } else {
        Distance::CrossSite
    }
}
