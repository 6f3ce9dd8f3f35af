//! 2024-11-05: the first revision. Text, pictures and embedded resources; a server could not yet say that it completes.

use super::{Elicits, Revision, Samples};
use crate::Version;

pub(super) static REVISION: Revision = Revision {
    version: Version::V2024_11_05,
    blocks: &["text", "image", "resource"],
    structured: false,
    elicits: Elicits::Nothing,
    samples: Samples::One,
};
