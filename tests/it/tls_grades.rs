//! What the graders say about the running edge: testssl.sh (the rules of SSL Labs) and sslyze (Mozilla's guideline).
//!
//! Debian's testssl.sh is 3.0, which does not rate, and no registry that CI installs from has a later one. So the points
//! are computed here by the published formula (SSL Server Rating Guide 2009r, as testssl.sh 3.2 carries it out) from what
//! 3.0 found: the protocols, the key, the bits of every suite; and A+ takes that it found nothing else. A testssl.sh that
//! rates, in `target/test-tools/testssl`, must come to the same. `doctor_tls.rs` has our own grader say it once more.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::pki::{Kind, Pki};
use crate::harness::{Site, Upstream};

/// What testssl.sh calls worse than good and why it stays.
const EXPECTED: [(&str, &str); 9] = [
    ("engine_problem", "about the tool's own OpenSSL"),
    (
        "cipher_order",
        "guideline 6.0 leaves the order to the client",
    ),
    (
        "cert_revocation",
        "the test's authority has no revocation service",
    ),
    (
        "OCSP_stapling",
        "the test's authority has no revocation service",
    ),
    ("DNS_CAArecord", "the test's names are not in the DNS"),
    ("HTTP_status_code", "the tool leaves the port out of `Host`"),
    (
        "secure_renego",
        "the tool's OpenSSL forgets the server name; sslyze checks it below",
    ),
    (
        "sessionresumption",
        "tried with the tool's own OpenSSL; tls.rs resumes by ticket",
    ),
    ("scanProblem", "about the tool itself"),
];
/// What the guide weighs: protocols, key exchange, ciphers, and the whole.
type Points = [u64; 4];
/// Half a year: what SSL Labs wants of HSTS before it gives A+.
const HSTS_SECONDS: u64 = 180 * 24 * 3600;

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools")
}

/// A site on certificate files that live for 90 days, as from a public authority.
async fn site(profile: &str, kind: Kind) -> (Site, Upstream, PathBuf) {
    let (pki, upstream) = (Pki::new(), Upstream::start("notes").await);
    let mut site = Site::plan()
        .route("notes", &upstream, "public = true")
        .prepare();
    let leaf = pki.leaf(kind, &["notes.test", "login.test"]);
    site.write(
        "tls/ec.crt",
        &(leaf.cert + std::str::from_utf8(pki.root()).unwrap()),
    );
    site.write("tls/ec.key", &leaf.key);
    site.write("tls/ca.crt", std::str::from_utf8(pki.root()).unwrap());
    let files = "[{ cert = \"tls/ec.crt\", key = { file = \"tls/ec.key\" } }]";
    let tls = format!("certificates = \"files\"\nprofile = \"{profile}\"\nfiles = {files}");
    site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
    site.run().await;
    let ca = site.path("tls/ca.crt");
    (site, upstream, ca)
}

async fn run(mut command: Command) -> String {
    let shown = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    let output = output.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    format!("{said}\n{}", String::from_utf8_lossy(&output.stderr))
}

/// Every finding of a full run of testssl.sh.
async fn findings(site: &Site, ca: &Path) -> Vec<Value> {
    let own = tools().join("testssl/testssl.sh");
    let mut command = Command::new(if own.exists() { own } else { "testssl".into() });
    let report = site.path("testssl.json");
    command
        .args([
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "off",
            "--ip",
            "127.0.0.1",
            "--jsonfile",
        ])
        .arg(&report)
        .arg("--add-ca")
        .arg(ca)
        .arg(site.url("notes", ""));
    let said = run(command).await;
    let report = std::fs::read(&report).unwrap_or_else(|error| panic!("{error}: {said}"));
    serde_json::from_slice(&report).unwrap()
}

fn finding<'a>(findings: &'a [Value], id: &str) -> &'a str {
    findings
        .iter()
        .find(|finding| {
            finding["id"]
                .as_str()
                .is_some_and(|own| own.starts_with(id))
        })
        .map_or("", |finding| finding["finding"].as_str().unwrap())
}

/// The points of what was found, by the guide.
fn points(found: &[Value]) -> Points {
    let offered = |id: &str| {
        let said = found.iter().find(|one| one["id"] == id).unwrap();
        !said["finding"].as_str().unwrap().contains("not offered")
    };
    let protocols: Vec<u64> = [
        ("SSLv2", 0),
        ("SSLv3", 80),
        ("TLS1", 90),
        ("TLS1_1", 95),
        ("TLS1_2", 100),
        ("TLS1_3", 100),
    ]
    .into_iter()
    .filter_map(|(id, points)| offered(id).then_some(points))
    .collect();
    // Without suites that keep no forward secrecy, which `bad` below makes sure of, these are all.
    let suites = finding(found, "FS_ciphers").to_owned() + finding(found, "PFS_ciphers");
    let ciphers: Vec<u64> = suites
        .split_whitespace()
        .filter(|name| name.starts_with("TLS_") || name.starts_with("ECDHE-"))
        .map(|name| match name {
            _ if name.contains("256-") || name.contains("_256_") || name.contains("CHACHA20") => {
                100
            }
            _ if name.contains("128-") || name.contains("_128_") => 80,
            other => panic!("{other}"),
        })
        .collect();
    let size = finding(found, "cert_keySize");
    let bits: u64 = size
        .split_whitespace()
        .find_map(|word| word.parse().ok())
        .unwrap();
    let key = match (size.starts_with("EC "), bits) {
        (true, 225..) | (false, 4096..) => 100,
        (false, 2048..) => 90,
        weak => panic!("{weak:?}"),
    };
    let middle = |points: &[u64]| {
        points
            .iter()
            .min()
            .unwrap()
            .midpoint(*points.iter().max().unwrap())
    };
    let (protocols, ciphers) = (middle(&protocols), middle(&ciphers));
    let whole = protocols * 30 / 100 + key * 30 / 100 + ciphers * 40 / 100;
    [protocols, key, ciphers, whole]
}

#[tokio::test(flavor = "multi_thread")]
async fn testssl_finds_nothing_that_would_cost_the_grade_a_plus() {
    for (profile, kind, key, expected) in [
        (
            "intermediate",
            Kind::P256,
            "EC 256 bits",
            [100, 100, 90, 96],
        ),
        (
            "intermediate",
            Kind::Rsa2048,
            "RSA 2048 bits",
            [100, 90, 90, 93],
        ),
        (
            "strict-256",
            Kind::P384,
            "EC 384 bits",
            [100, 100, 100, 100],
        ),
    ] {
        rated_a_plus(profile, kind, key, expected).await;
    }
}

async fn rated_a_plus(profile: &str, kind: Kind, key: &str, expected: Points) {
    let (site, upstream, ca) = site(profile, kind).await;
    let found = findings(&site, &ca).await;
    assert_eq!(points(&found), expected, "{profile} {kind:?}");
    let score = finding(&found, "final_score");
    assert!(
        score.is_empty() || score.parse() == Ok(expected[3]),
        "{score}"
    );

    let bad: Vec<_> = found
        .iter()
        .filter(|one| !matches!(one["severity"].as_str(), Some("OK" | "INFO")))
        .filter(|one| {
            !EXPECTED
                .iter()
                .any(|(id, _)| one["id"].as_str().unwrap().starts_with(id))
        })
        .map(|one| format!("{} {}: {}", one["severity"], one["id"], one["finding"]))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");

    for (protocol, offered) in [
        ("SSLv2", false),
        ("SSLv3", false),
        ("TLS1", false),
        ("TLS1_1", false),
        ("TLS1_2", true),
        ("TLS1_3", true),
    ] {
        let said = found.iter().find(|one| one["id"] == protocol).unwrap()["finding"]
            .as_str()
            .unwrap();
        assert_eq!(!said.contains("not offered"), offered, "{protocol}: {said}");
    }
    assert!(
        finding(&found, "cert_keySize").contains(key),
        "{}",
        finding(&found, "cert_keySize")
    );
    for (id, good) in [
        ("cert_chain_of_trust", "passed"),
        ("cert_trust", "Ok via SAN"),
    ] {
        assert!(
            finding(&found, id).starts_with(good),
            "{id}: {}",
            finding(&found, id)
        );
    }
    for weak in [
        "cipherlist_NULL",
        "cipherlist_aNULL",
        "cipherlist_EXPORT",
        "cipherlist_LOW",
        "cipherlist_3DES",
    ] {
        assert!(
            finding(&found, weak).contains("not offered"),
            "{weak}: {}",
            finding(&found, weak)
        );
    }
    let seconds: u64 = finding(&found, "HSTS_time")
        .split(|digit: char| !digit.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .max()
        .unwrap_or_default();
    assert!(seconds >= HSTS_SECONDS, "{}", finding(&found, "HSTS_time"));

    let grade = finding(&found, "overall_grade");
    assert!(matches!(grade, "A+" | ""), "rated {grade}");
    assert_eq!(upstream.hits(), 0, "the tool's requests name no port");
}

async fn sslyze(site: &Site, ca: &Path, config: &str) -> String {
    let mut command = Command::new(tools().join("bin/sslyze"));
    command
        .arg(format!("--mozilla_config={config}"))
        .arg("--certinfo_ca_file")
        .arg(ca)
        .args(["--sni", "notes.test", &site.address().to_string()]);
    run(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sslyze_finds_each_profile_compliant_with_mozillas_configuration_of_that_name() {
    for profile in ["intermediate", "modern"] {
        let (site, _upstream, ca) = site(profile, Kind::P256).await;
        let said = sslyze(&site, &ca, profile).await;
        assert!(said.contains(": OK - Compliant."), "{profile}:\n{said}");
        if profile == "intermediate" {
            assert!(
                said.contains("Secure Renegotiation:              OK - Supported"),
                "{said}"
            );
            assert!(
                sslyze(&site, &ca, "modern")
                    .await
                    .contains("FAILED - Not compliant.")
            );
        }
    }
}
