//! Whoever changes the folder is found out, and the first bad entry is named.

use std::path::{Path, PathBuf};

use super::super::verify::{Fault, Findings, verify};
use super::*;

/// A closed log of 300 entries over several segments, signed at 100, 200 and 300.
fn log_of_300() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let keyring = Arc::new(MemoryKeyring::default());
    for round in 0..3 {
        let log = open_with(&options(folder.path()), &keyring);
        for number in 0..100 {
            log.reserve().unwrap().record(entry(round * 100 + number));
        }
        log.close();
    }
    folder
}

fn check(folder: &Path) -> Findings {
    verify(folder, signer().verifier(), &[]).unwrap()
}

/// The segment that holds entry `seq`, and its lines.
fn segment_of(folder: &Path, seq: u64) -> (PathBuf, u64, Vec<String>) {
    let segment = segment::Segment::list(&folder.join("segments"))
        .unwrap()
        .into_iter()
        .rfind(|segment| segment.first <= seq)
        .unwrap();
    let text = std::fs::read_to_string(&segment.path).unwrap();
    let lines = text.split_inclusive('\n').map(str::to_owned).collect();
    (segment.path, segment.first, lines)
}

fn change(folder: &Path, seq: u64, edit: impl FnOnce(&mut Vec<String>, usize)) {
    let (path, first, mut lines) = segment_of(folder, seq);
    edit(&mut lines, usize::try_from(seq - first).unwrap());
    std::fs::write(path, lines.concat()).unwrap();
}

#[test]
fn an_untouched_log_verifies() {
    let folder = log_of_300();
    let found = check(folder.path());
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!((found.entries, found.unsigned), (300, 0));
    assert_eq!(found.last_good.unwrap().size, 300);
    assert!(found.checkpoints >= 3);
}

#[test]
fn a_changed_byte_is_found_and_named() {
    for seq in [0, 99, 100, 150, 255, 256, 299] {
        let folder = log_of_300();
        change(folder.path(), seq, |lines, at| {
            lines[at] = lines[at].replacen("deny", "dent", 1);
        });
        let found = check(folder.path());
        assert_eq!(found.faults, [Fault::Changed { entry: seq }]);
        assert_eq!(
            found.last_good.map_or(0, |good| good.size),
            seq / 100 * 100,
            "entry {seq}"
        );
    }
}

#[test]
fn a_changed_entry_with_its_tile_changed_too_is_still_found() {
    let folder = log_of_300();
    change(folder.path(), 150, |lines, at| {
        lines[at] = lines[at].replacen("deny", "dent", 1);
    });
    std::fs::remove_dir_all(folder.path().join("tile")).unwrap();
    let found = check(folder.path());
    assert_eq!(found.faults, [Fault::ChangedWithin { from: 100, to: 199 }]);
}

#[test]
fn removed_moved_and_inserted_entries_are_named() {
    let removed = log_of_300();
    change(removed.path(), 150, |lines, at| drop(lines.remove(at)));
    assert_eq!(
        check(removed.path()).faults[0],
        Fault::NotAnEntry { entry: 150 }
    );
    let swapped = log_of_300();
    change(swapped.path(), 120, |lines, at| lines.swap(at, at + 1));
    assert_eq!(
        check(swapped.path()).faults[0],
        Fault::NotAnEntry { entry: 120 }
    );
    let inserted = log_of_300();
    change(inserted.path(), 7, |lines, at| {
        let copy = lines[at].clone();
        lines.insert(at, copy);
    });
    assert_eq!(
        check(inserted.path()).faults[0],
        Fault::NotAnEntry { entry: 8 }
    );
}

#[test]
fn entries_removed_and_numbered_anew_are_found() {
    let folder = log_of_300();
    let (path, first, mut lines) = segment_of(folder.path(), 299);
    let at = usize::try_from(298 - first).unwrap();
    lines.remove(at);
    lines[at] = lines[at].replacen("\"seq\":299", "\"seq\":298", 1);
    std::fs::write(path, lines.concat()).unwrap();
    let found = check(folder.path());
    assert_eq!(found.faults[0].entry(), Some(299));
}

#[test]
fn a_cut_off_end_and_a_missing_segment_are_found() {
    let cut = log_of_300();
    change(cut.path(), 299, |lines, at| drop(lines.remove(at)));
    assert_eq!(
        check(cut.path()).faults,
        [Fault::Missing {
            entry: 299,
            signed: 300
        }]
    );
    let torn = log_of_300();
    change(torn.path(), 299, |lines, at| lines[at].truncate(50));
    assert_eq!(check(torn.path()).faults[0].entry(), Some(299));
    let missing = log_of_300();
    let (path, first, _) = segment_of(missing.path(), 150);
    std::fs::remove_file(path).unwrap();
    assert_eq!(
        check(missing.path()).faults[0],
        Fault::NotAnEntry { entry: first }
    );
}

#[test]
fn a_forged_checkpoint_and_a_wrong_key_are_found() {
    let folder = log_of_300();
    let path = folder.path().join("checkpoint");
    let note = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, note.replacen("300", "299", 1)).unwrap();
    let found = check(folder.path());
    assert!(matches!(found.faults[..], [Fault::Note { .. }]));
    std::fs::write(&path, &note).unwrap();
    let stranger = NoteSigner::generate(ORIGIN).unwrap();
    let found = verify(folder.path(), stranger.verifier(), &[]).unwrap();
    assert!(!found.is_verified());
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(folder.path().join("checkpoints")).unwrap();
    assert_eq!(check(folder.path()).faults, [Fault::NeverSigned]);
}

#[test]
fn a_rewritten_log_contradicts_a_checkpoint_kept_elsewhere() {
    let folder = log_of_300();
    let kept = std::fs::read_to_string(folder.path().join("checkpoint")).unwrap();
    let key = signer();
    let again = log_of_300();
    assert!(check(again.path()).is_verified(), "signed by the same key");
    let found = verify(again.path(), key.verifier(), std::slice::from_ref(&kept)).unwrap();
    assert!(!found.is_verified(), "but not what was promised before");
    let found = verify(folder.path(), key.verifier(), &[kept]).unwrap();
    assert!(found.is_verified());
}

#[test]
fn entries_behind_the_last_checkpoint_are_reported_as_not_yet_signed() {
    let folder = log_of_300();
    let (path, _, lines) = segment_of(folder.path(), 299);
    let next = lines
        .last()
        .unwrap()
        .replacen("\"seq\":299", "\"seq\":300", 1);
    std::fs::write(&path, format!("{}{next}{{\"seq\":301,", lines.concat())).unwrap();
    let found = check(folder.path());
    assert!(found.is_verified());
    assert_eq!((found.entries, found.unsigned), (301, 1));
    assert_eq!(found.torn_bytes, 11);
}

#[test]
fn an_erased_person_changes_no_proof() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    admit(&log, 1).record(entry(1));
    log.erase(&PrincipalId::new("u-41")).unwrap();
    log.close();
    assert!(check(folder.path()).is_verified());
}
