//! A decision point of the company, asked in addition to the rules here (OpenID AuthZEN Authorization API 1.0). It can only
//! take away: what the rules deny is not put to it, and without a clear yes from it nothing goes on.
//!
//! It is asked about calls of tools, prompts and resources, and not about lists or the tools in them: a list of a thousand
//! tools would be a thousand questions. A tool that it denies may be listed.

mod answer;
mod question;

use std::sync::Arc;

use portcullis_base::{Clock, Digest, Secret, Timestamp, printable};
use portcullis_policy::{Facts, Target};
use quick_cache::sync::Cache;
use tokio::{sync::Semaphore, time::timeout};

use self::{
    answer::{Answer, answer},
    question::question,
};
use crate::{
    config,
    outbound::{Ask, Certificates, CertificatesError, Outbound},
};

/// Answers that are remembered.
const ANSWERS: usize = 10_000;
/// Questions at the same time; whoever comes on top waits, within the time that a question may take.
const QUESTIONS: usize = 32;
/// Larger answers are not read.
const MAX_ANSWER: usize = 64 * 1024;
/// Where the API is, below a URL that has no path.
const PATH: &str = "/access/v1/evaluation";

/// What is asked before a call goes on; nobody, if the settings name nobody.
#[derive(Default)]
pub struct DecisionPoint(Option<Asked>);

struct Asked {
    settings: config::DecisionPoint,
    url: String,
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    answers: Cache<Digest, Arc<Remembered>>,
    places: Semaphore,
}

struct Remembered {
    answer: Answer,
    until: Timestamp,
}

/// Why something does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// For whoever called.
    pub message: String,
    /// For the record.
    pub reason: String,
}

/// Why there is no answer: for log and record.
struct Unanswered(String);

impl DecisionPoint {
    /// The one that the settings name. Nothing is asked of it yet.
    pub fn new(
        settings: Option<&config::DecisionPoint>,
        outbound: &Outbound,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, CertificatesError> {
        let Some(settings) = settings else { return Ok(Self::default()) };
        let mut outbound = outbound.clone().with_total(settings.timeout);
        if settings.tls != config::Tls::default() {
            outbound = outbound.with_certificates(&Certificates::read(&settings.tls)?);
        }
        let mut url = settings.url.clone();
        // spec: AUTHZEN#transport-https-json: "the URL SHOULD be formed by appending the default path"
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Ok(Self(Some(Asked {
            url: url.into(),
            settings: settings.clone(),
            outbound,
            clock: clock.clone(),
            answers: Cache::new(ANSWERS),
            places: Semaphore::new(QUESTIONS),
        })))
    }

    /// Asks whether what the rules let go on may go on.
    pub async fn ask(&self, facts: &Facts<'_>) -> Result<(), Refused> {
        let Some(asked) = self.0.as_ref().filter(|asked| asked.concerns(facts)) else { return Ok(()) };
        match asked.judged(facts).await {
            // spec: AUTHZEN#decision: "MUST NOT be permitted to go forward"
            Ok(Answer { allowed: true, .. }) => Ok(()),
            Ok(Answer { told, reason, .. }) => {
                let told = told.map_or_else(|| ".".to_owned(), |told| format!(": {told}"));
                let message = format!("The decision point of this gateway denies it{told}");
                Err(Refused { message, reason: reason.unwrap_or_else(|| "denied".to_owned()) })
            }
            Err(Unanswered(why)) => {
                let why = printable(&why, 300);
                tracing::warn!(
                    decision_point.url = asked.url,
                    why,
                    "the decision point gives no answer; the call is denied"
                );
                let message =
                    "The decision point of this gateway gives no answer, so nothing is done. Try again in a moment.";
                Err(Refused { message: message.to_owned(), reason: format!("no answer: {why}") })
            }
        }
    }
}

impl Asked {
    fn concerns(&self, facts: &Facts<'_>) -> bool {
        let at = |servers: &Vec<_>| servers.iter().any(|server| server == facts.server);
        matches!(facts.target, Target::Tool(_) | Target::Prompt(_) | Target::Resource(_))
            && self.settings.servers.as_ref().is_none_or(at)
    }

    /// The answer to one question, remembered for a while; identical questions at one time are asked once.
    async fn judged(&self, facts: &Facts<'_>) -> Result<Answer, Unanswered> {
        let question = question(facts, self.settings.arguments).map_err(|why| Unanswered(why.to_owned()))?;
        let now = self.clock.now();
        if let Some(known) = self.answers.get(&question.digest) {
            if now < known.until {
                return Ok(known.answer.clone());
            }
            self.answers.remove(&question.digest);
        }
        let found = self.answers.get_or_insert_async(&question.digest, async {
            let (answer, until) = self.put(question.text, now).await?;
            Ok::<_, Unanswered>(Arc::new(Remembered { answer, until }))
        });
        // Whoever waits for the answer to somebody's same question waits no longer than for an own one.
        match timeout(self.settings.timeout, found).await {
            Ok(found) => found.map(|known| known.answer.clone()),
            Err(_) => Err(Unanswered("it took too long".to_owned())),
        }
    }

    async fn put(&self, question: String, now: Timestamp) -> Result<(Answer, Timestamp), Unanswered> {
        let _place = self.places.acquire().await.map_err(|_| Unanswered("the gateway stops".to_owned()))?;
        let bearer = |token: &Secret| Secret::new(format!("Bearer {}", token.reveal()));
        let ask = Ask::json(&self.url, question, MAX_ANSWER).authorized(self.settings.token.as_ref().map(bearer));
        let fetched = self.outbound.fetch(ask).await.map_err(|error| Unanswered(error.detail().to_owned()))?;
        let answer = answer(&fetched).map_err(Unanswered)?;
        let kept = fetched.max_age().map_or(self.settings.cache, |age| age.min(self.settings.cache));
        Ok((answer, now.plus(kept)))
    }
}
