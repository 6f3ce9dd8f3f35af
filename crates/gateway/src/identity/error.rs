//! What goes wrong between us and a provider: one text for the page, one for the log.

use portcullis_base::{Secret, printable};
use portcullis_oauth::relying::{callback::CallbackError, id_token::IdTokenError};

use super::{IssuerKeysError, discovery::DiscoveryFailure};
use crate::outbound::FetchError;

/// What a page says differently about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The provider cannot be reached or answers with nonsense; trying again may help.
    Unavailable,
    /// The provider said no, with this registered code.
    Refused(String),
    /// Its settings and ours do not agree; only an administrator can help.
    Misconfigured,
    /// What came back is not for this sign-in or is not true.
    Untrue,
    /// The provider knows the person, and our settings do not let them in.
    NotAllowed,
    /// The provider does not vouch for the person any more.
    Gone,
}

/// Why a sign-in came to nothing. `Display` is for the person and tells nothing of the provider's inside (AS-146).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{public}")]
pub struct ProviderError {
    /// What kind of trouble it is.
    pub trouble: Trouble,
    /// The text for the person.
    pub public: String,
    /// The text for the log and the status page.
    pub detail: String,
}

/// Why a sign-in could not be checked again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgainError {
    /// The provider says that it is over.
    #[error("ended at the provider: {0}")]
    Ended(String),
    /// Nothing was learned.
    #[error("not checked: {why}")]
    Unavailable {
        /// What happened; for the log.
        why: String,
        /// Takes the place of the refresh token that was used up meanwhile.
        rotated: Option<Secret>,
    },
}

/// Why something kept here could not be given up at the provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The provider has no place for that.
    #[error("the provider does not offer to take tokens back")]
    NotOffered,
    /// It did not work.
    #[error("not given up: {0}")]
    Failed(String),
}

impl ProviderError {
    pub(super) fn unavailable(detail: impl ToString) -> Self {
        let public = "The identity provider does not answer as it should. Try again in a minute.";
        Self::of(Trouble::Unavailable, public, detail)
    }

    pub(super) fn misconfigured(detail: impl ToString) -> Self {
        let public = "The gateway and the identity provider do not agree. The administrator finds out why with \
                      `portcullis identity check`.";
        Self::of(Trouble::Misconfigured, public, detail)
    }

    pub(super) fn untrue(detail: impl ToString) -> Self {
        let public = "The answer of the identity provider does not belong to this sign-in. Start again from the \
                      application.";
        Self::of(Trouble::Untrue, public, detail)
    }

    pub(super) fn gone(detail: impl ToString) -> Self {
        Self::of(Trouble::Gone, "The identity provider does not vouch for you any more. Sign in again.", detail)
    }

    pub(super) fn not_allowed(public: impl Into<String>, detail: impl ToString) -> Self {
        Self::of(Trouble::NotAllowed, public, detail)
    }

    /// spec: AS-146, T-19: the code is known or nothing; what the provider wrote besides goes to the log, made printable.
    pub(super) fn refused(code: &str, description: Option<&str>) -> Self {
        let detail = match description {
            Some(text) => format!("the provider answered `{}`: {}", printable(code, 60), printable(text, 200)),
            None => format!("the provider answered `{}`", printable(code, 60)),
        };
        match code {
            "access_denied"
            | "login_required"
            | "consent_required"
            | "interaction_required"
            | "account_selection_required"
            | "unmet_authentication_requirements" => {
                Self::of(Trouble::Refused(code.to_owned()), "The identity provider did not let you sign in.", detail)
            }
            "temporarily_unavailable" | "server_error" => Self::unavailable(detail),
            _ => Self::misconfigured(detail),
        }
    }

    fn of(trouble: Trouble, public: impl Into<String>, detail: impl ToString) -> Self {
        Self { trouble, public: public.into(), detail: detail.to_string() }
    }
}

impl From<FetchError> for ProviderError {
    fn from(error: FetchError) -> Self {
        Self::unavailable(error.detail())
    }
}

impl From<DiscoveryFailure> for ProviderError {
    fn from(failure: DiscoveryFailure) -> Self {
        match failure {
            DiscoveryFailure::NoAnswer(detail) => Self::unavailable(detail),
            DiscoveryFailure::Wrong(detail) => Self::misconfigured(detail),
        }
    }
}

impl From<IssuerKeysError> for ProviderError {
    fn from(error: IssuerKeysError) -> Self {
        Self::unavailable(error)
    }
}

impl From<IdTokenError> for ProviderError {
    fn from(error: IdTokenError) -> Self {
        match error {
            // True, and less than was asked for.
            IdTokenError::TooOld | IdTokenError::Acr(_) | IdTokenError::Claim("auth_time") => Self::of(
                Trouble::Refused("unmet_authentication_requirements".into()),
                "A fresher or stronger sign-in was asked for than the identity provider made. Try again there.",
                error,
            ),
            error => Self::untrue(error),
        }
    }
}

impl From<CallbackError> for ProviderError {
    fn from(error: CallbackError) -> Self {
        match error {
            CallbackError::Provider { error, description } => Self::refused(&error, description.as_deref()),
            other => Self::untrue(other),
        }
    }
}

impl AgainError {
    pub(super) fn unavailable(why: impl ToString) -> Self {
        Self::Unavailable { why: why.to_string(), rotated: None }
    }

    /// The same, with the refresh token that must be kept for the next try.
    pub(super) fn keeping(self, rotated: Option<Secret>) -> Self {
        match self {
            Self::Unavailable { why, .. } => Self::Unavailable { why, rotated },
            ended @ Self::Ended(_) => ended,
        }
    }
}

/// What was learned after the provider took the refresh token: only a plain word ends a sign-in.
impl From<ProviderError> for AgainError {
    fn from(error: ProviderError) -> Self {
        match error.trouble {
            Trouble::NotAllowed | Trouble::Gone => Self::Ended(error.detail),
            _ => Self::unavailable(error.detail),
        }
    }
}
