//! Reach: what was named is reached, and nothing else, also by the kernel's word.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::Reach;
use crate::config::{self, Config, Problems};

fn config(folder: &Path, more: &str) -> Config {
    let file = folder.join("portcullis.toml");
    let text = format!(
        "[server]\nportal = \"login.example\"\nadmin_socket = \"data/admin.sock\"\n[tls]\n{more}\n\
         [storage]\ndatabase = \"sqlite:data/p.db\"\nmaster_key = {{ file = \"data/master.key\" }}\n"
    );
    std::fs::write(&file, text).unwrap();
    config::load(&file).unwrap().config
}

fn lacks(reach: &Reach, config: &Config) -> Vec<String> {
    let mut problems = Problems::new();
    reach.lacks_files(config, &mut problems);
    reach.lacks_programs(config, &mut problems);
    problems
        .iter()
        .map(|problem| problem.message.clone())
        .collect()
}

#[test]
fn folders_that_were_named_are_within_reach_also_where_a_link_leads() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(elsewhere.path().join("ca1.pem"), "").unwrap();
    std::fs::write(elsewhere.path().join("ca2.pem"), "").unwrap();
    symlink(
        elsewhere.path().join("ca1.pem"),
        folder.path().join("ca.pem"),
    )
    .unwrap();
    let named = "certificates = \"acme\"\nacme = { directory_ca = \"ca.pem\" }";
    let first = config(folder.path(), named);
    let reach = Reach::of(&first);
    assert_eq!(lacks(&reach, &first), [""; 0]);
    // A renewal leads the link to another file of the same folder.
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    symlink(
        elsewhere.path().join("ca2.pem"),
        folder.path().join("ca.pem"),
    )
    .unwrap();
    assert_eq!(lacks(&reach, &config(folder.path(), named)), [""; 0]);
}

#[test]
fn a_folder_that_was_not_named_is_out_of_reach_also_behind_a_link() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let reach = Reach::of(&config(folder.path(), ""));
    let file = elsewhere.path().join("ca.pem");
    std::fs::write(&file, "").unwrap();
    symlink(&file, folder.path().join("linked.pem")).unwrap();
    for name in [file.display().to_string(), "linked.pem".to_owned()] {
        let named = format!("certificates = \"acme\"\nacme = {{ directory_ca = \"{name}\" }}");
        let found = lacks(&reach, &config(folder.path(), &named));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
}

#[test]
fn running_programs_is_given_up_unless_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let hook =
        "certificates = \"acme\"\nacme = { challenge = \"dns-01\", dns = { exec = \"hook\" } }";
    let (without, with) = (
        Reach::of(&config(folder.path(), "")),
        Reach::of(&config(folder.path(), hook)),
    );
    assert!(!without.programs() && with.programs());
    assert_eq!(lacks(&without, &config(folder.path(), hook)).len(), 1);
    assert_eq!(lacks(&with, &config(folder.path(), hook)), [""; 0]);
}

/// In a thread of its own: what was given up does not come back.
#[test]
fn a_thread_that_gave_up_files_and_ports_reaches_those_that_were_named_and_no_others() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = elsewhere.path().join("secret");
    std::fs::write(&secret, "").unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let (open, closed) = (listener(), listener());
    let named = config(folder.path(), "");
    let mut reach = Reach::of(&named);
    reach.ports.insert(open.local_addr().unwrap().port());
    reach.strict = true;
    let inside = std::thread::spawn(move || {
        let told = reach.enforce().unwrap().unwrap();
        let refused = |done: std::io::Result<()>| {
            done.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        let connect = |to: &std::net::TcpListener| {
            std::net::TcpStream::connect(to.local_addr().unwrap()).map(drop)
        };
        assert!(told.contains("connects to 1 ports"), "{told}");
        assert!(std::fs::read(&named.path).is_ok());
        assert!(std::fs::write(named.data_folder().join("new"), "").is_ok());
        assert!(refused(std::fs::read(&secret).map(drop)));
        assert!(refused(std::fs::write(
            named.path.with_file_name("new"),
            ""
        )));
        assert!(refused(
            std::process::Command::new("/bin/true").status().map(drop)
        ));
        assert!(connect(&open).is_ok());
        assert!(refused(connect(&closed)));
    });
    inside.join().unwrap();
}

fn listener() -> std::net::TcpListener {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap()
}
