//! What a provider's claims say about a person: a name to show, a verified address, groups. Never who it is: that is issuer
//! and subject.

use serde_json::{Map, Value};

use crate::{claim, json};

/// The longest name for an account.
const MAX_NAME: usize = 64;
/// The longest userinfo answer that is read.
pub const MAX_USERINFO_BYTES: usize = 256 * 1024;

/// Which claims say what. Names with dots lead inward: `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// Who it is, for this provider for ever.
    pub subject: String,
    /// The name for the account.
    pub name: String,
    /// The name to show.
    pub display_name: String,
    /// The mail address.
    pub email: String,
    /// The groups.
    pub groups: String,
}

/// What claims say about the groups of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// These, perhaps none.
    Given(Vec<String>),
    /// Nothing: the provider does not send groups, or not here.
    Absent,
    /// There are too many to say: they must be asked for elsewhere.
    Overage,
}

/// What claims say about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who it is at the provider.
    pub subject: String,
    /// In which tenant.
    pub tenant: Option<String>,
    /// Names that the account could have, best first, each fit to be one.
    pub names: Vec<String>,
    /// The name to show.
    pub display_name: Option<String>,
    /// The mail address, if the provider verified it.
    pub email: Option<String>,
    /// `hd`: the company the account belongs to, at Google.
    pub hosted_domain: Option<String>,
    /// The groups.
    pub groups: Groups,
}

/// Why claims make no profile; the text is for the administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The claim that says who it is.
    #[error("the provider sends no claim \"{0}\"")]
    Missing(String),
    /// Groups that are no list of names.
    #[error("the provider's claim \"{0}\" is not a list of names")]
    Malformed(String),
}

/// Why a userinfo answer is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserinfoError {
    /// Not one JSON object, or too large.
    #[error("the provider's userinfo answer cannot be read")]
    Malformed,
    /// It is about somebody else.
    #[error("the provider's userinfo answer is about somebody else")]
    Subject,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".into(),
            name: "preferred_username".into(),
            display_name: "name".into(),
            email: "email".into(),
            groups: "groups".into(),
        }
    }
}

/// The claims of an ID token together with those of the userinfo endpoint; what both say, the signed one says.
pub fn with_userinfo(mut claims: Map<String, Value>, body: &[u8]) -> Result<Map<String, Value>, UserinfoError> {
    let told = (body.len() <= MAX_USERINFO_BYTES).then(|| json::object(body)).flatten();
    let told = told.ok_or(UserinfoError::Malformed)?;
    // spec: OIDCC#5.3.2: "The sub Claim in the UserInfo Response MUST be verified to exactly match the sub Claim in the ID
    // Token; if they do not match, the UserInfo Response values MUST NOT be used."
    let subject = claim::text(&told, "sub").ok_or(UserinfoError::Subject)?;
    if claim::text(&claims, "sub") != Some(subject) {
        return Err(UserinfoError::Subject);
    }
    for (name, value) in told {
        claims.entry(name).or_insert(value);
    }
    Ok(claims)
}

impl Profile {
    /// What `claims` say.
    pub fn from_claims(names: &ClaimNames, claims: &Map<String, Value>) -> Result<Self, ProfileError> {
        let text = |path: &str| claim::text(claims, path).map(str::to_owned);
        let subject = text(&names.subject).ok_or_else(|| ProfileError::Missing(names.subject.clone()))?;
        let email = verified_email(names, claims);
        let candidates = [text(&names.name), email.clone(), Some(subject.clone())];
        let mut fit: Vec<String> = candidates.into_iter().flatten().filter_map(|name| account_name(&name)).collect();
        fit.dedup();
        Ok(Self {
            tenant: text("tid"),
            names: fit,
            display_name: text(&names.display_name),
            email,
            hosted_domain: text("hd"),
            groups: groups(&names.groups, claims)?,
            subject,
        })
    }
}

/// The address, if the provider itself says that it verified it.
///
/// spec: T-52, OIDCC#5.7: `xms_edov` and the like are not that, and an absent `email_verified` is a no.
fn verified_email(names: &ClaimNames, claims: &Map<String, Value>) -> Option<String> {
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    let email = claim::text(claims, &names.email).filter(|email| email.contains('@') && email.len() <= 254);
    email.filter(|_| verified).map(str::to_owned)
}

/// `text` in the alphabet of account names.
fn account_name(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | '+');
    let name: String = text.chars().take(MAX_NAME).map(|c| if allowed(c) { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

/// The groups in the claim at `path`.
///
/// spec: T-52: more groups than fit into a token are not no groups.
pub(crate) fn groups(path: &str, claims: &Map<String, Value>) -> Result<Groups, ProfileError> {
    if overflows(path, claims) {
        return Ok(Groups::Overage);
    }
    let malformed = || ProfileError::Malformed(path.to_owned());
    let named = match claim::at(claims, path) {
        None | Some(Value::Null) => return Ok(Groups::Absent),
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(all)) => all.iter().map(group).collect::<Option<_>>().ok_or_else(malformed)?,
        Some(_) => return Err(malformed()),
    };
    let mut groups: Vec<String> = Vec::new();
    for name in named {
        if !name.is_empty() && !groups.iter().any(|known| known == name) {
            groups.push(name.to_owned());
        }
    }
    Ok(Groups::Given(groups))
}

/// Whether Entra says that the groups are elsewhere: `_claim_names` with `_claim_sources`, or `hasgroups`. Where they are it
/// says too, but nobody is sent there: the settings know.
fn overflows(path: &str, claims: &Map<String, Value>) -> bool {
    let named = claims.get("_claim_names").and_then(|names| names.get(path)).is_some();
    // This one is about the claim of that name and no other, such as the roles of an application.
    let has_groups = claims.get("hasgroups").filter(|_| path == "groups");
    named || has_groups.is_some_and(|has| *has == Value::Bool(true) || has == "true")
}

/// A group is a name, or an object that has one.
fn group(value: &Value) -> Option<&str> {
    let member = |name| value.get(name).and_then(Value::as_str);
    value.as_str().or_else(|| member("name")).or_else(|| member("display")).or_else(|| member("value"))
}
