//! Decisions that need not be made twice.
//!
//! The key holds every input that the slice can look at, except the time; time is handled by validity. A decision
//! about which that cannot be said is not kept. The memory lives and dies with the plan.

use std::net::IpAddr;
use std::sync::Arc;

use crate::base::Timestamp;

use super::permit::Denial;
use super::request::{AccessRequest, Caller};
use super::slices::Slice;
use crate::base::PolicyId;

/// Longer paths are decided anew where policies read them, so that made-up ones cannot fill the memory.
const LONGEST_PATH: usize = 256;

/// What the policies said, without the parts that belong to one request.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Allow(Arc<[PolicyId]>),
    Deny(Arc<Denial>),
}

/// How an answer depends on the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// Not at all.
    Timeless,
    /// It may differ when the wall clock of the target shows another minute.
    Minute,
    /// It may differ at any moment.
    Moment,
}

/// An outcome and when it may be used.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) outcome: Outcome,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl Remembered {
    /// The clock may also have been set back, so both ends count.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// The key of `request` in the memory; `None` when the answer must not be kept. `version` names the caller.
pub(crate) fn key(slice: &Slice, request: &AccessRequest<'_>, version: u64) -> Option<Vec<u8>> {
    let reads = &slice.reads;
    let known = request.circumstances;
    let has_credentials = known.mtls.is_some()
        || known.device.is_some()
        || known.token.is_some()
        || known.grant.is_some();
    let is_long = reads.path && request.path.len() > LONGEST_PATH;
    if reads.request_id || (reads.credentials && has_credentials) || is_long {
        return None;
    }
    let mut key = Vec::with_capacity(64);
    key.extend(slice.number.to_le_bytes());
    field(&mut key, request.action.id());
    key.push(match request.caller {
        Caller::Anonymous => 0,
        Caller::Person(_) => 1,
        Caller::Service(_) => 2,
    });
    if reads.caller {
        key.extend(version.to_le_bytes());
    }
    if reads.method {
        field(&mut key, request.action.method());
    }
    if reads.host {
        field(&mut key, request.host);
    }
    if reads.path {
        field(&mut key, request.path);
    } else {
        bits(
            &mut key,
            reads.patterns.iter().map(|one| one.matches(request.path)),
        );
    }
    if reads.client {
        address(&mut key, request.client);
    }
    if reads.country {
        // No country differs from an empty one by its length byte.
        match &known.country {
            Some(country) => field(&mut key, country),
            None => key.extend(u32::MAX.to_le_bytes()),
        }
    }
    Some(key)
}

/// Text with its length before it, so that no two lists of texts give the same bytes.
fn field(key: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend(length.to_le_bytes());
    key.extend(text.as_bytes());
}

fn bits(key: &mut Vec<u8>, answers: impl Iterator<Item = bool>) {
    let mut byte = 0;
    let mut filled = 0;
    for answer in answers {
        byte = byte << 1 | u8::from(answer);
        filled += 1;
        if filled == 8 {
            key.push(byte);
            (byte, filled) = (0, 0);
        }
    }
    if filled > 0 {
        key.push(byte);
    }
}

fn address(key: &mut Vec<u8>, client: IpAddr) {
    let wide = match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    key.extend(wide.octets());
}
