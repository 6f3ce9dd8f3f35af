//! What a request to a server shows on whose behalf it is made. Only the keeper of connections makes one; nothing of a
//! client's request can become one (SEC-3).

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_base::Holder;

/// The headers that prove it, and whose they are. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credential {
    headers: Arc<[(HeaderName, HeaderValue)]>,
    holder: Option<Holder>,
}

impl Credential {
    /// Nothing: the server answers everybody the same.
    pub fn none() -> Self {
        Self::default()
    }

    /// These headers, which are `holder`'s. They are kept out of whatever prints a request.
    pub fn new(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>, holder: Holder) -> Self {
        let sensitive = headers.into_iter().map(|(name, mut value)| {
            value.set_sensitive(true);
            (name, value)
        });
        Self { headers: sensitive.collect(), holder: Some(holder) }
    }

    /// Puts the headers into a request, in the place of any of the same name. spec: UP-89
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &*self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Whose it is: what a server answered with it is remembered for them alone. spec: T-50
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Whether there is nothing to show.
    pub fn is_none(&self) -> bool {
        self.headers.is_empty()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Credential").field("headers", &names).field("holder", &self.holder).finish()
    }
}

#[cfg(test)]
mod tests {
    use portcullis_base::PersonId;

    use super::*;

    // spec: UP-89, T-50
    #[test]
    fn credential_replaces_what_is_there_and_prints_nothing_of_itself() {
        let holder = Holder::Person(PersonId::new("usr_1"));
        let token = HeaderValue::from_static("Bearer canary");
        let credential = Credential::new([(http::header::AUTHORIZATION, token.clone())], holder.clone());
        let mut headers = HeaderMap::new();
        headers.insert(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer inbound"));
        credential.apply(&mut headers);
        assert_eq!(headers.get_all(http::header::AUTHORIZATION).iter().collect::<Vec<_>>(), [&token]);
        assert_eq!(credential.holder(), Some(&holder));
        assert!(!format!("{credential:?} {headers:?}").contains("canary"));
        assert!(Credential::none().is_none() && Credential::none().holder().is_none());
    }
}
