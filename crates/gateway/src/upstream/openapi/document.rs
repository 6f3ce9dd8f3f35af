//! The document on the disk, read when it is first needed and again when it has changed.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwapOption;
use portcullis_base::{ServerName, printable};
use portcullis_openapi::Api;
use tokio::sync::Mutex;

use super::UpstreamError;
use crate::config::OpenApi;

/// How long the file is not looked at again.
const GLANCE: Duration = Duration::from_secs(1);

/// A document and what it says.
pub(in super::super) struct Document {
    settings: Arc<OpenApi>,
    held: Mutex<Held>,
    /// What was read last.
    known: ArcSwapOption<Api>,
}

#[derive(Default)]
struct Held {
    looked: Option<Instant>,
    /// What the file was like when it was read.
    file: Option<(u64, Option<SystemTime>)>,
    api: Option<Arc<Api>>,
    /// Why there is none.
    why: Option<Arc<str>>,
}

impl Document {
    pub(in super::super) fn new(settings: Arc<OpenApi>) -> Self {
        Self { settings, held: Mutex::default(), known: ArcSwapOption::empty() }
    }

    /// The parameter of the query that the key goes into.
    pub(super) fn key_in_query(&self) -> Option<&str> {
        self.settings.key_in_query.as_deref()
    }

    /// The API as the document described it when it was last read.
    pub(in super::super) fn known(&self) -> Option<Arc<Api>> {
        self.known.load_full()
    }

    /// The API as the document describes it. One that became unusable while we run changes nothing.
    pub(super) async fn current(&self, server: &ServerName) -> Result<Arc<Api>, UpstreamError> {
        let mut held = self.held.lock().await;
        if held.looked.is_none_or(|looked| looked.elapsed() >= GLANCE) {
            let file = tokio::fs::metadata(&self.settings.file).await.ok();
            let file = file.map(|about| (about.len(), about.modified().ok()));
            if held.looked.is_none() || file != held.file {
                self.read(&mut held, server).await;
                held.file = file;
            }
            held.looked = Some(Instant::now());
        }
        match (&held.api, &held.why) {
            (Some(api), _) => Ok(api.clone()),
            (None, Some(why)) => Err(UpstreamError::Start(why.clone())),
            (None, None) => Err(UpstreamError::Unusable("its OpenAPI document was not read")),
        }
    }

    async fn read(&self, held: &mut Held, server: &ServerName) {
        let settings = self.settings.clone();
        let read = tokio::task::spawn_blocking(move || settings.read()).await;
        match read {
            Ok(Ok(api)) => {
                tracing::info!(server.name = %server, tools = api.tools.len(), left_out = api.left_out.len(), "OpenAPI document read");
                // spec: AG-21: "hide the tool with a logged reason"
                for problem in &api.left_out {
                    tracing::warn!(server.name = %server, %problem, "operation left out");
                }
                let api = Arc::new(api);
                self.known.store(Some(api.clone()));
                held.api = Some(api);
            }
            Ok(Err(problems)) => {
                let why = problems.first().map(ToString::to_string).unwrap_or_default();
                let why = format!("its OpenAPI document cannot be used: {}", printable(&why, 600));
                tracing::error!(server.name = %server, %why, "OpenAPI document not read");
                held.why = Some(why.into());
            }
            Err(error) => {
                tracing::error!(server.name = %server, %error, "OpenAPI document not read");
                held.why = Some("its OpenAPI document was not read".into());
            }
        }
    }
}
