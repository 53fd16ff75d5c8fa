//! ES256 token signing: identity assertions.
//!
//! Keys take turns: a new one is published before it signs, an old one stays published until every token under it
//! has expired. Which claims a token carries is decided elsewhere; a token of one type never passes for another.

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use data_encoding::BASE64;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{KeyError, MasterKey};
use crate::base::Timestamp;

const CONTEXT: &[u8] = b"token-signer\0";

/// What a token is for; its `typ` header (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TokenType {
    /// Who is asking, for the service behind.
    Assertion,
}

impl TokenType {
    pub(crate) const fn typ(self) -> &'static str {
        match self {
            Self::Assertion => "portcullis-assertion+jwt",
        }
    }
}

/// One key pair and its times.
struct Pair {
    kid: String,
    signing: EncodingKey,
    public: Jwk,
    signs_from: Timestamp,
    kept_until: Option<Timestamp>,
}

/// Signs tokens with the key whose turn it is. Immutable: rotation makes a new value.
pub(crate) struct TokenSigner {
    /// In the order in which they sign; never empty.
    pairs: Vec<Pair>,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.pairs.iter().map(|pair| &pair.kid))
            .finish()
    }
}

/// The stored form, sealed as a whole.
#[derive(Serialize, Deserialize)]
struct Stored {
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredKey {
    /// Base64 of PKCS#8 version 1.
    pkcs8: String,
    /// Unix microseconds.
    signs_from: i64,
    kept_until: Option<i64>,
}

impl TokenSigner {
    /// One new key that signs from `now`.
    pub(crate) fn generate(now: Timestamp) -> Result<Self, KeyError> {
        Ok(Self {
            pairs: vec![Pair::generate(now)?],
        })
    }

    /// Reads what [`Self::sealed`] gave.
    pub(crate) fn open(master: &MasterKey, sealed: &[u8]) -> Result<Self, KeyError> {
        let unreadable = || KeyError::Unreadable("token signing key");
        let plain = master.open(CONTEXT, sealed)?;
        let stored: Stored = serde_json::from_slice(&plain).map_err(|_not_ours| unreadable())?;
        let pairs = stored
            .keys
            .iter()
            .map(Pair::from_stored)
            .collect::<Result<Vec<_>, _>>()?;
        if pairs.is_empty() {
            return Err(unreadable());
        }
        Ok(Self { pairs })
    }

    /// All keys for the store.
    pub(crate) fn sealed(&self, master: &MasterKey) -> Result<Vec<u8>, KeyError> {
        let stored = Stored {
            keys: self.pairs.iter().map(Pair::to_stored).collect(),
        };
        let plain = serde_json::to_vec(&stored)
            .map(Zeroizing::new)
            .map_err(|_impossible| KeyError::Unreadable("token signing key"))?;
        master.seal(CONTEXT, &plain)
    }

    /// Adds a key that is published at once and signs after `notice`; the key before it stays published for `keep`
    /// after that. Keys whose time is over go. With no `notice`, for emergencies, the new key signs at once.
    pub(crate) fn rotated(
        &self,
        now: Timestamp,
        notice: Duration,
        keep: Duration,
    ) -> Result<Self, KeyError> {
        let signs_from = now.plus(notice);
        let mut pairs: Vec<Pair> = self
            .pairs
            .iter()
            .filter(|pair| pair.is_published(now))
            .map(|pair| {
                let mut stored = pair.to_stored();
                if stored.kept_until.is_none() {
                    stored.kept_until = Some(signs_from.plus(keep).micros());
                }
                Pair::from_stored(&stored)
            })
            .collect::<Result<_, _>>()?;
        pairs.push(Pair::generate(signs_from)?);
        Ok(Self { pairs })
    }

    /// When the newest key started or will start to sign; tells whether rotation is due.
    pub(crate) fn newest_from(&self) -> Timestamp {
        self.pairs
            .last()
            .map_or(Timestamp::EPOCH, |pair| pair.signs_from)
    }

    /// A compact JWS over `claims`, signed by the key whose turn it is at `now`.
    pub(crate) fn sign<C: Serialize>(
        &self,
        kind: TokenType,
        claims: &C,
        now: Timestamp,
    ) -> Result<String, KeyError> {
        let pair = self
            .pairs
            .iter()
            .rev()
            .find(|pair| pair.signs_from <= now)
            // The clock went back before the first key's time; that key is as good as ever.
            .or_else(|| self.pairs.first())
            .ok_or(KeyError::Refused("find a signing key"))?;
        let header = Header {
            typ: Some(kind.typ().to_owned()),
            kid: Some(pair.kid.clone()),
            ..Header::new(Algorithm::ES256)
        };
        super::install_providers();
        jsonwebtoken::encode(&header, claims, &pair.signing).map_err(KeyError::Signing)
    }

    /// The public keys as a JWK set (RFC 7517), JSON, media type `application/jwk-set+json`.
    pub(crate) fn jwks(&self, now: Timestamp) -> Result<String, KeyError> {
        let keys = self
            .pairs
            .iter()
            .filter(|pair| pair.is_published(now))
            .map(|pair| pair.public.clone())
            .collect();
        serde_json::to_string(&JwkSet { keys })
            .map_err(|_impossible| KeyError::Unreadable("token signing key"))
    }
}

impl Pair {
    fn generate(signs_from: Timestamp) -> Result<Self, KeyError> {
        let refused = |_unspecified| KeyError::Refused("make a signing key");
        let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(refused)?;
        Self::from_pkcs8(pkcs8.as_ref(), signs_from, None)
    }

    fn from_pkcs8(
        pkcs8: &[u8],
        signs_from: Timestamp,
        kept_until: Option<Timestamp>,
    ) -> Result<Self, KeyError> {
        let unreadable = |_source| KeyError::Unreadable("token signing key");
        super::install_providers();
        let signing = EncodingKey::from_ec_der(pkcs8);
        let mut public = Jwk::from_encoding_key(&signing, Algorithm::ES256).map_err(unreadable)?;
        let kid = public
            .thumbprint(ThumbprintHash::SHA256)
            .map_err(unreadable)?;
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_id = Some(kid.clone());
        Ok(Self {
            kid,
            signing,
            public,
            signs_from,
            kept_until,
        })
    }

    fn from_stored(stored: &StoredKey) -> Result<Self, KeyError> {
        let pkcs8 = BASE64
            .decode(stored.pkcs8.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_not_base64| KeyError::Unreadable("token signing key"))?;
        Self::from_pkcs8(
            &pkcs8,
            Timestamp::from_micros(stored.signs_from),
            stored.kept_until.map(Timestamp::from_micros),
        )
    }

    fn to_stored(&self) -> StoredKey {
        StoredKey {
            pkcs8: BASE64.encode(self.signing.as_bytes()),
            signs_from: self.signs_from.micros(),
            kept_until: self.kept_until.map(Timestamp::micros),
        }
    }

    fn is_published(&self, now: Timestamp) -> bool {
        self.kept_until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use data_encoding::BASE64URL_NOPAD;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::{Value, json};

    use super::{TokenSigner, TokenType};
    use crate::base::Timestamp;
    use crate::keys::MasterKey;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn signer() -> TokenSigner {
        TokenSigner::generate(NOW).unwrap()
    }

    fn signed(signer: &TokenSigner, at: Timestamp) -> String {
        let claims = json!({"sub": "u-1"});
        signer.sign(TokenType::Assertion, &claims, at).unwrap()
    }

    fn header_of(token: &str) -> Value {
        let part = token.split('.').next().unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    }

    /// As an upstream does it: with the published key that the token names.
    fn verifies(token: &str, jwks: &str) -> bool {
        let set: JwkSet = serde_json::from_str(jwks).unwrap();
        let header = header_of(token);
        let Some(key) = set.find(header["kid"].as_str().unwrap()) else {
            return false;
        };
        let mut rules = Validation::new(Algorithm::ES256);
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_jwk(key).unwrap();
        jsonwebtoken::decode::<Value>(token, &key, &rules).is_ok()
    }

    #[test]
    fn the_header_names_type_algorithm_and_key_only() {
        let signer = signer();
        let jwks: Value = serde_json::from_str(&signer.jwks(NOW).unwrap()).unwrap();
        assert_eq!(
            header_of(&signed(&signer, NOW)),
            json!({"typ": "portcullis-assertion+jwt", "alg": "ES256", "kid": jwks["keys"][0]["kid"]})
        );
    }

    #[test]
    fn the_published_key_verifies_what_was_signed_and_another_signer_s_does_not() {
        let signer = signer();
        let token = signed(&signer, NOW);
        assert!(verifies(&token, &signer.jwks(NOW).unwrap()));
        let other = self::signer().jwks(NOW).unwrap();
        assert!(!verifies(&token, &other));
    }

    #[test]
    fn keys_survive_sealing_and_only_under_their_master_key() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::open_or_create(&folder.path().join("one.key")).unwrap();
        let other = MasterKey::open_or_create(&folder.path().join("two.key")).unwrap();
        let signer = signer();
        let sealed = signer.sealed(&master).unwrap();
        let again = TokenSigner::open(&master, &sealed).unwrap();
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
        let used_at = |at| {
            header_of(&signed(&both, at))["kid"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let published = kids(NOW);
        assert_eq!(published.len(), 2);
        assert_eq!(used_at(NOW), published[0]);
        assert_eq!(used_at(NOW.plus(day)), published[1]);
        assert_eq!(both.newest_from(), NOW.plus(day));
        assert_eq!(kids(NOW.plus(8 * day - Duration::from_secs(1))).len(), 2);
        assert_eq!(kids(NOW.plus(8 * day)), [published[1].clone()]);
        assert!(verifies(&signed(&old, NOW), &both.jwks(NOW).unwrap()));
    }

    #[test]
    fn a_clock_behind_the_first_key_still_finds_a_key() {
        let signer = signer();
        let early = NOW.minus(Duration::from_secs(3600));
        assert!(verifies(
            &signed(&signer, early),
            &signer.jwks(NOW).unwrap()
        ));
    }
}
