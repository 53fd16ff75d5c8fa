//! The table of certificates: names, lint, hot reload.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use tempfile::TempDir;

use super::{Certificates, Own, Rejected, Source, Wanted};
use crate::base::{Host, Timestamp};
use crate::config::Profile;
use crate::tls::Shelf;
use crate::tls::internal_ca::InternalCa;
use crate::tls::testing::name;

/// In 2026; the certificates here are valid for the whole of that year.
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

fn write(folder: &Path, stem: &str, names: &[&str]) -> (PathBuf, PathBuf) {
    write_valid(folder, stem, names, (2026, 2027))
}

fn write_valid(
    folder: &Path,
    stem: &str,
    names: &[&str],
    (from, to): (i32, i32),
) -> (PathBuf, PathBuf) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let (cert_path, key_path) = (
        folder.join(format!("{stem}.crt")),
        folder.join(format!("{stem}.key")),
    );
    std::fs::write(&cert_path, certificate.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    (cert_path, key_path)
}

fn wanted(files: Vec<(PathBuf, PathBuf)>, hosts: &[&str]) -> Wanted {
    Wanted {
        source: Source::Files(files),
        own: Vec::new(),
        shelf: std::sync::Arc::default(),
        profile: Profile::Intermediate,
        hosts: hosts.iter().map(|host| name(host)).collect(),
        served: hosts
            .iter()
            .map(|host| (name(host), "default".into()))
            .collect(),
        recheck: std::time::Duration::from_secs(1),
    }
}

fn codes(outcome: Result<(Certificates, Vec<super::Finding>), Rejected>) -> Vec<&'static str> {
    let findings = match outcome {
        Ok((_, findings)) | Err(Rejected(findings)) => findings,
    };
    findings.iter().map(super::Finding::code).collect()
}

#[test]
fn exact_names_and_one_label_below_a_wildcard_are_covered() {
    let folder = TempDir::new().unwrap();
    let files = vec![
        write(folder.path(), "a", &["a.example.com"]),
        write(folder.path(), "w", &["*.apps.example.com"]),
    ];
    let wanted = wanted(files, &["a.example.com", "x.apps.example.com"]);
    let (certificates, warnings) = Certificates::load(wanted, NOW).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let covers = |host: &str| certificates.covers(None, &Host::parse(host).unwrap());
    assert!(covers("a.example.com") && covers("y.apps.example.com"));
    assert!(
        !covers("apps.example.com") && !covers("x.y.apps.example.com") && !covers("b.example.com")
    );
}

#[test]
fn every_fault_has_its_code() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let load = |files, hosts: &[&str]| codes(Certificates::load(wanted(files, hosts), NOW));
    let good = write(path, "good", &["a.example.com"]);
    let other = write(path, "other", &["a.example.com"]);
    let missing = (path.join("none.crt"), path.join("none.key"));
    assert_eq!(load(vec![good.clone()], &["a.example.com"]), [""; 0]);
    assert_eq!(load(vec![missing], &[]), ["PC3101"]);
    assert_eq!(load(vec![(good.0.clone(), other.1)], &[]), ["PC3103"]);
    let expired = write_valid(path, "old", &["a.example.com"], (2020, 2021));
    assert_eq!(load(vec![expired], &[]), ["PC3104"]);
    let future = write_valid(path, "new", &["a.example.com"], (2030, 2031));
    assert_eq!(load(vec![future], &["a.example.com"]), ["PC3105"]);
    assert_eq!(load(vec![write(path, "bare", &[])], &[]), ["PC3106"]);
    assert_eq!(load(vec![good.clone()], &[]), ["PC3107"]);
    let uncovered = load(vec![good], &["a.example.com", "b.example.com"]);
    assert_eq!(uncovered, ["PC3108"]);
}

#[test]
fn a_listeners_own_certificate_covers_a_host_there_and_not_where_others_serve_it() {
    let folder = TempDir::new().unwrap();
    let load = |doors: &[&str]| {
        let all = vec![write(folder.path(), "a", &["a.example.com"])];
        let mut wanted = wanted(all, &["a.example.com", "b.example.com"]);
        wanted.own = vec![Own {
            listener: "inside".into(),
            files: vec![write(folder.path(), "b", &["b.example.com"])],
            profile: Profile::Intermediate,
        }];
        let doors = doors
            .iter()
            .map(|door| (name("b.example.com"), (*door).into()));
        wanted.served = doors.collect();
        codes(Certificates::load(wanted, NOW))
    };
    assert_eq!(load(&["inside"]), [""; 0]);
    assert_eq!(load(&["inside", "outside"]), ["PC3108"]);
    assert_eq!(load(&["default", "outside"]), ["PC3108"]);
}

#[test]
fn a_key_that_costs_points_is_told_where_all_of_them_are_wanted() {
    let folder = TempDir::new().unwrap();
    let pair = write(folder.path(), "a", &["a.example.com"]);
    let mut strict = wanted(vec![pair.clone()], &["a.example.com"]);
    strict.profile = Profile::Strict256;
    assert_eq!(codes(Certificates::load(strict, NOW)), ["PC3113"]);
    let usual = wanted(vec![pair], &["a.example.com"]);
    assert_eq!(codes(Certificates::load(usual, NOW)), [""; 0]);
}

#[test]
fn a_chain_must_be_in_the_order_of_its_signatures() {
    let folder = TempDir::new().unwrap();
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (right, namesake, other) = (ca("Right"), ca("Right"), ca("Other"));
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2027, 6, 1);
    let leaf = params.signed_by(&key, &right).unwrap().pem();
    let load = |chain: &[&str]| {
        let pair = (folder.path().join("c.crt"), folder.path().join("c.key"));
        std::fs::write(&pair.0, chain.concat()).unwrap();
        std::fs::write(&pair.1, key.serialize_pem()).unwrap();
        codes(Certificates::load(
            wanted(vec![pair], &["a.example.com"]),
            NOW,
        ))
    };
    assert_eq!(load(&[&leaf]), [""; 0]);
    assert_eq!(load(&[&leaf, &right.pem()]), [""; 0]);
    assert_eq!(load(&[&leaf, &other.pem()]), ["PC3112"]);
    assert_eq!(load(&[&leaf, &namesake.pem()]), ["PC3112"]);
    assert_eq!(load(&[&leaf, &right.pem(), &other.pem()]), ["PC3112"]);
    assert_eq!(load(&[&right.pem(), &leaf])[0], "PC3106");
}

#[test]
fn what_was_obtained_replaces_what_stood_in_for_its_names_and_files_go_first() {
    let folder = TempDir::new().unwrap();
    let ca = InternalCa::open_or_create(&folder.path().join("ca"), NOW).unwrap();
    let shelf = std::sync::Arc::new(Shelf::default());
    let hosts = ["a.example.com", "b.example.com", "c.example.com"];
    let mut wanted = wanted(Vec::new(), &hosts);
    wanted.shelf = std::sync::Arc::clone(&shelf);
    wanted.source = Source::Acme {
        files: vec![write(folder.path(), "a", &["a.example.com"])],
        stand_in: Some(ca.clone()),
    };
    let (certificates, warnings) = Certificates::load(wanted, NOW).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let listed = || -> Vec<_> {
        let listed = certificates.list();
        let told = listed.iter().map(|one| {
            let names: Vec<_> = one.names.iter().map(ToString::to_string).collect();
            (one.origin.word(), names.join(" "))
        });
        told.collect()
    };
    let row = |origin, names: &str| (origin, names.to_owned());
    let file = row("files", "a.example.com");
    assert_eq!(
        listed(),
        [file.clone(), row("internal", "b.example.com c.example.com")]
    );
    shelf.put(ca.leaf(&[name("b.example.com")], NOW).unwrap().loaded);
    certificates.look(NOW);
    let obtained = row("acme", "b.example.com");
    assert_eq!(
        listed(),
        [file.clone(), obtained, row("internal", "c.example.com")]
    );
    let both = [name("b.example.com"), name("c.example.com")];
    shelf.put(ca.leaf(&both, NOW).unwrap().loaded);
    certificates.look(NOW);
    assert_eq!(listed(), [file, row("acme", "b.example.com c.example.com")]);
}

#[test]
fn changed_files_come_into_force_and_broken_ones_do_not() {
    let folder = TempDir::new().unwrap();
    let pair = write(folder.path(), "a", &["a.example.com"]);
    let wanted = wanted(vec![pair.clone()], &[]);
    let (certificates, _) = Certificates::load(wanted, NOW).unwrap();
    let served = || certificates.list()[0].key.cert[0].clone();
    let first = served();
    certificates.look(NOW);
    assert_eq!(served(), first);

    std::fs::write(&pair.0, "not a certificate, and longer or shorter").unwrap();
    certificates.look(NOW);
    assert_eq!(served(), first);

    write(folder.path(), "a", &["a.example.com", "b.example.com"]);
    certificates.look(NOW);
    assert_ne!(served(), first);
    assert!(certificates.covers(None, &Host::parse("b.example.com").unwrap()));
}
