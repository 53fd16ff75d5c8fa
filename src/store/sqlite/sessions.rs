//! Sessions and their cookies, in SQLite.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use crate::base::{Host, PrincipalId, SessionId, Timestamp};
use crate::store::{
    EndReason, Pending, SessionCookieRow, SessionRow, Sessions, StoreError, UserState,
    WhichSessions,
};

const COLUMNS: &str = "id, user, created, verified_at, methods, last_seen, expires, ended, end_reason, sealed_origin FROM sessions";

impl Sessions for SqliteStore {
    fn insert(&self, session: SessionRow, cookie: SessionCookieRow) -> Pending<()> {
        self.write(move |connection| {
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO sessions (id, user, created, verified_at, methods, last_seen, expires, sealed_origin)
                     SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8 FROM users WHERE id = ?2 AND state = ?9",
                )?
                .execute(params![
                    session.id.as_str(),
                    session.user.as_str(),
                    session.created.micros(),
                    session.verified_at.micros(),
                    session.methods.join(" "),
                    session.last_seen.micros(),
                    session.expires.micros(),
                    session.sealed_origin,
                    UserState::Active.word(),
                ])?;
            if inserted == 0 {
                return Err(StoreError::Unknown("user"));
            }
            put_cookie(connection, &cookie)
        })
    }

    fn add_cookie(&self, cookie: SessionCookieRow) -> Pending<bool> {
        self.write(move |connection| {
            let live: bool = connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 AND ended IS NULL)",
                )?
                .query_row([cookie.session.as_str()], |row| row.get(0))?;
            if live {
                put_cookie(connection, &cookie)?;
            }
            Ok(live)
        })
    }

    fn renew(
        &self,
        verified_at: Timestamp,
        methods: Vec<String>,
        cookie: SessionCookieRow,
    ) -> Pending<bool> {
        self.write(move |connection| {
            let live = connection
                .prepare_cached(
                    "UPDATE sessions SET verified_at = ?2, methods = ?3 WHERE id = ?1 AND ended IS NULL",
                )?
                .execute(params![
                    cookie.session.as_str(),
                    verified_at.micros(),
                    methods.join(" ")
                ])?;
            if live > 0 {
                put_cookie(connection, &cookie)?;
            }
            Ok(live > 0)
        })
    }

    fn touch(&self, session: SessionId, at: Timestamp) {
        self.writer.touch(session, at);
    }

    fn end(&self, which: WhichSessions, at: Timestamp, why: EndReason) -> Pending<Vec<SessionId>> {
        self.write(move |connection| {
            let (condition, one, other) = match &which {
                WhichSessions::One(id) => ("id = ?3 AND ?4 = ''", id.as_str(), ""),
                WhichSessions::AllOf(user) => ("user = ?3 AND ?4 = ''", user.as_str(), ""),
                WhichSessions::AllOfExcept(user, kept) => {
                    ("user = ?3 AND id <> ?4", user.as_str(), kept.as_str())
                }
                WhichSessions::Everybody => ("?3 = ?4", "", ""),
            };
            let ended: Vec<String> = connection
                .prepare_cached(&format!(
                    "UPDATE sessions SET ended = ?1, end_reason = ?2
                     WHERE ended IS NULL AND {condition} RETURNING id"
                ))?
                .query_map(params![at.micros(), why.word(), one, other], |row| {
                    row.get(0)
                })?
                .collect::<Result<_, _>>()?;
            let mut forget =
                connection.prepare_cached("DELETE FROM session_cookies WHERE session = ?1")?;
            for session in &ended {
                forget.execute([session])?;
            }
            Ok(ended.into_iter().map(SessionId::new).collect())
        })
    }

    #[cfg(test)]
    fn list(&self, user: &PrincipalId) -> Result<Vec<SessionRow>, StoreError> {
        self.read(|connection| {
            let mut read = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} WHERE user = ?1 ORDER BY created DESC, id"
            ))?;
            let mut rows = read.query([user.as_str()])?;
            let mut sessions = Vec::new();
            while let Some(row) = rows.next()? {
                sessions.push(session_of(row)?);
            }
            Ok(sessions)
        })
    }

    fn load_live(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(SessionRow, Vec<SessionCookieRow>)>, StoreError> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut cookies = load_cookies(&snapshot)?;
            let mut read = snapshot.prepare_cached(&format!(
                "SELECT {COLUMNS} WHERE ended IS NULL AND expires > ?1"
            ))?;
            let mut rows = read.query([now.micros()])?;
            let mut live = Vec::new();
            while let Some(row) = rows.next()? {
                let session = session_of(row)?;
                let own = cookies.remove(&session.id).unwrap_or_default();
                live.push((session, own));
            }
            Ok(live)
        })
    }
}

/// Stores a cookie in the place of the one that the session has on that host.
fn put_cookie(connection: &Connection, cookie: &SessionCookieRow) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO session_cookies (hash, session, host) VALUES (?1, ?2, ?3)
             ON CONFLICT (session, host) DO UPDATE SET hash = excluded.hash",
        )?
        .execute(params![
            cookie.hash,
            cookie.session.as_str(),
            cookie.host.as_str()
        ])?;
    Ok(())
}

fn load_cookies(
    connection: &Connection,
) -> Result<HashMap<SessionId, Vec<SessionCookieRow>>, StoreError> {
    let mut read = connection.prepare_cached("SELECT hash, session, host FROM session_cookies")?;
    let mut rows = read.query([])?;
    let mut cookies = HashMap::<_, Vec<_>>::new();
    while let Some(row) = rows.next()? {
        let session = SessionId::new(row.get::<_, String>(1)?);
        let host = row.get::<_, String>(2)?;
        cookies
            .entry(session.clone())
            .or_default()
            .push(SessionCookieRow {
                hash: row.get(0)?,
                session,
                host: Host::parse(&host).map_err(|_not_a_host| StoreError::Corrupt("host"))?,
            });
    }
    Ok(cookies)
}

fn session_of(row: &Row<'_>) -> Result<SessionRow, StoreError> {
    let methods: String = row.get(4)?;
    let ended = row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros);
    let why: Option<String> = row.get(8)?;
    let ended = match (ended, why.as_deref().map(EndReason::from_word)) {
        (None, _) => None,
        (Some(at), Some(Some(why))) => Some((at, why)),
        (Some(_), _) => return Err(StoreError::Corrupt("reason for a session's end")),
    };
    Ok(SessionRow {
        id: SessionId::new(row.get::<_, String>(0)?),
        user: PrincipalId::new(row.get::<_, String>(1)?),
        created: Timestamp::from_micros(row.get(2)?),
        verified_at: Timestamp::from_micros(row.get(3)?),
        methods: methods.split_whitespace().map(str::to_owned).collect(),
        last_seen: Timestamp::from_micros(row.get(5)?),
        expires: Timestamp::from_micros(row.get(6)?),
        ended,
        sealed_origin: row.get(9)?,
    })
}
