//! Mail to those who may decide. It has no arguments in it, and its link gives nobody a right.

use std::{
    io,
    sync::PoisonError,
    time::{Duration, UNIX_EPOCH},
};

use lettre::{
    Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::AsyncSmtpConnection,
        extension::ClientId,
    },
};
use portcullis_base::Timestamp;
use portcullis_store::Person;
use url::Host;

use super::{
    House, addressees,
    channel::{Failure, Job, Subject},
    message::Words,
    starttls::{Line, upgrade},
};
use crate::{
    config::{Arguments, MailSecurity, Smtp},
    outbound::{DialError, Outbound},
};

/// The whole exchange with the mail server, however many mails there are.
const TOTAL: Duration = Duration::from_mins(1);

/// The mail server.
pub(super) struct Mails {
    settings: Smtp,
    we: ClientId,
}

impl Mails {
    pub fn new(settings: &Smtp) -> Self {
        let we = ClientId::Domain(settings.from.email.domain().to_owned());
        Self { settings: settings.clone(), we }
    }

    pub async fn tell(&self, house: &House, job: &Job) -> Result<(), Failure> {
        let Subject::Asked { row, link } = &job.subject else { return Ok(()) };
        let people = house.0.store.people().await.map_err(Failure::new)?;
        let addressees = addressees::of(&row.approval, &people, &house.0.appointments);
        if addressees.is_empty() {
            return Ok(());
        }
        let words = Words::of(house, row, Arguments::Kept).await?;
        let text = text(&words, link);
        let sent = self.send(&house.0.outbound, job, &addressees, (&words, &text), house.0.clock.now());
        match tokio::time::timeout(TOTAL, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(Failure::new("the mail server takes too long")),
        }
    }

    /// A mail to each: nobody learns who else is asked.
    async fn send(
        &self,
        outbound: &Outbound,
        job: &Job,
        to: &[&Person],
        (words, text): (&Words, &str),
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut connection = None;
        let mut refused = None;
        for person in to {
            // Where an earlier try came so far, nobody gets a second one.
            if job.done.lock().unwrap_or_else(PoisonError::into_inner).contains(&person.id) {
                continue;
            }
            let message = match self.message(job, person, words, text, now) {
                Ok(message) => message,
                Err(why) => {
                    refused = Some(why);
                    continue;
                }
            };
            let mut open = match connection.take() {
                Some(open) => open,
                None => self.connect(outbound).await?,
            };
            match open.send(message.envelope(), &message.formatted()).await {
                Ok(_) => connection = Some(open),
                // The server has closed the connection by now, or we did.
                Err(error) if error.is_permanent() => refused = Some(error.to_string()),
                Err(error) => return Err(Failure::new(error)),
            }
            job.done.lock().unwrap_or_else(PoisonError::into_inner).insert(person.id.clone());
        }
        if let Some(mut open) = connection {
            let _ = open.quit().await;
        }
        refused.map_or(Ok(()), |why| Err(Failure::for_good(format!("somebody could not be written to: {why}"))))
    }

    fn message(&self, job: &Job, to: &Person, words: &Words, text: &str, now: Timestamp) -> Result<Message, String> {
        let address = to.email.as_deref().unwrap_or_default();
        let to_mailbox = address.parse().map(|email| Mailbox::new(None, email)).map_err(|error| format!("{error}"))?;
        let date = UNIX_EPOCH + Duration::from_secs(now.as_secs().max(0).unsigned_abs());
        let mut message = Message::builder()
            .from(self.settings.from.clone())
            .to(to_mailbox)
            .subject(format!("Approval wanted: {}", words.what))
            .date(date)
            .message_id(Some(format!("<{}.{}@{}>", job.id, to.id, self.settings.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())
            .map_err(|error| error.to_string())?;
        // Nobody's absence note is wanted in return (RFC 3834).
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }

    async fn connect(&self, outbound: &Outbound) -> Result<AsyncSmtpConnection, Failure> {
        let Smtp { server, security, account, .. } = &self.settings;
        let (host, port) = (server.host().unwrap_or(Host::Domain("")), server.port_or_known_default().unwrap_or(0));
        let unreachable = |error: DialError| Failure::new(error);
        let stream = outbound.dial(&host, port).await.map_err(unreachable)?;
        let line = match security {
            MailSecurity::Tls => Line::secured(outbound.secure(&host, stream).await.map_err(unreachable)?),
            MailSecurity::StartTls => {
                let stream = upgrade(stream, &self.we).await.map_err(|error| match error.kind() {
                    io::ErrorKind::Unsupported => Failure::for_good(error),
                    _ => Failure::new(error),
                })?;
                Line::secured(outbound.secure(&host, stream).await.map_err(unreachable)?).greeting()
            }
            MailSecurity::None => {
                // The settings name this machine; a name of it may lead elsewhere by now.
                if !stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) {
                    return Err(Failure::for_good("without TLS, mail goes to this machine only"));
                }
                Line::plain(stream)
            }
        };
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(Box::new(line), &self.we).await.map_err(Failure::new)?;
        if let Some((user, password)) = account {
            let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
            let known = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            known.map_err(|error| if error.is_permanent() { Failure::for_good(error) } else { Failure::new(error) })?;
        }
        Ok(connection)
    }
}

fn text(words: &Words, link: &str) -> String {
    let lines = words.lines().map(|(label, text)| format!("{:<13}{text}", format!("{label}:"))).join("\n");
    format!(
        "A call waits for approval, and you may decide it.\n\n{lines}\n\nRead all of it and decide here:\n{link}\n\n\
         The link gives nobody a right: the page asks who you are. It shows the same check value.\n"
    )
}
