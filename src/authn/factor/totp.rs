//! Codes from an authenticator app (RFC 6238: SHA-1, six digits, thirty seconds).
//!
//! This file says which step a code belongs to. That a step is used once, and none at or below the last accepted
//! one, is a single call to the store; nobody may treat a match as proof before that call said so.

use totp_rs::{Builder, Totp};

use crate::base::{Secret, Timestamp};

/// Bytes of a secret made here: 160 bits (RFC 4226 section 4, R6).
const SECRET_BYTES: usize = 20;
/// The least that an imported secret may have: 128 bits (same place).
const LEAST_SECRET_BYTES: usize = 16;
const MOST_SECRET_BYTES: usize = 128;
const DIGITS: usize = 6;
/// A code with any sensible grouping is shorter than this.
const MOST_TYPED: usize = 32;

/// A secret that cannot serve for codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TotpSecretError {
    #[error("the code secret is not base 32 (letters A to Z and digits 2 to 7)")]
    NotBase32,
    #[error("the code secret has fewer than 128 bits")]
    TooShort,
    #[error("the code secret has more than 1024 bits")]
    TooLong,
}

/// The shared secret of one authenticator app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TotpSecret(Secret<Vec<u8>>);

impl TotpSecret {
    /// A fresh secret of 160 bits from the system's generator.
    pub(crate) fn generate() -> Self {
        let bytes = totp_rs::Secret::generate().as_bytes().to_vec();
        debug_assert_eq!(bytes.len(), SECRET_BYTES);
        Self(Secret::new(bytes))
    }

    /// Takes what was stored or imported.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Result<Self, TotpSecretError> {
        let bytes = Secret::new(bytes);
        match bytes.expose().len() {
            0..LEAST_SECRET_BYTES => Err(TotpSecretError::TooShort),
            LEAST_SECRET_BYTES..=MOST_SECRET_BYTES => Ok(Self(bytes)),
            _ => Err(TotpSecretError::TooLong),
        }
    }

    /// Reads base 32 as people copy it: any case, spaces, hyphens and padding allowed (RFC 4648 section 6).
    pub(crate) fn from_base32(text: &str) -> Result<Self, TotpSecretError> {
        let symbols: String = text
            .chars()
            .filter(|symbol| !matches!(symbol, ' ' | '-' | '='))
            .map(|symbol| symbol.to_ascii_uppercase())
            .collect();
        let bytes = data_encoding::BASE32_NOPAD
            .decode(symbols.as_bytes())
            .map_err(|_not_base32| TotpSecretError::NotBase32)?;
        Self::from_bytes(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.expose()
    }

    /// Base 32 in groups of four, to be typed by a person who cannot scan.
    pub(crate) fn readable(&self) -> Secret<String> {
        let plain = data_encoding::BASE32_NOPAD.encode(self.as_bytes());
        let mut grouped = String::with_capacity(plain.len() + plain.len() / 4);
        for (place, symbol) in plain.chars().enumerate() {
            if place > 0 && place % 4 == 0 {
                grouped.push(' ');
            }
            grouped.push(symbol);
        }
        Secret::new(grouped)
    }

    /// The `otpauth://totp/…` address that apps scan. Colons in `issuer` or `account` become hyphens: the format
    /// uses the colon to part the two.
    pub(crate) fn otpauth(&self, issuer: &str, account: &str) -> Secret<String> {
        let issuer = encode(&issuer.replace(':', "-"));
        let account = encode(&account.replace(':', "-"));
        let secret = data_encoding::BASE32_NOPAD.encode(self.as_bytes());
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
        ))
    }

    /// The step that `typed` is the code of: the current one or one on either side of it.
    ///
    /// Spaces and hyphens are ignored. `None` means wrong; the comparison takes constant time.
    pub(crate) fn matching_step(&self, typed: &str, now: Timestamp) -> Option<u64> {
        let code = normalised(typed)?;
        let seconds = u64::try_from(now.secs()).ok()?;
        self.generator().check(&code, seconds)
    }

    #[cfg(test)]
    /// The code of the moment, for tests and for the demonstration.
    pub(crate) fn code_at(&self, now: Timestamp) -> String {
        let seconds = u64::try_from(now.secs()).unwrap_or(0);
        self.generator().generate(seconds).to_string()
    }

    fn generator(&self) -> Totp {
        // The defaults of the builder are SHA-1, six digits, thirty seconds and one step of skew;
        // they are spelled out because the acceptance window is a promise.
        Builder::new()
            .with_algorithm(totp_rs::Algorithm::SHA1)
            .with_digits(6)
            .with_step_duration(30)
            .with_skew(1)
            .with_secret(self.as_bytes().to_vec())
            .build_noncompliant()
    }
}

fn normalised(typed: &str) -> Option<String> {
    if typed.len() > MOST_TYPED {
        return None;
    }
    let code: String = typed
        .chars()
        .filter(|symbol| !matches!(symbol, ' ' | '-' | '\u{a0}'))
        .collect();
    (code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())).then_some(code)
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(
                    char::from_digit(u32::from(nibble), 16)
                        .unwrap_or('0')
                        .to_ascii_uppercase(),
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{TotpSecret, TotpSecretError};
    use crate::base::Timestamp;

    fn rfc_secret() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890".to_vec()).unwrap()
    }

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let now = Timestamp::from_secs(seconds);
            assert_eq!(rfc_secret().code_at(now), code);
            assert_eq!(
                rfc_secret().matching_step(code, now),
                Some(u64::try_from(seconds).unwrap() / 30)
            );
        }
    }

    #[test]
    fn one_step_on_either_side_is_accepted_and_two_are_not() {
        let secret = rfc_secret();
        let now = Timestamp::from_secs(1_111_111_110);
        let step = 1_111_111_110 / 30;
        for (offset, accepted) in [
            (-2_i64, false),
            (-1, true),
            (0, true),
            (1, true),
            (2, false),
        ] {
            let code = secret.code_at(Timestamp::from_secs(1_111_111_110 + offset * 30));
            let found = secret.matching_step(&code, now);
            let expected = accepted.then_some(u64::try_from(step + offset).unwrap());
            assert_eq!(found, expected, "{offset}");
        }
    }

    #[test]
    fn grouping_is_ignored_and_anything_else_is_wrong() {
        let now = Timestamp::from_secs(59);
        for typed in ["287082", "287 082", " 287-082 ", "2 8 7 0 8 2"] {
            assert!(rfc_secret().matching_step(typed, now).is_some(), "{typed}");
        }
        for typed in [
            "",
            "28708",
            "2870820",
            "+87082",
            "28708x",
            "287082287082287082287082287082287082",
            "٢٨٧٠٨٢",
            "287.082",
        ] {
            assert!(rfc_secret().matching_step(typed, now).is_none(), "{typed}");
        }
    }

    #[test]
    fn fresh_secrets_differ_and_survive_reading_back() {
        let secret = TotpSecret::generate();
        assert_eq!(secret.as_bytes().len(), 20);
        assert_ne!(secret, TotpSecret::generate());
        let typed = secret.readable().expose().to_lowercase();
        assert_eq!(TotpSecret::from_base32(&typed).unwrap(), secret);
    }

    #[test]
    fn weak_or_unreadable_secrets_are_refused() {
        assert_eq!(
            TotpSecret::from_base32("JBSWY3DPEHPK3PXP"),
            Err(TotpSecretError::TooShort)
        );
        assert_eq!(
            TotpSecret::from_base32("JBSWY3DPEHPK3PX1JBSWY3DPEHPK3PXP"),
            Err(TotpSecretError::NotBase32)
        );
        assert_eq!(
            TotpSecret::from_base32(&"A".repeat(800)),
            Err(TotpSecretError::TooLong)
        );
    }

    #[test]
    fn the_address_for_apps_names_issuer_and_account_and_escapes_them() {
        let address = rfc_secret().otpauth("Example Ltd: gate", "ana@example.com");
        assert_eq!(
            address.expose(),
            "otpauth://totp/Example%20Ltd-%20gate:ana%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Ltd-%20gate&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(format!("{:?}", rfc_secret()), "TotpSecret(Secret(..))");
    }
}
