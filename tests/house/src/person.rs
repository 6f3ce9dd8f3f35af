//! A person with a browser, and a client that wants a token: the whole way through the real pages.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::Digest;
use serde_json::{Value, json};
use url::Url;

use crate::http::{Answer, Request, request};

/// Where the clients of the tests wait for their codes; nothing listens there, the browser below stops before it.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A PKCE verifier.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A browser: cookies, redirects within the gateway, forms.
#[derive(Clone)]
pub struct Browser {
    authority: String,
    /// Names and values of its cookies.
    pub cookies: Vec<(String, String)>,
}

/// A form as a page shows it.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it goes.
    pub action: String,
    /// Its hidden fields.
    pub fields: Vec<(String, String)>,
}

impl Browser {
    /// A fresh browser for the gateway at `authority`.
    pub fn new(authority: &str) -> Self {
        Self { authority: authority.to_owned(), cookies: Vec::new() }
    }

    /// The `Cookie` header it would send.
    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// A request with its cookies, for tests that change something about it.
    pub fn request(&self, method: &str, target: &str) -> Request {
        let request = request(&self.authority, method, target);
        if self.cookies.is_empty() { request } else { request.header("cookie", &self.cookie_header()) }
    }

    /// One navigation that the person made; redirects are not followed.
    pub async fn get(&mut self, target: &str) -> Result<Answer> {
        let answer = self
            .request("GET", target)
            .header("sec-fetch-site", "none")
            .header("sec-fetch-mode", "navigate")
            .send()
            .await?;
        self.remember(&answer);
        Ok(answer)
    }

    /// Submits a form of one of our pages.
    pub async fn submit(&mut self, form: &Form, extra: &[(&str, &str)]) -> Result<Answer> {
        let fields: Vec<_> = form
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain(extra.iter().copied())
            .collect();
        let answer = self
            .request("POST", &form.action)
            .header("origin", &format!("http://{}", self.authority))
            .header("sec-fetch-site", "same-origin")
            .form(&fields)
            .send()
            .await?;
        self.remember(&answer);
        Ok(answer)
    }

    /// Follows redirects as long as they stay with the gateway.
    pub async fn settle(&mut self, mut answer: Answer) -> Result<Answer> {
        while let Some(location) = answer.header("location") {
            let url = Url::parse(&format!("http://{}", self.authority))?.join(location)?;
            if url.authority() != self.authority {
                break;
            }
            answer = self.get(&url[url::Position::BeforePath..url::Position::AfterQuery]).await?;
        }
        Ok(answer)
    }

    /// Signs in with name and password.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Result<Answer> {
        let page = self.get("/login").await?;
        let form = form(&page.text()).context("no sign-in form")?;
        self.submit(&form, &[("name", name), ("password", password)]).await
    }

    /// Opens an authorization request (signing in if asked) and answers the consent page; gives where the client is sent.
    pub async fn authorize(&mut self, target: &str, login: (&str, &str), decision: &str) -> Result<Url> {
        let first = self.get(target).await?;
        let mut page = self.settle(first).await?;
        for _ in 0..4 {
            if let Some(location) = page.header("location") {
                return Ok(Url::parse(location)?);
            }
            let html = page.text();
            ensure!(page.status == 200, "stopped with {}: {html}", page.status);
            if let Some(finish) = finish(&html) {
                let answer = self.get(&finish).await?;
                page = self.settle(answer).await?;
                continue;
            }
            let form = form(&html).with_context(|| format!("no form on the page: {html}"))?;
            let answer = if html.contains("type=\"password\"") {
                self.submit(&form, &[("name", login.0), ("password", login.1)]).await?
            } else {
                self.submit(&form, &[("decision", decision)]).await?
            };
            page = self.settle(answer).await?;
        }
        anyhow::bail!("the pages go round in a circle")
    }

    fn remember(&mut self, answer: &Answer) {
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let Some((name, value)) = cookie.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() && !cookie.to_ascii_lowercase().contains("max-age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// Where somebody goes on who connects no account of theirs just now.
fn finish(html: &str) -> Option<String> {
    let (_, after) = html.split_once("href=\"/oauth/authorize/finish")?;
    let (rest, _) = after.split_once('"')?;
    Some(format!("/oauth/authorize/finish{}", rest.replace("&amp;", "&")))
}

/// The form in the main part of a page.
pub fn form(html: &str) -> Option<Form> {
    let main = &html[html.find("<main")?..];
    let start = main.find("<form")?;
    read(&main[start..start + main[start..].find("</form>")?])
}

/// The first form in the main part whose action ends so.
pub fn form_to(html: &str, ending: &str) -> Option<Form> {
    let main = &html[html.find("<main")?..];
    let forms = main.split("<form").skip(1).filter_map(|rest| Some(format!("<form{}", rest.split_once("</form>")?.0)));
    forms.filter_map(|form| read(&form)).find(|form| form.action.ends_with(ending))
}

fn read(form: &str) -> Option<Form> {
    let fields = form
        .split("<input")
        .skip(1)
        .filter(|input| input.split('>').next().is_some_and(|tag| tag.contains("type=\"hidden\"")))
        .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)))
        .collect();
    Some(Form { action: attribute(form, "action")?, fields })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = &tag[..tag.find('>')?];
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let text = &tag[start..start + tag[start..].find('"')?];
    Some(
        text.replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#39;", "'")
            .replace("&amp;", "&"),
    )
}

/// A client that registered itself.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    /// Its `client_id`.
    pub id: String,
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: Option<String>,
}

impl Client {
    /// Registers a public client (RFC 7591).
    pub async fn register(authority: &str, name: &str) -> Result<Self> {
        let body = json!({ "client_name": name, "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] });
        let answer = request(authority, "POST", "/oauth/register").json(&body).send().await?;
        ensure!(answer.status == 201, "registration: {} {}", answer.status, answer.text());
        let id = answer.json()["client_id"].as_str().context("client_id")?.to_owned();
        Ok(Self { authority: authority.to_owned(), id })
    }

    /// The parameters of a correct authorization request for the endpoint `server`.
    pub fn parameters(&self, server: &str) -> Vec<(String, String)> {
        [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", &Digest::of(VERIFIER.as_bytes()).to_base64url()),
            ("code_challenge_method", "S256"),
            ("resource", &format!("http://{}/mcp/{server}", self.authority)),
            ("state", "xyz"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The target of a correct authorization request.
    pub fn authorize_target(&self, server: &str) -> String {
        authorize_target(&self.parameters(server))
    }

    /// A code, through sign-in and consent.
    pub async fn code(&self, browser: &mut Browser, server: &str, login: (&str, &str)) -> Result<String> {
        let back = browser.authorize(&self.authorize_target(server), login, "approve").await?;
        parameter(&back, "code").with_context(|| format!("no code in {back}"))
    }

    /// The form that redeems `code`.
    pub fn redemption<'a>(&'a self, code: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", &self.id),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ]
    }

    /// Redeems `code`.
    pub async fn redeem(&self, code: &str) -> Result<Tokens> {
        tokens(&self.token(&self.redemption(code)).await?)
    }

    /// Presents a refresh token.
    pub async fn refresh(&self, refresh: &str) -> Result<Answer> {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &self.id)]).await
    }

    /// Any token request.
    pub async fn token(&self, pairs: &[(&str, &str)]) -> Result<Answer> {
        request(&self.authority, "POST", "/oauth/token").form(pairs).send().await
    }

    /// Registered, signed in, consented, redeemed.
    pub async fn signed_in(authority: &str, server: &str, login: (&str, &str)) -> Result<(Self, Tokens)> {
        let client = Self::register(authority, "A test client").await?;
        let code = client.code(&mut Browser::new(authority), server, login).await?;
        let tokens = client.redeem(&code).await?;
        Ok((client, tokens))
    }
}

/// The target of an authorization request with these parameters.
pub fn authorize_target(parameters: &[(String, String)]) -> String {
    format!(
        "/oauth/authorize?{}",
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
    )
}

/// The tokens in a token answer.
pub fn tokens(answer: &Answer) -> Result<Tokens> {
    ensure!(answer.status == 200, "token endpoint: {} {}", answer.status, answer.text());
    let body: Value = answer.json();
    Ok(Tokens {
        access: body["access_token"].as_str().context("access_token")?.to_owned(),
        refresh: body["refresh_token"].as_str().map(str::to_owned),
    })
}

/// A query parameter of a redirect.
pub fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// 32 fixed bytes as a code verifier that belongs to nobody.
pub fn foreign_verifier() -> String {
    URL_SAFE_NO_PAD.encode([1; 32])
}
