//! What the keeper of connections asks of authorization servers: the seam at which its tests put a scripted one.

use futures_util::{FutureExt, future::BoxFuture};
use http::HeaderValue;
use portcullis_base::Timestamp;
use portcullis_oauth::upstream::challenge::Wanted;

use crate::{
    authority::{Authority, Held, MintError, Minted, RefreshError, Revocation, Whom},
    snapshot::Server,
};

/// Whoever renews, makes and gives back tokens.
pub trait Authorities: Send + Sync {
    /// Renews what `held` holds at the authorization server of `server`.
    fn refresh<'a>(&'a self, server: &'a Server, held: &'a Held) -> BoxFuture<'a, Result<Held, RefreshError>>;

    /// Makes a token for `whom`, as the settings of `server` say.
    fn mint<'a>(&'a self, server: &'a Server, whom: &'a Whom) -> BoxFuture<'a, Result<Minted, MintError>>;

    /// Takes in what `server` said when it refused a call.
    fn heard(&self, server: &Server, wanted: &Wanted);

    /// Signs a statement about `whom`, and says when it ends.
    fn assertion(&self, server: &Server, whom: &Whom) -> Result<(HeaderValue, Timestamp), MintError>;

    /// Gives back what `held` holds.
    fn revoke<'a>(&'a self, held: &'a Held) -> BoxFuture<'a, Revocation>;
}

impl Authorities for Authority {
    fn refresh<'a>(&'a self, server: &'a Server, held: &'a Held) -> BoxFuture<'a, Result<Held, RefreshError>> {
        self.refresh(server, held).boxed()
    }

    fn mint<'a>(&'a self, server: &'a Server, whom: &'a Whom) -> BoxFuture<'a, Result<Minted, MintError>> {
        self.mint(server, whom).boxed()
    }

    fn heard(&self, server: &Server, wanted: &Wanted) {
        self.heard(server, wanted);
    }

    fn assertion(&self, server: &Server, whom: &Whom) -> Result<(HeaderValue, Timestamp), MintError> {
        self.assertion(server, whom)
    }

    fn revoke<'a>(&'a self, held: &'a Held) -> BoxFuture<'a, Revocation> {
        self.revoke(held).boxed()
    }
}
