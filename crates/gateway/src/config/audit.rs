//! `audit`: what is recorded, how it is kept, and where it goes.

use portcullis_audit::Keep;

use super::{Audit, read::Section};
use crate::journal::Durability;

pub(super) fn audit(mut section: Section<'_>) -> Audit {
    let audit = Audit {
        durability: section
            .take("durability")
            .choice(&[("process", Durability::Process), ("power", Durability::Power)]),
        arguments: section.take("arguments").choice(&[
            ("redacted", Keep::Redacted),
            ("digest", Keep::Digest),
            ("off", Keep::Off),
        ]),
    };
    section.finish();
    audit
}
