//! Secrets on their way into a seal and out of it: nothing else of theirs is ever written down.

use portcullis_base::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// All of `value`, to be sealed.
pub(super) fn written(value: &impl Serialize) -> Secret {
    Secret::new(serde_json::to_string(value).expect("names, texts and numbers have a JSON form"))
}

/// Reads what [`written`] made; `None` for anything else.
pub(super) fn read<T: DeserializeOwned>(opened: &Secret) -> Option<T> {
    serde_json::from_str(opened.reveal()).ok()
}

pub(super) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.reveal())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    Secret::deserialize(from)
}

/// The same for a secret that may be missing.
pub(super) mod maybe {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes the field as it is")]
    pub(in crate::authority) fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::reveal).serialize(to)
    }

    pub(in crate::authority) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Option::<Secret>::deserialize(from)
    }
}
