//! How long a session holds: pure functions of times.

use std::time::Duration;

use crate::authn::BadCredential;
use crate::base::Timestamp;

/// A clock that reads this much earlier than the session's last use has been set back; the session ends, since
/// nobody can tell how old it is.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// The limits of sessions, for the whole installation or narrowed for one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionRules {
    /// From sign-in, whatever happens.
    pub(crate) lifetime: Duration,
    /// From the last request.
    pub(crate) idle: Duration,
    /// How old a second factor may be where a fresh one is asked for.
    pub(crate) step_up: Duration,
}

impl SessionRules {
    /// Does a session of this age still count?
    pub(crate) fn judge(
        &self,
        signed_in_at: Timestamp,
        last_seen: Timestamp,
        now: Timestamp,
    ) -> Result<(), BadCredential> {
        if now.since(signed_in_at) >= self.lifetime || last_seen.since(now) > CLOCK_TOLERANCE {
            return Err(BadCredential::Expired);
        }
        if now.since(last_seen) >= self.idle {
            return Err(BadCredential::Idle);
        }
        Ok(())
    }

    /// Is a second factor proven at `verified_at` fresh?
    pub(crate) fn is_fresh(&self, verified_at: Timestamp, now: Timestamp) -> bool {
        now.since(verified_at) < self.step_up && verified_at.since(now) <= CLOCK_TOLERANCE
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SessionRules;
    use crate::authn::BadCredential;
    use crate::base::Timestamp;

    const RULES: SessionRules = SessionRules {
        lifetime: Duration::from_secs(12 * 3600),
        idle: Duration::from_secs(1800),
        step_up: Duration::from_secs(300),
    };

    #[test]
    fn a_session_ends_by_age_and_by_idleness() {
        let hour = 3600;
        for (signed_in, last_seen, now, expected) in [
            (0, 0, 0, Ok(())),
            (0, 0, 1799, Ok(())),
            (0, 0, 1800, Err(BadCredential::Idle)),
            (0, 12 * hour - 10, 12 * hour - 1, Ok(())),
            (0, 12 * hour - 1, 12 * hour, Err(BadCredential::Expired)),
            (0, 12 * hour - 1, 20 * hour, Err(BadCredential::Expired)),
        ] {
            let judged = RULES.judge(
                Timestamp::from_secs(signed_in),
                Timestamp::from_secs(last_seen),
                Timestamp::from_secs(now),
            );
            assert_eq!(judged, expected, "{signed_in} {last_seen} {now}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_ends_sessions_instead_of_lengthening_them() {
        let at = Timestamp::from_secs;
        assert_eq!(RULES.judge(at(1000), at(9000), at(8990)), Ok(()));
        assert_eq!(
            RULES.judge(at(1000), at(9000), at(2000)),
            Err(BadCredential::Expired)
        );
        assert!(!RULES.is_fresh(at(9000), at(2000)));
    }

    #[test]
    fn a_second_factor_is_fresh_for_five_minutes() {
        let at = Timestamp::from_secs;
        assert!(RULES.is_fresh(at(1000), at(1299)));
        assert!(!RULES.is_fresh(at(1000), at(1300)));
    }
}
