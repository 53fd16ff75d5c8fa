//! Recovery codes: a second factor for the day the phone is gone.
//!
//! A code has 125 random bits, so a plain SHA-256 of it may be stored (SP 800-63B-4 section 4.2.1.1 wants a password
//! hash only below 112 bits). That each works once is a single call to the store; this file never marks one as used.

use zeroize::Zeroizing;

use crate::base::{PrincipalId, Secret};
use crate::keys;
use crate::store::Hash;

/// Crockford's base 32: no I, L, O or U, so that a code read from paper is typed right.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SYMBOLS: usize = 25;
const GROUP: usize = 5;
/// A code with any sensible grouping is shorter than this.
const MOST_TYPED: usize = 64;

/// One code as it is shown, once: `k7qp3-mzdx0-va9wt-nr4he-8c2jx`.
#[derive(Debug, Clone)]
pub(crate) struct RecoveryCode(Secret<String>);

impl RecoveryCode {
    /// A fresh code.
    pub(crate) fn generate() -> Self {
        let random = Zeroizing::new(keys::random::bytes::<SYMBOLS>());
        let mut text = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
        for (place, byte) in random.iter().enumerate() {
            if place > 0 && place % GROUP == 0 {
                text.push('-');
            }
            // 256 is a multiple of 32, so the low five bits are uniform.
            let letter = ALPHABET.get(usize::from(byte & 31)).copied();
            text.push(char::from(letter.unwrap_or(b'0')));
        }
        Self(Secret::new(text))
    }

    /// As many fresh codes as asked for.
    pub(crate) fn generate_set(count: usize) -> Vec<Self> {
        (0..count).map(|_place| Self::generate()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        self.0.expose()
    }

    /// What the store keeps.
    pub(crate) fn hash(&self, owner: &PrincipalId) -> Hash {
        hash_of(owner, &canonical(self.text()))
    }
}

/// The hash of what a person typed, or `None` when it cannot be a code: wrong length or foreign symbols.
///
/// Case, spaces and hyphens do not matter; `O` reads as zero, `I` and `L` as one.
pub(crate) fn hash_typed(owner: &PrincipalId, typed: &str) -> Option<Hash> {
    if typed.len() > MOST_TYPED {
        return None;
    }
    let canonical = canonical(typed);
    let well_formed =
        canonical.len() == SYMBOLS && canonical.bytes().all(|byte| ALPHABET.contains(&byte));
    well_formed.then(|| hash_of(owner, &canonical))
}

fn canonical(typed: &str) -> Zeroizing<String> {
    let symbols = typed
        .chars()
        .filter(|symbol| !matches!(symbol, ' ' | '-' | '\u{a0}'))
        .map(|symbol| match symbol.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        });
    Zeroizing::new(symbols.collect())
}

/// The owner is part of the input, so a code stolen from one person's list is no one else's code.
fn hash_of(owner: &PrincipalId, canonical: &str) -> Hash {
    let input = Zeroizing::new(format!("recovery-code\0{owner}\0{canonical}"));
    keys::sha256(input.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{RecoveryCode, hash_typed};
    use crate::base::PrincipalId;

    #[test]
    fn codes_have_five_groups_of_five_and_differ() {
        let codes = RecoveryCode::generate_set(10);
        let texts: BTreeSet<&str> = codes.iter().map(RecoveryCode::text).collect();
        assert_eq!(texts.len(), 10);
        for text in texts {
            let groups: Vec<&str> = text.split('-').collect();
            assert_eq!(groups.len(), 5, "{text}");
            assert!(groups.iter().all(|group| group.len() == 5), "{text}");
        }
    }

    #[test]
    fn spelling_does_not_matter_and_content_does() {
        let owner = PrincipalId::new("u-41");
        let code = RecoveryCode::generate();
        let stored = code.hash(&owner);
        let plain: String = code.text().replace('-', "").to_uppercase();
        for typed in [
            code.text().to_owned(),
            plain.replace('0', "O").replace('1', "l"),
            format!(" {} ", code.text().replace('-', " ")),
        ] {
            assert_eq!(hash_typed(&owner, &typed), Some(stored), "{typed}");
        }
        let last = if plain.ends_with('X') { "Y" } else { "X" };
        let other = format!("{}{last}", plain.get(..24).unwrap());
        assert_ne!(hash_typed(&owner, &other), Some(stored));
    }

    #[test]
    fn another_persons_code_has_another_hash() {
        let code = RecoveryCode::generate();
        assert_ne!(
            code.hash(&PrincipalId::new("u-1")),
            code.hash(&PrincipalId::new("u-2"))
        );
    }

    #[test]
    fn text_that_cannot_be_a_code_has_no_hash() {
        let owner = PrincipalId::new("u-41");
        for typed in [
            "",
            "123456",
            "k7qp3-mzdx0-va9wt-nr4he-8c2j",
            "k7qp3-mzdx0-va9wt-nr4he-8c2ju",
        ] {
            assert_eq!(hash_typed(&owner, typed), None, "{typed}");
        }
        assert_eq!(hash_typed(&owner, &"-".repeat(1000)), None);
    }
}
