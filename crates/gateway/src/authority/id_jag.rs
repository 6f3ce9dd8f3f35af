//! Identity assertions outbound (ID-JAG, Enterprise-Managed Authorization): the provider says to the server's authorization
//! server who the person is and that they may use us there, so that nobody is asked.

use portcullis_oauth::upstream::token::{self as grants, Exchange, Grant, Refused, TokenType};

use super::{
    Authority, Found, MintError, Minted, Whom,
    asking::AskError,
    mint::{ask_administrator, judge, not_found, subject},
};
use crate::{
    config::{Fallback, IdJagCredential},
    identity::Provider,
    snapshot::Server,
};

impl Authority {
    /// spec: UP-80: an assertion of the provider, redeemed at the server's authorization server.
    pub(super) async fn id_jag(
        &self,
        server: &Server,
        whom: &Whom,
        settings: &IdJagCredential,
    ) -> Result<Minted, MintError> {
        let made = self.by_assertion(server, whom, settings).await;
        match made {
            // spec: UP-83: "fall back to interactive consent", where the settings allow it. Silence is not a refusal.
            Err(MintError::Refused { detail, .. }) if settings.fallback == Fallback::OAuth => {
                Err(MintError::Interactive(detail))
            }
            made => made,
        }
    }

    async fn by_assertion(
        &self,
        server: &Server,
        whom: &Whom,
        settings: &IdJagCredential,
    ) -> Result<Minted, MintError> {
        let provider = self.provider(server, &settings.provider)?;
        let found = self.discover(server, None).await.map_err(|error| not_found(server, &error))?;
        if settings.fallback == Fallback::OAuth {
            self.both_say_so(provider, &found).await?;
        }
        let (kind, subject_type) = subject(settings.subject);
        let subject = self.subject(server, whom, provider, (kind, None)).await?;
        // spec: UP-81
        let grant = Grant::Exchange(Exchange {
            subject: &subject,
            subject_type,
            requested: TokenType::IdJag,
            audience: Some(&found.issuer),
            resource: found.resource.as_deref(),
            scopes: &found.scopes,
        });
        // spec: UP-82, UP-84: used once, here, and gone when this function is.
        let id_jag = judge(provider.grant(&grant, None).await, grants::parse_id_jag);
        let id_jag = id_jag.map_err(|error| self.told(server, provider, &found.scopes, error))?;
        let client = self.client(server, &found).await.map_err(|error| not_found(server, &error))?;
        // What it is for stands in the assertion; the provider may have let us ask for less.
        let grant = Grant::Assertion { assertion: &id_jag.assertion, scopes: &[], resource: found.resource.as_deref() };
        match self.ask(Some(server), &client, &found.metadata.token_endpoint, &grant).await {
            Ok(tokens) => Ok(self.minted(tokens, &found.scopes)),
            Err(error) => {
                if unknown(&error) {
                    self.doubt(&client).await;
                }
                Err(refused_there(server, provider, error))
            }
        }
    }

    /// Whether both sides say that they do this. spec: UP-83
    async fn both_say_so(&self, provider: &Provider, found: &Found) -> Result<(), MintError> {
        if !found.metadata.takes_id_jag() {
            let text = format!("{} does not say that it takes identity assertions", found.issuer);
            return Err(MintError::Interactive(text));
        }
        match provider.gives_id_jag().await {
            Ok(true) => Ok(()),
            Ok(false) => Err(MintError::Interactive(format!(
                "{} does not say that it gives identity assertions",
                provider.name()
            ))),
            Err(error) => Err(MintError::Unavailable(error.detail)),
        }
    }
}

fn unknown(error: &AskError) -> bool {
    matches!(error, AskError::Refused { why: Refused::InvalidClient(_), .. })
}

/// The server's authorization server does not take what the provider gave.
fn refused_there(server: &Server, provider: &Provider, error: AskError) -> MintError {
    let (at, name) = (&server.name, provider.name());
    let detail = error.to_string();
    let public = match error {
        AskError::NoAnswer(_) => return MintError::Unavailable(detail),
        AskError::Refused { why: Refused::InvalidGrant(_), .. } => format!(
            "The server {at} does not accept what {name} says of you. Ask its administrator whether it trusts {name}, and \
             whether you have an account there."
        ),
        AskError::Refused { why: Refused::AccessDenied(_) | Refused::Interaction(_), .. } => format!(
            "The server {at} does not let you in although {name} vouches for you. Ask its administrator to give you access."
        ),
        AskError::Refused { why: Refused::InvalidScope(_), .. } => format!(
            "The server {at} does not give what {name} lets the gateway ask for. Ask your administrator to compare the \
             scopes on both sides."
        ),
        _ => ask_administrator(server),
    };
    MintError::refused(public, detail)
}
