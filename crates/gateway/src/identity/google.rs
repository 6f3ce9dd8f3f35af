//! Google tells no groups in its tokens. The Admin SDK Directory API does, to a service account with domain-wide
//! delegation that acts for an administrator.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_base::{Clock, Secret, Timestamp};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::Deserialize;
use serde_json::json;
use url::{Url, form_urlencoded};

use super::api::{self, ApiError};
use crate::{
    config,
    outbound::{Ask, Outbound},
    system,
};

const API: &str = "https://admin.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.group.readonly";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Google takes no assertion that lives longer.
const ASSERTION: Duration = Duration::from_hours(1);
/// A token is not used in its last moments.
const MARGIN: Duration = Duration::from_mins(1);
const MAX_ANSWER: usize = 64 * 1024;

/// The directory of a Google Workspace.
pub(super) struct Directory {
    account: Account,
    key: RsaKeyPair,
    random: SystemRandom,
    admin: String,
    api: String,
    token: Mutex<Option<(Secret, Timestamp)>>,
}

/// The key file of a service account.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: Secret,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: Secret,
    #[serde(default)]
    expires_in: u64,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(rename = "nextPageToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Group {
    email: String,
}

impl Directory {
    /// Reads the key file; the error says what is wrong with it.
    pub(super) fn new(settings: &config::Directory, api_url: Option<&str>) -> Result<Self, String> {
        let account: Account = serde_json::from_str(settings.service_account.reveal())
            .map_err(|error| format!("directory.service_account is not the key file of a service account: {error}"))?;
        let wrong = |why: String| format!("directory.service_account: its private_key cannot be used: {why}");
        let der = PrivatePkcs8KeyDer::from_pem_slice(account.private_key.reveal().as_bytes())
            .map_err(|error| wrong(error.to_string()))?;
        let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|error| wrong(error.to_string()))?;
        let api = api_url.unwrap_or(API).trim_end_matches('/').to_owned();
        let (random, token) = (system::random(), Mutex::default());
        Ok(Self { account, key, random, admin: settings.admin.clone(), api, token })
    }

    /// In whose name it is asked.
    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// Addresses of all groups of which `subject` is a member.
    // spec: T-52: every page or an error.
    pub(super) async fn groups(
        &self,
        outbound: &Outbound,
        clock: &dyn Clock,
        subject: &str,
    ) -> Result<Vec<String>, ApiError> {
        let token = self.token(outbound, clock.now()).await?;
        let place = format!("{}/admin/directory/v1/groups", self.api);
        let wrong = |error| ApiError::Refused(format!("{place}: {error}"));
        let mut url = Url::parse_with_params(&place, [("userKey", subject), ("maxResults", "200")]).map_err(wrong)?;
        let first = url.clone();
        let mut groups = Vec::new();
        for _ in 0..api::MAX_PAGES {
            let page: Page = self.page(outbound, &url, &token).await?;
            groups.extend(page.groups.into_iter().map(|group| group.email));
            let Some(next) = page.next else { return Ok(groups) };
            url = first.clone();
            url.query_pairs_mut().append_pair("pageToken", &next);
        }
        Err(api::endless(&place))
    }

    /// One page. That our own token is refused says nothing of the person.
    async fn page(&self, outbound: &Outbound, url: &Url, token: &Secret) -> Result<Page, ApiError> {
        match api::get(outbound, url.as_str(), token).await {
            Err(ApiError::Unauthorized(detail)) => {
                *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Err(ApiError::Refused(detail))
            }
            other => other,
        }
    }

    async fn token(&self, outbound: &Outbound, now: Timestamp) -> Result<Secret, ApiError> {
        let held = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, until)) = held
            && now < until
        {
            return Ok(token);
        }
        let place = self.account.token_uri.as_str();
        let assertion = self.assertion(now)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let fetched = outbound.fetch(Ask::form(place, form, MAX_ANSWER)).await;
        let fetched = fetched.map_err(|error| ApiError::NoAnswer(format!("{place}: {}", error.detail())))?;
        let token: Token = api::read(place, &fetched).map_err(|error| match error {
            ApiError::Unauthorized(detail) => ApiError::Refused(detail),
            other => other,
        })?;
        let until = now.plus(Duration::from_secs(token.expires_in).saturating_sub(MARGIN));
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.access_token.clone(), until));
        Ok(token.access_token)
    }

    /// What proves to Google that we are the service account (RFC 7523).
    fn assertion(&self, now: Timestamp) -> Result<String, ApiError> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(kid) = &self.account.private_key_id {
            header["kid"] = kid.as_str().into();
        }
        let claims = json!({
            "iss": self.account.client_email,
            "sub": self.admin,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": now.as_secs(),
            "exp": now.plus(ASSERTION).as_secs(),
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, signed.as_bytes(), &mut signature)
            .map_err(|_| ApiError::NoAnswer("the system gave no randomness".into()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
