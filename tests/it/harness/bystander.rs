//! Somebody who goes on asking while others misbehave, and looks at what the server pays for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::task::JoinHandle;

use super::client::content;
use super::{PATIENCE, Site, eventually};

/// The path it asks for.
pub(crate) const PATH: &str = "/bystander";

/// Asks `https://app.test/bystander` on a kept connection from an address of its own until told to stop.
pub(crate) struct Bystander {
    going: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    task: JoinHandle<u64>,
    before: u64,
}

impl Bystander {
    pub(crate) async fn start(site: &Site) -> Self {
        let mut sender = site.client().from("127.0.0.2").h1("app.test").await;
        let (host, pid) = (format!("app.test:{}", site.port), site.pid());
        let going = Arc::new(AtomicBool::new(true));
        let served = Arc::<AtomicU64>::default();
        let (go_on, count) = (Arc::clone(&going), Arc::clone(&served));
        let task = tokio::spawn(async move {
            let mut most = 0;
            while go_on.load(Ordering::Relaxed) {
                let asked = Request::get(PATH)
                    .header("host", &host)
                    .body(content(Bytes::new()))
                    .unwrap();
                let answer = tokio::time::timeout(PATIENCE, sender.send_request(asked))
                    .await
                    .expect("the bystander waits for ever")
                    .expect("the bystander lost its connection");
                assert_eq!(answer.status(), 200, "the bystander was refused");
                answer.into_body().collect().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                most = most.max(resident(pid));
            }
            most
        });
        let mut bystander = Self {
            going,
            served,
            task,
            before: 0,
        };
        // What a first request allocates is no flood's doing.
        bystander.is_served().await;
        bystander.before = resident(pid);
        bystander
    }

    /// Waits until two more answers have come, of which one was asked for after this call.
    pub(crate) async fn is_served(&self) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the bystander's answer", async || {
            let now = self.served.load(Ordering::Relaxed);
            (now >= before + 2 || self.task.is_finished()).then_some(())
        })
        .await;
    }

    /// Stops, and gives by how many KiB the server has grown at most; fails when any request was not served.
    pub(crate) async fn stop(self) -> u64 {
        self.is_served().await;
        self.going.store(false, Ordering::Relaxed);
        self.task.await.unwrap().saturating_sub(self.before)
    }
}

/// Memory that a process holds, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
