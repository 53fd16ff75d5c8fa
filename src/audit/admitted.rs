//! The binary form of an admission in the journal.
//!
//! `length u32 | check u64 | payload`, big-endian. The check (64 bits) finds a torn record, not a
//! forger: the journal is a promise to ourselves and is gone as soon as the entries it stands for are durable.

use std::net::{IpAddr, Ipv6Addr};

use super::entry::Admission;
use super::line::{Fields, LONG, SHORT};
use crate::base::{Reason, RequestId, Timestamp};

/// Longest text kept of any one value, in bytes.
const TEXT: usize = 4_096;
/// Most policies kept.
const POLICIES: usize = 64;
/// No payload is longer.
const PAYLOAD: u32 = 1 << 20;

/// An admission as read back from the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) id: RequestId,
    received: Timestamp,
    client: IpAddr,
    pub(super) principal: Option<String>,
    session: Option<String>,
    route: String,
    method: String,
    host: String,
    path: String,
    path_sealed: bool,
    policies: Vec<String>,
}

/// Appends one record for `admission` to `out`.
pub(super) fn encode(out: &mut Vec<u8>, admission: &Admission<'_>) {
    frame(out, |out| {
        out.extend_from_slice(&admission.id.to_u128().to_be_bytes());
        out.extend_from_slice(&admission.received.micros().to_be_bytes());
        out.push(u8::from(admission.path_sealed));
        let client = match admission.client {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        out.extend_from_slice(&client.octets());
        text(out, admission.principal.map_or("", |id| id.as_str()));
        text(out, admission.session.map_or("", |id| id.as_str()));
        text(out, admission.route.as_str());
        text(out, admission.method);
        text(out, admission.host);
        text(out, admission.path);
        for policy in admission.policies.iter().take(POLICIES) {
            text(out, policy.as_str());
        }
    });
}

/// Appends `payload`, read from an older file, as a record of its own.
pub(super) fn encode_again(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, |out| out.extend_from_slice(payload));
}

fn frame(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    fill(out);
    let Some((head, payload)) = out
        .get_mut(start..)
        .and_then(|record| record.split_at_mut_checked(HEAD))
    else {
        return;
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let values = length
        .to_be_bytes()
        .into_iter()
        .chain(check(payload).to_be_bytes());
    for (to, from) in head.iter_mut().zip(values) {
        *to = from;
    }
}

const HEAD: usize = 12;

/// FNV-1a with eight bytes to a step: the multiplication carries a change upwards only, so the halves change places.
fn check(payload: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| {
        (hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(32)
    };
    let (words, rest) = payload.as_chunks::<8>();
    let whole = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        step(hash, u64::from_be_bytes(*word))
    });
    rest.iter()
        .fold(whole, |hash, byte| step(hash, u64::from(*byte)))
}

fn text(out: &mut Vec<u8>, value: &str) {
    let mut end = value.len().min(TEXT);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let (kept, _cut) = value.split_at(end);
    out.extend_from_slice(&u16::try_from(end).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(kept.as_bytes());
}

/// Splits the next record off `bytes`: its payload and what follows. `None` at the end or at a torn record.
pub(super) fn next_payload(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_be_bytes(*length);
    if length > PAYLOAD {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (check(payload) == u64::from_be_bytes(*sum)).then_some((payload, rest))
}

impl Admitted {
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (id, rest) = payload.split_first_chunk::<16>()?;
        let (received, rest) = rest.split_first_chunk::<8>()?;
        let (path_sealed, rest) = rest.split_first()?;
        let (client, rest) = rest.split_first_chunk::<16>()?;
        let mut rest = rest;
        let mut next = || -> Option<String> {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (value, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            String::from_utf8(value.to_vec()).ok()
        };
        let some = |value: String| (!value.is_empty()).then_some(value);
        Some(Self {
            id: RequestId::from_u128(u128::from_be_bytes(*id)),
            received: Timestamp::from_micros(i64::from_be_bytes(*received)),
            client: IpAddr::V6(Ipv6Addr::from(*client)).to_canonical(),
            path_sealed: *path_sealed == 1,
            principal: some(next()?),
            session: some(next()?),
            route: next()?,
            method: next()?,
            host: next()?,
            path: next()?,
            policies: std::iter::from_fn(next).collect(),
        })
    }

    /// The entry of a request of which only the admission is known.
    pub(super) fn write(&self, reason: Reason, clear: &mut Fields<'_>, personal: &mut Fields<'_>) {
        clear.text("event.name", "http.request", SHORT);
        clear.request("portcullis.request.id", self.id);
        clear.text_if("user.id", self.principal.as_deref(), SHORT);
        clear.text_if("session.id", self.session.as_deref(), SHORT);
        personal.address("client.address", self.client);
        clear.text("server.address", &self.host, SHORT);
        clear.text("http.route", &self.route, SHORT);
        clear.text("http.request.method", &self.method, SHORT);
        if self.path_sealed {
            personal.text("url.path", &self.path, LONG);
        } else {
            clear.text("url.path", &self.path, LONG);
        }
        clear.text("portcullis.decision", "allow", SHORT);
        clear.text("portcullis.reason", reason.code(), SHORT);
        clear.text("portcullis.outcome", "interrupted", SHORT);
        if !self.policies.is_empty() {
            let policies = self.policies.iter().map(String::as_str);
            clear.list("security_rule.name", policies, LONG);
        }
        clear.time("portcullis.received", self.received);
    }

    pub(super) const fn received(&self) -> Timestamp {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Admitted, encode, next_payload};
    use crate::base::{PolicyId, PrincipalId, RequestId, RouteName, Timestamp};

    fn record(path: &str) -> Vec<u8> {
        let admission = super::Admission {
            id: RequestId::from_u128(77),
            received: Timestamp::from_secs(9),
            client: "198.51.100.7".parse().unwrap(),
            principal: Some(&PrincipalId::new("u-41")),
            session: None,
            route: &RouteName::new("billing"),
            method: "POST",
            host: "billing.example.com",
            path,
            path_sealed: true,
            policies: &[PolicyId::new("a"), PolicyId::new("b")],
        };
        let mut out = Vec::new();
        encode(&mut out, &admission);
        out
    }

    #[test]
    fn an_admission_reads_back_whole() {
        let bytes = record("/admin");
        let (payload, rest) = next_payload(&bytes).unwrap();
        let back = Admitted::decode(payload).unwrap();
        assert!(rest.is_empty());
        assert_eq!(back.id.to_u128(), 77);
        assert_eq!(back.path, "/admin");
        assert_eq!(back.policies, ["a", "b"]);
        assert_eq!(back.client.to_string(), "198.51.100.7");
    }

    #[test]
    fn a_torn_or_changed_record_is_no_record() {
        let bytes = record("/admin");
        for length in 0..bytes.len() {
            assert!(next_payload(&bytes[..length]).is_none());
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(next_payload(&changed).is_none(), "{place}");
        }
    }

    proptest! {
        #[test]
        fn any_path_survives_up_to_its_limit(path in any::<String>()) {
            let bytes = record(&path);
            let back = Admitted::decode(next_payload(&bytes).unwrap().0).unwrap();
            prop_assert!(path.starts_with(&back.path));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((payload, rest)) = next_payload(&bytes) {
                prop_assert!(payload.len() + rest.len() < bytes.len());
            }
            prop_assert!(Admitted::decode(&bytes).is_none_or(|back| back.host.len() < 200));
        }
    }
}
