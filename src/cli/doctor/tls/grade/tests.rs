//! Points and letters of listeners that are described here; real ones are graded in `tests/it/doctor_tls.rs`.

use super::{Graded, grade};
use crate::base::{Host, Timestamp};
use crate::cli::doctor::tls::facts::{Facts, Hsts, Staple};
use crate::tls::probe::{Suite, Version};
use crate::tls::witness::{Key, Leaf, Verdict};

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const DAY: i64 = 86_400;
const GCM_128: Suite = Suite(0xC02F);
const GCM_256: Suite = Suite(0xC030);

/// A listener as Mozilla's intermediate profile wants it.
fn good() -> Facts {
    Facts {
        host: Host::parse("app.example.com").unwrap(),
        accepted: vec![
            (Version::TLS_1_2, GCM_128),
            (Version::TLS_1_2, GCM_256),
            (Version::TLS_1_3, Suite(0x1301)),
            (Version::TLS_1_3, Suite(0x1302)),
        ],
        groups: vec![(29, "x25519")],
        compression: false,
        secure_renegotiation: Some(true),
        prime_bits: None,
        keys: vec![Key::Ecdsa(256)],
        leaf: Some(Leaf {
            key: Key::Ecdsa(256),
            is_for_host: true,
            is_self_signed: false,
            has_sha1_signature: false,
            not_after: Timestamp::from_secs(NOW.secs() + 90 * DAY),
        }),
        verdict: Verdict::Trusted,
        hsts: Hsts::Seconds(63_072_000),
        staple: Staple::Unneeded,
    }
}

fn graded(change: impl FnOnce(&mut Facts)) -> Graded {
    let mut facts = good();
    change(&mut facts);
    grade(&facts, NOW)
}

#[test]
fn points_are_those_of_the_guide() {
    let scores = |change: fn(&mut Facts)| {
        let scores = graded(change).scores;
        (
            scores.protocols,
            scores.key_exchange,
            scores.ciphers,
            scores.total,
        )
    };
    assert_eq!(scores(|_| {}), (100, 100, 90, 96));
    assert_eq!(
        scores(|facts| facts.keys = vec![Key::Rsa(2048)]),
        (100, 90, 90, 93)
    );
    assert_eq!(scores(|facts| facts.keys = vec![Key::Rsa(4096)]).1, 100);
    assert_eq!(
        scores(|facts| facts.keys = vec![Key::Rsa(4096), Key::Rsa(1024)]).1,
        80
    );
    assert_eq!(scores(|facts| facts.prime_bits = Some(1024)).1, 80);
    let only_256 = |facts: &mut Facts| facts.accepted.retain(|(_, suite)| suite.bits() == 256);
    assert_eq!(scores(only_256), (100, 100, 100, 100));
    let old = |facts: &mut Facts| facts.accepted.push((Version::TLS_1_0, Suite(0x000A)));
    assert_eq!(scores(old), (95, 100, 60, 82));
    let nothing = |facts: &mut Facts| facts.accepted.push((Version::TLS_1_2, Suite(0x003B)));
    assert_eq!(scores(nothing).2, 50);
    let anonymous = |facts: &mut Facts| facts.accepted.push((Version::TLS_1_2, Suite(0x0034)));
    assert_eq!(scores(anonymous).3, 0);
}

/// What is wrong, the grade that it leaves, and how a good listener becomes so.
type Defect = (&'static str, &'static str, fn(&mut Facts));

const DEFECTS: &[Defect] = &[
    ("nothing", "A+", |_| {}),
    ("a missing staple", "A+", |facts| {
        facts.staple = Staple::Missing
    }),
    ("no HSTS", "A-", |facts| facts.hsts = Hsts::Missing),
    ("short HSTS", "A-", |facts| {
        facts.hsts = Hsts::Seconds(15_551_999)
    }),
    ("HSTS of half a year", "A+", |facts| {
        facts.hsts = Hsts::Seconds(15_552_000)
    }),
    ("no TLS 1.3", "A-", |facts| facts.accepted.truncate(2)),
    ("no renegotiation_info", "A-", |facts| {
        facts.secure_renegotiation = Some(false)
    }),
    ("TLS 1.3 alone", "A+", |facts| {
        facts.accepted.drain(..2);
        facts.secure_renegotiation = None;
    }),
    ("TLS 1.1", "B", |facts| {
        facts.accepted.push((Version::TLS_1_1, Suite(0xC014)))
    }),
    ("SSL 3", "C", |facts| {
        facts.accepted.push((Version::SSL_3, Suite(0x0035)))
    }),
    ("3DES", "C", |facts| {
        facts.accepted.push((Version::TLS_1_2, Suite(0xC012)))
    }),
    ("RC4", "C", |facts| {
        facts.accepted.push((Version::TLS_1_2, Suite(0x0005)))
    }),
    ("export", "F", |facts| {
        facts.accepted.push((Version::TLS_1_2, Suite(0x0003)))
    }),
    ("no encryption", "F", |facts| {
        facts.accepted.push((Version::TLS_1_2, Suite(0x003B)))
    }),
    ("compression", "C", |facts| facts.compression = true),
    ("a weak key", "B", |facts| facts.keys = vec![Key::Rsa(1024)]),
    ("Logjam", "B", |facts| facts.prime_bits = Some(1024)),
    ("another name", "M", |facts| {
        facts.verdict = Verdict::OtherName
    }),
    ("an expired chain", "T", |facts| {
        facts.verdict = Verdict::Expired
    }),
    ("an unknown authority", "T", |facts| {
        facts.verdict = Verdict::Untrusted("unknown issuer".to_owned());
    }),
    ("another name and an unknown authority", "T", |facts| {
        facts.verdict = Verdict::Untrusted("unknown issuer".to_owned());
        facts.leaf.as_mut().unwrap().is_for_host = false;
    }),
];

#[test]
fn every_defect_has_its_letter_and_a_way_to_mend_it() {
    for (what, letter, change) in DEFECTS {
        let graded = graded(*change);
        assert_eq!(graded.letter, *letter, "{what}");
        let told = graded.found.iter().any(|examined| !examined.ok);
        assert_eq!(
            told,
            !matches!(*what, "nothing" | "TLS 1.3 alone" | "HSTS of half a year"),
            "{what}"
        );
        let mended =
            |examined: &crate::cli::doctor::Examined| examined.ok || examined.command.is_some();
        assert!(graded.found.iter().all(mended), "{what}");
    }
}

#[test]
fn without_forward_secrecy_or_aead_it_is_a_b() {
    for suites in [[0x009C, 0x009D], [0xC013, 0xC014]] {
        let graded = graded(|facts| {
            let suites = suites.map(|number| (Version::TLS_1_2, Suite(number)));
            facts.accepted = suites.to_vec();
        });
        assert_eq!(graded.letter, "B", "{suites:?}");
    }
}
