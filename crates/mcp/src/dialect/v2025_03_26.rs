//! 2025-03-26: sound among the kinds of content, but neither links nor structured results nor forms.

use super::{Elicits, Revision, Samples};
use crate::Version;

pub(super) static REVISION: Revision = Revision {
    version: Version::V2025_03_26,
    blocks: &["text", "image", "audio", "resource"],
    structured: false,
    // spec: BR-29: "2024-11-05 and 2025-03-26 clients have no elicitation: declare none upstream"
    elicits: Elicits::Nothing,
    samples: Samples::One,
};
