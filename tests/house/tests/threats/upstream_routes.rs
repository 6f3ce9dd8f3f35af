//! Every route there is, asked to reach out or to run something by whoever may ask for most.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    person::{Browser, form},
};
use serde_json::{Map, Value, json};

use crate::{
    behind::{Behind, Reply},
    origin_server::Canary,
    routes::routes,
    visit::signed_in,
};

const ROOT: (&str, &str) = ("root", ALICE.1);

/// Names under which other programs take an address to go to.
const ADDRESSES: [&str; 18] = [
    "url",
    "uri",
    "endpoint",
    "upstream",
    "server_url",
    "issuer",
    "resource",
    "resource_metadata",
    "token_endpoint",
    "authorization_endpoint",
    "registration_endpoint",
    "jwks_uri",
    "discovery",
    "webhook",
    "proxy",
    "redirect",
    "target",
    "spec_url",
];
/// Names under which other programs take something to run.
const COMMANDS: [&str; 8] = ["command", "cmd", "args", "argv", "exec", "stdio", "root_key_command", "shell"];

/// The place-holders of a route, with a server that is there and an identifier that is not.
fn filled(route: &str) -> String {
    let segments = route.split('/').map(|segment| match segment {
        "{server}" | "{name}" => "behind",
        held if held.starts_with('{') => "nobody",
        plain => plain,
    });
    segments.collect::<Vec<_>>().join("/")
}

async fn form_token(browser: &mut Browser) -> Result<String> {
    let page = browser.get("/admin/service-accounts").await?;
    let form = form(&page.text()).with_context(|| format!("no form: {}", page.text()))?;
    Ok(form.fields.iter().find(|(name, _)| name == "form_token").context("form_token")?.1.clone())
}

// spec: T-33
#[tokio::test(flavor = "multi_thread")]
async fn t33_no_route_takes_an_address_to_reach_or_a_command_to_run() -> Result<()> {
    let house = TestGateway::with("limits: { sign_ins_per_minute: 1000 }").await?;
    house.person(ROOT, true, &[]).await?;
    let behind = Behind::with(|seen| (!seen.line.contains("/mcp")).then(|| Reply::Json(404, json!({})))).await?;
    house.protect("behind", behind.at).await?;
    let canary = Canary::new()?;
    let folder = tempfile::tempdir()?;
    let ran = folder.path().join("ran");
    let (address, command) = (format!("http://127.0.0.1:{}/x", canary.port), format!("touch {}", ran.display()));
    let asked: Vec<(&str, &str)> = ADDRESSES
        .into_iter()
        .map(|name| (name, address.as_str()))
        .chain(COMMANDS.into_iter().map(|name| (name, command.as_str())))
        .collect();
    let words: Vec<Value> = command.split(' ').map(Value::from).collect();
    let mut members: Map<String, Value> = asked.iter().map(|(name, value)| ((*name).into(), json!(value))).collect();
    members.extend(COMMANDS.map(|name| (name.to_owned(), Value::Array(words.clone()))));
    let query = asked.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let query = query.replace(' ', "%20");

    let mut root = signed_in(&house, ROOT).await?;
    let token = form_token(&mut root).await?;
    let own = format!("http://{}", house.authority);
    let fields: Vec<_> = asked.iter().copied().chain([("form_token", token.as_str())]).collect();
    // Whoever signs out has nothing more to ask.
    let (last, first): (Vec<_>, Vec<_>) = routes()?.into_iter().partition(|route| route.contains("logout"));
    let mut let_in = 0;
    for route in first.iter().chain(&last) {
        let path = filled(route);
        let with_query = format!("{path}?{query}");
        let with_origin = |method: &str, target: &str| {
            root.request(method, target).header("origin", &own).header("sec-fetch-site", "same-origin")
        };
        let mut requests = vec![root.request("GET", &with_query), with_origin("POST", &with_query).form(&fields)];
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            requests.push(with_origin(method, &path).json(&Value::Object(members.clone())));
        }
        for request in requests {
            let status = request.send().await.with_context(|| path.clone())?.status;
            ensure!(status < 500 || [501, 502, 503].contains(&status), "{path}: {status}");
            let_in += usize::from(status < 400);
        }
        assert_eq!(canary.touched(), 0, "{path} went to an address of a request");
        assert!(!ran.exists(), "{path} ran a command of a request");
    }
    // It was an administrator who asked, not a stranger at a closed door.
    assert!(let_in > 10, "{let_in}");
    house.stop().await
}
