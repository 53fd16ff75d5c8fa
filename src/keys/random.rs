//! Unpredictable bytes from the operating-system-seeded generator of aws-lc-rs.

use data_encoding::BASE64URL_NOPAD;

use crate::base::Secret;

/// `N` random bytes.
#[expect(
    clippy::expect_used,
    reason = "the generator fails only if the machine has no entropy source; going on without one would be worse"
)]
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    aws_lc_rs::rand::fill(&mut out).expect("the machine has a source of randomness");
    out
}

/// 64 random bits, for identifiers.
pub(crate) fn u64() -> u64 {
    u64::from_ne_bytes(bytes())
}

/// 256 random bits as 43 characters of base64url, for cookies and links.
pub(crate) fn token() -> Secret<String> {
    Secret::new(BASE64URL_NOPAD.encode(&bytes::<32>()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn tokens_are_43_url_safe_characters_and_differ() {
        let tokens: HashSet<String> = (0..1000).map(|_| super::token().expose().clone()).collect();
        assert_eq!(tokens.len(), 1000);
        for token in tokens {
            assert_eq!(token.len(), 43);
            assert!(
                token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            );
        }
    }

    #[test]
    fn numbers_use_all_their_bits() {
        let seen = (0..1000).fold(0, |seen, _| seen | super::u64());
        assert_eq!(seen, u64::MAX);
    }
}
