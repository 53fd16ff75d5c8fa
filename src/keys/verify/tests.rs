//! Tokens: what is signed verifies, and nothing else does.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::{Expected, TokenError};
use crate::base::Timestamp;
use crate::keys::{MasterKey, TokenSigner, TokenType};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const EXPECTED: Expected<'static> = Expected {
    kind: TokenType::HandOver,
    audience: "grafana.example.com",
    issuer: "https://portal.example.com",
};

fn claims() -> Value {
    json!({
        "iss": "https://portal.example.com", "aud": "grafana.example.com", "sub": "u-1",
        "iat": NOW.secs(), "nbf": NOW.secs(), "exp": NOW.secs() + 60, "jti": "one",
    })
}

fn signer() -> TokenSigner {
    TokenSigner::generate(NOW).unwrap()
}

fn verify(signer: &TokenSigner, token: &str, now: Timestamp) -> Result<Value, TokenError> {
    signer.verify(token, &EXPECTED, now)
}

fn header_of(token: &str) -> Value {
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_token_verifies_until_it_expires() {
    let signer = signer();
    let token = signer.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    assert_eq!(verify(&signer, &token, NOW).unwrap(), claims());
    let last = NOW.plus(Duration::from_secs(59));
    assert!(verify(&signer, &token, last).is_ok());
    let expired = NOW.plus(Duration::from_secs(60));
    assert_eq!(verify(&signer, &token, expired), Err(TokenError::NotNow));
    let early = NOW.minus(Duration::from_secs(1));
    assert_eq!(verify(&signer, &token, early), Err(TokenError::NotNow));
}

#[test]
fn the_header_names_type_algorithm_and_key_only() {
    let signer = signer();
    let token = signer.sign(TokenType::Assertion, &claims(), NOW).unwrap();
    let jwks: Value = serde_json::from_str(&signer.jwks(NOW).unwrap()).unwrap();
    assert_eq!(
        header_of(&token),
        json!({"typ": "portcullis-assertion+jwt", "alg": "ES256", "kid": jwks["keys"][0]["kid"]})
    );
}

#[test]
fn a_token_of_another_type_audience_or_issuer_is_refused() {
    let signer = signer();
    let token = signer.sign(TokenType::Assertion, &claims(), NOW).unwrap();
    assert_eq!(verify(&signer, &token, NOW), Err(TokenError::WrongType));
    for (claim, value) in [
        ("aud", json!("wiki.example.com")),
        ("aud", json!(["grafana.example.com.evil.example"])),
        ("aud", json!(["grafana.example.com"])),
        ("aud", json!(["grafana.example.com", "wiki.example.com"])),
        ("aud", Value::Null),
        ("iss", json!("https://evil.example")),
        ("iss", Value::Null),
        ("exp", json!("1795000060")),
        ("exp", Value::Null),
        ("exp", json!(1e300)),
        ("nbf", json!("now")),
    ] {
        let mut changed = claims();
        changed[claim] = value.clone();
        let token = signer.sign(TokenType::HandOver, &changed, NOW).unwrap();
        assert!(
            matches!(verify(&signer, &token, NOW), Err(TokenError::Rejected(_))),
            "{claim} = {value}"
        );
    }
    for claim in ["exp", "aud", "iss"] {
        let mut changed = claims();
        changed.as_object_mut().unwrap().remove(claim);
        let token = signer.sign(TokenType::HandOver, &changed, NOW).unwrap();
        assert!(verify(&signer, &token, NOW).is_err(), "without {claim}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let signer = signer();
    let token = signer.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    for place in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verify(&signer, &changed, NOW).is_err(), "byte {place}");
    }
}

#[test]
fn none_and_symmetric_algorithms_and_embedded_keys_are_refused() {
    let signer = signer();
    let token = signer.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    let genuine = header_of(&token);
    let rest = token.split_once('.').unwrap().1;
    for (member, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("crit", json!(["exp"])),
        ("kid", json!("unknown")),
        ("kid", Value::Null),
        ("typ", Value::Null),
    ] {
        let mut header = genuine.clone();
        header[member] = value.clone();
        let forged = format!(
            "{}.{rest}",
            BASE64URL_NOPAD.encode(header.to_string().as_bytes())
        );
        assert!(verify(&signer, &forged, NOW).is_err(), "{member} = {value}");
    }
    let public = signer.jwks(NOW).unwrap();
    let kid = genuine["kid"].as_str().unwrap();
    let header = jsonwebtoken::Header {
        typ: Some("portcullis-hand-over+jwt".to_owned()),
        kid: Some(kid.to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
    };
    let confused = jsonwebtoken::EncodingKey::from_secret(public.as_bytes());
    let forged = jsonwebtoken::encode(&header, &claims(), &confused).unwrap();
    assert!(verify(&signer, &forged, NOW).is_err());
    for text in ["", "..", "a.b.c", "not a token", rest] {
        assert!(verify(&signer, text, NOW).is_err(), "{text}");
    }
}

#[test]
fn another_signer_s_token_is_refused() {
    let token = signer().sign(TokenType::HandOver, &claims(), NOW).unwrap();
    assert_eq!(verify(&signer(), &token, NOW), Err(TokenError::UnknownKey));
}

#[test]
fn keys_survive_sealing_and_only_under_their_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::open_or_create(&folder.path().join("one.key")).unwrap();
    let other = MasterKey::open_or_create(&folder.path().join("two.key")).unwrap();
    let signer = signer();
    let sealed = signer.sealed(&master).unwrap();
    let again = TokenSigner::open(&master, &sealed).unwrap();
    let token = signer.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    assert!(verify(&again, &token, NOW).is_ok());
    assert_eq!(again.jwks(NOW).unwrap(), signer.jwks(NOW).unwrap());
    assert!(TokenSigner::open(&other, &sealed).is_err());
}

#[test]
fn the_key_set_is_public_and_its_ids_are_thumbprints() {
    let set: Value = serde_json::from_str(&signer().jwks(NOW).unwrap()).unwrap();
    let key = &set["keys"][0];
    assert_eq!(key["kty"], "EC");
    assert_eq!(key["crv"], "P-256");
    assert_eq!(key["use"], "sig");
    assert_eq!(key["alg"], "ES256");
    assert!(key.get("d").is_none());
    // RFC 7638 section 3.2: the required members of an EC key in lexicographic order.
    let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = BASE64URL_NOPAD.encode(&crate::keys::sha256(canonical.as_bytes()));
    assert_eq!(key["kid"], thumbprint.as_str());
}

#[test]
fn a_rotated_key_is_published_before_it_signs_and_the_old_one_after_it_signed() {
    let day = Duration::from_secs(86_400);
    let old = signer();
    let both = old.rotated(NOW, day, 7 * day).unwrap();
    let kids = |at: Timestamp| -> Vec<String> {
        let set: Value = serde_json::from_str(&both.jwks(at).unwrap()).unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    };
    let used_at = |at: Timestamp| {
        let token = both.sign(TokenType::HandOver, &claims(), at).unwrap();
        header_of(&token)["kid"].as_str().unwrap().to_owned()
    };
    let published = kids(NOW);
    assert_eq!(published.len(), 2);
    assert_eq!(used_at(NOW), published[0]);
    assert_eq!(used_at(NOW.plus(day)), published[1]);
    assert_eq!(both.newest_from(), NOW.plus(day));
    assert_eq!(kids(NOW.plus(8 * day - Duration::from_secs(1))).len(), 2);
    assert_eq!(kids(NOW.plus(8 * day)), [published[1].clone()]);
    let token = old.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    assert!(verify(&both, &token, NOW).is_ok());
    let emergency = both.rotated(NOW, Duration::ZERO, Duration::ZERO).unwrap();
    let fresh = emergency.sign(TokenType::HandOver, &claims(), NOW).unwrap();
    assert!(!published.contains(&header_of(&fresh)["kid"].as_str().unwrap().to_owned()));
}

#[test]
fn a_clock_behind_the_first_key_still_finds_a_key() {
    let early = NOW.minus(Duration::from_secs(3600));
    assert!(signer().sign(TokenType::Access, &claims(), early).is_ok());
}
