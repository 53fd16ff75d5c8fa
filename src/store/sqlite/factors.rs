//! Authenticators and recovery codes, in SQLite.

use rusqlite::{OptionalExtension as _, params};

use super::{SqliteStore, owner_known};
use crate::base::{PrincipalId, Timestamp};
use crate::store::{Factors, Hash, Pending, RecoveryCodes, StoreError, TotpRow, TotpStep};

impl Factors for SqliteStore {
    fn totp(&self, owner: &PrincipalId) -> Result<Option<TotpRow>, StoreError> {
        self.read(|connection| {
            let row = connection
                .prepare_cached(
                    "SELECT sealed_secret, last_step, confirmed_at FROM totp WHERE owner = ?1",
                )?
                .query_row([owner.as_str()], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?))
                })
                .optional()?;
            row.map(|(sealed_secret, last_step, confirmed_at)| {
                Ok(TotpRow {
                    sealed_secret,
                    last_step: u64::try_from(last_step)
                        .map_err(|_negative| StoreError::Corrupt("time step"))?,
                    confirmed_at: Timestamp::from_micros(confirmed_at),
                })
            })
            .transpose()
        })
    }

    #[cfg(test)]
    fn proposed_totp(&self, owner: &PrincipalId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let sealed = connection
                .prepare_cached("SELECT sealed_secret FROM totp_proposals WHERE owner = ?1")?
                .query_row([owner.as_str()], |row| row.get(0))
                .optional()?;
            Ok(sealed)
        })
    }

    fn propose_totp(&self, owner: PrincipalId, sealed: Vec<u8>, at: Timestamp) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO totp_proposals (owner, sealed_secret, created) VALUES (?1, ?2, ?3)
                     ON CONFLICT (owner) DO UPDATE
                     SET sealed_secret = excluded.sealed_secret, created = excluded.created",
                )?
                .execute(params![owner.as_str(), sealed, at.micros()])
                .map_err(owner_known)?;
            Ok(())
        })
    }

    fn confirm_totp(
        &self,
        owner: PrincipalId,
        sealed: Vec<u8>,
        step: TotpStep,
        at: Timestamp,
    ) -> Pending<bool> {
        self.write(move |connection| {
            let proposed = connection
                .prepare_cached(
                    "DELETE FROM totp_proposals WHERE owner = ?1 AND sealed_secret = ?2",
                )?
                .execute(params![owner.as_str(), sealed])?;
            if proposed == 0 {
                return Ok(false);
            }
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO totp (owner, sealed_secret, last_step, confirmed_at)
                     VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![owner.as_str(), sealed, column(step), at.micros()])?;
            Ok(true)
        })
    }

    fn consume_totp_step(&self, owner: PrincipalId, step: TotpStep) -> Pending<bool> {
        self.write(move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE totp SET last_step = ?2 WHERE owner = ?1 AND last_step < ?2",
                )?
                .execute(params![owner.as_str(), column(step)])?;
            Ok(changed > 0)
        })
    }

    fn remove_factors(&self, owner: PrincipalId) -> Pending<()> {
        self.write(move |connection| {
            for table in ["totp", "totp_proposals", "recovery_codes"] {
                connection
                    .prepare_cached(&format!("DELETE FROM {table} WHERE owner = ?1"))?
                    .execute([owner.as_str()])?;
            }
            Ok(())
        })
    }
}

impl RecoveryCodes for SqliteStore {
    fn count(&self, owner: &PrincipalId) -> Result<usize, StoreError> {
        self.read(|connection| {
            let count: u32 = connection
                .prepare_cached("SELECT count(*) FROM recovery_codes WHERE owner = ?1")?
                .query_row([owner.as_str()], |row| row.get(0))?;
            usize::try_from(count).map_err(|_overflow| StoreError::Corrupt("count"))
        })
    }

    fn made(&self, owner: &PrincipalId) -> Result<Option<Timestamp>, StoreError> {
        self.read(|connection| {
            let made: Option<i64> = connection
                .prepare_cached("SELECT max(created) FROM recovery_codes WHERE owner = ?1")?
                .query_row([owner.as_str()], |row| row.get(0))?;
            Ok(made.map(Timestamp::from_micros))
        })
    }

    fn replace(&self, owner: PrincipalId, codes: Vec<Hash>, at: Timestamp) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM recovery_codes WHERE owner = ?1")?
                .execute([owner.as_str()])?;
            let mut add = connection.prepare_cached(
                "INSERT INTO recovery_codes (owner, hash, created) VALUES (?1, ?2, ?3)",
            )?;
            for code in codes {
                add.execute(params![owner.as_str(), code, at.micros()])
                    .map_err(owner_known)?;
            }
            Ok(())
        })
    }

    fn consume(&self, owner: PrincipalId, code: Hash) -> Pending<bool> {
        self.write(move |connection| {
            let removed = connection
                .prepare_cached("DELETE FROM recovery_codes WHERE owner = ?1 AND hash = ?2")?
                .execute(params![owner.as_str(), code])?;
            Ok(removed > 0)
        })
    }
}

/// A step as SQLite's integer; no clock reaches the limit.
fn column(step: TotpStep) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}
