//! People's secrets: finding the person that a name means, and comparing what they typed.
//!
//! Every comparison costs the same for people who exist, do not exist, or may not sign in. Nothing here counts
//! attempts or makes a session.

use std::sync::Arc;

use super::Method;
use super::factor::recovery_code;
use super::factor::totp::{TotpSecret, TotpSecretError};
use crate::base::{PrincipalId, Secret, Timestamp};
use crate::keys::{KeyError, MasterKey, PasswordError, PasswordHasher};
use crate::store::{Store, StoreError, User, UserState};

/// Longer names are nobody's.
const LONGEST_NAME: usize = 254;

/// Something that sign-in depends on did not work; nobody is let in because of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthnError {
    #[error("the state store did not answer")]
    Store(#[from] StoreError),
    #[error("a stored secret could not be unsealed")]
    Key(#[from] KeyError),
    #[error("the password could not be checked")]
    Password(#[from] PasswordError),
    #[error("a stored code secret is not usable")]
    Secret(#[from] TotpSecretError),
}

/// What a person gives as second factor.
#[derive(Debug)]
pub(crate) enum SecondFactor {
    /// From the authenticator app.
    Code(Secret<String>),
    RecoveryCode(Secret<String>),
}

/// How a second factor was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    Right(Method),
    Wrong,
    /// A right code that has served already.
    Used,
}

/// The store, the key that seals secrets in it, and the place where passwords are hashed.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) store: Store,
    master: Arc<MasterKey>,
    pub(crate) hasher: PasswordHasher,
}

impl Vault {
    pub(crate) const fn new(store: Store, master: Arc<MasterKey>, hasher: PasswordHasher) -> Self {
        Self {
            store,
            master,
            hasher,
        }
    }

    /// The person whose login or e-mail address was typed, in any spelling.
    pub(crate) fn person(&self, typed: &str) -> Result<Option<User>, StoreError> {
        match canonical_name(typed) {
            Some(name) => self.store.users.find_by_name(&name),
            None => Ok(None),
        }
    }

    /// Is this the password of a person who may sign in? `None`, a person without a password and a disabled one get
    /// `false` after the same work.
    pub(crate) async fn password_matches(
        &self,
        user: Option<&User>,
        password: &Secret<String>,
    ) -> Result<bool, AuthnError> {
        let row = match user {
            Some(user) => self.store.passwords.password(&user.id)?,
            None => None,
        };
        let (Some(user), Some(row)) = (user, row) else {
            self.hasher.dummy_verify(password).await?;
            return Ok(false);
        };
        let verdict = self.hasher.verify(&row.phc, password).await?;
        let right = verdict.matches && user.state == UserState::Active;
        if right && verdict.needs_rehash {
            let phc = self.hasher.hash(password).await?;
            let write = self
                .store
                .passwords
                .rehash_password(user.id.clone(), row.phc, phc);
            // Whether it is stored anew or somebody chose another password meanwhile: this one was right.
            write.await?;
        }
        Ok(right)
    }

    /// Judges a second factor and uses it up when it is right.
    pub(crate) async fn judge_second(
        &self,
        owner: &PrincipalId,
        factor: &SecondFactor,
        now: Timestamp,
    ) -> Result<Judged, AuthnError> {
        match factor {
            SecondFactor::Code(typed) => {
                let Some(row) = self.store.factors.totp(owner)? else {
                    return Ok(Judged::Wrong);
                };
                let secret = self.open_totp(owner, &row.sealed_secret)?;
                let Some(step) = secret.matching_step(typed.expose(), now) else {
                    return Ok(Judged::Wrong);
                };
                let fresh = self
                    .store
                    .factors
                    .consume_totp_step(owner.clone(), step)
                    .await?;
                Ok(if fresh {
                    Judged::Right(Method::Totp)
                } else {
                    Judged::Used
                })
            }
            SecondFactor::RecoveryCode(typed) => {
                let Some(hash) = recovery_code::hash_typed(owner, typed.expose()) else {
                    return Ok(Judged::Wrong);
                };
                let write = self.store.recovery_codes.consume(owner.clone(), hash);
                Ok(if write.await? {
                    Judged::Right(Method::RecoveryCode)
                } else {
                    Judged::Wrong
                })
            }
        }
    }

    pub(crate) fn seal_totp(
        &self,
        owner: &PrincipalId,
        secret: &TotpSecret,
    ) -> Result<Vec<u8>, KeyError> {
        self.master.seal(&totp_context(owner), secret.as_bytes())
    }

    pub(crate) fn open_totp(
        &self,
        owner: &PrincipalId,
        sealed: &[u8],
    ) -> Result<TotpSecret, AuthnError> {
        let bytes = self.master.open(&totp_context(owner), sealed)?;
        Ok(TotpSecret::from_bytes(bytes.to_vec())?)
    }

    /// Seals a small text about a session, such as where it began.
    pub(crate) fn seal_text(&self, context: &str, text: &str) -> Result<Vec<u8>, KeyError> {
        self.master.seal(context.as_bytes(), text.as_bytes())
    }

    pub(crate) fn open_text(&self, context: &str, sealed: &[u8]) -> Result<String, KeyError> {
        let bytes = self.master.open(context.as_bytes(), sealed)?;
        Ok(String::from_utf8(bytes.to_vec()).unwrap_or_default())
    }
}

fn totp_context(owner: &PrincipalId) -> Vec<u8> {
    format!("totp\0{owner}").into_bytes()
}

/// The one spelling in which names are stored and compared: trimmed, lower case. `None` for what is nobody's name.
pub(crate) fn canonical_name(typed: &str) -> Option<String> {
    let trimmed = typed.trim();
    let plain = !trimmed.is_empty()
        && trimmed.len() <= LONGEST_NAME
        && !trimmed
            .chars()
            .any(|symbol| symbol.is_control() || symbol.is_whitespace());
    plain.then(|| trimmed.to_lowercase())
}
