//! The opening handshake of a WebSocket that we make ourselves, for a client that speaks HTTP/2 (RFC 6455 section 4).
//!
//! The key proves nothing about anybody; it makes sure that whoever answers 101 understood what it was asked. Nothing
//! here is secret.

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::keys::random;

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A handshake under way.
pub(super) struct Handshake {
    /// What `Sec-WebSocket-Accept` has to say.
    proof: String,
}

impl Handshake {
    /// A handshake and the field that carries its fresh key.
    pub(super) fn begin() -> Option<(Self, (HeaderName, HeaderValue))> {
        let key = BASE64.encode(&random::bytes::<16>());
        let proof = proof(&key);
        let key = HeaderValue::try_from(key).ok()?;
        Some((Self { proof }, (header::SEC_WEBSOCKET_KEY, key)))
    }

    /// The answer took up this handshake and no other.
    pub(super) fn is_taken_up(&self, headers: &HeaderMap) -> bool {
        let mut said = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        said.next().is_some_and(|said| *said == self.proof) && said.next().is_none()
    }
}

/// SHA-1 is what RFC 6455 prescribes here; no security rests on it.
fn proof(key: &str) -> String {
    let text = [key, GUID].concat();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    BASE64.encode(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Handshake, proof};

    #[test]
    fn the_proof_agrees_with_the_standards_example() {
        let expected = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), expected);
    }

    #[test]
    fn a_handshake_is_taken_up_by_its_own_proof_said_once() {
        let (handshake, (name, key)) = Handshake::begin().unwrap();
        assert_eq!(name, "sec-websocket-key");
        let own = proof(key.to_str().unwrap());
        let answer = |proofs: &[&str]| {
            let mut headers = HeaderMap::new();
            for said in proofs {
                headers.append("sec-websocket-accept", said.parse().unwrap());
            }
            headers
        };
        assert!(handshake.is_taken_up(&answer(&[&own])));
        for refused in [&[][..], &["x"], &[&own, &own], &[&own.to_lowercase()]] {
            assert!(!handshake.is_taken_up(&answer(refused)), "{refused:?}");
        }
        let (other, _key) = Handshake::begin().unwrap();
        assert!(!other.is_taken_up(&answer(&[&own])));
    }
}
