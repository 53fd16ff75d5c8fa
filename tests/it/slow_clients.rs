//! slowhttptest, an attack tool of other people, against short deadlines: it loses every connection, and everybody else
//! is served.

use std::process::{Child, Command, Stdio};

use crate::harness::relay::{Relay, Serving};
use crate::harness::site::wait_for_exit;
use crate::harness::{Bystander, Site, Upstream, eventually};

/// Connections of one attack, which are opened within a second.
const MANY: usize = 200;

/// KiB that an attack may make the process grow by.
const GROWTH: u64 = 64 * 1024;

/// How the tool attacks: slow heads, slow bodies, slow reading; with a second between two pieces.
const HEADS: &[&str] = &["-H", "-i", "1"];
const BODIES: &[&str] = &["-B", "-i", "1"];
const READING: &[&str] = &["-X", "-n", "1", "-z", "5", "-w", "10", "-y", "20"];

/// A site that the tool reaches as `localhost`, through a relay that speaks TLS for it.
async fn stage(upstream: &Upstream, limits: &str) -> Stage {
    let relay = Relay::bind();
    let tool = format!(
        "[route.tool]\nhost = \"localhost\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    );
    let mut site = Site::plan()
        .route("app", upstream, "public = true")
        .toml(&tool)
        .limits(limits)
        // The bystander asks as fast as it is answered, and the tool comes from one address.
        .limits("address_rate = \"100000/1s\"\naddress_burst = 100000")
        .prepare();
    // The tool names the relay's port in `Host`; the portal's port is one under which clients may know the site.
    let written = format!("portal = \"login.test:{}\"", site.port);
    let known = format!("portal = \"login.test:{}\"", relay.port);
    site.edit_config(|text| text.replace(&written, &known));
    site.run().await;
    let port = relay.port;
    let serving = relay.serve(&site.client(), "localhost");
    Stage {
        site,
        port,
        _relay: serving,
    }
}

struct Stage {
    site: Site,
    port: u16,
    _relay: Serving,
}

/// The running tool, which is ended with the test.
struct Attack(Child);

impl Drop for Attack {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Stage {
    /// Starts the tool against `path`; it stops when it has nothing left to hold, or after `seconds`.
    fn attack(&self, mode: &[&str], path: &str, seconds: &str) -> Attack {
        let child = Command::new("slowhttptest")
            .args(mode)
            .args(["-c", &MANY.to_string(), "-r", &MANY.to_string()])
            .args(["-l", seconds, "-p", "5", "-g", "-o", "report"])
            .args(["-u", &format!("http://localhost:{}{path}", self.port)])
            .current_dir(self.site.folder())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(self.site.path("said")).unwrap())
            .spawn()
            .expect("scripts/install-test-tools installs slowhttptest");
        Attack(child)
    }

    /// Waits for the tool's own end; gives why it ended, and what its last report says.
    async fn verdict(&self, mut attack: Attack) -> Verdict {
        let ended = tokio::task::spawn_blocking(move || wait_for_exit(&mut attack.0));
        assert_eq!(ended.await.unwrap(), 0);
        let said = std::fs::read(self.site.path("said")).unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        let report = std::fs::read_to_string(self.site.path("report.csv")).unwrap();
        let rows: Vec<Vec<usize>> = report
            .lines()
            .skip(1)
            .map(|row| row.split(',').map(|cell| cell.parse().unwrap()).collect())
            .collect();
        Verdict { said, rows }
    }
}

#[derive(Debug)]
struct Verdict {
    /// What the tool printed.
    said: String,
    /// Second, closed, pending, connected, service available.
    rows: Vec<Vec<usize>>,
}

impl Verdict {
    /// The tool opened most of its connections before a report and had none in the end, and its own probe was answered all the
    /// while.
    fn is_defeat(&self) -> bool {
        self.said.contains("No open connections left")
            && self.rows.iter().any(|row| row[1] + row[3] > MANY / 2)
            && self.rows.iter().all(|row| row[4] > 0)
    }
}

/// What the metrics count of one kind.
async fn cuts(site: &Site, kind: &str) -> usize {
    let name = format!("portcullis_connections_cut_total{{kind=\"{kind}\"}} ");
    let metrics = site.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Requests of others than the bystander.
fn offences(upstream: &Upstream, path: &str) -> usize {
    let seen = upstream.seen();
    seen.iter().filter(|seen| seen.target == path).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_bodies_lose_every_connection() {
    let upstream = Upstream::start("app").await;
    let limits = "header_timeout = \"2s\"\nbody_timeout = \"500ms\"";
    let stage = stage(&upstream, limits).await;
    for (mode, path, kind) in [
        (HEADS, "/heads", "slow-head"),
        (BODIES, "/echo", "slow-body"),
    ] {
        let bystander = Bystander::start(&stage.site).await;
        let verdict = stage.verdict(stage.attack(mode, path, "20")).await;
        assert!(verdict.is_defeat(), "{mode:?}: {verdict:?}");
        eventually("the last of them to be closed", async || {
            (stage.site.connections().await <= 1).then_some(())
        })
        .await;
        let grown = bystander.stop().await;
        assert!(grown < GROWTH, "{mode:?}: {grown} KiB");
        let cut = cuts(&stage.site, kind).await;
        assert!(cut > MANY / 2, "{mode:?}: {cut}");
    }
    // The tool's probe asks for the same path; nothing of an attack is ever a whole request.
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()));
}

/// The twin: the tool does say so when it gets its way.
#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_stay_while_their_deadline_has_not_passed() {
    let upstream = Upstream::start("app").await;
    let stage = stage(&upstream, "header_timeout = \"10m\"").await;
    let verdict = stage.verdict(stage.attack(HEADS, "/heads", "3")).await;
    assert!(!verdict.is_defeat(), "{verdict:?}");
    assert!(verdict.said.contains("Hit test time limit"), "{verdict:?}");
}

/// The tool itself does not notice: what its full buffers hold keeps the end of the connection from arriving.
#[tokio::test(flavor = "multi_thread")]
async fn slow_reading_loses_every_connection() {
    let upstream = Upstream::start("app").await;
    let stage = stage(&upstream, "send_timeout = \"1s\"").await;
    let bystander = Bystander::start(&stage.site).await;
    let attack = stage.attack(READING, "/flood", "60");
    eventually("every connection to ask", async || {
        (offences(&upstream, "/flood") >= MANY).then_some(())
    })
    .await;
    eventually("every connection to be closed", async || {
        (stage.site.connections().await <= 1).then_some(())
    })
    .await;
    drop(attack);
    let grown = bystander.stop().await;
    assert!(grown < GROWTH, "{grown} KiB");
    let mut entries = stage.site.entries();
    entries.retain(|entry| entry["http.route"] == "tool");
    assert!(entries.len() >= MANY);
    for entry in entries {
        assert_eq!(entry["portcullis.reason"], "client-closed", "{entry}");
    }
    assert!(cuts(&stage.site, "slow-read").await >= MANY);
    eventually("an event for each of them", async || {
        let events = stage.site.search(&["event:connection.cut", "slow-read"]);
        (events.len() >= MANY).then_some(())
    })
    .await;
}
