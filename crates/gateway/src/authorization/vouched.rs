//! Before a refresh token becomes an access token, its person's provider is asked whether it still vouches for them.

use portcullis_base::Digest;
use portcullis_oauth::error::{TokenError, TokenErrorCode};

use super::issue::Requester;
use crate::{app::App, error::ApiError, extract::ClientForm};

/// Asks the provider of whoever the client's refresh token is for, if that is due. Who is not vouched for any more has no
/// grant when this returns, and the refresh fails by itself.
// spec: AS-86: "On refresh, check that the user is still active in the gateway and, per policy, at the IdP". spec: AS-145
pub async fn ask_again(app: &App, sender: &ClientForm, token: &str) -> Result<(), ApiError> {
    let found = app.store.grant_of_refresh(&Digest::of(token.as_bytes())).await.map_err(ApiError::unavailable)?;
    let now = app.clock.now();
    match found {
        // A token of another client, or of a grant that has ended, makes us ask nobody.
        Some((_, grant)) if grant.client == sender.client.id && grant.is_alive(now) => {
            app.renewal().renew_if_due(&grant.person).await.map_err(ApiError::unavailable)?;
            // They may have lost their last role by that, or before.
            if app.snapshot.load().people.get(&grant.person).is_some_and(|person| person.shut_out) {
                let error = TokenError::new(TokenErrorCode::InvalidGrant, "the person may not come in any more");
                return Err(Requester::client(app, sender).refused(Some(&grant), error).await);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
