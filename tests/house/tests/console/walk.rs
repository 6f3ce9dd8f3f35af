//! How the stories go through the pages.

use anyhow::{Context, Result, ensure};
use portcullis_house::{
    gateway::{ALICE, TestGateway},
    http::Answer,
    person::{Browser, Form},
};

/// An administrator by decision.
pub const ROOT: (&str, &str) = ("root", ALICE.1);
/// An administrator by group.
pub const CHIEF: (&str, &str) = ("chief", ALICE.1);
/// Somebody who may look.
pub const AUDITOR: (&str, &str) = ("audrey", ALICE.1);

/// Which groups have which role in these stories.
pub const ROLES: &str = "limits: { sign_ins_per_minute: 1000 }\nroles: { admin: [platform], auditor: [security] }";

/// A house with Alice and Bob, an administrator of either kind, and an auditor.
pub async fn house(settings: &str) -> Result<TestGateway> {
    let house = TestGateway::with(&format!("{ROLES}\n{settings}")).await?;
    house.person(ROOT, true, &[]).await?;
    house.person(CHIEF, false, &["platform"]).await?;
    house.person(AUDITOR, false, &["security"]).await?;
    Ok(house)
}

/// A browser in which somebody has signed in.
pub async fn signed_in(house: &TestGateway, login: (&str, &str)) -> Result<Browser> {
    let mut browser = Browser::new(&house.authority);
    let answer = browser.sign_in(login.0, login.1).await?;
    ensure!(answer.status == 303, "sign-in: {} {}", answer.status, answer.text());
    Ok(browser)
}

/// The value that the session's own pages put into their forms.
pub async fn form_token(browser: &mut Browser) -> Result<String> {
    let page = browser.get("/account").await?.text();
    let (_, after) = page.split_once("name=\"form_token\" value=\"").context("form token")?;
    Ok(after.split('"').next().unwrap_or_default().to_owned())
}

/// Sends a form as one of our pages would.
pub async fn send(browser: &mut Browser, action: &str, fields: &[(&str, &str)]) -> Result<Answer> {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let token = ("form_token".to_owned(), form_token(browser).await?);
    let form = Form { action: action.to_owned(), fields: fields.chain([token]).collect() };
    browser.submit(&form, &[]).await
}

/// The identifier of somebody by their account name.
pub async fn id_of(house: &TestGateway, name: &str) -> Result<String> {
    let (person, _) = house.app.store.person_by_name(name).await?.context("no such person")?;
    Ok(person.id.as_str().to_owned())
}
