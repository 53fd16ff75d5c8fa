//! The contract of the store's traits, one test for each sentence, run against every database.

mod credentials;
mod keys;
mod sessions;
mod users;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NewUser, SqliteStore, Store, User};
use crate::base::{PrincipalId, Timestamp};

/// Makes one test per database from each function named.
macro_rules! on_every_database {
    ($($name:ident),+ $(,)?) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(&$crate::store::conformance::in_memory()); })+
        }
        mod in_a_file {
            $(#[test] fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$name(&$crate::store::conformance::in_a_file(folder.path()));
            })+
        }
    };
}
pub(super) use on_every_database;

fn in_memory() -> Store {
    Store::of(Arc::new(SqliteStore::in_memory().unwrap()))
}

fn in_a_file(folder: &std::path::Path) -> Store {
    Store::of(Arc::new(
        SqliteStore::open(&folder.join("portcullis.db")).unwrap(),
    ))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn new_user(login: &str) -> NewUser {
    NewUser {
        id: PrincipalId::new(format!("u-{login}")),
        login: login.to_owned(),
        name: login.to_uppercase(),
        email: format!("{login}@example.com"),
        groups: BTreeSet::from(["staff".to_owned()]),
        tenant: "default".to_owned(),
        contractor: false,
        created: at(100),
    }
}

fn add(store: &Store, login: &str) -> User {
    store.users.create(new_user(login)).wait().unwrap()
}

/// Calls `work` from 16 threads at once and counts how often it gave `true`.
fn winners(work: impl Fn() -> bool + Sync) -> usize {
    let start = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    work()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|won| *won)
            .count()
    })
}
