//! Enrolment links, in SQLite.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{SqliteStore, owner_known};
use crate::base::{PrincipalId, Timestamp};
use crate::store::{EnrolmentLink, EnrolmentPurpose, Enrolments, Hash, Pending, StoreError};

impl Enrolments for SqliteStore {
    fn create(&self, link: EnrolmentLink) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM enrolment_links WHERE user = ?1")?
                .execute([link.user.as_str()])?;
            connection
                .prepare_cached(
                    "INSERT INTO enrolment_links (token, user, purpose, created, expires, invited_by)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    link.token,
                    link.user.as_str(),
                    link.purpose.word(),
                    link.created.micros(),
                    link.expires.micros(),
                    link.invited_by,
                ])
                .map_err(owner_known)?;
            Ok(())
        })
    }

    fn find(&self, token: &Hash, now: Timestamp) -> Result<Option<EnrolmentLink>, StoreError> {
        self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT token, user, purpose, created, expires, invited_by FROM enrolment_links
                     WHERE token = ?1 AND used IS NULL AND expires > ?2",
                )?
                .query_row(params![token, now.micros()], |row| Ok(link_of(row)))
                .optional()?
                .transpose()
        })
    }

    fn consume(&self, token: Hash, now: Timestamp) -> Pending<Option<EnrolmentLink>> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE enrolment_links SET used = ?2
                     WHERE token = ?1 AND used IS NULL AND expires > ?2
                     RETURNING token, user, purpose, created, expires, invited_by",
                )?
                .query_row(params![token, now.micros()], |row| Ok(link_of(row)))
                .optional()?
                .transpose()
        })
    }

    #[cfg(test)]
    fn cancel(&self, owner: PrincipalId) -> Pending<bool> {
        self.write(move |connection| {
            let removed = connection
                .prepare_cached("DELETE FROM enrolment_links WHERE user = ?1 AND used IS NULL")?
                .execute([owner.as_str()])?;
            Ok(removed > 0)
        })
    }
}

fn link_of(row: &Row<'_>) -> Result<EnrolmentLink, StoreError> {
    let purpose: String = row.get(2)?;
    Ok(EnrolmentLink {
        token: row.get(0)?,
        user: PrincipalId::new(row.get::<_, String>(1)?),
        purpose: EnrolmentPurpose::from_word(&purpose)
            .ok_or(StoreError::Corrupt("link purpose"))?,
        created: Timestamp::from_micros(row.get(3)?),
        expires: Timestamp::from_micros(row.get(4)?),
        invited_by: row.get(5)?,
    })
}
