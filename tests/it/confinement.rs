//! What the running process has given up: account, capabilities, files, programs, system calls, core dumps.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::harness::client::request;
use crate::harness::{Client, Site, Upstream};

/// An account of every Debian machine that owns nothing.
const NOBODY: (&str, u32) = ("nobody", 65_534);
const NET_BIND_SERVICE: u64 = 1 << 10;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A field of proc_pid_status(5), of every thread.
fn of_threads(site: &Site, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", site.pid())).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    status
        .map(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap().trim_start_matches(':').trim().to_owned()
        })
        .collect()
}

#[track_caller]
fn every_thread(site: &Site, field: &str, wanted: &str) {
    let found = of_threads(site, field);
    assert!(found.len() > 3, "{found:?}");
    assert!(
        found.iter().all(|value| value == wanted),
        "{field}: {found:?}"
    );
}

fn give(path: &Path, account: u32) {
    chown(path, Some(account), Some(account)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), account);
        }
    }
}

fn give_folder(path: &Path, account: u32) {
    chown(path, Some(account), Some(account)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

async fn answer(site: &Site, client: &Client) -> u16 {
    let asked = request(site, "GET", "app", "/");
    client
        .send("app.test", asked.body(Default::default()).unwrap())
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn every_thread_has_given_up_privileges_system_calls_and_core_dumps_and_says_so() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    every_thread(&site, "NoNewPrivs", "1");
    every_thread(&site, "Seccomp", "2");
    for held in of_threads(&site, "CapEff") {
        let held = u64::from_str_radix(&held, 16).unwrap();
        // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER, which only root had.
        assert_eq!(held & !(NET_BIND_SERVICE | 0b1111), 0, "{held:x}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", site.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().collect::<Vec<_>>()[4..6],
        ["0", "0"]
    );
    let log = site.log_text();
    for wanted in ["no core dumps", "landlock: ABI", "seccomp: "] {
        assert!(log.contains(wanted), "{wanted} is missing:\n{log}");
    }
    assert_eq!(answer(&site, &site.client()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_not_given_up_and_that_is_said() {
    let plan =
        Site::plan().toml("[process]\nlandlock = \"off\"\nseccomp = \"off\"\ncore_dumps = true");
    let site = plan.start().await;
    every_thread(&site, "NoNewPrivs", "1");
    every_thread(&site, "Seccomp", "0");
    assert!(
        site.log_text()
            .contains("core dumps allowed; landlock: off; seccomp: off")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn started_as_root_it_becomes_its_account_and_keeps_the_right_to_low_ports_alone() {
    let upstream = Upstream::start("app").await;
    let plan = Site::plan()
        .route("app", &upstream, "public = true")
        .toml(&format!("[process]\nuser = \"{}\"", NOBODY.0));
    let mut site = plan.prepare();
    if !is_root() {
        // Then it cannot, and must not pass for done.
        let said = site.command(&["run"]);
        assert_eq!(said.code, 2);
        assert!(
            said.err.contains("only root can become somebody else"),
            "{}",
            said.err
        );
        return;
    }
    // The folder is not its own, so it could make none in it.
    give(site.folder(), NOBODY.1);
    give_folder(site.folder(), 0);
    assert!(!site.path("data").exists());
    site.run().await;
    let account = format!("{0}\t{0}\t{0}\t{0}", NOBODY.1);
    every_thread(&site, "Uid", &account);
    for field in ["CapPrm", "CapEff", "CapBnd"] {
        every_thread(&site, field, &format!("{NET_BIND_SERVICE:016x}"));
    }
    every_thread(&site, "CapAmb", &format!("{:016x}", 0));
    // Without core dumps its memory is root's, not the account's.
    let memory = fs::metadata(format!("/proc/{}/mem", site.pid())).unwrap();
    assert_eq!(memory.uid(), 0);
    assert_eq!(
        fs::metadata(site.path("data/portcullis.db")).unwrap().uid(),
        NOBODY.1
    );
    assert_eq!(answer(&site, &site.client()).await, 200);

    let low = (600..1024)
        .rev()
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    let low = low
        .expect("a free port below 1024")
        .local_addr()
        .unwrap()
        .port();
    let more = format!("\n[listener.low]\nlisten = [\"127.0.0.1:{low}\"]\nportal = true\n");
    site.edit_config(|text| text.to_owned() + &more);
    give(&site.path("portcullis.toml"), NOBODY.1);
    site.command(&["reload"]).ok();
    assert!(
        tokio::net::TcpStream::connect(("127.0.0.1", low))
            .await
            .is_ok()
    );
    assert!(
        site.log_text()
            .contains(&format!("account nobody (uid {})", NOBODY.1))
    );
}

#[test]
fn an_account_that_is_not_there_keeps_it_from_starting() {
    let plan = Site::plan().toml("[process]\nuser = \"nobody-has-this-name\"");
    let site = plan.prepare();
    let said = site.command(&["run"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err.contains("/etc/passwd does not have"),
        "{}",
        said.err
    );
    assert!(!site.path("data/portcullis.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_in_no_folder_that_was_not_named_at_the_start_and_a_restart_does() {
    let upstream = Upstream::start("app").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let before = fs::read_to_string(site.path("portcullis.toml")).unwrap();

    let included = elsewhere.path().join("more.toml");
    fs::write(&included, "[rate_limit.slow]\nrate = \"1/1s\"\n").unwrap();
    let include = format!("include = [\"{}\"]\n{before}", included.display());
    let policies = elsewhere.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let rules = format!("{before}\n[policy]\ndir = \"{}\"\n", policies.display());
    for (text, code) in [(&include, "PC1004"), (&rules, "PC1442")] {
        site.edit_config(|_before| text.clone());
        let said = site.command(&["reload"]);
        assert_ne!(said.code, 0, "{text}");
        for wanted in [code, "restart"] {
            assert!(
                said.err.contains(wanted),
                "{wanted} is missing:\n{}",
                said.err
            );
        }
        assert_eq!(answer(&site, &site.client()).await, 200);
        assert_eq!(site.stop().await, 0);
        site.run().await;
        site.command(&["reload"]).ok();
        assert_eq!(site.stop().await, 0);
        site.edit_config(|_text| before.clone());
        site.run().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_brings_no_program_to_a_process_that_gave_up_running_any() {
    let mut site = Site::plan().start().await;
    site.write("hook", "#!/bin/sh\n");
    fs::set_permissions(site.path("hook"), fs::Permissions::from_mode(0o700)).unwrap();
    site.edit_config(|text| {
        let hook = "certificates = \"acme\"\n[tls.acme]\nchallenge = \"dns-01\"\n\
            directory = \"https://127.0.0.1:1/\"\ndns = { exec = \"hook\" }";
        text.replace("certificates = \"internal\"", hook)
    });
    let said = site.command(&["reload"]);
    assert_ne!(said.code, 0);
    for wanted in ["PC1442", "hook is out of this process' reach", "restart"] {
        assert!(
            said.err.contains(wanted),
            "{wanted} is missing:\n{}",
            said.err
        );
    }
}

fn port_of(upstream: &Upstream) -> u16 {
    upstream.url().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_ports_can_be_connected_to_and_a_reload_brings_no_others() {
    let (upstream, other) = (Upstream::start("app").await, Upstream::start("other").await);
    let (port, another) = (port_of(&upstream), port_of(&other));
    let plan = Site::plan().route("app", &upstream, "public = true");
    let mut site = plan
        .toml(&format!("[process]\nconnect_ports = [{port}]"))
        .start()
        .await;
    assert_eq!(answer(&site, &site.client()).await, 200);
    let further = format!(
        "[route.other]\nhost = \"other.test\"\nto = \"{}\"\npublic = true\n",
        other.url()
    );
    site.edit_config(|text| format!("{text}\n{further}"));
    let said = site.command(&["check"]);
    assert!(
        said.code == 1 && said.out.contains("PC1441") || said.err.contains("PC1441"),
        "{}",
        said.err
    );
    let both = format!("connect_ports = [{port}, {another}]");
    site.edit_config(|text| text.replace(&format!("connect_ports = [{port}]"), &both));
    site.command(&["check"]).ok();
    let said = site.command(&["reload"]);
    assert!(
        said.code != 0 && said.err.contains("PC1442"),
        "{}",
        said.err
    );
    assert_eq!(other.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_how_the_running_process_stands() {
    let mut site = Site::plan().prepare();
    let before = site.command(&["doctor"]).out;
    assert!(
        before.contains("landlock is there, seccomp is there"),
        "{before}"
    );
    site.run().await;
    let running = site.command(&["doctor"]).out;
    let wanted = if is_root() {
        "is root: whoever takes it over"
    } else {
        "gains no privileges"
    };
    assert!(running.contains(wanted), "{running}");
}
