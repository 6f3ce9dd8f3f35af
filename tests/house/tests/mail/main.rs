//! Mail to those who may decide a call that waits, through a mail server that is not ours.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use portcullis_audit::Actor;
use portcullis_base::{ApprovalId, Class, Classes, ClientId, PersonId, ServerName};
use portcullis_gateway::approvals::{About, Asked, Stored, Waiting, Wanted, check_value};
use portcullis_house::{gateway::TestGateway, mail::MailServer};
use portcullis_policy::{Ask, Own, Target, Who};
use portcullis_store::NewPerson;
use serde_json::{Value, json};

async fn person(house: &TestGateway, name: &str, email: &str, groups: &[&str], admin: bool) -> Result<PersonId> {
    let new = NewPerson {
        id: PersonId::random(&*house.app.rng),
        name: name.into(),
        display_name: name.into(),
        email: (!email.is_empty()).then(|| email.to_owned()),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        password_hash: None,
        admin_at: admin.then(|| house.app.clock.now()),
    };
    Ok(house.app.store.create_person(&new, house.app.clock.now()).await?.id)
}

async fn waiting(house: &TestGateway, whose: &PersonId, ask: Ask) -> Result<Waiting> {
    let (client, server) = (ClientId::new("an-agent"), ServerName::parse("everything")?);
    let wanted = Wanted {
        person: whose,
        client: &client,
        server: &server,
        target: Target::Tool("refund"),
        definition: None,
        arguments: Some(r#"{"charge":"ch_1"}"#),
    };
    let told = Stored { arguments: None, through: None, description: None, evidence: Vec::new() };
    let classes = Classes::from(Class::Financial);
    let about = About { actor: Actor::default(), classes, told, rule: "refunds", revision: "r1" };
    match house.app.approvals.ask(&wanted, about, &[Arc::new(ask)]).await? {
        Asked::Waiting(waiting) => Ok(waiting),
        other => anyhow::bail!("{other:?}"),
    }
}

fn finance() -> Ask {
    Ask { approvers: [Who::Group("finance".into())].into(), own: Own::Never, ..Ask::plain("refunds".into()) }
}

async fn check(house: &TestGateway, id: &ApprovalId) -> Result<String> {
    Ok(check_value(&house.app.store.approval(id).await?.context("an approval")?.approval.binding))
}

/// What could not be told, in the record.
async fn untold(house: &TestGateway) -> Result<Vec<Value>> {
    for _ in 0..600 {
        let events = house.events("approval.untold").await?;
        if !events.is_empty() {
            return Ok(events);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nothing is noted")
}

// spec: T-82, T-84, T-85
#[tokio::test]
async fn whoever_may_decide_it_alone_is_written_to_in_confidence() -> Result<()> {
    for (options, security) in [(json!({}), json!({})), (json!({ "secure": true }), json!({ "security": "tls" }))] {
        let Some(mut mail) = MailServer::start(options).await? else { return Ok(()) };
        let mut members = mail.account();
        for (key, value) in security.as_object().context("members")? {
            members[key] = value.clone();
        }
        let house = TestGateway::with(&mail.settings(&mail.host.clone(), &members)).await?;
        let ada = person(&house, "ada", "ada@example.com", &[], false).await?;
        person(&house, "root", "root@example.com", &[], true).await?;
        let one = waiting(&house, &ada, Ask::plain("refunds".into())).await?;
        let sent = mail.mail().await?;
        ensure!(sent["to"] == json!(["ada@example.com"]), "{sent}");
        ensure!(sent["secure"] == true && sent["user"] == "portcullis", "{sent}");
        let text = sent["text"].as_str().context("a text")?.replace("=\r\n", "");
        ensure!(text.contains(&one.link) && text.contains(&check(&house, &one.id).await?), "{text}");
        ensure!(text.contains("tool refund at everything") && text.contains("It moves or commits money"), "{text}");
        ensure!(text.contains("Auto-Submitted: auto-generated") && !text.contains("ch_1"), "{text}");

        // Where others have to agree they hear of it, each for themselves; whoever's call it is does not.
        for name in ["bea", "cyd", "nobody"] {
            person(&house, name, &format!("{name}@example.com"), &["finance"], false).await?;
        }
        person(&house, "dan", "", &["finance"], false).await?;
        let two = waiting(&house, &ada, finance()).await?;
        let mut to = vec![mail.mail().await?["to"].to_string(), mail.mail().await?["to"].to_string()];
        to.sort();
        ensure!(to == [r#"["bea@example.com"]"#, r#"["cyd@example.com"]"#], "{to:?}");
        let noted = untold(&house).await?;
        ensure!(noted.len() == 1 && noted[0]["details"]["approval"] == json!(two.id), "{noted:?}");
        ensure!(noted[0]["details"]["channel"] == "smtp", "{noted:?}");
        house.stop().await?;
    }
    Ok(())
}

// spec: T-85
#[tokio::test]
async fn without_tls_mail_is_for_this_machine_and_only_if_the_settings_say_so() -> Result<()> {
    let Some(mut mail) = MailServer::start(json!({ "hide": ["STARTTLS"] })).await? else { return Ok(()) };
    let house = TestGateway::with(&mail.settings(&mail.host.clone(), &json!({}))).await?;
    let ada = person(&house, "ada", "ada@example.com", &[], false).await?;
    waiting(&house, &ada, Ask::plain("refunds".into())).await?;
    let noted = untold(&house).await?;
    let why = noted[0]["details"]["why"].as_str().context("why")?;
    ensure!(why.contains("does not offer to secure"), "{why}");
    house.stop().await?;

    let house = TestGateway::with(&mail.settings(&mail.here.clone(), &json!({ "security": "none" }))).await?;
    let ada = person(&house, "ada", "ada@example.com", &[], false).await?;
    let one = waiting(&house, &ada, Ask::plain("refunds".into())).await?;
    let sent = mail.mail().await?;
    ensure!(sent["secure"] == false && sent["text"].as_str().is_some_and(|text| text.contains(&one.link)), "{sent}");
    house.stop().await?;
    Ok(())
}
