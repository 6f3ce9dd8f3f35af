//! A channel of Slack: messages with a link and, where clicks are taken, with buttons.
//!
//! spec: T-83: who approves there has read there what is approved: without the arguments, all of them, there is no button
//! for that, only one that refuses.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use portcullis_base::ApprovalId;
use portcullis_policy::approval::State as Stage;
use portcullis_store::ApprovalRow;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    House,
    channel::{Failure, Job, Subject},
    message::{Told, Words},
    webhook::posted,
};
use crate::{
    config::{Arguments, Slack, SlackBot, SlackWay},
    outbound::Ask,
};

/// The longest answer that is looked at.
const ANSWER: usize = 256 << 10;
/// Messages that are remembered, to be changed when it is decided.
const REMEMBERED: usize = 1_000;

/// The channel.
pub(super) struct Room {
    way: SlackWay,
    arguments: Arguments,
    buttons: Buttons,
    written: Mutex<VecDeque<Written>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Buttons {
    Some,
    None,
}

/// A message that stands there.
#[derive(Clone)]
struct Written {
    approval: ApprovalId,
    channel: String,
    ts: String,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

impl Room {
    pub fn new(settings: &Slack) -> Self {
        let buttons = if settings.answers.is_some() { Buttons::Some } else { Buttons::None };
        Self { way: settings.way.clone(), arguments: settings.arguments, buttons, written: Mutex::default() }
    }

    pub async fn tell(&self, house: &House, job: &Job) -> Result<(), Failure> {
        match &job.subject {
            Subject::Asked { row, link } => {
                let words = Words::of(house, row, self.arguments).await?;
                let message = self.asks(row, &words, link);
                match &self.way {
                    SlackWay::Webhook(url) => post(house, url.reveal(), message).await,
                    SlackWay::Bot(bot) => {
                        let answer = call(house, bot, "chat.postMessage", &bot.channel, message).await?;
                        let approval = row.approval.id.clone();
                        let mut written = self.written();
                        if written.len() == REMEMBERED {
                            written.pop_front();
                        }
                        written.push_back(Written { approval, channel: answer.channel, ts: answer.ts });
                        Ok(())
                    }
                }
            }
            Subject::Decided { row } => {
                let SlackWay::Bot(bot) = &self.way else { return Ok(()) };
                let found = self.written().iter().find(|one| one.approval == row.approval.id).cloned();
                let Some(found) = found else { return Ok(()) };
                let words = Words::of(house, row, Arguments::Kept).await?;
                let mut message = is_over(row, &words);
                message["ts"] = json!(found.ts);
                call(house, bot, "chat.update", &found.channel, message).await?;
                self.written().retain(|one| one.approval != row.approval.id);
                Ok(())
            }
            Subject::Whisper { address, text } => {
                let message = json!({ "response_type": "ephemeral", "replace_original": false, "text": &**text });
                post(house, address, message).await
            }
        }
    }

    fn written(&self) -> MutexGuard<'_, VecDeque<Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asks(&self, row: &ApprovalRow, words: &Words, link: &str) -> Value {
        let mut blocks = vec![plain("A call waits for approval"), plain(&facts(words))];
        if let Told::Whole(arguments) = &words.arguments {
            let text = json!([{ "type": "text", "text": arguments }]);
            let elements = json!([{ "type": "rich_text_preformatted", "elements": text }]);
            blocks.push(json!({ "type": "rich_text", "elements": elements }));
        } else {
            blocks.push(plain(match words.arguments {
                Told::Unreadable => "Its arguments cannot be shown here as they are. Read and approve it on the page.",
                _ => "Its arguments are on the page.",
            }));
        }
        let approval = &row.approval;
        let value = format!("{} {}", approval.id, approval.binding.to_base64url());
        let button = |action: &str, title: &str, style: &str| {
            json!({ "type": "button", "action_id": action, "style": style, "value": value,
                "text": { "type": "plain_text", "text": title } })
        };
        let mut actions = Vec::new();
        if self.buttons == Buttons::Some {
            if matches!(words.arguments, Told::Whole(_)) {
                actions.push(button("approve", "Approve", "primary"));
            }
            actions.push(button("refuse", "Deny", "danger"));
        }
        actions.push(json!({ "type": "button", "action_id": "open", "url": link,
            "text": { "type": "plain_text", "text": "Open" } }));
        blocks.push(json!({ "type": "actions", "elements": actions }));
        json!({ "text": "A call waits for approval", "blocks": blocks })
    }
}

/// A paragraph in which nothing is markup.
fn plain(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

fn facts(words: &Words) -> String {
    words.lines().map(|(label, text)| format!("{label}: {text}")).join("\n")
}

fn is_over(row: &ApprovalRow, words: &Words) -> Value {
    let title = match row.approval.state {
        Stage::Granted => "A call was approved",
        Stage::Refused => "A call was denied",
        Stage::Withdrawn => "A call was taken back",
        _ => "A call waits no more",
    };
    json!({ "text": title, "blocks": [plain(title), plain(&facts(words))] })
}

async fn post(house: &House, url: &str, message: Value) -> Result<(), Failure> {
    let ask = Ask { accept: "*/*", ..Ask::json(url, message.to_string(), ANSWER) };
    posted(house.0.outbound.fetch(ask).await).map(|_| ())
}

async fn call(
    house: &House,
    bot: &SlackBot,
    method: &str,
    channel: &str,
    mut message: Value,
) -> Result<Answer, Failure> {
    message["channel"] = json!(channel);
    let url = format!("{}/{method}", bot.api);
    let ask = Ask::json(&url, message.to_string(), ANSWER).authorized(Some(bot.authorization.clone()));
    let answer = posted(house.0.outbound.fetch(ask).await)?;
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(Failure::new)?;
    match answer.error.as_str() {
        _ if answer.ok => Ok(answer),
        "internal_error" | "fatal_error" | "service_unavailable" | "ratelimited" | "request_timeout" => {
            Err(Failure::new(format!("Slack answered {}", answer.error)))
        }
        error => Err(Failure::for_good(format!("Slack answered {error}"))),
    }
}
