//! Admissions of one turn leave in one write, and each for itself: who goes away or fails takes nobody along.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;

use super::crash::{assert_each_once, freeze, leave};
use super::*;

/// What admitting needs to borrow.
struct Words {
    route: RouteName,
    person: PrincipalId,
}

impl Words {
    fn new() -> Self {
        Self {
            route: RouteName::new("billing"),
            person: PrincipalId::new("u-41"),
        }
    }

    async fn admit(&self, slot: &mut Slot, number: u64) -> Result<Receipt, Unavailable> {
        slot.admit(&admission(number, &self.route, &self.person))
            .await
    }
}

fn slots(log: &Arc<AuditLog>, count: usize) -> Vec<Slot> {
    (0..count).map(|_| log.reserve().unwrap()).collect()
}

fn writes(log: &AuditLog) -> u64 {
    log.journal.writes.load(std::sync::atomic::Ordering::SeqCst)
}

/// Lets a request gather, and leaves it there.
fn begin<F: Future<Output = Result<Receipt, Unavailable>>>(admitting: Pin<&mut F>) {
    let polled = admitting.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "{polled:?}");
}

#[test]
fn admissions_of_one_turn_leave_in_one_write() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    let mut slots = slots(&log, 20);
    let admitting = slots.iter_mut().zip(0..);
    let admitted = now_or_later(join_all(
        admitting.map(|(slot, number)| words.admit(slot, number)),
    ));
    assert!(admitted.iter().all(Result::is_ok));
    assert_eq!(writes(&log), 1);
    // The process dies with all of them under way.
    let crashed = freeze(folder.path());
    leave(slots);
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 20);
    again.close();
    assert_each_once(crashed.path(), 0..20);
}

#[test]
fn every_entry_settles_the_record_of_its_own_admission() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    for round in 0..3 {
        let mut slots = slots(&log, 5);
        let admitting = slots.iter_mut().zip(round * 5..);
        now_or_later(join_all(
            admitting.map(|(slot, number)| words.admit(slot, number)),
        ));
        for (slot, number) in slots.into_iter().zip(round * 5..) {
            // Every other round leaves one that is closed for it.
            if number != 7 {
                slot.record(entry(number));
            }
        }
    }
    log.close();
    assert_each_once(folder.path(), 0..15);
    let closed_for: Vec<_> = lines(folder.path())
        .into_iter()
        .filter(|line| line["portcullis.reason"] == "defect")
        .map(|line| line["portcullis.request.id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(closed_for, [id(7).to_string()]);
    assert!(
        disk::list(&folder.path().join("journal"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn who_goes_away_in_its_turn_has_one_entry_and_keeps_nobody_from_leaving() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    let [mut first, mut second, mut third] = [(); 3].map(|()| log.reserve().unwrap());
    {
        let mut leaving = pin!(words.admit(&mut first, 1));
        let mut staying = pin!(words.admit(&mut second, 2));
        let mut aborted = pin!(words.admit(&mut third, 3));
        begin(leaving.as_mut());
        begin(staying.as_mut());
        begin(aborted.as_mut());
        assert_eq!(writes(&log), 0);
    }
    // One tells how it ended, one is dropped, one goes on: all of them are settled by the one write.
    first.record(entry(1));
    assert_eq!(writes(&log), 1);
    drop(third);
    second.record(entry(2));
    assert_eq!(writes(&log), 1);
    log.close();
    assert_each_once(folder.path(), 1..=3);
    assert_eq!(log.stats().queue, 0);
}

#[test]
fn a_turn_whose_first_is_dropped_is_still_written_before_the_others_are_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    let mut slot = log.reserve().unwrap();
    let mut staying = pin!(words.admit(&mut slot, 2));
    {
        let mut gone = log.reserve().unwrap();
        let mut leaving = pin!(words.admit(&mut gone, 1));
        begin(leaving.as_mut());
        begin(staying.as_mut());
    }
    let polled = staying
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))), "{polled:?}");
    let admitted = journal::leftovers(&folder.path().join("journal")).unwrap();
    assert!(admitted.admitted.iter().any(|found| found.id == id(2)));
}

#[test]
fn what_only_gathered_when_the_process_died_was_never_let_through() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    let mut slot = log.reserve().unwrap();
    let mut admitting = pin!(words.admit(&mut slot, 1));
    begin(admitting.as_mut());
    let crashed = freeze(folder.path());
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 0);
    assert_eq!(again.stats().entries, 0);
}

#[test]
fn a_turn_that_cannot_be_written_admits_nobody_and_the_next_is_not_harmed() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let words = Words::new();
    let journal = folder.path().join("journal");
    std::fs::remove_dir(&journal).unwrap();
    let mut refused = slots(&log, 4);
    let admitting = refused.iter_mut().zip(0..);
    let answers = now_or_later(join_all(
        admitting.map(|(slot, number)| words.admit(slot, number)),
    ));
    for answer in answers {
        assert!(matches!(answer, Err(Unavailable::Disk(_))), "{answer:?}");
    }
    std::fs::create_dir(&journal).unwrap();
    let mut admitted = log.reserve().unwrap();
    assert!(now_or_later(words.admit(&mut admitted, 4)).is_ok());
    // Those who were refused are told of, and settle nothing that is not theirs.
    for (slot, number) in refused.into_iter().zip(0..) {
        slot.record(entry(number));
    }
    wait_until(|| log.stats().entries == 4);
    let crashed = freeze(folder.path());
    leave(admitted);
    let again = open(crashed.path());
    assert_eq!(again.recovery().interrupted, 1);
    again.close();
    assert_each_once(crashed.path(), 0..5);
}

#[test]
fn nobody_is_admitted_twice() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut slot = admit(&log, 1);
    let again = now_or_later(Words::new().admit(&mut slot, 1));
    assert!(again.is_err());
    assert_eq!(writes(&log), 1);
    slot.record(entry(1));
}

#[test]
fn many_who_wait_for_the_disk_are_all_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        durability: Durability::Power,
        ..options(folder.path())
    };
    let log = open_with(&options, &Arc::default());
    let words = Words::new();
    for round in 0..20 {
        let mut slots = slots(&log, 64);
        let admitting = slots.iter_mut().zip(round * 64..);
        let admitted = now_or_later(join_all(
            admitting.map(|(slot, number)| words.admit(slot, number)),
        ));
        assert!(admitted.iter().all(Result::is_ok));
        for (slot, number) in slots.into_iter().zip(round * 64..) {
            slot.record(entry(number));
        }
    }
    assert_eq!(writes(&log), 20);
    log.close();
    assert_each_once(folder.path(), 0..20 * 64);
}

#[test]
fn a_journal_that_is_waited_for_has_its_next_files_ready_with_their_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let files = || disk::list(folder.path()).unwrap();
    let journal = journal::Journal::open(folder.path().to_owned(), 0, true);
    journal.prepare().unwrap();
    let ready = files();
    assert_eq!(ready.len(), 2);
    for path in &ready {
        assert!(std::fs::metadata(path).unwrap().len() > 4 << 20);
    }
    let none = journal::leftovers(folder.path()).unwrap();
    assert!(none.admitted.is_empty() && none.since.is_none());
    let words = Words::new();
    let ticket = journal.gather(&admission(1, &words.route, &words.person));
    let (place, _) = journal.written(&ticket).unwrap();
    assert_eq!(files(), ready, "no file was made while somebody waited");
    let left = journal::leftovers(folder.path()).unwrap();
    assert_eq!(left.admitted.len(), 1);
    journal.prepare().unwrap();
    assert_eq!(files().len(), 3);
    journal.settle([place]).unwrap();
    journal.finish().unwrap();
    assert!(files().is_empty());
}
