//! People, in SQLite.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::SqliteStore;
use crate::base::{PrincipalId, Timestamp};
use crate::store::{NewUser, Pending, StoreError, User, UserChange, UserState, Users};

const COLUMNS: &str =
    "id, login, name, email, tenant, contractor, state, created, last_sign_in FROM users";

impl Users for SqliteStore {
    fn find(&self, id: &PrincipalId) -> Result<Option<User>, StoreError> {
        self.read(|connection| find(connection, id.as_str()))
    }

    fn find_by_name(&self, name: &str) -> Result<Option<User>, StoreError> {
        self.read(|connection| {
            let id: Option<String> = connection
                .prepare_cached(
                    "SELECT id FROM users WHERE login = ?1 OR email = ?1 ORDER BY login <> ?1 LIMIT 1",
                )?
                .query_row([name], |row| row.get(0))
                .optional()?;
            id.map_or(Ok(None), |id| find(connection, &id))
        })
    }

    fn list(&self) -> Result<Vec<User>, StoreError> {
        self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut groups = BTreeMap::<String, BTreeSet<String>>::new();
            let mut read = snapshot.prepare_cached("SELECT user, name FROM user_groups")?;
            let mut rows = read.query([])?;
            while let Some(row) = rows.next()? {
                groups.entry(row.get(0)?).or_default().insert(row.get(1)?);
            }
            let mut read = snapshot.prepare_cached(&format!("SELECT {COLUMNS} ORDER BY login"))?;
            let mut rows = read.query([])?;
            let mut users = Vec::new();
            while let Some(row) = rows.next()? {
                let mut user = user_of(row)?;
                user.groups = groups.remove(user.id.as_str()).unwrap_or_default();
                users.push(user);
            }
            Ok(users)
        })
    }

    fn create(&self, user: NewUser) -> Pending<User> {
        self.write(move |connection| {
            require_free(connection, &user.id, Some(&user.login), Some(&user.email))?;
            let taken: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM users WHERE id = ?1)")?
                .query_row([user.id.as_str()], |row| row.get(0))?;
            if taken {
                return Err(StoreError::Taken("user id"));
            }
            connection
                .prepare_cached(
                    "INSERT INTO users (id, login, name, email, tenant, contractor, state, created)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    user.id.as_str(),
                    user.login,
                    user.name,
                    user.email,
                    user.tenant,
                    user.contractor,
                    UserState::Active.word(),
                    user.created.micros(),
                ])?;
            add_groups(connection, &user.id, &user.groups)?;
            find(connection, user.id.as_str())?.ok_or(StoreError::Unknown("user"))
        })
    }

    fn change(&self, id: PrincipalId, change: UserChange) -> Pending<User> {
        self.write(move |connection| {
            let email = change.email.as_deref();
            require_free(connection, &id, change.login.as_deref(), email)?;
            let changed = connection
                .prepare_cached(
                    "UPDATE users SET login = ifnull(?2, login), name = ifnull(?3, name),
                         email = ifnull(?4, email), tenant = ifnull(?5, tenant),
                         contractor = ifnull(?6, contractor), state = ifnull(?7, state)
                     WHERE id = ?1",
                )?
                .execute(params![
                    id.as_str(),
                    change.login,
                    change.name,
                    change.email,
                    change.tenant,
                    change.contractor,
                    change.state.map(UserState::word),
                ])?;
            if changed == 0 {
                return Err(StoreError::Unknown("user"));
            }
            let mut remove = connection
                .prepare_cached("DELETE FROM user_groups WHERE user = ?1 AND name = ?2")?;
            for group in &change.remove_groups {
                remove.execute([id.as_str(), group])?;
            }
            add_groups(connection, &id, &change.add_groups)?;
            find(connection, id.as_str())?.ok_or(StoreError::Unknown("user"))
        })
    }

    fn remove(&self, id: PrincipalId) -> Pending<bool> {
        self.write(move |connection| {
            let removed = connection
                .prepare_cached("DELETE FROM users WHERE id = ?1")?
                .execute([id.as_str()])?;
            Ok(removed > 0)
        })
    }

    fn note_sign_in(&self, id: PrincipalId, at: Timestamp) -> Pending<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE users SET last_sign_in = max(ifnull(last_sign_in, ?2), ?2) WHERE id = ?1",
                )?
                .execute(params![id.as_str(), at.micros()])?;
            Ok(())
        })
    }
}

fn find(connection: &Connection, id: &str) -> Result<Option<User>, StoreError> {
    let user = connection
        .prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?
        .query_row([id], |row| Ok(user_of(row)))
        .optional()?
        .transpose()?;
    let Some(mut user) = user else {
        return Ok(None);
    };
    user.groups = connection
        .prepare_cached("SELECT name FROM user_groups WHERE user = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Some(user))
}

/// A user without groups, which stand in their own table.
fn user_of(row: &Row<'_>) -> Result<User, StoreError> {
    let state: String = row.get("state")?;
    Ok(User {
        id: PrincipalId::new(row.get::<_, String>("id")?),
        login: row.get("login")?,
        name: row.get("name")?,
        email: row.get("email")?,
        groups: BTreeSet::new(),
        tenant: row.get("tenant")?,
        contractor: row.get("contractor")?,
        state: UserState::from_word(&state).ok_or(StoreError::Corrupt("user state"))?,
        created: Timestamp::from_micros(row.get("created")?),
        last_sign_in: row
            .get::<_, Option<i64>>("last_sign_in")?
            .map(Timestamp::from_micros),
    })
}

/// Nobody else may have this login or address, as login or as address: people type either to sign in.
fn require_free(
    connection: &Connection,
    id: &PrincipalId,
    login: Option<&str>,
    email: Option<&str>,
) -> Result<(), StoreError> {
    let mut taken = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM users WHERE (login = ?2 OR email = ?2) AND id <> ?1)",
    )?;
    for (name, what) in [(login, "login"), (email, "e-mail address")] {
        if let Some(name) = name
            && taken.query_row([id.as_str(), name], |row| row.get(0))?
        {
            return Err(StoreError::Taken(what));
        }
    }
    Ok(())
}

fn add_groups(
    connection: &Connection,
    id: &PrincipalId,
    groups: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let mut add = connection
        .prepare_cached("INSERT OR IGNORE INTO user_groups (user, name) VALUES (?1, ?2)")?;
    for group in groups {
        add.execute([id.as_str(), group])?;
    }
    Ok(())
}
