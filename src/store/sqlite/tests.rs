//! What is particular to the file: modes, crashes, two openings, erasure, copies.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::SqliteStore;
use crate::base::{PrincipalId, SessionId, Timestamp};
use crate::store::{
    Keys as _, NewUser, SessionCookieRow, SessionRow, Sessions as _, StoreError, User, Users as _,
};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&folder.join("portcullis.db")).unwrap()
}

fn user(login: &str) -> NewUser {
    NewUser {
        id: PrincipalId::new(format!("u-{login}")),
        login: login.to_owned(),
        name: login.to_owned(),
        email: format!("{login}@example.com"),
        groups: BTreeSet::new(),
        tenant: "default".to_owned(),
        contractor: false,
        created: Timestamp::EPOCH,
    }
}

fn everybody(store: &SqliteStore) -> Vec<User> {
    crate::store::Users::list(store).unwrap()
}

/// Every byte of every file in the folder.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn all_files_of_the_database_are_private() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create(user("ada")).wait().unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        files += 1;
    }
    assert_eq!(files, 3, "database, log, index of the log");
}

#[test]
fn a_database_that_others_could_read_is_narrowed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let path = folder.path().join("portcullis.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(folder.path()));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn what_was_answered_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.create(user("ada")).wait().unwrap();
    drop(store);
    assert!(open(folder.path()).find_by_name("ada").unwrap().is_some());
}

#[test]
fn writes_that_nobody_waits_for_are_done_before_closing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 0..1000 {
        drop(store.create(user(&format!("user{number}"))));
    }
    drop(store);
    assert_eq!(everybody(&open(folder.path())).len(), 1000);
}

#[test]
fn a_copy_of_the_files_taken_at_any_moment_opens_with_everything_answered_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for round in 0..5 {
        for number in 0..20 {
            let login = format!("user{round}x{number}");
            store.create(user(&login)).wait().unwrap();
        }
        drop(store.create(user(&format!("unanswered{round}"))));
        // As after `kill -9`: the log was written and never folded into the database.
        let crash = tempfile::tempdir().unwrap();
        for name in ["portcullis.db", "portcullis.db-wal"] {
            std::fs::copy(folder.path().join(name), crash.path().join(name)).unwrap();
        }
        assert!(everybody(&open(crash.path())).len() >= 20 * (round + 1));
    }
}

#[test]
fn a_failing_write_leaves_its_neighbours_in_the_batch_alone() {
    let store = SqliteStore::in_memory().unwrap();
    let all: Vec<_> = ["ada", "ada", "bob", "ada", "cleo"]
        .into_iter()
        .map(|login| store.create(user(login)))
        .collect();
    let outcomes: Vec<bool> = all
        .into_iter()
        .map(|pending| pending.wait().is_ok())
        .collect();
    assert_eq!(outcomes, [true, false, true, false, true]);
    assert_eq!(everybody(&store).len(), 3);
}

#[test]
fn a_failed_write_undoes_all_it_did() {
    let store = SqliteStore::in_memory().unwrap();
    let failed = store.write(|connection| {
        connection.execute(
            "INSERT INTO keys (name, blob, created, changed) VALUES ('a', x'00', 0, 0)",
            [],
        )?;
        Err::<(), _>(StoreError::Unknown("anything"))
    });
    assert!(failed.wait().is_err());
    assert_eq!(crate::store::Keys::find(&store, "a").unwrap(), None);
}

#[test]
fn a_full_disk_loses_nothing_that_was_answered_and_keeps_nothing_that_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let limit = |pages: u32| {
        let set =
            store.writer.outside(move |connection| {
                Ok(connection
                    .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
            });
        set.wait().unwrap();
    };
    limit(200);
    let writes: Vec<_> = (0..40_u8)
        .map(|number| {
            let name = format!("key{number:02}");
            let write =
                store.create_if_absent(name.clone(), vec![number; 50_000], Timestamp::EPOCH);
            (name, write)
        })
        .collect();
    let (stored, refused): (Vec<_>, Vec<_>) = writes
        .into_iter()
        .map(|(name, write)| (name, write.wait().is_ok()))
        .partition(|(_, stored)| *stored);
    assert!(!refused.is_empty());
    limit(100_000);
    let names: Vec<String> = stored.into_iter().map(|(name, _)| name).collect();
    assert_eq!(store.names("key").unwrap(), names);
    store.create(user("ada")).wait().unwrap();
}

#[test]
fn a_reader_cannot_write() {
    let store = SqliteStore::in_memory().unwrap();
    let written = store.read(|connection| Ok(connection.execute("DELETE FROM users", [])?));
    assert!(written.is_err());
}

#[test]
fn two_openings_of_one_file_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (open(folder.path()), open(folder.path()));
    one.create(user("ada")).wait().unwrap();
    other.create(user("bob")).wait().unwrap();
    assert_eq!(everybody(&one), everybody(&other));
    assert_eq!(everybody(&one).len(), 2);
}

#[test]
fn destroyed_keys_and_removed_people_leave_no_bytes_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let blob = b"sealing-key-of-one-person".to_vec();
    let created = store.create_if_absent("audit/u-ada".to_owned(), blob.clone(), Timestamp::EPOCH);
    created.wait().unwrap();
    store.create(user("rememberable")).wait().unwrap();
    assert!(contains(&bytes_on_disk(folder.path()), &blob));
    store
        .remove(PrincipalId::new("u-rememberable"))
        .wait()
        .unwrap();
    store.destroy("audit/u-ada".to_owned()).wait().unwrap();
    let left = bytes_on_disk(folder.path());
    assert!(!contains(&left, &blob));
    assert!(!contains(&left, b"rememberable"));
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.db");
    let text = "this is a letter, not a database\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::Open { .. })
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_hundred_thousand_sessions_load_in_seconds() {
    let store = SqliteStore::in_memory().unwrap();
    store.create(user("ada")).wait().unwrap();
    let number_of = 100_000_u32;
    let filled = store.write(move |connection| {
        let mut session = connection.prepare(
            "INSERT INTO sessions VALUES (?1, 'u-ada', 0, 0, 'password totp', 0, 1000, NULL, NULL, x'00')",
        )?;
        let mut cookie =
            connection.prepare("INSERT INTO session_cookies VALUES (?1, ?2, 'portal.example.com')")?;
        for number in 0..number_of {
            let id = format!("s-{number:08}");
            let mut hash = [0_u8; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            session.execute([&id])?;
            cookie.execute(rusqlite::params![hash, id])?;
        }
        Ok(())
    });
    filled.wait().unwrap();
    let started = tokio::time::Instant::now();
    let live = store.load_live(Timestamp::EPOCH).unwrap();
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    assert_eq!(live.len(), 100_000);
    assert!(live.iter().all(|(_, cookies)| cookies.len() == 1));
}

#[test]
fn a_full_queue_refuses_at_once_instead_of_growing() {
    let store = SqliteStore::in_memory().unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let blocker = store.write(move |_connection| {
        wait.recv().unwrap();
        Ok(())
    });
    let others: Vec<_> = (0..20_000)
        .map(|_| store.note_sign_in(PrincipalId::new("u-nobody"), Timestamp::EPOCH))
        .collect();
    store.touch(SessionId::new("s-1"), Timestamp::EPOCH);
    go.send(()).unwrap();
    blocker.wait().unwrap();
    let busy = others
        .into_iter()
        .map(super::Pending::wait)
        .filter(|outcome| matches!(outcome, Err(StoreError::Busy)))
        .count();
    assert!(busy > 10_000, "{busy}");
    // And it recovers.
    store.create(user("ada")).wait().unwrap();
}

#[test]
fn a_session_row_of_every_shape_reads_back() {
    let store = SqliteStore::in_memory().unwrap();
    store.create(user("ada")).wait().unwrap();
    let row = SessionRow {
        id: SessionId::new("s-1"),
        user: PrincipalId::new("u-ada"),
        created: Timestamp::from_micros(-1),
        verified_at: Timestamp::from_micros(i64::MAX),
        methods: Vec::new(),
        last_seen: Timestamp::EPOCH,
        expires: Timestamp::from_micros(i64::MAX),
        ended: None,
        sealed_origin: Vec::new(),
    };
    let cookie = SessionCookieRow {
        hash: [0; 32],
        session: row.id.clone(),
        host: crate::base::Host::parse("[2001:db8::1]").unwrap(),
    };
    store.insert(row.clone(), cookie.clone()).wait().unwrap();
    let live = store.load_live(Timestamp::EPOCH).unwrap();
    assert_eq!(live, [(row, vec![cookie])]);
}

#[test]
fn a_reader_sees_what_a_running_server_writes_and_writes_nothing_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.db");
    assert!(SqliteStore::open_to_read(&path).is_err());
    assert!(!path.exists());
    let server = open(folder.path());
    let reader = SqliteStore::open_to_read(&path).unwrap();
    server.create(user("ada")).wait().unwrap();
    assert_eq!(everybody(&reader).len(), 1);
    assert!(reader.create(user("eve")).wait().is_err());
    drop(server);
    assert_eq!(everybody(&reader).len(), 1);
}
