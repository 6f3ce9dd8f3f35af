//! Where definitions come from, as far as that makes a difference to what is believed of them.

use std::sync::Arc;

use portcullis_openapi::Api;
use portcullis_risk::Source;

/// Who wrote the definitions of a server.
#[derive(Clone)]
pub enum Origin {
    /// Anybody.
    Stranger,
    /// We.
    Ours,
    /// We, of the operations of an API.
    Api(Arc<Api>),
}

impl Origin {
    /// Whether a hint may make a tool milder. An API's document is somebody else's, so only its methods are believed.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Ours => Source::Trusted,
            Self::Stranger | Self::Api(_) => Source::Untrusted,
        }
    }

    /// The HTTP method behind a tool.
    pub(super) fn method(&self, tool: &str) -> Option<&str> {
        let Self::Api(api) = self else { return None };
        let tool = api.tools.iter().find(|known| known.name == tool)?;
        tool.operation.split_once(' ').map(|(method, _)| method)
    }
}
