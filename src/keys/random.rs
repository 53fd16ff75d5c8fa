//! Unpredictable bytes from the operating-system-seeded generator of aws-lc-rs.

use std::cell::RefCell;

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

thread_local! {
    /// Numbers drawn ahead: asking the generator 64 times costs many times more than asking once for as much.
    static STOCK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// 64 random bits, for identifiers. Not for secrets: the numbers wait in memory until they are used.
pub(crate) fn u64() -> u64 {
    STOCK.with_borrow_mut(|stock| {
        if stock.is_empty() {
            let drawn = bytes::<512>();
            let (numbers, _rest) = drawn.as_chunks::<8>();
            stock.extend(numbers.iter().copied().map(u64::from_ne_bytes));
        }
        stock.pop().unwrap_or_else(|| u64::from_ne_bytes(bytes()))
    })
}

/// A nonce of 96 random bits (NIST SP 800-38D section 8.2.2): it has to be new, not secret, so it may be drawn ahead.
pub(super) fn nonce() -> [u8; 12] {
    let mut nonce = [0; 12];
    let drawn = u64().to_ne_bytes().into_iter().chain(u64().to_ne_bytes());
    for (to, from) in nonce.iter_mut().zip(drawn) {
        *to = from;
    }
    nonce
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

    #[test]
    fn no_nonce_comes_twice_and_all_its_bits_are_used() {
        let nonces: HashSet<[u8; 12]> = (0..10_000).map(|_| super::nonce()).collect();
        assert_eq!(nonces.len(), 10_000);
        let seen = nonces.iter().fold([0; 12], |mut seen, nonce| {
            for (seen, byte) in seen.iter_mut().zip(nonce) {
                *seen |= byte;
            }
            seen
        });
        assert_eq!(seen, [0xff; 12]);
    }

    #[test]
    fn no_number_comes_twice() {
        let numbers: HashSet<u64> = (0..10_000).map(|_| super::u64()).collect();
        assert_eq!(numbers.len(), 10_000);
    }
}
