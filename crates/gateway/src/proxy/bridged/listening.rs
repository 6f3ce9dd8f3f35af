//! What a server says unasked, for a session whose client listens: one `subscriptions/listen` for all that it wants to
//! hear of, made anew when that changes or the server ends it (BR-71).

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use portcullis_mcp::{
    Message, Method,
    dialect::{Abilities, Down, Stamp},
    message::{self, METHOD_NOT_FOUND, Outcome},
    object::{joined, quoted},
};
use tokio::time::sleep;

use super::{
    drive::request,
    host::{Came, Heard, Hearing, Host},
    room::Room,
};
use crate::upstream::CLIENT_INFO;

/// The waits before listening again: the first, and the longest.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_mins(1);
/// How long it is listened on for a client whose connection broke.
const LINGER: Duration = Duration::from_secs(20);
/// How often it is looked whether anybody reads.
const LOOK: Duration = Duration::from_secs(5);

/// Why a stream is listened to no longer.
enum End {
    /// What is wanted has changed.
    Changed,
    /// The server ended it.
    Ended,
    /// The server has nothing to say unasked.
    Never,
    /// Nobody reads.
    Unread,
}

/// Listens for `room`, until nobody reads what is heard.
// spec: BR-72: "Do not open upstream listen streams for a legacy client that has no GET stream"
pub(super) fn listen(host: Host, down: Down, abilities: Abilities, room: Arc<Room>) {
    if room.begin_listening(host) {
        tokio::spawn(async move {
            loop {
                until_unread(down, &abilities, &room).await;
                if room.end_listening() {
                    return;
                }
            }
        });
    }
}

async fn until_unread(down: Down, abilities: &Abilities, room: &Arc<Room>) {
    let mut over = room.over();
    let mut wait = SOON;
    let mut before = None;
    loop {
        // What is wanted now is asked for now.
        let _ = room.changed.notified().now_or_never();
        let Some(host) = room.listener().filter(|host| !host.parts.ended.is_closing()) else { return };
        let listened = async {
            let mut hearing = host.ask(&wanted(down, abilities, room), Method::SubscriptionsListen).await;
            let end = heard(&mut hearing, &mut before, down, room, &mut wait).await;
            (end, hearing)
        };
        let (end, hearing) = tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => return,
            listened = listened => listened,
        };
        before = None;
        match end {
            End::Changed => {
                // Still heard until the next one stands, so that nothing falls between the two.
                before = Some(hearing);
                continue;
            }
            End::Unread => return,
            End::Ended => {}
            End::Never => wait = LATE,
        }
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => return,
            () = unread(room) => return,
            () = room.changed.notified() => {}
            () = sleep(wait) => {}
        }
        wait = (wait * 2).min(LATE);
    }
}

async fn heard(
    hearing: &mut Hearing,
    before: &mut Option<Hearing>,
    down: Down,
    room: &Arc<Room>,
    wait: &mut Duration,
) -> End {
    loop {
        let heard = tokio::select! {
            biased;
            heard = hearing.next() => heard,
            // spec: BR-71: "re-listen after each subscribe or unsubscribe"
            () = room.changed.notified() => return End::Changed,
            () = unread(room) => return End::Unread,
        };
        match heard {
            Heard::Notification(text) => {
                let Ok(Message::Notification(call)) = message::message(&text) else { continue };
                if call.known == Some(Method::SubscriptionsAcknowledged) {
                    *wait = SOON;
                    if let Some(mut before) = before.take() {
                        while let Some(Heard::Notification(text)) = before.next().now_or_never() {
                            tell(&text, down, room).await;
                        }
                    }
                    continue;
                }
                tell(&text, down, room).await;
            }
            Heard::Last(Came::Answer(text)) => {
                let Ok(Message::Response(response)) = message::message(&text) else { return End::Ended };
                return match response.outcome {
                    Outcome::Error { code: METHOD_NOT_FOUND, .. } => End::Never,
                    _ => End::Ended,
                };
            }
            Heard::Last(Came::Refused(_) | Came::Broken) => return End::Ended,
        }
    }
}

// spec: BR-79, BR-71: "strip subscriptionId, deliver list_changed and resources/updated on the GET stream"
async fn tell(text: &str, down: Down, room: &Room) {
    let Ok(Message::Notification(call)) = message::message(text) else { return };
    if call.known == Some(Method::SubscriptionsAcknowledged) {
        return;
    }
    if let Some(text) = down.notification(&call) {
        room.unasked.say(&text).await;
    }
}

/// Until nobody has read for a while.
async fn unread(room: &Room) {
    let mut since = Duration::ZERO;
    while since < LINGER {
        sleep(LOOK).await;
        since = if room.unasked.readers() > 0 { Duration::ZERO } else { since + LOOK };
    }
}

fn wanted(down: Down, abilities: &Abilities, room: &Room) -> String {
    let uris: Vec<_> = room.subscribed().iter().map(|uri| quoted(uri)).collect();
    let subscriptions =
        if uris.is_empty() { String::new() } else { format!(r#","resourceSubscriptions":{}"#, joined(&uris)) };
    let params = format!(
        r#"{{"notifications":{{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true{subscriptions}}}}}"#
    );
    // The same as its calls declare: a server with a session for each kind of client tells what happens in that one.
    let stamp = Stamp { client_info: CLIENT_INFO, abilities, log_level: None, progress_token: None };
    request(Method::SubscriptionsListen, &down.request_params(Some(&params), &stamp))
}
