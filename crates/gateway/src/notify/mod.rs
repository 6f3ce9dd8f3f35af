//! Telling people that something waits for them: by mail, in Slack and Teams, and programs.
//!
//! Promises:
//! - Whoever calls never waits for it: what is to be told goes into a queue of each channel, which is bounded, and what
//!   finds it full is not told. What is not told still waits in the inbox.
//! - A channel that fails is tried again a few times, and holds up no other. What nobody could be told is in the record.
//! - Nothing that is told gives a right: links lead to a page that asks who is there. Arguments of calls are told where the
//!   settings say so, and nowhere else. spec: T-82, T-85
//!
//! Deliberately absent: taking the decisions that come back, which `hooks` does.

mod addressees;
mod channel;
mod mail;
mod message;
mod slack;
mod starttls;
mod teams;
mod webhook;

use std::sync::Arc;

use portcullis_base::{Clock, Rng};
use portcullis_store::{ApprovalRow, Store};
use tokio::{sync::watch, task::JoinHandle};

pub use self::channel::State;
use self::channel::{Channel, Job, Subject};
use crate::{approvals::Herald, config, journal::Journal, keys::Keys, outbound::Outbound, roles::Appointments};

/// Those who are told.
pub struct Notify {
    house: Arc<House>,
    channels: Vec<Arc<Channel>>,
    slack: Option<Arc<Channel>>,
}

/// What it is made of.
pub struct Parts {
    /// Who is who.
    pub store: Store,
    /// The record.
    pub journal: Journal,
    /// Opens what waits, where arguments are told.
    pub keys: Arc<Keys>,
    /// The guarded client.
    pub outbound: Outbound,
    /// Who has which role.
    pub appointments: Appointments,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
}

/// What every channel needs.
struct House(Parts);

impl Notify {
    /// Those that the settings name. Nobody is told anything before [`start`](Self::start).
    pub fn new(settings: &config::Notify, parts: Parts) -> Self {
        let mut channels = Vec::new();
        if let Some(smtp) = &settings.smtp {
            channels.push(Channel::new("smtp", channel::Way::Mail(mail::Mails::new(smtp))));
        }
        let slack =
            settings.slack.as_ref().map(|slack| Channel::new("slack", channel::Way::Slack(slack::Room::new(slack))));
        channels.extend(slack.clone());
        if let Some(url) = &settings.teams {
            channels.push(Channel::new("teams", channel::Way::Teams(url.clone())));
        }
        for hook in &settings.webhooks {
            if let Some(told) = webhook::Told::of(hook) {
                channels.push(Channel::new(&format!("webhooks ({})", hook.name), channel::Way::Webhook(told)));
            }
        }
        Self { house: Arc::new(House(parts)), channels, slack }
    }

    /// Starts telling; ends soon after `stopped` says so. What was not told by then is not told by this process.
    pub fn start(&self, stopped: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let work = |channel: &Arc<Channel>| {
            let queue = channel.queue()?;
            Some(tokio::spawn(channel::work(channel.clone(), self.house.clone(), queue, stopped.clone())))
        };
        self.channels.iter().filter_map(work).collect()
    }

    /// How each channel does.
    pub fn states(&self) -> Vec<State> {
        self.channels.iter().map(|channel| channel.state()).collect()
    }

    /// Tells somebody who clicked in Slack, and nobody else, what came of it: at the address that Slack gave for that.
    pub fn whisper(&self, address: &str, text: &str) {
        if let Some(slack) = &self.slack {
            slack.put(Job::new(Subject::Whisper { address: address.into(), text: text.into() }, &*self.house.0.rng));
        }
    }

    fn put(&self, subject: Subject) {
        let job = Job::new(subject, &*self.house.0.rng);
        for channel in &self.channels {
            channel.put(job.clone());
        }
    }
}

impl Herald for Notify {
    fn asked(&self, row: &ApprovalRow, link: &str) {
        if !self.channels.is_empty() {
            self.put(Subject::Asked { row: Arc::new(row.clone()), link: link.into() });
        }
    }

    fn decided(&self, row: &ApprovalRow) {
        if !self.channels.is_empty() {
            self.put(Subject::Decided { row: Arc::new(row.clone()) });
        }
    }
}
