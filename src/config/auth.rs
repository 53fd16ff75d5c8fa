//! `[auth]` and `[session]`: how people prove who they are and for how long it holds.

use std::time::Duration;

use super::source::Spanned;
use super::table::table;
use super::types::{Bytes, CookieName, Rate};

table! {
    /// How people prove who they are. The second factor has no switch.
    Auth ["auth"] {
        /// Recovery codes that a person gets at enrolment.
        recovery_codes: u8 = 10, reload;
        /// How long an enrolment link works.
        enrolment_life: Duration = "1h", reload;
        /// Time between the password and the code at sign-in.
        second_step_life: Duration = "5m", reload;
        /// How long the single-use code lives that carries a sign-in from the portal to an app's host.
        handover_life: Duration = "60s", reload;
        /// How long the assertion that an upstream gets is valid.
        assertion_life: Duration = "60s", reload;
        /// Sign-in attempts from one address (IPv6: one /64).
        attempt_rate: Rate = "30/1m", reload;
        /// Rules for passwords and the cost of checking them.
        password: Password = {}, reload;
        /// What happens after wrong passwords or codes.
        lockout: Lockout = {}, reload;
    }
}

table! {
    /// Rules for passwords and the cost of checking them (Argon2id, RFC 9106).
    Password ["auth.password"] {
        /// Characters, at least. Common passwords are refused whatever their length.
        min_length: usize = 12, reload;
        /// Characters, at most; from 64 to 1024. Passwords that are in use stay so when it is lowered.
        max_length: usize = 256, reload;
        /// Memory for one check, at most 256MiB. With `passes` it is never below what OWASP asks for: 47104KiB at one pass, 19456KiB at two, 12288KiB at three, 9216KiB at four, 7168KiB at five and more.
        memory: Bytes = "64MiB", restart;
        /// Passes over that memory, at most 16. A password that was hashed at another cost is hashed anew when its owner next signs in.
        passes: u32 = 3, restart;
        /// Lanes, at most 16.
        lanes: u32 = 4, restart;
        /// Checks at once; further ones wait. 0 means one per two processors.
        at_once: usize = 0, restart;
    }
}

/// What one hash of a password costs (Argon2id, RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PasswordCost {
    /// KiB.
    pub(crate) memory: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

impl PasswordCost {
    /// The most that is worked through, for a stored hash too; a greater one would let an import stop the server.
    pub(crate) const GREATEST: Self = Self {
        memory: 256 * 1024,
        passes: 16,
        lanes: 16,
    };

    /// KiB and passes that OWASP's Password Storage Cheat Sheet holds for equally strong, at one lane and more.
    const FLOOR: [(u32, u32); 5] = [
        (47_104, 1),
        (19_456, 2),
        (12_288, 3),
        (9_216, 4),
        (7_168, 5),
    ];

    /// `true` when guessing at a stolen hash is at least as hard as OWASP asks for.
    pub(crate) fn is_enough(self) -> bool {
        Self::FLOOR
            .iter()
            .any(|(memory, passes)| self.memory >= *memory && self.passes >= *passes)
    }

    /// `true` when no part is more than the most that is worked through.
    pub(crate) const fn is_bearable(self) -> bool {
        self.memory <= Self::GREATEST.memory
            && self.passes <= Self::GREATEST.passes
            && self.lanes <= Self::GREATEST.lanes
    }
}

impl Password {
    /// The cost of new hashes. Memory too large for its type is the greatest number, which the checks refuse.
    pub(crate) fn cost(&self) -> PasswordCost {
        PasswordCost {
            memory: u32::try_from(self.memory >> 10).unwrap_or(u32::MAX),
            passes: self.passes,
            lanes: self.lanes,
        }
    }
}

table! {
    /// Delays after wrong passwords or codes, per account.
    Lockout ["auth.lockout"] {
        /// Wrong attempts without a delay.
        after: u32 = 5, reload;
        /// First delay; every further wrong attempt doubles it.
        delay: Duration = "1s", reload;
        /// Longest delay.
        max_delay: Duration = "5m", reload;
    }
}

table! {
    /// Sessions of browsers.
    Session ["session"] {
        /// A session ends this long after sign-in.
        lifetime: Duration = "12h", reload;
        /// A session ends this long after its last request.
        idle: Duration = "30m", reload;
        /// How old the second factor may be where a policy asks for a fresh one without saying how fresh.
        step_up: Duration = "5m", reload;
        /// Sessions of one person at once; a further one ends the oldest.
        per_user: usize = 10, reload;
        /// Name of the cookie. It begins with `__Host-`, so that browsers bind it to one host and to https.
        cookie: Spanned<CookieName> = "__Host-portcullis", restart;
    }
}
