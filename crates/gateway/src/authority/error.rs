//! What goes wrong between us and an upstream's authorization server: one text for the person, one for the log.

use portcullis_base::printable;
use portcullis_oauth::upstream::scopes::ScopesError;

use crate::outbound::FetchError;

/// What a page, or a call, does differently about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answers, or with a failure of their own: trying again may help.
    Unavailable,
    /// Only an administrator can help: the settings and the server do not fit together.
    Settings,
    /// What came back is not for this request or is not true.
    Untrue,
    /// The person, or the authorization server on their behalf, said no, with this registered code.
    Declined(String),
    /// The server asks for nothing that we could get: it names no authorization server.
    NotOffered,
}

/// Why there is no connection. `Display` is for the person and tells nothing of what is inside (UP-35).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{public}")]
pub struct AuthorityError {
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// The text for the person.
    pub public: String,
    /// The text for the log and for administrators, printable.
    pub detail: String,
}

/// Why there is no fresh token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// The grant is over, by this code: nobody but the person can make a new one.
    #[error("the grant is over: {0}")]
    Ended(String),
    /// Nothing was learned; what there is stays good until it ends by itself.
    #[error("not refreshed: {0}")]
    Unavailable(String),
    /// The authorization server has forgotten whom we registered as. What there is stays, should the word have been wrong;
    /// whoever connects anew is known again.
    #[error("the gateway is not known as a client any more: {0}")]
    Forgotten(String),
    /// The authorization server does not accept who we are; what there is stays, an administrator must look.
    #[error("the gateway is not accepted as a client: {0}")]
    Client(String),
}

/// Why there is no token that would have been made for a person without asking them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// It was refused; the text is for the person and says what to do.
    #[error("{public}")]
    Refused {
        /// For the person.
        public: String,
        /// For the log.
        detail: String,
    },
    /// The person must sign in at this provider again, the text says so.
    #[error("{public}")]
    SignIn {
        /// The provider, by its id in the settings.
        provider: String,
        /// For the person.
        public: String,
        /// For the log.
        detail: String,
    },
    /// It does not work without the person here; the settings say that they may connect by hand.
    #[error("connect by hand: {0}")]
    Interactive(String),
    /// Nobody answers; trying again may help.
    #[error("not available: {0}")]
    Unavailable(String),
}

/// What became of tokens that were given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The authorization server took them back.
    Done,
    /// It has no place for that: they end by themselves.
    NotOffered,
    /// It did not work; the text is for the log and the report.
    Failed(String),
}

impl AuthorityError {
    pub(super) fn unavailable(detail: impl ToString) -> Self {
        let public = "The server's sign-in service does not answer as it should. Try again in a minute.";
        Self::of(Trouble::Unavailable, public, detail)
    }

    pub(super) fn settings(detail: impl ToString) -> Self {
        let public = "The gateway and this server's sign-in service do not agree. Ask your \
                      administrator, who can have the gateway check its sign-in.";
        Self::of(Trouble::Settings, public, detail)
    }

    pub(super) fn untrue(detail: impl ToString) -> Self {
        let public = "The answer does not belong to this request, so nothing was connected. Start again.";
        Self::of(Trouble::Untrue, public, detail)
    }

    pub(super) fn not_offered(detail: impl ToString) -> Self {
        let public = "This server names no place where you could sign in. Ask your administrator how it is to be used.";
        Self::of(Trouble::NotOffered, public, detail)
    }

    /// The authorization server has forgotten us; whoever comes next is registered anew.
    pub(super) fn unknown_client(detail: impl ToString) -> Self {
        let public = "The server's sign-in service did not know the gateway any more. Start again: the gateway introduces \
                      itself anew.";
        Self::of(Trouble::Unavailable, public, detail)
    }

    /// spec: T-42: what could not help is not asked for.
    pub(super) fn scopes(error: ScopesError) -> Self {
        match error {
            ScopesError::Capped(_) => {
                let public = "This server wants permissions that the gateway's settings do not let it ask for. Ask your \
                              administrator whether they should.";
                Self::of(Trouble::Settings, public, error)
            }
            _ => Self::settings(error),
        }
    }

    /// spec: UP-35, T-19: the code is known or nothing; what was written besides goes to the log, made printable.
    pub(super) fn declined(code: &str, description: Option<&str>) -> Self {
        let mut detail = format!("the authorization server answered `{}`", printable(code, 60));
        if let Some(text) = description {
            detail.extend([": ", &printable(text, 200)]);
        }
        match code {
            "access_denied" => {
                let public = "You, or the server's sign-in service, did not agree. Nothing was connected.";
                Self::of(Trouble::Declined(code.to_owned()), public, detail)
            }
            "temporarily_unavailable" | "server_error" => Self::unavailable(detail),
            "login_required" | "consent_required" | "interaction_required" | "account_selection_required" => {
                let public = "The server's sign-in service did not let you sign in. Try again.";
                Self::of(Trouble::Declined(code.to_owned()), public, detail)
            }
            _ => Self::settings(detail),
        }
    }

    fn of(trouble: Trouble, public: impl Into<String>, detail: impl ToString) -> Self {
        Self { trouble, public: public.into(), detail: printable(&detail.to_string(), 600) }
    }
}

impl From<FetchError> for AuthorityError {
    fn from(error: FetchError) -> Self {
        Self::unavailable(error.detail())
    }
}

impl MintError {
    pub(super) fn refused(public: impl Into<String>, detail: impl ToString) -> Self {
        Self::Refused { public: public.into(), detail: printable(&detail.to_string(), 600) }
    }
}
