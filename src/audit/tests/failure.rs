//! Disks fill and keys go away: requests are refused, nothing accepted is lost, and service resumes by itself.

use std::process::Command;
use std::sync::atomic::Ordering;

use super::super::verify::verify;
use super::*;

#[test]
fn a_disk_that_refuses_stops_requests_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let receipts: Vec<_> = (0..10).map(|number| admit(&log, number)).collect();
    log.refuse.store(true, Ordering::SeqCst);
    for (receipt, number) in receipts.into_iter().zip(0..) {
        receipt.record(entry(number));
    }
    wait_until(|| log.reserve().is_err());
    assert!(matches!(log.reserve(), Err(Unavailable::Disk(_))));
    assert!(log.stats().write_failures > 0);
    log.refuse.store(false, Ordering::SeqCst);
    wait_until(|| log.reserve().is_ok());
    admit(&log, 10).record(entry(10));
    log.close();
    let ids: Vec<_> = lines(folder.path())
        .iter()
        .map(|line| line["portcullis.request.id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        ids,
        (0..11)
            .map(|number| id(number).to_string())
            .collect::<Vec<_>>()
    );
    assert!(
        verify(folder.path(), signer().verifier(), &[])
            .unwrap()
            .is_verified()
    );
}

#[test]
fn keys_that_go_away_stop_requests_until_they_are_back() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Arc::new(MemoryKeyring::default());
    let log = open_with(&options(folder.path()), &keyring);
    keyring.away.store(true, Ordering::SeqCst);
    log.reserve().unwrap().record(entry(1));
    wait_until(|| matches!(log.reserve(), Err(Unavailable::Keyring)));
    keyring.away.store(false, Ordering::SeqCst);
    wait_until(|| log.reserve().is_ok());
    log.close();
    assert_eq!(lines(folder.path()).len(), 1);
}

#[test]
fn a_full_queue_refuses_and_freed_places_admit_again() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options {
        queue: 2,
        ..options(folder.path())
    };
    let log = open_with(&small, &Arc::new(MemoryKeyring::default()));
    let (one, two) = (log.reserve().unwrap(), log.reserve().unwrap());
    assert_eq!(log.reserve().err(), Some(Unavailable::QueueFull));
    assert_eq!(log.stats().unavailable, Some(Unavailable::QueueFull));
    assert_eq!(log.check(), Ok(()), "events are taken all the same");
    drop(one);
    assert_eq!(log.stats().unavailable, None);
    two.record(entry(1));
    wait_until(|| log.stats().queue == 0);
    assert!(log.reserve().is_ok());
}

#[test]
fn too_little_space_refuses_requests() {
    let folder = tempfile::tempdir().unwrap();
    let greedy = Options {
        min_free: u64::MAX,
        ..options(folder.path())
    };
    let log = open_with(&greedy, &Arc::new(MemoryKeyring::default()));
    wait_until(|| matches!(log.reserve(), Err(Unavailable::LowSpace { .. })));
}

#[test]
fn serving_unrecorded_by_choice_is_counted_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let lenient = Options {
        on_failure: OnFailure::Allow,
        queue: 2,
        ..options(folder.path())
    };
    let log = open_with(&lenient, &Arc::new(MemoryKeyring::default()));
    log.refuse.store(true, Ordering::SeqCst);
    let slots: Vec<_> = (0..5).map(|_| log.reserve().unwrap()).collect();
    for (slot, number) in slots.into_iter().zip(0..) {
        slot.record(entry(number));
    }
    assert_eq!(log.stats().unrecorded, 3, "two places, five requests");
    wait_until(|| log.stats().unavailable.is_some());
    drop(log.reserve().unwrap());
    log.refuse.store(false, Ordering::SeqCst);
    wait_until(|| log.stats().unavailable.is_none());
    log.close();
    let lines = lines(folder.path());
    let requests = lines
        .iter()
        .filter(|line| line["event.name"] == "http.request");
    assert_eq!(requests.count(), 2, "kept in memory and written");
    let told: u64 = lines
        .iter()
        .filter(|line| line["event.name"] == "audit.gap")
        .map(|line| {
            line["portcullis.unrecorded"]
                .as_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(told, 3);
}

#[test]
fn a_closed_log_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.close();
    assert_eq!(log.reserve().err(), Some(Unavailable::Closed));
}

/// A file system of its own that is really full; needs the right to mount one.
#[test]
fn a_full_file_system_refuses_requests_and_room_resumes_them() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs"])
        .arg(folder.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return;
    }
    let log = open(folder.path());
    let filler = folder.path().join("filler");
    let mut kept = Vec::new();
    for number in 0..5 {
        admit(&log, number).record(entry(number));
    }
    wait_until(|| log.stats().entries == 5);
    drop(std::fs::write(&filler, vec![0_u8; 1 << 20]));
    let mut refused = false;
    for number in 5..3_000 {
        let (route, person) = (RouteName::new("billing"), PrincipalId::new("u-41"));
        let Ok(mut slot) = log.reserve() else {
            refused = true;
            break;
        };
        match now_or_later(slot.admit(&admission(number, &route, &person))) {
            Ok(_receipt) => {
                slot.record(entry(number));
                kept.push(number);
            }
            Err(_) => {
                refused = true;
                break;
            }
        }
    }
    assert!(refused);
    std::fs::remove_file(&filler).unwrap();
    wait_until(|| log.reserve().is_ok() && log.stats().queue == 0);
    admit(&log, 9_999).record(entry(9_999));
    log.close();
    let found = verify(folder.path(), signer().verifier(), &[]).unwrap();
    let entries = lines(folder.path()).len();
    drop(log);
    let unmounted = Command::new("umount").arg(folder.path()).status();
    assert!(unmounted.unwrap().success());
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(entries, 5 + kept.len() + 1);
}
