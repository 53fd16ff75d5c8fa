//! The format on disk, fixed: files made once, which every later version must read, verify and write alike.

use std::path::{Path, PathBuf};

use super::super::verify::verify;
use super::*;
use crate::keys::NoteVerifier;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit/log")
}

/// The three entries of the golden log.
fn record_golden(log: &Arc<AuditLog>) {
    let at = Timestamp::from_secs(1_790_000_000);
    let event = SecurityEvent::new(at, Action::ConfigLoaded)
        .by(Actor::System)
        .detail("portcullis.config.hash", "91c4");
    log.record(event);
    let mut request = entry(7);
    request.query = Some(Told::as_if("month=2026-11").sealed(true));
    request.path = Some(Told::as_if("/admin/\u{202e}rates\n"));
    log.reserve().unwrap().record(request);
    let event = SecurityEvent::new(at, Action::SignInFailed)
        .claiming("kim")
        .from("198.51.100.7".parse().unwrap(), Some("curl/8"))
        .because(Reason::CredentialRejected);
    log.record(event);
}

fn golden_key() -> NoteVerifier {
    let text = std::fs::read_to_string(golden().join("log.vkey")).unwrap();
    NoteVerifier::parse(&text).unwrap()
}

/// Everything of a line but the ciphertext, which is never the same twice.
fn without_ciphertext(line: &str) -> &str {
    line.split("\"sealed\":").next().unwrap()
}

#[test]
fn the_golden_log_verifies() {
    let found = verify(&golden(), &golden_key(), &[]).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!((found.entries, found.unsigned), (3, 0));
}

#[test]
fn the_same_entries_are_written_byte_for_byte_alike() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    record_golden(&log);
    log.close();
    let name = "segments/00000000000000000000.jsonl";
    let written = std::fs::read_to_string(folder.path().join(name)).unwrap();
    let expected = std::fs::read_to_string(golden().join(name)).unwrap();
    assert_eq!(written.lines().count(), expected.lines().count());
    for (written, expected) in written.lines().zip(expected.lines()) {
        assert_eq!(without_ciphertext(written), without_ciphertext(expected));
        assert_eq!(written.len(), expected.len());
    }
}

/// Opens a sealed field with nothing but the description in `docs/audit-format.md`.
fn open_by_the_book(name: &str, entry: u64, sealed: &str) -> String {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    let keys = std::fs::read_to_string(golden().join("sealing-keys.txt")).unwrap();
    let hex = keys
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")))
        .unwrap();
    let key = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let bytes = data_encoding::BASE64.decode(sealed.as_bytes()).unwrap();
    assert_eq!(bytes[0], 2);
    let nonce = Nonce::try_assume_unique_for_key(&bytes[1..13]).unwrap();
    let aad = format!("portcullis.audit.sealed.v1\n{name}\n{entry}");
    let mut body = bytes[13..].to_vec();
    let plain = key.open_in_place(nonce, Aad::from(aad.as_bytes()), &mut body);
    String::from_utf8(plain.unwrap().to_vec()).unwrap()
}

#[test]
fn sealed_fields_open_as_documented() {
    let lines = lines(&golden());
    let open = |line: &serde_json::Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        open_by_the_book(
            &text("sealed.key"),
            line["seq"].as_u64().unwrap(),
            &text("sealed"),
        )
    };
    assert_eq!(
        open(&lines[1]),
        r#"{"user.email":"kim@example.com","user.full_name":"Kim","client.address":"198.51.100.7","network.peer.address":"10.0.0.5","user_agent.original":"curl/8","url.query":"month=2026-11"}"#
    );
    assert_eq!(
        open(&lines[2]),
        r#"{"portcullis.claimed_name":"kim","client.address":"198.51.100.7","user_agent.original":"curl/8"}"#
    );
}

/// Runs the program printed in `docs/audit-format.md`; needs Python and OpenSSL, which Portcullis does not.
#[test]
fn the_documented_program_verifies_without_us() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit-format.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let program = docs.split("```python\n").nth(1).unwrap();
    let program = program.split("```").next().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let script = copy.path().join("verify.py");
    std::fs::write(&script, program).unwrap();
    let run = |folder: &Path| {
        std::process::Command::new("python3")
            .arg(&script)
            .arg(folder)
            .arg(golden().join("log.vkey"))
            .output()
    };
    let Ok(good) = run(&golden()) else { return };
    let said = format!("{good:?}");
    assert!(good.status.success(), "{said}");
    assert!(said.contains("VERIFIED 3 entries"), "{said}");
    let segments = copy.path().join("segments");
    std::fs::create_dir(&segments).unwrap();
    for name in ["checkpoint", "segments/00000000000000000000.jsonl"] {
        let text = std::fs::read_to_string(golden().join(name)).unwrap();
        let text = text.replacen(
            "\"http.response.status_code\":403",
            "\"http.response.status_code\":200",
            1,
        );
        std::fs::write(copy.path().join(name), text).unwrap();
    }
    assert!(!run(copy.path()).unwrap().status.success());
}
