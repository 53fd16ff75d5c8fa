//! Password hashing: Argon2id at the configured cost, by default 64 MiB, three passes, four lanes (RFC 9106 section 4,
//! second choice).
//!
//! The work is bounded: at most one hash per core at a time, a short queue, and a limit on waiting, so that a flood of
//! sign-ins costs neither the memory nor the cores that carry traffic. An unknown user costs as much as a known one.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::password_policy::{MAX_BYTES, normalised};
use super::random;
use crate::base::Secret;
use crate::config::PasswordCost;

/// How many may wait per running hash.
const QUEUE_PER_CORE: usize = 16;

/// How long one may wait.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too many others are waiting; the person should try again in a moment.
    #[error("too many sign-ins at once")]
    Overloaded,
    /// Only Argon2id hashes in PHC form are understood, also on import; bcrypt, scrypt and PBKDF2 are not.
    #[error("the password hash is not Argon2id in PHC form")]
    NotArgon2id,
    /// The stored hash asks for more work than any sensible one.
    #[error("the password hash asks for too much memory or too many passes")]
    TooCostly,
    #[error("the password is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the password could not be hashed")]
    Failed,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Verdict {
    pub(crate) matches: bool,
    /// Right password, but hashed at another cost than today's: hash it again and store it.
    pub(crate) needs_rehash: bool,
}

/// Hashes and compares passwords on blocking threads.
#[derive(Debug, Clone)]
pub(crate) struct PasswordHasher {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    cost: PasswordCost,
    dummy: Arc<str>,
}

impl PasswordHasher {
    /// `cores`: how many hashes may run at once, each at `cost`.
    pub(crate) fn new(cores: usize, cost: PasswordCost) -> Self {
        let cores = cores.max(1);
        Self {
            running: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores.saturating_mul(1 + QUEUE_PER_CORE))),
            cost,
            dummy: dummy_phc(cost).into(),
        }
    }

    /// Hashes a new password; gives a PHC string. The caller has checked the password policy.
    pub(crate) async fn hash(&self, password: &Secret<String>) -> Result<String, PasswordError> {
        let password = admissible(password)?;
        let cost = self.cost;
        self.run(move || hash_now(&password, cost)).await?
    }

    /// Compares `password` with a stored hash. A password too long to have been accepted costs the same as a wrong one.
    pub(crate) async fn verify(
        &self,
        phc: &str,
        password: &Secret<String>,
    ) -> Result<Verdict, PasswordError> {
        let (phc, cost) = (phc.to_owned(), self.cost);
        let password = admissible(password);
        self.run(move || match password {
            Ok(password) => verify_now(&phc, &password, cost),
            Err(_too_long) => {
                let nothing = Secret::new(String::new());
                verify_now(&phc, &nothing, cost).map(|_spent| Verdict {
                    matches: false,
                    needs_rehash: false,
                })
            }
        })
        .await?
    }

    /// Spends the time of a comparison, for a user that does not exist.
    pub(crate) async fn dummy_verify(
        &self,
        password: &Secret<String>,
    ) -> Result<(), PasswordError> {
        let dummy = Arc::clone(&self.dummy);
        self.verify(&dummy, password).await.map(|_never_matches| ())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_full| PasswordError::Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned();
        let running = tokio::time::timeout(MAX_WAIT, running)
            .await
            .map_err(|_elapsed| PasswordError::Overloaded)?
            .map_err(|_closed| PasswordError::Failed)?;
        tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the caller: a caller who goes away does not free memory still in use.
            let _permits: [OwnedSemaphorePermit; 2] = [admitted, running];
            work()
        })
        .await
        .map_err(|_panicked| PasswordError::Failed)
    }
}

/// Is `phc` a hash that [`PasswordHasher::verify`] will be able to compare? For imports.
pub(crate) fn check_phc(phc: &str) -> Result<(), PasswordError> {
    parse(phc).map(|_hash| ())
}

/// A hash of today's cost with a random tag: no password is known to match it, and making it costs nothing.
fn dummy_phc(cost: PasswordCost) -> String {
    let PasswordCost {
        memory,
        passes,
        lanes,
    } = cost;
    let salt = BASE64_NOPAD.encode(&random::bytes::<16>());
    let tag = BASE64_NOPAD.encode(&random::bytes::<32>());
    format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${tag}")
}

fn argon2(cost: PasswordCost) -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32))
        .map_err(|_params| PasswordError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn admissible(password: &Secret<String>) -> Result<Secret<String>, PasswordError> {
    // Normalisation can lengthen the text, but not by more than a factor of three.
    if password.expose().len() > 3 * MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    let normal = normalised(password);
    if normal.expose().len() > MAX_BYTES {
        return Err(PasswordError::TooLong);
    }
    Ok(normal)
}

fn hash_now(normal: &Secret<String>, cost: PasswordCost) -> Result<String, PasswordError> {
    let salt: [u8; 16] = random::bytes();
    let hash: PasswordHash = argon2(cost)?
        .hash_password_with_salt(normal.expose().as_bytes(), &salt)
        .map_err(|_refused| PasswordError::Failed)?;
    Ok(hash.to_string())
}

fn verify_now(
    phc: &str,
    normal: &Secret<String>,
    today: PasswordCost,
) -> Result<Verdict, PasswordError> {
    let (hash, cost) = parse(phc)?;
    let matches = argon2(today)?
        .verify_password(normal.expose().as_bytes(), &hash)
        .is_ok();
    if !matches && cost != today {
        // An older or imported hash may be cheap; the time it takes must not tell that it exists.
        hash_now(normal, today)?;
    }
    Ok(Verdict {
        matches,
        needs_rehash: matches && cost != today,
    })
}

fn parse(phc: &str) -> Result<(PasswordHash, PasswordCost), PasswordError> {
    let hash = PasswordHash::new(phc).map_err(|_not_phc| PasswordError::NotArgon2id)?;
    let complete = hash.salt.is_some() && hash.hash.is_some();
    if hash.algorithm.as_str() != "argon2id" || hash.version != Some(19) || !complete {
        return Err(PasswordError::NotArgon2id);
    }
    let params = Params::try_from(&hash).map_err(|_params| PasswordError::NotArgon2id)?;
    let cost = PasswordCost {
        memory: params.m_cost(),
        passes: params.t_cost(),
        lanes: params.p_cost(),
    };
    if cost.is_bearable() {
        Ok((hash, cost))
    } else {
        Err(PasswordError::TooCostly)
    }
}

#[cfg(test)]
mod tests {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};

    use super::{PasswordError, PasswordHasher, Verdict, check_phc, dummy_phc, parse};
    use crate::base::Secret;
    use crate::config::PasswordCost;

    const USUAL: PasswordCost = PasswordCost {
        memory: 64 * 1024,
        passes: 3,
        lanes: 4,
    };

    const LEAST: PasswordCost = PasswordCost {
        memory: 19_456,
        passes: 2,
        lanes: 1,
    };

    const RIGHT: Verdict = Verdict {
        matches: true,
        needs_rehash: false,
    };
    const WRONG: Verdict = Verdict {
        matches: false,
        needs_rehash: false,
    };

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn cheap(password: &str) -> String {
        let params = Params::new(19_456, 2, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: argon2::password_hash::phc::PasswordHash = hasher
            .hash_password_with_salt(password.as_bytes(), b"sixteen bytes ok")
            .unwrap();
        hash.to_string()
    }

    #[tokio::test]
    async fn the_right_password_matches_and_another_does_not() {
        let passwords = PasswordHasher::new(2, USUAL);
        let phc = passwords
            .hash(&secret("walnut clock harbour"))
            .await
            .unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{phc}");
        let verdict = passwords
            .verify(&phc, &secret("walnut clock harbour"))
            .await;
        assert_eq!(verdict, Ok(RIGHT));
        let verdict = passwords.verify(&phc, &secret("walnut clock harbor")).await;
        assert_eq!(verdict, Ok(WRONG));
        let verdict = passwords.verify(&phc, &secret(&"x".repeat(10_000))).await;
        assert_eq!(verdict, Ok(WRONG));
    }

    #[tokio::test]
    async fn two_hashes_of_one_password_differ() {
        let passwords = PasswordHasher::new(2, USUAL);
        let one = passwords
            .hash(&secret("walnut clock harbour"))
            .await
            .unwrap();
        let two = passwords
            .hash(&secret("walnut clock harbour"))
            .await
            .unwrap();
        assert_ne!(one, two);
    }

    #[tokio::test]
    async fn the_same_letters_typed_differently_match() {
        let passwords = PasswordHasher::new(2, USUAL);
        let phc = passwords
            .hash(&secret("gr\u{f6}\u{df}e und mehr"))
            .await
            .unwrap();
        let typed = secret("gro\u{308}\u{df}e und mehr");
        assert_eq!(passwords.verify(&phc, &typed).await, Ok(RIGHT));
    }

    #[tokio::test]
    async fn an_imported_hash_of_another_cost_matches_and_asks_to_be_renewed() {
        let passwords = PasswordHasher::new(2, USUAL);
        let phc = cheap("imported password");
        check_phc(&phc).unwrap();
        let verdict = passwords
            .verify(&phc, &secret("imported password"))
            .await
            .unwrap();
        assert!(verdict.matches && verdict.needs_rehash);
        assert_eq!(passwords.verify(&phc, &secret("other")).await, Ok(WRONG));
    }

    #[test]
    fn only_argon2id_in_phc_form_is_understood() {
        for text in [
            "",
            "plain",
            "$2b$12$abcdefghijklmnopqrstuuJ1P9cXzTzKQeXAMPLEEXAMPLEEXAMPLE",
            "$argon2i$v=19$m=65536,t=3,p=4$c2l4dGVlbiBieXRlcw$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=16$m=65536,t=3,p=4$c2l4dGVlbiBieXRlcw$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=65536,t=3,p=4$c2l4dGVlbiBieXRlcw",
        ] {
            assert_eq!(check_phc(text), Err(PasswordError::NotArgon2id), "{text}");
        }
        let costly = dummy_phc(USUAL).replace("m=65536", "m=4194304");
        assert_eq!(check_phc(&costly), Err(PasswordError::TooCostly));
    }

    #[tokio::test]
    async fn an_unknown_user_costs_a_comparison_of_today_s_cost() {
        for cost in [USUAL, LEAST] {
            let passwords = PasswordHasher::new(2, cost);
            assert_eq!(parse(&passwords.dummy).unwrap().1, cost);
            let phc = passwords.hash(&secret("walnut clock")).await.unwrap();
            assert_eq!(parse(&phc).unwrap().1, cost);
            assert_eq!(passwords.dummy_verify(&secret("anything")).await, Ok(()));
        }
    }

    #[tokio::test]
    async fn a_hash_of_the_cost_before_matches_and_asks_to_be_renewed_at_the_new_one() {
        let (before, after) = (PasswordHasher::new(2, USUAL), PasswordHasher::new(2, LEAST));
        let right = secret("walnut clock harbour");
        let phc = before.hash(&right).await.unwrap();
        let verdict = after.verify(&phc, &right).await.unwrap();
        assert!(verdict.matches && verdict.needs_rehash);
        assert_eq!(after.verify(&phc, &secret("other")).await, Ok(WRONG));
        let renewed = after.hash(&right).await.unwrap();
        assert_eq!(after.verify(&renewed, &right).await, Ok(RIGHT));
    }

    #[tokio::test]
    async fn a_wrong_password_costs_as_much_beside_a_cheap_hash() {
        let params = Params::new(8, 1, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cheapest: argon2::password_hash::phc::PasswordHash = hasher
            .hash_password_with_salt(b"right", b"sixteen bytes ok")
            .unwrap();
        let (passwords, wrong) = (PasswordHasher::new(2, USUAL), secret("wrong"));
        // The best of three, because other tests run beside.
        let mut best = [std::time::Duration::MAX; 2];
        for _ in 0..3 {
            for (best, phc) in best
                .iter_mut()
                .zip([cheapest.to_string(), dummy_phc(USUAL)])
            {
                let begun = tokio::time::Instant::now();
                assert_eq!(passwords.verify(&phc, &wrong).await, Ok(WRONG));
                *best = begun.elapsed().min(*best);
            }
        }
        assert!(best[0] * 2 > best[1], "{best:?}");
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_the_next_caller_is_served() {
        let passwords = PasswordHasher::new(1, USUAL);
        let phc = cheap("right");
        let flood = (0..100).map(|_| {
            let (passwords, phc) = (passwords.clone(), phc.clone());
            async move { passwords.verify(&phc, &secret("wrong")).await }
        });
        let outcomes = futures_util::future::join_all(flood).await;
        let refused = outcomes
            .iter()
            .filter(|outcome| **outcome == Err(PasswordError::Overloaded))
            .count();
        assert!(refused >= 100 - 17, "{refused}");
        let verdict = passwords.verify(&phc, &secret("right")).await.unwrap();
        assert!(verdict.matches);
    }
}
