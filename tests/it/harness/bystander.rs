//! Somebody who goes on asking while others misbehave, and looks at what the server pays for them.
//!
//! Each leaves a line in `target/artefacts/bystanders.txt`: how long its answers took before and during the attack, and
//! how much the server has grown. Tests judge the growth; times depend on the machine and are for people to read.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::client::{Content, content};
use super::{PATIENCE, Site, eventually};

/// The path it asks for.
pub(crate) const PATH: &str = "/bystander";

/// Answers that it waits for before anybody misbehaves.
const QUIET: u64 = 200;

/// Asks `https://app.test/bystander` on a kept connection from an address of its own until told to stop.
pub(crate) struct Bystander {
    going: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    task: JoinHandle<Seen>,
    before: u64,
    /// How many were served when it was ready.
    quiet: usize,
}

/// What it saw.
#[derive(Default)]
struct Seen {
    /// How long each answer took.
    waits: Vec<Duration>,
    /// The most memory that the server held, in KiB.
    most: u64,
}

impl Bystander {
    pub(crate) async fn start(site: &Site) -> Self {
        let mut sender = site.client().from("127.0.0.2").h1("app.test").await;
        let (host, pid) = (format!("app.test:{}", site.port), site.pid());
        let going = Arc::new(AtomicBool::new(true));
        let served = Arc::<AtomicU64>::default();
        let (go_on, count) = (Arc::clone(&going), Arc::clone(&served));
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            while go_on.load(Ordering::Relaxed) {
                let asked = Instant::now();
                ask(&mut sender, &host).await;
                seen.waits.push(asked.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                seen.most = seen.most.max(resident(pid));
            }
            seen
        });
        let mut bystander = Self {
            going,
            served,
            task,
            before: 0,
            quiet: 0,
        };
        // What a first request allocates is no flood's doing.
        let quiet = bystander.is_served_until(QUIET).await;
        bystander.quiet = usize::try_from(quiet).unwrap();
        bystander.before = resident(pid);
        bystander
    }

    /// Waits until two more answers have come, of which one was asked for after this call.
    pub(crate) async fn is_served(&self) {
        let before = self.served.load(Ordering::Relaxed);
        self.is_served_until(before + 2).await;
    }

    async fn is_served_until(&self, count: u64) -> u64 {
        eventually("the bystander's answer", async || {
            let now = self.served.load(Ordering::Relaxed);
            (now >= count || self.task.is_finished()).then_some(now)
        })
        .await
    }

    /// Stops, and gives by how many KiB the server has grown at most; fails when any request was not served.
    pub(crate) async fn stop(self) -> u64 {
        self.is_served().await;
        self.going.store(false, Ordering::Relaxed);
        let seen = self.task.await.unwrap();
        let grown = seen.most.saturating_sub(self.before);
        let (quiet, during) = seen.waits.split_at(self.quiet);
        note(&format!(
            "{:<90} {:>6} requests, p99 {:>8.2} ms, {:>8.2} ms before, grown {grown} KiB",
            std::thread::current().name().unwrap_or("?"),
            during.len(),
            p99(during),
            p99(quiet),
        ));
        grown
    }
}

async fn ask(sender: &mut SendRequest<Content>, host: &str) {
    let asked = Request::get(PATH)
        .header("host", host)
        .body(content(Bytes::new()))
        .unwrap();
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(asked))
        .await
        .expect("the bystander waits for ever")
        .expect("the bystander lost its connection");
    assert_eq!(answer.status(), 200, "the bystander was refused");
    answer.into_body().collect().await.unwrap();
}

/// In milliseconds.
fn p99(waits: &[Duration]) -> f64 {
    let mut waits = waits.to_vec();
    waits.sort();
    let place = (waits.len() * 99).div_ceil(100).saturating_sub(1);
    waits[place].as_secs_f64() * 1000.0
}

/// Adds a line to the file, which the first of a run empties.
fn note(line: &str) {
    static FILE: Mutex<Option<fs::File>> = Mutex::new(None);
    let mut file = FILE.lock();
    let file = file.get_or_insert_with(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/artefacts");
        fs::create_dir_all(&folder).unwrap();
        fs::File::create(folder.join("bystanders.txt")).unwrap()
    });
    writeln!(file, "{line}").unwrap();
}

/// Memory that a process holds, in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
