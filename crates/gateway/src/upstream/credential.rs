//! What a request to a server shows on whose behalf it is made. Only the keeper of connections makes one; nothing of a
//! client's request can become one (SEC-3).

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_base::{Digest, Holder};

/// The headers that prove it, and whose they are. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credential {
    headers: Arc<[(HeaderName, HeaderValue)]>,
    holder: Option<Holder>,
    /// What it is one form of, if it is renewed from time to time.
    of: Option<Arc<str>>,
}

/// What tells credentials apart that open different doors. Those of which one is the renewal of the other are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    holder: Option<Holder>,
    what: Option<What>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum What {
    Renewed(Arc<str>),
    Fixed(Digest),
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
        Self { headers: sensitive.collect(), holder: Some(holder), of: None }
    }

    /// The same as one form of what is called `name`: whatever replaces it under that name is as good.
    pub fn renewal_of(self, name: impl Into<Arc<str>>) -> Self {
        Self { of: Some(name.into()), ..self }
    }

    /// What tells it apart from others.
    // spec: BR-40: a session that one credential opened is never used with another.
    pub(super) fn mark(&self) -> Mark {
        let headers = || {
            let parts = self.headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]);
            let parts: Vec<u8> =
                parts.flat_map(|part| [&(part.len() as u32).to_be_bytes()[..], part].concat()).collect();
            Digest::of(&parts)
        };
        let what = match &self.of {
            Some(name) => Some(What::Renewed(name.clone())),
            None => (!self.headers.is_empty()).then(|| What::Fixed(headers())),
        };
        Mark { holder: self.holder.clone(), what }
    }

    /// Puts the headers into a request, in the place of any of the same name. spec: UP-89
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &*self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The one thing that is shown, for a server that is shown no headers.
    pub(super) fn alone(&self) -> Option<&HeaderValue> {
        self.headers.first().map(|(_, value)| value)
    }

    /// The value of its only header, for an API that wants it elsewhere, and the rest of it without a header.
    pub(super) fn taken_out(&self) -> Option<(HeaderValue, Self)> {
        match &*self.headers {
            [(_, value)] => Some((value.clone(), Self { headers: Arc::default(), ..self.clone() })),
            _ => None,
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
        f.debug_struct("Credential").field("headers", &names).field("holder", &self.holder).finish_non_exhaustive()
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
