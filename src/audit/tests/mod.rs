//! The log as a whole: order, crashes, failures, tampering, and the golden format.

mod crash;
mod failure;
mod golden;
mod tampering;
mod turns;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use http::{HeaderValue, Method};

use super::recover::OpenError;
use super::seal::tests::MemoryKeyring;
use super::*;
use crate::base::{Clock, Host, PolicyId, PrincipalId, Reason, RequestId, RouteName, Timestamp};
use crate::keys::NoteSigner;

pub(super) const ORIGIN: &str = "login.example.com/audit";

pub(super) fn options(folder: &Path) -> Options {
    Options {
        min_free: 0,
        segment_bytes: 20_000,
        ..Options::new(folder)
    }
}

pub(super) fn open(folder: &Path) -> Arc<AuditLog> {
    open_with(&options(folder), &Arc::new(MemoryKeyring::default()))
}

pub(super) fn open_with(options: &Options, keyring: &Arc<MemoryKeyring>) -> Arc<AuditLog> {
    // Another test may be starting a program: until that one runs, it holds our lock too.
    for _attempt in 0..100_000 {
        let opened = AuditLog::open(
            options.clone(),
            Arc::clone(keyring) as _,
            signer(),
            Clock::System,
        );
        match opened {
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
    panic!("somebody else writes to {}", options.folder.display());
}

/// The same key for every log of a test run.
pub(super) fn signer() -> Arc<NoteSigner> {
    static SIGNER: LazyLock<Arc<NoteSigner>> =
        LazyLock::new(|| Arc::new(NoteSigner::generate(ORIGIN).unwrap()));
    Arc::clone(&SIGNER)
}

pub(super) fn id(number: u64) -> RequestId {
    RequestId::new(Timestamp::from_secs(1_790_000_000), number)
}

/// Tests tell of people who are nobody else's.
impl Person for Who {
    fn id(&self) -> &PrincipalId {
        &self.id
    }

    fn session(&self) -> Option<&crate::base::SessionId> {
        self.session.as_ref()
    }

    fn who(&self) -> Who {
        self.clone()
    }
}

pub(super) fn entry(number: u64) -> Box<RequestEntry> {
    let at = Timestamp::from_secs(1_790_000_000);
    Box::new(RequestEntry {
        id: id(number),
        received: at,
        decided: Some(at),
        first_byte: None,
        ended: at.plus(std::time::Duration::from_micros(400)),
        client: "198.51.100.7".parse().unwrap(),
        peer: "10.0.0.5".parse().unwrap(),
        tls: Some(("1.3", "TLS_AES_128_GCM_SHA256")),
        who: Some(Arc::new(who())),
        host: Some(Host::parse("billing.example.com").unwrap()),
        route: Some(RouteName::new("billing")),
        method: Some(Method::POST),
        protocol: "2",
        path: Some(Told::as_if("/admin/rates")),
        query: None,
        user_agent: Some(HeaderValue::from_static("curl/8")),
        verdict: Verdict::Deny,
        policies: Arc::new([PolicyId::new("billing.admin-path")]),
        reason: Reason::Forbidden,
        probe: None,
        answered_by: AnsweredBy::Portcullis,
        upstream: None,
        status: 403,
        request_bytes: 812,
        response_bytes: 2_210,
        revision: Arc::new(Revision {
            config: "91c4".into(),
            policies: "5f20".into(),
        }),
    })
}

pub(super) fn who() -> Who {
    Who {
        id: PrincipalId::new("u-41"),
        email: "kim@example.com".into(),
        name: "Kim".into(),
        groups: Arc::new(["staff".to_owned(), "finance".to_owned()].into()),
        tenant: None,
        session: Some(crate::base::SessionId::new("s-7c")),
        methods: vec!["password", "totp"],
    }
}

pub(super) fn admission<'a>(
    number: u64,
    route: &'a RouteName,
    person: &'a PrincipalId,
) -> Admission<'a> {
    Admission {
        id: id(number),
        received: Timestamp::from_secs(1_790_000_000),
        client: "198.51.100.7".parse().unwrap(),
        principal: Some(person),
        session: None,
        route,
        method: "GET",
        host: "billing.example.com",
        path: "/rates",
        path_sealed: false,
        policies: &[],
    }
}

/// Runs a future that never has to wait for a runtime.
pub(super) fn now_or_later<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

pub(super) fn admit(log: &Arc<AuditLog>, number: u64) -> Slot {
    let (route, person) = (RouteName::new("billing"), PrincipalId::new("u-41"));
    let mut slot = log.reserve().unwrap();
    let receipt = now_or_later(slot.admit(&admission(number, &route, &person)));
    assert!(receipt.is_ok(), "{receipt:?}");
    slot
}

/// Every line of the log, parsed.
pub(super) fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    for segment in segment::Segment::list(&folder.join("segments")).unwrap() {
        let text = std::fs::read_to_string(segment.path).unwrap();
        all.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    all
}

#[test]
fn a_recorded_request_is_one_line_with_its_personal_fields_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    admit(&log, 7).record(entry(7));
    log.close();
    let lines = lines(folder.path());
    assert_eq!(lines.len(), 1);
    let text = lines[0].to_string();
    assert_eq!(lines[0]["seq"], 0);
    assert_eq!(lines[0]["portcullis.request.id"], id(7).to_string());
    assert_eq!(lines[0]["sealed.key"], "person:u-41");
    for secret in ["kim@example.com", "198.51.100.7", "curl/8"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let left = std::fs::read_dir(folder.path().join("journal")).unwrap();
    assert_eq!(left.count(), 0, "an orderly end leaves no journal");
}

#[test]
fn an_entry_built_from_the_worst_values_stays_within_the_limit() {
    let worst = "\u{202e}".repeat(20_000);
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 30,
        ..options(folder.path())
    };
    let log = open_with(&options, &Arc::new(MemoryKeyring::default()));
    for sealed in [true, false] {
        let mut entry = entry(1);
        let told = Told::as_if(worst.clone()).sealed(sealed);
        entry.path = Some(told.clone());
        entry.query = Some(told);
        entry.method = Some(Method::from_bytes("M".repeat(20_000).as_bytes()).unwrap());
        entry.user_agent = Some(HeaderValue::from_str(&"\"".repeat(20_000)).unwrap());
        entry.route = Some(RouteName::new(worst.as_str()));
        entry.upstream = Some((worst.as_str().into(), worst.as_str().into()));
        entry.policies = vec![PolicyId::new(worst.as_str()); 500].into();
        entry.who = Some(Arc::new(Who {
            email: worst.as_str().into(),
            name: worst.as_str().into(),
            tenant: Some(worst.as_str().into()),
            groups: Arc::new((0..500).map(|number| format!("{number}{worst}")).collect()),
            ..who()
        }));
        log.reserve().unwrap().record(entry);
    }
    let mut event = SecurityEvent::new(Timestamp::EPOCH, Action::AdminActed)
        .about(who())
        .by(Actor::Operator(worst.clone()))
        .claiming(worst.clone());
    for _ in 0..40 {
        event = event.detail("portcullis.x", worst.clone());
        event = event.personal("portcullis.y", worst.clone());
    }
    log.record(event);
    log.close();
    let text = std::fs::read_to_string(folder.path().join("segments/00000000000000000000.jsonl"));
    let lengths: Vec<_> = text.unwrap().lines().map(str::len).collect();
    assert_eq!(lengths.len(), 3);
    assert!(
        lengths.iter().all(|length| *length <= line::LINE_LIMIT),
        "{lengths:?}"
    );
    assert!(lines(folder.path())[0]["portcullis.truncated"].is_array());
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    admit(&log, 1).record(entry(1));
    log.close();
    let mut open = vec![folder.path().to_owned()];
    while let Some(path) = open.pop() {
        let facts = std::fs::metadata(&path).unwrap();
        let others = facts.permissions().mode() & 0o077;
        assert_eq!(others, 0, "{}", path.display());
        if facts.is_dir() {
            open.extend(disk::list(&path).unwrap());
        }
    }
}

#[test]
fn a_durable_event_is_on_disk_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let event = SecurityEvent::new(Timestamp::EPOCH, Action::SecondFactorEnrolled).about(who());
    let entry = now_or_later(log.record_durably(event)).unwrap();
    assert_eq!(entry.0, 0);
    let lines = lines(folder.path());
    assert_eq!(lines[0]["event.name"], "second_factor.enrolled");
}

#[test]
fn power_durability_admits_after_the_disk_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::Power,
        ..options(folder.path())
    };
    let log = open_with(&options, &Arc::new(MemoryKeyring::default()));
    for number in 0..20 {
        admit(&log, number).record(entry(number));
    }
    log.close();
    assert_eq!(lines(folder.path()).len(), 20);
}

#[test]
fn a_second_writer_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let keyring = Arc::new(MemoryKeyring::default());
    let second = AuditLog::open(options(folder.path()), keyring, signer(), Clock::System);
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(log);
    open(folder.path()).close();
}

#[test]
fn a_checkpoint_follows_within_its_time_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint: std::time::Duration::from_millis(20),
        ..options(folder.path())
    };
    let log = open_with(&options, &Arc::new(MemoryKeyring::default()));
    log.reserve().unwrap().record(entry(1));
    let signed = || {
        let note = std::fs::read_to_string(folder.path().join("checkpoint")).unwrap_or_default();
        checkpoint::Checkpoint::open(&note, log.verifier_key()).map_or(0, |found| found.size)
    };
    wait_until(|| signed() == 1);
}

/// Waits for a condition, five seconds at most.
pub(super) fn wait_until(condition: impl Fn() -> bool) {
    let pause = parking_lot::Condvar::new();
    let lock = parking_lot::Mutex::new(());
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        pause.wait_for(&mut lock.lock(), std::time::Duration::from_millis(5));
    }
    panic!("waited in vain");
}
