//! What all connections share.

use std::sync::Arc;

use portcullis_base::{Clock, Rng};
use portcullis_mcp::scan::Limits;
use tokio::sync::watch;

use crate::{
    company::Company,
    notebook::{Change, Notebook},
    seal::Seal,
    session::Sessions,
};

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) limits: Limits,
    pub(crate) notebook: Notebook,
    pub(crate) company: Company,
    pub(crate) sessions: Sessions,
    pub(crate) seal: Seal,
    pub(crate) closing: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self {
            notebook: Notebook::new(clock.now()),
            company: Company::default(),
            sessions: Sessions::default(),
            seal: Seal::new(&*rng),
            closing: watch::channel(false).0,
            limits: Limits::default(),
            clock,
            rng,
        }
    }

    /// Tells every session and every subscription that the notebook changed.
    pub(crate) fn changed(&self, change: &Change) {
        self.notebook.announce(change);
        self.sessions.announce(change);
    }
}
