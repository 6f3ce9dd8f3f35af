//! Time stamps (RFC 3161): somebody else signs that a head was there at a time.
//!
//! The answer is kept with the statement that it stamps, as `openssl ts -verify -in N.tsr -data N.json` takes them. That it
//! is an answer to what was asked is checked here: status, imprint, nonce. Whose signature it bears is for whoever
//! verifies it, with the certificates that they trust.

use std::{fs, path::Path};

use http::Method;
use portcullis_base::{Digest, Rng};

use super::{
    WitnessError,
    der::{BOOLEAN, FIRST, INTEGER, NULL, OCTETS, OID, SEQUENCE, integer, next, take, value},
};
use crate::{
    journal::Noted,
    outbound::{Ask, Outbound},
};

const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
/// The most bytes of an answer: it carries certificates.
const ANSWER: usize = 64 << 10;
/// 2.16.840.1.101.3.4.2.1
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.16.1.4
const STAMPED: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];

/// What is asked to be stamped, and what proves that the answer is new.
struct Query {
    imprint: Digest,
    nonce: [u8; 8],
}

/// Has the statement stamped by the authority at `url`, and keeps both in `folder`.
pub(super) async fn stamp(
    outbound: &Outbound,
    url: &str,
    head: &Noted,
    rng: &dyn Rng,
    folder: &Path,
) -> Result<(), WitnessError> {
    let mut query = Query { imprint: Digest::of(head.statement.as_bytes()), nonce: [0; 8] };
    rng.fill(&mut query.nonce);
    let body = Some((QUERY, query.written().into()));
    let ask = Ask { method: Method::POST, body, ..Ask::get(url, REPLY, ANSWER) };
    let answer = outbound.fetch(ask).await.map_err(|error| WitnessError::Fetch { url: url.to_owned(), error })?;
    let refused = |why: String| WitnessError::Refused { url: url.to_owned(), why };
    if !answer.status.is_success() {
        return Err(refused(format!("answered {}", answer.status)));
    }
    query.check(&answer.body).map_err(|why| refused(why.to_owned()))?;
    let (folder, statement, seq) = (folder.to_owned(), head.statement.clone(), head.seq);
    let kept = tokio::task::spawn_blocking(move || {
        let keep = |form: &str, bytes: &[u8]| {
            let path = folder.join(format!("{seq:016}.{form}"));
            fs::create_dir_all(&folder)
                .and_then(|()| fs::write(&path, bytes))
                .map_err(|error| WitnessError::File { path, error })
        };
        keep("json", statement.as_bytes())?;
        keep("tsr", &answer.body)
    });
    kept.await.map_err(|_| WitnessError::Undone)?
}

impl Query {
    /// spec: RFC3161#2.4.1: TimeStampReq, with the certificate of whoever stamps asked for.
    fn written(&self) -> Vec<u8> {
        let algorithm = value(SEQUENCE, &[&value(OID, &[SHA256]), &value(NULL, &[])]);
        let imprint = value(SEQUENCE, &[&algorithm, &value(OCTETS, &[self.imprint.as_bytes()])]);
        let certificates = value(BOOLEAN, &[&[0xff]]);
        value(SEQUENCE, &[&integer(&[1]), &imprint, &integer(&self.nonce), &certificates])
    }

    /// spec: RFC3161#2.4.2: "0 (granted)" or "1 (grantedWithMods)"; the same imprint, "the same value" of the nonce.
    fn check(&self, reply: &[u8]) -> Result<(), &'static str> {
        let not_one = "answered something that is no time stamp";
        let status = status(reply).ok_or(not_one)?;
        if !matches!(status, [0 | 1]) {
            return Err("refused to stamp it");
        }
        let (imprint, nonce) = stamped(reply).ok_or(not_one)?;
        if imprint != self.imprint.as_bytes() {
            return Err("stamped something else");
        }
        if nonce.is_none_or(|nonce| value(INTEGER, &[nonce]) != integer(&self.nonce)) {
            return Err("answered another question");
        }
        Ok(())
    }
}

/// The status of a TimeStampResp.
fn status(mut reply: &[u8]) -> Option<&[u8]> {
    let mut reply = take(&mut reply, SEQUENCE)?;
    let mut status = take(&mut reply, SEQUENCE)?;
    take(&mut status, INTEGER)
}

/// The imprint and the nonce in its TSTInfo.
fn stamped(mut reply: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut reply = take(&mut reply, SEQUENCE)?;
    take(&mut reply, SEQUENCE)?;
    let mut token = take(&mut reply, SEQUENCE)?;
    if take(&mut token, OID)? != SIGNED_DATA {
        return None;
    }
    let mut signed = take(&mut take(&mut token, FIRST)?, SEQUENCE)?;
    next(&mut signed)?;
    next(&mut signed)?;
    let mut content = take(&mut signed, SEQUENCE)?;
    if take(&mut content, OID)? != STAMPED {
        return None;
    }
    let mut info = take(&mut take(&mut content, FIRST)?, OCTETS)?;
    let mut info = take(&mut info, SEQUENCE)?;
    next(&mut info)?;
    next(&mut info)?;
    let mut imprint = take(&mut info, SEQUENCE)?;
    let mut algorithm = take(&mut imprint, SEQUENCE)?;
    if take(&mut algorithm, OID)? != SHA256 {
        return None;
    }
    let imprint = take(&mut imprint, OCTETS)?;
    // The serial number and the time; after them, what is optional.
    next(&mut info)?;
    next(&mut info)?;
    while let Some((tag, contents)) = next(&mut info) {
        if tag == INTEGER {
            return Some((imprint, Some(contents)));
        }
    }
    Some((imprint, None))
}
