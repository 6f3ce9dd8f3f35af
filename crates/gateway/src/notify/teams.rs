//! A channel of Microsoft Teams, through a webhook of a workflow: a card with a link. Buttons that act would need a bot.

use portcullis_base::Secret;
use serde_json::json;

use super::{
    House,
    channel::{Failure, Job, Subject},
    message::Words,
    webhook::posted,
};
use crate::{config::Arguments, outbound::Ask};

pub(super) async fn tell(url: &Secret, house: &House, job: &Job) -> Result<(), Failure> {
    let Subject::Asked { row, link } = &job.subject else { return Ok(()) };
    let words = Words::of(house, row, Arguments::Kept).await?;
    // Runs of a rich text are shown as they are: names of others are no markup.
    let run = |text: &str, weight: &str| json!({ "type": "TextRun", "text": text, "weight": weight });
    let paragraph = |runs: Vec<serde_json::Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let lines =
        words.lines().map(|(label, text)| paragraph(vec![run(&format!("{label}: "), "Bolder"), run(text, "Default")]));
    let mut body = vec![paragraph(vec![run("A call waits for approval", "Bolder")])];
    body.extend(lines);
    let card = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": body,
                "actions": [{ "type": "Action.OpenUrl", "title": "Open", "url": &**link }],
            },
        }],
    });
    posted(house.0.outbound.fetch(Ask::json(url.reveal(), card.to_string(), 64 << 10)).await).map(|_| ())
}
