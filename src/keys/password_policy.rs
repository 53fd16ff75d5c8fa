//! Which passwords may be chosen (SP 800-63B-4 section 3.1.1.2): long enough, not on the list of common ones, not made
//! of the person's own names. No rules about kinds of characters.

use unicode_normalization::UnicodeNormalization as _;

use super::common_passwords;
use crate::base::Secret;

/// Longer ones are never hashed, whatever the policy says: four bytes for each of 1024 characters.
pub(super) const MAX_BYTES: usize = 4096;

/// The rules for a new password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PasswordPolicy {
    /// In Unicode code points after normalisation.
    pub(crate) min_length: usize,
    /// The same. Longer passwords are refused rather than cut.
    pub(crate) max_length: usize,
}

/// Why a password was not accepted, in words for the person choosing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPassword {
    #[error("use at least {min_length} characters")]
    TooShort { min_length: usize },
    #[error("use at most {max_length} characters; a long sentence is enough")]
    TooLong { max_length: usize },
    #[error("this password is on a list of common passwords")]
    Common,
    #[error("the password contains your name or e-mail address")]
    Personal,
    #[error("the password repeats or counts; a few unrelated words are harder to guess")]
    Pattern,
}

impl PasswordPolicy {
    /// Accepts or refuses `password`. `names` are the person's login, e-mail address and the like.
    pub(crate) fn check(
        &self,
        password: &Secret<String>,
        names: &[&str],
    ) -> Result<(), WeakPassword> {
        let normal = normalised(password);
        let text = normal.expose();
        let length = text.chars().count();
        if length > self.max_length || text.len() > MAX_BYTES {
            return Err(WeakPassword::TooLong {
                max_length: self.max_length,
            });
        }
        if length < self.min_length {
            return Err(WeakPassword::TooShort {
                min_length: self.min_length,
            });
        }
        let folded = Secret::new(text.to_lowercase());
        if is_pattern(folded.expose()) {
            return Err(WeakPassword::Pattern);
        }
        if is_personal(folded.expose(), names) {
            return Err(WeakPassword::Personal);
        }
        if common_passwords::contains(folded.expose()) {
            return Err(WeakPassword::Common);
        }
        Ok(())
    }
}

/// The form that is hashed: Unicode normalisation form C, so that the same keys give the same password everywhere.
pub(super) fn normalised(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfc().collect())
}

/// A unit of at most a third of the text repeated to its end, or characters that count up or down nearly all the way.
fn is_pattern(text: &str) -> bool {
    let signs: Vec<char> = text.chars().collect();
    let repeats = (1..=signs.len() / 3).any(|unit| {
        signs
            .iter()
            .zip(signs.iter().skip(unit))
            .all(|(one, next)| one == next)
    });
    let runs = |step: i64| {
        signs
            .iter()
            .zip(signs.iter().skip(1))
            .filter(|(one, next)| {
                i64::from(u32::from(**next)) - i64::from(u32::from(**one)) == step
            })
            .count()
    };
    let most = signs.len().saturating_sub(3);
    repeats || signs.len() > 3 && (runs(1) >= most || runs(-1) >= most)
}

/// Contains one of the names, or the part of an address before the `@`, of four characters or more.
fn is_personal(folded: &str, names: &[&str]) -> bool {
    names
        .iter()
        .flat_map(|name| [*name, name.split('@').next().unwrap_or(name)])
        .map(str::to_lowercase)
        .any(|name| name.chars().count() >= 4 && folded.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::{PasswordPolicy, WeakPassword, normalised};
    use crate::base::Secret;

    const POLICY: PasswordPolicy = PasswordPolicy {
        min_length: 12,
        max_length: 256,
    };

    fn check(password: &str) -> Result<(), WeakPassword> {
        POLICY.check(
            &Secret::new(password.to_owned()),
            &["ada.lovelace", "ada@example.com", "Bo"],
        )
    }

    #[test]
    fn length_counts_code_points_after_normalisation() {
        assert_eq!(
            check("kx9!wq2 vbz"),
            Err(WeakPassword::TooShort { min_length: 12 })
        );
        assert_eq!(check("kx9!wq2 vbzm"), Ok(()));
        assert_eq!(check("zwölfzeichen"), Ok(()));
        // Twelve typed code points, eleven after `o` and a combining diaeresis became one.
        assert_eq!(
            check("zwo\u{308}lfzeich\u{65}"),
            Err(WeakPassword::TooShort { min_length: 12 })
        );
    }

    #[test]
    fn a_very_long_password_is_refused_and_a_long_one_taken() {
        let long: String = (0_u32..64)
            .filter_map(|n| char::from_u32(33 + n * 37 % 90))
            .collect();
        assert_eq!(check(&long), Ok(()));
        let refused = Err(WeakPassword::TooLong { max_length: 256 });
        assert_eq!(check(&long.repeat(5)), refused);
    }

    #[test]
    fn the_greatest_length_counts_characters_as_the_least_does() {
        let short = PasswordPolicy {
            max_length: 64,
            ..POLICY
        };
        let say = |length: usize| {
            let text: String = "zwölf Störche über Nürnberg und"
                .chars()
                .cycle()
                .take(length)
                .collect();
            short.check(&Secret::new(text + "kx9!wq2 vbzm"), &[])
        };
        assert_eq!(say(52), Ok(()));
        assert_eq!(say(53), Err(WeakPassword::TooLong { max_length: 64 }));
    }

    #[test]
    fn repeated_and_counting_passwords_are_patterns() {
        for password in [
            "aaaaaaaaaaaa",
            "abcabcabcabca",
            "123456789abcdef",
            "abcdefghijklm",
            "zyxwvutsrqponm",
            "xyxyxyxyxyxyxy",
        ] {
            assert_eq!(check(password), Err(WeakPassword::Pattern), "{password}");
        }
    }

    #[test]
    fn names_of_the_person_are_refused_in_any_case_and_short_ones_ignored() {
        assert_eq!(check("My ADA.Lovelace pw 7"), Err(WeakPassword::Personal));
        assert_eq!(check("my ada@example.com!"), Err(WeakPassword::Personal));
        assert_eq!(check("boring walnut clock"), Ok(()));
    }

    #[test]
    fn common_passwords_are_refused_in_any_case() {
        assert_eq!(check("Password1234"), Err(WeakPassword::Common));
        assert_eq!(
            check("CorrectHorseBatteryStaple"),
            Err(WeakPassword::Common)
        );
    }

    #[test]
    fn composed_and_decomposed_letters_are_the_same_password() {
        let composed = Secret::new("gr\u{f6}\u{df}e".to_owned());
        let decomposed = Secret::new("gro\u{308}\u{df}e".to_owned());
        assert_eq!(normalised(&composed), normalised(&decomposed));
    }
}
