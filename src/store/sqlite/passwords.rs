//! Password hashes and failure counters, in SQLite.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, owner_known};
use crate::base::{PrincipalId, Timestamp};
use crate::store::{Backoff, Lockout, PasswordRow, Passwords, Pending, StoreError};

impl Passwords for SqliteStore {
    fn password(&self, owner: &PrincipalId) -> Result<Option<PasswordRow>, StoreError> {
        self.read(|connection| {
            let row = connection
                .prepare_cached("SELECT phc, changed FROM passwords WHERE owner = ?1")?
                .query_row([owner.as_str()], |row| {
                    Ok(PasswordRow {
                        phc: row.get(0)?,
                        changed: Timestamp::from_micros(row.get(1)?),
                    })
                })
                .optional()?;
            Ok(row)
        })
    }

    fn set_password(&self, owner: PrincipalId, phc: String, at: Timestamp) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO passwords (owner, phc, changed) VALUES (?1, ?2, ?3)
                     ON CONFLICT (owner) DO UPDATE SET phc = excluded.phc, changed = excluded.changed",
                )?
                .execute(params![owner.as_str(), phc, at.micros()])
                .map_err(owner_known)?;
            Ok(())
        })
    }

    fn rehash_password(&self, owner: PrincipalId, old: String, new: String) -> Pending<bool> {
        self.write(move |connection| {
            let changed = connection
                .prepare_cached("UPDATE passwords SET phc = ?3 WHERE owner = ?1 AND phc = ?2")?
                .execute(params![owner.as_str(), old, new])?;
            Ok(changed > 0)
        })
    }

    fn lockout(&self, owner: &PrincipalId) -> Result<Lockout, StoreError> {
        self.read(|connection| lockout(connection, owner))
    }

    fn note_failure(
        &self,
        owner: PrincipalId,
        at: Timestamp,
        backoff: Backoff,
    ) -> Pending<Lockout> {
        self.write(move |connection| {
            let before = lockout(connection, &owner)?;
            let failures = before.failures.saturating_add(1);
            let until = backoff.wait_after(failures).map(|wait| at.plus(wait));
            let after = Lockout {
                failures,
                until: until.max(before.until),
            };
            connection
                .prepare_cached(
                    "INSERT INTO lockouts (owner, failures, until) VALUES (?1, ?2, ?3)
                     ON CONFLICT (owner) DO UPDATE SET failures = excluded.failures, until = excluded.until",
                )?
                .execute(params![
                    owner.as_str(),
                    after.failures,
                    after.until.map(Timestamp::micros)
                ])
                .map_err(owner_known)?;
            Ok(after)
        })
    }

    fn clear_failures(&self, owner: PrincipalId) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM lockouts WHERE owner = ?1")?
                .execute([owner.as_str()])?;
            Ok(())
        })
    }
}

fn lockout(connection: &Connection, owner: &PrincipalId) -> Result<Lockout, StoreError> {
    let row = connection
        .prepare_cached("SELECT failures, until FROM lockouts WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| {
            Ok(Lockout {
                failures: row.get(0)?,
                until: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_micros),
            })
        })
        .optional()?;
    Ok(row.unwrap_or_default())
}
