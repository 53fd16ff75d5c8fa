//! Searching: filters, bounds and what cannot be read.

use std::ops::Range;
use std::sync::Arc;

use super::super::seal::tests::MemoryKeyring;
use super::super::tests::{entry, id, open_with, options};
use super::*;
use crate::base::{Reason, RouteName};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

/// A log of `count` entries over several segments; every tenth is about another route.
fn filled(count: u64) -> (tempfile::TempDir, Arc<super::super::AuditLog>) {
    let folder = tempfile::tempdir().unwrap();
    let log = open_with(&options(folder.path()), &Arc::new(MemoryKeyring::default()));
    fill(&log, 0..count);
    (folder, log)
}

fn fill(log: &Arc<super::super::AuditLog>, numbers: Range<u64>) {
    for number in numbers {
        let mut entry = entry(number);
        entry.ended = NOW.plus(Duration::from_secs(number * 60));
        if number % 10 == 0 {
            entry.route = Some(RouteName::new("wiki"));
            entry.reason = Reason::NoPermit;
        }
        log.reserve().unwrap().record(entry);
    }
    log.close();
}

fn find(folder: &Path, text: &str, sealer: Option<&Sealer>) -> Vec<u64> {
    let query = Query::parse(text, NOW.plus(Duration::from_secs(60_000))).unwrap();
    let found = search(folder, &query, None, 1_000, sealer).unwrap();
    found.records.iter().map(Record::seq).collect()
}

#[test]
fn entries_are_found_newest_first_by_any_filter() {
    let (folder, log) = filled(1_000);
    let sealer = Some(&*log.sealer);
    let folder = folder.path();
    assert_eq!(find(folder, "", None).len(), 1_000);
    let wiki = find(folder, "route:wiki", None);
    assert_eq!(wiki.len(), 100);
    assert_eq!(wiki[..2], [990, 980]);
    assert_eq!(find(folder, "since:5m", None), [999, 998, 997, 996, 995]);
    assert_eq!(find(folder, "until:60000s", None).len(), 0);
    assert_eq!(find(folder, "until:995m", None), [4, 3, 2, 1, 0]);
    assert_eq!(find(folder, "user:kim", sealer).len(), 1_000);
    assert_eq!(find(folder, "user:kim", None).len(), 0, "sealed");
    assert_eq!(find(folder, "user:u-41 route:wiki", None).len(), 100);
    assert_eq!(find(folder, "ip:198.51.100.7", sealer).len(), 1_000);
    assert_eq!(find(folder, "ip:198.51.100.8", sealer).len(), 0);
    assert_eq!(find(folder, "decision:allow", None).len(), 0);
    assert_eq!(find(folder, "action:http", None).len(), 1_000);
    assert_eq!(find(folder, "action:htt", None).len(), 0);
    assert_eq!(
        find(folder, "policy:billing.admin-path CURL", sealer).len(),
        1_000
    );
    assert_eq!(find(folder, &format!("request:{}", id(17)), None), [17]);
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let (folder, _log) = filled(300);
    let mut before = None;
    let mut seen = Vec::new();
    loop {
        let found = search(folder.path(), &Query::default(), before, 70, None).unwrap();
        seen.extend(found.records.iter().map(Record::seq));
        before = seen.last().copied();
        if !found.more {
            break;
        }
    }
    assert_eq!(seen, (0..300).rev().collect::<Vec<_>>());
}

#[test]
fn an_erased_person_is_no_longer_found_by_name() {
    let (folder, log) = filled(3);
    log.erase(&crate::base::PrincipalId::new("u-41")).unwrap();
    let sealer = Some(&*log.sealer);
    assert_eq!(find(folder.path(), "user:kim", sealer).len(), 0);
    assert_eq!(find(folder.path(), "", sealer).len(), 3);
}

#[test]
fn a_tail_sees_what_is_written_after_it_was_opened() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Arc::new(MemoryKeyring::default());
    let mut seen = 0;
    for round in 0..4_u64 {
        let mut tail = Tail::open(folder.path()).unwrap();
        let log = open_with(&options(folder.path()), &keyring);
        for number in 0..50 {
            log.reserve().unwrap().record(entry(round * 50 + number));
        }
        log.close();
        seen += tail.poll(Some(&*log.sealer)).unwrap().len();
        assert!(tail.poll(None).unwrap().is_empty());
    }
    assert_eq!(seen, 200);
}

#[test]
fn queries_that_cannot_be_read_say_why() {
    let now = NOW;
    assert_eq!(
        Query::parse("colour:red", now),
        Err(QueryError::Key("colour".into()))
    );
    assert_eq!(
        Query::parse("since:soon", now),
        Err(QueryError::Time("soon".into()))
    );
    assert_eq!(
        Query::parse("since:2026-11-22T08:00:00Z", now)
            .unwrap()
            .since,
        Some("2026-11-22T08:00:00Z".parse().unwrap())
    );
}

#[test]
fn of_a_long_log_only_the_segments_that_can_match_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    // What is written at once stands in one segment, so the log is opened anew for each hundred.
    for hundred in 0..10 {
        let log = open_with(&options(folder.path()), &Arc::new(MemoryKeyring::default()));
        fill(&log, hundred * 100..(hundred + 1) * 100);
    }
    let segments = Segment::list(&Folder::new(folder.path()).segments()).unwrap();
    assert!(segments.len() > 2, "{}", segments.len());
    let times: Vec<Timestamp> = segments.iter().filter_map(Segment::begins).collect();
    assert_eq!(times.len(), segments.len());
    assert!(times.is_sorted());
    let count = |before, late| reached(&segments, before, late).len();
    assert_eq!(count(None, None), segments.len());
    assert_eq!(count(Some(segments[1].first), None), 1);
    assert_eq!(count(Some(segments[1].first + 1), None), 2);
    assert_eq!(count(None, Some(times[2])), 2);
    // Without its index a segment is looked into.
    std::fs::remove_file(segments[2].path.with_extension("index")).unwrap();
    assert!(count(None, Some(times[2])) >= 2);
    assert_eq!(find(folder.path(), "until:995m", None), [4, 3, 2, 1, 0]);
}
