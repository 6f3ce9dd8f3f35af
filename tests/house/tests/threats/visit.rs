//! What many of the stories begin with: a client of any shape, a request of any shape, somebody who is signed in.

use anyhow::{Context, Result, ensure};
use portcullis_base::Digest;
use portcullis_house::{
    gateway::TestGateway,
    http::Answer,
    person::{Browser, Form, VERIFIER, authorize_target, form},
};
use serde_json::{Value, json};
use url::Url;

/// A redirect address of a client on the web; nobody ever goes there.
pub const WEB: &str = "https://app.example/callback";

/// Settings under which a test may register as many clients as it likes.
pub const MANY_CLIENTS: &str = "clients: { registration_limits: { per_minute: 100000 } }";

/// The metadata of a public client.
pub fn public(name: &str, redirect_uris: &[&str]) -> Value {
    json!({ "client_name": name, "redirect_uris": redirect_uris, "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"] })
}

/// Registers a client; gives the whole answer.
pub async fn register(house: &TestGateway, metadata: &Value) -> Result<Value> {
    let answer = house.request("POST", "/oauth/register").json(metadata).send().await?;
    ensure!(answer.status == 201, "registration: {} {}", answer.status, answer.text());
    Ok(answer.json())
}

/// Registers a public client; gives its identifier.
pub async fn public_client(house: &TestGateway, name: &str, redirect_uris: &[&str]) -> Result<String> {
    let answer = register(house, &public(name, redirect_uris)).await?;
    Ok(answer["client_id"].as_str().context("client_id")?.to_owned())
}

/// The parameters of a correct authorization request for the sample server.
pub fn parameters(house: &TestGateway, client: &str, redirect_uri: &str) -> Vec<(String, String)> {
    [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("code_challenge", &Digest::of(VERIFIER.as_bytes()).to_base64url()),
        ("code_challenge_method", "S256"),
        ("resource", &format!("http://{}/mcp/sample", house.authority)),
        ("state", "xyz"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// The target of such a request.
pub fn target(house: &TestGateway, client: &str, redirect_uri: &str) -> String {
    changed(house, client, redirect_uri, &[])
}

/// The same with some parameters replaced, or with `None` left out.
pub fn changed(house: &TestGateway, client: &str, redirect_uri: &str, changes: &[(&str, Option<&str>)]) -> String {
    let mut parameters = parameters(house, client, redirect_uri);
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        parameters.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    authorize_target(&parameters)
}

/// A browser in which somebody has signed in.
pub async fn signed_in(house: &TestGateway, login: (&str, &str)) -> Result<Browser> {
    let mut browser = Browser::new(&house.authority);
    let answer = browser.sign_in(login.0, login.1).await?;
    ensure!(answer.status == 303, "sign-in: {} {}", answer.status, answer.text());
    Ok(browser)
}

/// Whether this is the page that asks for consent.
pub fn asks(answer: &Answer) -> bool {
    answer.status == 200 && answer.text().contains("name=\"decision\" value=\"approve\"")
}

/// The form of a consent page.
pub fn consent_form(answer: &Answer) -> Result<Form> {
    ensure!(asks(answer), "no consent page: {} {}", answer.status, answer.text());
    form(&answer.text()).context("no form")
}

/// Where an answer sends the browser, if it leaves the gateway.
pub fn leaves_for(answer: &Answer) -> Option<Url> {
    answer.header("location").and_then(|location| Url::parse(location).ok())
}

/// Opens a request, approves it on the page, and asks not to be asked again.
pub async fn approve_and_remember(browser: &mut Browser, target: &str) -> Result<Answer> {
    let page = browser.get(target).await?;
    browser.submit(&consent_form(&page)?, &[("remember", "yes"), ("decision", "approve")]).await
}

/// Ends a person's access as an administrator's page does; where the report is.
pub async fn offboard(house: &TestGateway, person: &portcullis_base::PersonId) -> Result<String> {
    use portcullis_gateway::offboard::{How, Offboarding};
    let app = &house.app;
    let offboarding = Offboarding::new(app.desk(portcullis_audit::Actor::default()), &app.keys)
        .through(&app.providers)
        .here(&app.ended)
        .connections(&app.connections);
    let done = offboarding.end(person, portcullis_store::Extent::Account, &How::Administrator).await?;
    Ok(format!("/admin/offboarding/{}", done.context("nobody")?.report.id))
}
