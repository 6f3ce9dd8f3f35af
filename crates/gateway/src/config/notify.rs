//! `notify`: who is told that a call waits, besides the inbox; and whose signed word is taken from there.

use std::collections::BTreeMap;

use lettre::message::Mailbox;
use portcullis_base::{Secret, printable};
use url::Url;

use super::{
    issuers::{Asked, endpoint},
    providers::identifier,
    public_url::is_loopback,
    read::{Node, Section},
};
use crate::hook_signature::{HookKey, SlackKey};

/// Who is told.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    /// By mail, each who may decide.
    pub smtp: Option<Smtp>,
    /// A channel of Slack.
    pub slack: Option<Slack>,
    /// A channel of Microsoft Teams: the URL of its webhook.
    pub teams: Option<Secret>,
    /// Programs.
    pub webhooks: Vec<Webhook>,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its address, as an https URL: host and port.
    pub server: Url,
    /// How the connection is secured.
    pub security: MailSecurity,
    /// Whom mails are from.
    pub from: Mailbox,
    /// Name and password there.
    pub account: Option<(String, Secret)>,
}

/// How a connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// From the first byte.
    Tls,
    /// By a command, without which no mail is sent.
    StartTls,
    /// Not at all, which is for this machine only.
    None,
}

/// Whether arguments are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// As they are.
    Told,
    /// They are on the page only.
    Kept,
}

/// A channel of Slack.
#[derive(Clone, Debug)]
pub struct Slack {
    /// How messages get there.
    pub way: SlackWay,
    /// Whether they tell arguments.
    pub arguments: Arguments,
    /// Whose clicks are taken.
    pub answers: Option<SlackAnswers>,
}

/// How messages get to Slack.
#[derive(Clone, Debug)]
pub enum SlackWay {
    /// By an incoming webhook: its URL.
    Webhook(Secret),
    /// By a bot.
    Bot(SlackBot),
}

/// A bot of Slack.
#[derive(Clone, Debug)]
pub struct SlackBot {
    /// The value of its `Authorization` header.
    pub authorization: Secret,
    /// The channel that it writes into.
    pub channel: String,
    /// Where Slack is asked, without a slash at its end.
    pub api: String,
}

/// Whose clicks are taken.
#[derive(Clone, Debug)]
pub struct SlackAnswers {
    /// What Slack signs with.
    pub key: SlackKey,
    /// The one workspace whose members are meant.
    pub team: Option<String>,
    /// Members by their identifier: names or identifiers of people here.
    pub people: BTreeMap<String, String>,
    /// Whether other members are who has their address here.
    pub others: SlackOthers,
}

/// What becomes of members of the workspace that the settings do not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlackOthers {
    /// They are nobody.
    Nobody,
    /// They are who has their address here.
    ByEmail,
}

/// A program that is told, or whose decisions are taken, or both.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name; decisions come to `/approvals/hooks/NAME`.
    pub name: String,
    /// Where it is told, and what that is signed with.
    pub told: Option<(String, HookKey)>,
    /// Whether it is told arguments.
    pub arguments: Arguments,
    /// What its decisions are signed with.
    pub decisions: Option<HookKey>,
}

pub(super) fn notify<'a>(mut section: Section<'a>, asked: &mut Asked<'a>) -> Notify {
    let smtp = Some(section.take("smtp")).filter(Node::is_given).and_then(|node| smtp(node, asked));
    let slack = Some(section.take("slack")).filter(Node::is_given).and_then(|node| slack(node, asked));
    let teams = Some(section.take("teams")).filter(Node::is_given).and_then(|node| {
        let mut teams = node.section();
        let webhook = secret_url(teams.take("webhook"), "env:TEAMS_WEBHOOK", asked);
        teams.finish();
        webhook
    });
    let mut webhooks: Vec<Webhook> = Vec::new();
    for item in section
        .take("webhooks")
        .list("a list of webhooks", "[{ name: pager, url: https://pager.example.com/hook, secret: env:PAGER_SECRET }]")
    {
        if let Some(read) = webhook(item, &webhooks, asked) {
            webhooks.push(read);
        }
    }
    section.finish();
    Notify { smtp, slack, teams, webhooks }
}

fn smtp<'a>(node: Node<'a>, asked: &mut Asked<'a>) -> Option<Smtp> {
    let mut section = node.section();
    let security_node = section.take("security");
    let security = if security_node.is_given() {
        security_node.choice(&[
            ("starttls", MailSecurity::StartTls),
            ("tls", MailSecurity::Tls),
            ("none", MailSecurity::None),
        ])
    } else {
        MailSecurity::StartTls
    };
    let server_node = section.take("server");
    let server = server(&server_node, security);
    if let Some(server) = &server {
        if security == MailSecurity::None && !server.host().is_some_and(|host| is_loopback(&host)) {
            security_node.problem(
                "is none, and the mail server is on another machine: whoever is in between can read mails and password",
                "use starttls or tls; none is for a mail server on this machine",
            );
        }
        asked.add(server_node, server.clone());
    }
    let from_node = section.take("from");
    let example = "Portcullis <portcullis@example.com>";
    let from_text = from_node.text("an address", example);
    let from = from_text.parse::<Mailbox>().ok();
    if from.is_none() && !from_text.is_empty() {
        from_node.problem(
            format!("\"{}\" is not an address", printable(&from_text, 60)),
            format!("example: from: {example}"),
        );
    }
    let (user_node, password_node) = (section.take("user"), section.take("password"));
    let account = match (user_node.is_given(), password_node.is_given()) {
        (false, false) => None,
        (true, false) => {
            user_node.problem("is of no use without `password`", "write password: env:SMTP_PASSWORD beside it");
            None
        }
        (false, true) => {
            password_node.problem("is of no use without `user`", "write user: beside it");
            None
        }
        (true, true) => {
            let user = user_node.text("a name at the mail server", "portcullis");
            password_node.secret("env:SMTP_PASSWORD").map(|password| (user, password))
        }
    };
    section.finish();
    Some(Smtp { server: server?, security, from: from?, account })
}

fn server(node: &Node<'_>, security: MailSecurity) -> Option<Url> {
    let example = "smtp.example.com:587";
    let text = node.text("the mail server", example);
    if text.is_empty() {
        return None;
    }
    // Nothing of it is https; but host and port are written and checked as there.
    let plain = !text.contains(['/', '@', '?', '#']);
    let mut url = plain.then(|| Url::parse(&format!("https://{text}")).ok()).flatten();
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if let Some(url) = url.as_mut().filter(|_| !has_port) {
        let usual = if security == MailSecurity::Tls { 465 } else { 587 };
        let _ = url.set_port(Some(usual));
    }
    if url.is_none() {
        node.problem(
            format!("\"{}\" is not a host", printable(&text, 60)),
            format!("write a host, with its port unless that is usual\nexample: server: {example}"),
        );
    }
    url
}

fn slack<'a>(node: Node<'a>, asked: &mut Asked<'a>) -> Option<Slack> {
    let mut section = node.clone().section();
    let (webhook_node, token_node) = (section.take("webhook"), section.take("bot_token"));
    let (channel_node, api_node) = (section.take("channel"), section.take("api_url"));
    let arguments = arguments(&section.take("arguments"));
    let way = match (webhook_node.is_given(), token_node.is_given()) {
        (true, false) => {
            for of_bots in [&channel_node, &api_node] {
                of_bots.unfit("webhook", "a webhook has its channel; only a bot is told which one");
            }
            secret_url(webhook_node, "env:SLACK_WEBHOOK", asked).map(SlackWay::Webhook)
        }
        (false, true) => {
            let token = token_node.secret("env:SLACK_BOT_TOKEN");
            let channel = channel_node.text("the identifier of a channel", "C0123456789");
            let api = api(api_node, asked);
            token.map(|token| {
                let authorization = Secret::new(format!("Bearer {}", token.reveal()));
                SlackWay::Bot(SlackBot { authorization, channel, api })
            })
        }
        (both, _) => {
            node.problem(
                if both { "has both `webhook` and `bot_token`" } else { "must say how messages get there" },
                "write webhook: env:SLACK_WEBHOOK, or bot_token: env:SLACK_BOT_TOKEN and channel: C0123456789",
            );
            None
        }
    };
    let answers = answers(&mut section, matches!(way, Some(SlackWay::Bot(_))));
    section.finish();
    Some(Slack { way: way?, arguments, answers })
}

fn api<'a>(node: Node<'a>, asked: &mut Asked<'a>) -> String {
    let usual = "https://slack.com/api";
    if !node.is_given() {
        return usual.to_owned();
    }
    let text = super::issuers::url(node, "https://slack-gov.com/api", asked).unwrap_or_default();
    text.trim_end_matches('/').to_owned()
}

fn answers(section: &mut Section<'_>, is_bot: bool) -> Option<SlackAnswers> {
    let (secret_node, team_node) = (section.take("signing_secret"), section.take("team"));
    let (people_node, others_node) = (section.take("people"), section.take("by_email"));
    if !secret_node.is_given() {
        for of_answers in [&team_node, &people_node, &others_node] {
            if of_answers.is_given() {
                of_answers.problem(
                    "is of no use without `signing_secret`: nobody can tell whether a click is Slack's",
                    "write signing_secret: env:SLACK_SIGNING_SECRET beside it",
                );
            }
        }
        return None;
    }
    let secret = secret_node.secret("env:SLACK_SIGNING_SECRET");
    if secret.as_ref().is_some_and(|secret| secret.reveal().len() < 16) {
        secret_node.problem(
            "what it refers to is shorter than 16 characters",
            "copy the signing secret from the basic information of the app",
        );
    }
    let team = team_node.is_given().then(|| team_node.text("the identifier of a workspace", "T0123456789"));
    let mut people = BTreeMap::new();
    for (member, person) in people_node.entries("{ U0123456789: alice }") {
        let is_member = member.len() > 2
            && member.starts_with(['U', 'W'])
            && member.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !is_member {
            person.problem(
                format!("\"{}\" is not the identifier of a member", printable(&member, 60)),
                "copy it from the profile: U0123456789; names there can be changed by anybody",
            );
        }
        people.insert(member, person.text("the name of a person", "alice"));
    }
    let by_email = others_node.is_given() && others_node.switch();
    if by_email && !is_bot {
        others_node.problem("asks Slack for addresses, which a webhook cannot", "use bot_token and channel");
    }
    // spec: T-85: whoever runs another workspace that shares the channel says what addresses its members have.
    if by_email && team.is_none() {
        others_node.problem(
            "takes the word of a workspace for who somebody is, so it has to be said which one",
            "write team: and the identifier of your workspace",
        );
    }
    if people.is_empty() && !by_email {
        secret_node.problem(
            "is there, and nobody is known whose clicks would count",
            "example: people: { U0123456789: alice }",
        );
    }
    let others = if by_email { SlackOthers::ByEmail } else { SlackOthers::Nobody };
    Some(SlackAnswers { key: SlackKey::new(secret?.reveal()), team, people, others })
}

fn webhook<'a>(item: Node<'a>, others: &[Webhook], asked: &mut Asked<'a>) -> Option<Webhook> {
    let mut section = item.clone().section();
    let name_node = section.take("name");
    let name = identifier(&name_node, "a name", "pager");
    if name.as_deref() == Some("slack") {
        name_node.problem("is where Slack's clicks come to", "give it another name");
    }
    if others.iter().any(|other| Some(&other.name) == name.as_ref()) {
        name_node.problem("names a second webhook", "give each a name of its own");
    }
    let (url_node, secret_node) = (section.take("url"), section.take("secret"));
    let arguments = arguments(&section.take("arguments"));
    let decisions_node = section.take("decision_secret");
    let is_told = url_node.is_given() || secret_node.is_given();
    if !is_told && !decisions_node.is_given() {
        item.problem("is neither told nor heard", "write url: and secret:, or decision_secret:, or all three");
    }
    let told = is_told.then(|| {
        let text = url_node.text("a URL", "https://pager.example.com/hook");
        let url = (!text.is_empty()).then(|| hook_url(url_node, &text, asked)).flatten();
        let key = hook_key(&secret_node, "env:PAGER_SECRET");
        Some((url?.to_string(), key?))
    });
    let decisions = decisions_node.is_given().then(|| hook_key(&decisions_node, "env:PAGER_DECISION_SECRET"));
    if let (Some(Some((_, told))), Some(Some(decides))) = (&told, &decisions)
        && told.is_same(decides)
    {
        // spec: T-85: whoever may only read what is sent must not be able to answer it.
        decisions_node.problem("is the one that messages to it are signed with", "make another one for decisions");
    }
    section.finish();
    Some(Webhook { name: name?, told: told.flatten(), arguments, decisions: decisions.flatten() })
}

fn arguments(node: &Node<'_>) -> Arguments {
    if node.is_given() && node.switch() { Arguments::Told } else { Arguments::Kept }
}

/// A key of Standard Webhooks.
pub(super) fn hook_key(node: &Node<'_>, example: &str) -> Option<HookKey> {
    let key = HookKey::parse(node.secret(example)?.reveal());
    if key.is_none() {
        node.problem(
            "what it refers to is not 24 to 64 bytes in base64, with or without whsec_ before it",
            "make a new one, such as: openssl rand -base64 32",
        );
    }
    key
}

/// A URL that is a secret itself.
fn secret_url<'a>(node: Node<'a>, example: &str, asked: &mut Asked<'a>) -> Option<Secret> {
    let secret = node.secret(example)?;
    hook_url(node, secret.reveal(), asked).map(|url| Secret::new(url.into()))
}

/// A URL that messages are posted to; what follows `?` may be a secret.
pub(super) fn hook_url<'a>(node: Node<'a>, text: &str, asked: &mut Asked<'a>) -> Option<Url> {
    // Those of others often have their secret in the query.
    let mut bare = Url::parse(text);
    if let Ok(url) = &mut bare {
        url.set_query(None);
        if url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host)) {
            node.problem(
                "is plain http to another machine: whoever is in between can read what waits",
                "write an https:// URL; http is for a program on this machine",
            );
            return None;
        }
    }
    match endpoint(bare.as_ref().map_or(text, Url::as_str)) {
        Ok(url) => asked.add(node, url),
        Err((what, _)) => {
            node.problem(what, "write an https:// URL; http is for a program on this machine");
            return None;
        }
    }
    Url::parse(text).ok()
}
