//! `kill -9` at any moment: states of the folder as a dying process leaves them are opened again.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::super::verify::verify;
use super::*;

/// Copies a folder as it is at this moment, as a crash would freeze it.
pub(super) fn freeze(from: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(from.join("."))
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(status.success());
    copy
}

/// Leaves a value as a killed process would: nothing tidies up after it.
pub(super) fn leave<T>(value: T) {
    let _left: &mut T = Box::leak(Box::new(value));
}

/// How often each request id has an entry.
fn counts(folder: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines(folder) {
        if line["event.name"] == "http.request" {
            let id = line["portcullis.request.id"].as_str().unwrap().to_owned();
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

pub(super) fn assert_each_once(folder: &Path, admitted: impl IntoIterator<Item = u64>) {
    let counts = counts(folder);
    for number in admitted {
        let id = id(number).to_string();
        assert_eq!(counts.get(&id), Some(&1), "request {number}");
    }
    let findings = verify(folder, signer().verifier(), &[]).unwrap();
    assert!(findings.is_verified(), "{:?}", findings.faults);
    assert_eq!(findings.unsigned, 0);
}

#[test]
fn every_admission_without_an_entry_becomes_one_interrupted_entry() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let receipts: Vec<_> = (0..40).map(|number| admit(&log, number)).collect();
    for (receipt, number) in receipts.into_iter().zip(0..) {
        if number % 2 == 0 {
            receipt.record(entry(number));
        } else {
            // The process dies with these under way: nobody may tidy them up.
            leave(receipt);
        }
    }
    wait_until(|| log.stats().entries == 20);
    let crashed = freeze(folder.path());
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 20);
    again.close();
    assert_each_once(crashed.path(), 0..40);
    let interrupted = lines(crashed.path())
        .iter()
        .filter(|line| line["portcullis.reason"] == "interrupted")
        .count();
    assert_eq!(interrupted, 20);
    // Opening once more finds nothing left to do.
    let third = open(crashed.path());
    assert_eq!(third.recovery().interrupted, 0);
    third.close();
    assert_each_once(crashed.path(), 0..40);
}

#[test]
fn a_second_crash_during_recovery_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    for number in 0..30 {
        leave(admit(&log, number));
    }
    let crashed = freeze(folder.path());
    let journal = freeze(&crashed.path().join("journal"));
    open(crashed.path()).close();
    // The entries were written, but the process died before the journal was deleted.
    for path in disk::list(journal.path()).unwrap() {
        let name = path.file_name().unwrap();
        std::fs::copy(&path, crashed.path().join("journal").join(name)).unwrap();
    }
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 0);
    again.close();
    assert_each_once(crashed.path(), 0..30);
}

#[test]
fn an_admission_that_is_carried_after_its_entry_was_written_is_not_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let hour = std::time::Duration::from_secs(3600);
    let slow = Options {
        flush: hour,
        checkpoint: hour,
        segment_bytes: 1 << 30,
        ..options(folder.path())
    };
    let log = open_with(&slow, &Arc::default());
    // So many entries that the index of the segment has a mark behind that of the long request.
    for number in 0..255 {
        log.reserve().unwrap().record(entry(number));
    }
    let long = admit(&log, 255);
    wait_until(|| log.stats().entries == 255);
    long.record(entry(255));
    wait_until(|| log.stats().entries == 256);
    // The request was so long that its file is old; its entry is in the segment, but not flushed.
    log.journal.tidy(log.clock.now().plus(hour)).unwrap();
    log.reserve().unwrap().record(entry(256));
    wait_until(|| log.stats().entries == 257);
    let crashed = freeze(folder.path());
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 0);
    again.close();
    assert_each_once(crashed.path(), 0..257);
}

#[test]
fn a_dropped_receipt_is_closed_by_its_own_entry() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    drop(admit(&log, 1));
    log.close();
    assert_each_once(folder.path(), [1]);
    assert_eq!(lines(folder.path())[0]["portcullis.reason"], "defect");
    assert_eq!(log.stats().queue, 0);
}

/// A crashed folder with signed entries, unsigned entries and open admissions.
fn crashed_under_load(signed: u64, unsigned: u64, open_admissions: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    for number in 0..signed {
        admit(&first, number).record(entry(number));
    }
    first.close();
    let slow = Options {
        checkpoint: std::time::Duration::from_hours(1),
        flush: std::time::Duration::from_hours(1),
        ..options(folder.path())
    };
    let log = open_with(&slow, &Arc::new(MemoryKeyring::default()));
    for number in signed..signed + unsigned {
        admit(&log, number).record(entry(number));
    }
    for number in signed + unsigned..signed + unsigned + open_admissions {
        leave(admit(&log, number));
    }
    wait_until(|| log.stats().entries == signed + unsigned);
    let frozen = freeze(folder.path());
    leave(log);
    frozen
}

fn last_segment(folder: &Path) -> std::path::PathBuf {
    segment::Segment::list(&folder.join("segments"))
        .unwrap()
        .pop()
        .unwrap()
        .path
}

#[test]
fn a_tail_torn_at_any_byte_loses_no_admitted_request() {
    let base = crashed_under_load(5, 4, 2);
    let bytes = std::fs::read(last_segment(base.path())).unwrap();
    let signed: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(5)
        .map(<[u8]>::len)
        .sum();
    let ends = bytes.iter().zip(1..).filter(|(byte, _)| **byte == b'\n');
    let near_ends = ends
        .map(|(_, end)| end)
        .filter(|end| *end > signed)
        .flat_map(|end| [end - 2, end - 1, end]);
    for length in (signed..bytes.len()).step_by(211).chain(near_ends) {
        let copy = freeze(base.path());
        std::fs::write(last_segment(copy.path()), &bytes[..length]).unwrap();
        let log = open(copy.path());
        log.close();
        assert_each_once(copy.path(), 0..11);
    }
}

#[test]
fn a_tail_cut_into_signed_entries_is_not_papered_over() {
    let base = crashed_under_load(5, 0, 0);
    let path = last_segment(base.path());
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 10, bytes.len() / 2, bytes.len() - 2] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let keyring = Arc::new(MemoryKeyring::default());
        let opened = AuditLog::open(options(base.path()), keyring, signer(), Clock::System);
        assert!(
            matches!(opened, Err(OpenError::Broken { signed: 5, .. })),
            "{length}: {opened:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap().len(), length, "untouched");
    }
}

#[test]
fn bytes_that_are_no_entry_are_kept_in_quarantine() {
    let base = crashed_under_load(3, 2, 0);
    let path = last_segment(base.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 100]);
    std::fs::write(&path, bytes).unwrap();
    let log = open(base.path());
    assert_eq!(log.recovery().torn_bytes, 100);
    log.close();
    assert_each_once(base.path(), 0..5);
    let kept = std::fs::read(base.path().join("quarantine")).unwrap();
    assert_eq!(kept, [vec![0; 100], b"\n".to_vec()].concat());
}

#[test]
fn missing_tiles_and_indexes_are_made_again() {
    let base = crashed_under_load(600, 30, 3);
    std::fs::remove_dir_all(base.path().join("tile")).unwrap();
    for path in disk::list(&base.path().join("segments")).unwrap() {
        if path.extension().is_some_and(|kind| kind == "index") {
            std::fs::write(path, [0xff; 100]).unwrap();
        }
    }
    open(base.path()).close();
    assert_each_once(base.path(), 0..633);
}

#[test]
fn a_removed_checkpoint_does_not_free_the_log_from_its_history() {
    let base = crashed_under_load(5, 0, 0);
    std::fs::remove_file(base.path().join("checkpoint")).unwrap();
    let path = last_segment(base.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let shorter: String = text.split_inclusive('\n').take(4).collect();
    std::fs::write(&path, shorter).unwrap();
    let keyring = Arc::new(MemoryKeyring::default());
    let opened = AuditLog::open(options(base.path()), keyring, signer(), Clock::System);
    assert!(
        matches!(opened, Err(OpenError::Broken { .. })),
        "{opened:?}"
    );
}

#[test]
fn journal_files_of_long_requests_are_carried_over_and_go_away() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal::Journal::open(folder.path().to_owned(), 0, false);
    let (route, person) = (RouteName::new("billing"), PrincipalId::new("u-41"));
    let begin = Timestamp::from_secs(1_000);
    let places: Vec<_> = (0..5)
        .map(|number| {
            let mut admission = admission(number, &route, &person);
            admission.received = begin;
            let ticket = journal.gather(&admission);
            journal.written(&ticket).unwrap().0
        })
        .collect();
    journal.settle(places[..3].iter().copied()).unwrap();
    let later = |secs| begin.plus(std::time::Duration::from_secs(secs));
    journal.tidy(later(60)).unwrap();
    assert_eq!(disk::list(folder.path()).unwrap().len(), 1);
    journal.tidy(later(400)).unwrap();
    let left = journal::leftovers(folder.path()).unwrap();
    let ids: Vec<_> = left.admitted.iter().map(|admitted| admitted.id).collect();
    assert_eq!(ids, [id(3), id(4)], "only what is open was carried");
    assert_eq!(journal.read(places[3]).unwrap().id, id(3));
    journal.settle(places[3..].iter().copied()).unwrap();
    journal.finish().unwrap();
    assert!(disk::list(folder.path()).unwrap().is_empty());
}

#[test]
fn what_a_failed_write_left_behind_the_last_record_is_never_carried() {
    let folder = tempfile::tempdir().unwrap();
    let journal = journal::Journal::open(folder.path().to_owned(), 0, false);
    let (route, person) = (RouteName::new("billing"), PrincipalId::new("u-41"));
    let begin = Timestamp::from_secs(1_000);
    let mut admission = admission(1, &route, &person);
    admission.received = begin;
    let ticket = journal.gather(&admission);
    let (place, _file) = journal.written(&ticket).unwrap();
    let later = |secs| begin.plus(std::time::Duration::from_secs(secs));
    journal.tidy(later(60)).unwrap();
    let path = disk::list(folder.path()).unwrap().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    // A whole record that nobody was let through for.
    bytes.extend_from_within(16..);
    std::fs::write(&path, bytes).unwrap();
    journal.tidy(later(400)).unwrap();
    let left = journal::leftovers(folder.path()).unwrap();
    let ids: Vec<_> = left.admitted.iter().map(|admitted| admitted.id).collect();
    assert_eq!(ids, [id(1)]);
    journal.settle([place]).unwrap();
    journal.finish().unwrap();
    assert!(disk::list(folder.path()).unwrap().is_empty());
}

#[test]
fn a_journal_of_another_version_is_kept_and_not_taken_for_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(format!("{:020}.admit", 1));
    std::fs::write(&file, b"PCADMIT1\0\0\0\0\0\0\0\0admissions").unwrap();
    let refused = journal::leftovers(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("another version"), "{refused}");
    assert!(file.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The state at any moment of a busy log, with any piece of the unsigned tail missing.
    #[test]
    fn any_moment_recovers(
        signed in 0_u64..300,
        unsigned in 0_u64..40,
        open_admissions in 0_u64..10,
        cut in 0.0_f64..1.0,
        twice in any::<bool>(),
    ) {
        let base = crashed_under_load(signed, unsigned, open_admissions);
        let note = std::fs::read_to_string(base.path().join("checkpoint")).unwrap_or_default();
        let kept = checkpoint::Checkpoint::open(&note, signer().verifier())
            .map_or(0, |found| found.size);
        let path = last_segment(base.path());
        let first = path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let fixed: usize = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .take(usize::try_from(kept.saturating_sub(first)).unwrap())
            .map(<[u8]>::len)
            .sum();
        let loose = bytes.len() - fixed;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a small length")]
        let length = fixed + (loose as f64 * cut) as usize;
        std::fs::write(&path, &bytes[..length]).unwrap();
        if twice {
            open(base.path()).close();
        }
        open(base.path()).close();
        assert_each_once(base.path(), 0..signed + unsigned + open_admissions);
    }
}
