//! Sentences that are not part of a template: form errors, greetings and the like.
//!
//! Wording: what is wrong and what to do; no technology, no blame, no hint whether an account exists.

use std::time::Duration;

/// The same for an unknown name, a wrong password and a disabled account.
pub(crate) const NO_MATCH: &str = "That name and password do not match.";
pub(crate) const FORM_EXPIRED: &str =
    "This page was open for too long, so nothing was sent. Your entries are kept; try once more.";
pub(crate) const NAME_MISSING: &str = "Enter your name or email.";
pub(crate) const PASSWORD_MISSING: &str = "Enter your password.";
pub(crate) const CODE_MISSING: &str = "Enter the code.";
pub(crate) const CODE_SHAPE: &str = "A code has 6 digits.";
pub(crate) const CODE_USED: &str = "That code was used already. Wait for the next one.";
pub(crate) const RECOVERY_CODE_WRONG: &str =
    "That recovery code is not right, or it was used already.";
pub(crate) const PASSWORD_COMMON: &str =
    "That password is on the list of common passwords. Choose one that nobody else would.";
pub(crate) const PASSWORD_PERSONAL: &str =
    "That password contains your name or email. Choose one that does not.";
pub(crate) const PASSWORD_PATTERN: &str =
    "That password repeats or counts. A few unrelated words are harder to guess.";
pub(crate) const PASSWORD_NOT_YOURS: &str = "That is not your password.";
/// The new password is fine, but the code beside it is not.
pub(crate) const FACTOR_WRONG: &str = "That code is not right, or it was used already.";
/// After a right password of an account that lost its second factor.
pub(crate) const NO_SECOND_FACTOR: &str =
    "Your account has no second factor yet. Ask your administrator for an enrolment link.";
/// The half-done sign-in ran out.
pub(crate) const START_AGAIN: &str = "That took too long. Start again with your name and password.";
pub(crate) const PASSWORD_DIFFERS: &str = "The two passwords differ.";
pub(crate) const PASSWORD_LONG: &str = "That password is too long. A long sentence is enough.";
pub(crate) const CODES_NOT_STORED: &str =
    "Tick the box when the codes are stored. They are not shown again.";
pub(crate) const ENROL_CODE_WRONG: &str =
    "That code does not fit the secret. Enter the one that the app shows now.";
pub(crate) const SESSION_ENDED: &str = "That session is ended.";
pub(crate) const SESSION_GONE: &str = "That session had ended before.";

pub(crate) const SESSIONS_ENDED: &str = "All other sessions are ended.";
/// On the tile of an app that no policy opens for this person.
pub(crate) const NOT_GIVEN: &str = "Your groups have not been given access to this app.";
/// On the tile of an app that a policy without words closes.
pub(crate) const RULED_OUT: &str = "A rule keeps this app closed for you.";

/// `clock` is our time now, such as `09:14:20 CET`: phones with a wrong clock make wrong codes.
pub(crate) fn code_wrong(clock: &str) -> String {
    format!(
        "That code is not right or has expired. Your phone's clock may be off: it should read {clock}."
    )
}

/// `until` is a clock time with its zone.
pub(crate) fn too_many_tries(until: &str) -> String {
    format!("Too many tries. Try again at {until}.")
}

pub(crate) fn password_short(least: usize) -> String {
    format!("A password has at least {least} characters. Several words in a row are easy to keep.")
}

/// After a sign-in with a recovery code.
pub(crate) fn recovery_codes_left(left: usize) -> String {
    match left {
        0 => String::from("That was your last recovery code. Make new ones now."),
        1 => String::from("You have 1 recovery code left. Make new ones soon."),
        left => format!("You have {left} recovery codes left."),
    }
}

/// `hour` of the reader's day, 0 to 23.
pub(crate) fn greeting(hour: i8, name: &str) -> String {
    let first = name.split_whitespace().next().unwrap_or(name);
    match hour {
        5..=11 => format!("Good morning, {first}"),
        12..=17 => format!("Good afternoon, {first}"),
        _ => format!("Good evening, {first}"),
    }
}

/// `1 second`, `30 seconds`, `5 minutes`, `2 hours`; parts of a unit are rounded up, so a wait is never told too short.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3_600), "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// `512 bytes`, `32 KiB`, `1 GiB`; whole units only when exact, otherwise one decimal.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                rest => format!("{}.{rest} {name}", tenths / 10),
            };
        }
    }
    format!("{bytes} bytes")
}

/// A TOTP secret or a code in groups of four, as people copy them; spaces it already has do not count.
pub(crate) fn in_groups(text: &str) -> String {
    let mut grouped = String::new();
    let letters = text.chars().filter(|letter| !letter.is_whitespace());
    for (place, letter) in letters.enumerate() {
        if place > 0 && place % 4 == 0 {
            grouped.push(' ');
        }
        grouped.push(letter);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{greeting, in_groups, size, span};

    #[test]
    fn spans_are_words_and_never_too_short() {
        for (millis, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (3_000, "3 seconds"),
            (119_001, "2 minutes"),
            (300_000, "5 minutes"),
            (7_200_000, "2 hours"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn sizes_carry_their_unit() {
        for (bytes, words) in [
            (512, "512 bytes"),
            (32 << 10, "32 KiB"),
            (1 << 30, "1 GiB"),
            (1_536, "1.5 KiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn secrets_are_shown_in_groups_of_four() {
        assert_eq!(in_groups("JBSWY3DPEHPK3PXPA"), "JBSW Y3DP EHPK 3PXP A");
    }

    #[test]
    fn greetings_follow_the_clock_and_use_the_first_name() {
        assert_eq!(greeting(9, "Ana Lima"), "Good morning, Ana");
        assert_eq!(greeting(17, "Ana"), "Good afternoon, Ana");
        assert_eq!(greeting(2, "Ana"), "Good evening, Ana");
    }
}
