//! Open connections to targets: one pool per worker, so that no lock is ever contended.
//!
//! An HTTP/1.1 connection is either here and idle or with one exchange. It comes back only from an exchange that ended
//! in order; the connection used last is taken first, so that surplus ones grow old and are closed. An HTTP/2 connection
//! stays here and is shared.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::followed::{Exchange, Followed};
use super::group::{Group, Target};
use crate::dial::{self, DialError};
use crate::message::Body;
use crate::message::wire::answers::Answers;
use crate::tasks::Tasks;
use crate::tls::client::Offer;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Fields and bytes of an answer's head; beyond them the answer is refused.
const MAX_FIELDS: usize = 200;
const MAX_HEAD: usize = 128 * 1024;
/// Receive windows: one slow reader must not hold megabytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connections of one worker; clones share them.
#[derive(Clone)]
pub(crate) struct Pools {
    shelves: Arc<Mutex<HashMap<u64, Shelf>>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Shelf {
    h1: Vec<Idle>,
    h2: Option<Shared>,
}

struct Shared {
    sender: http2::SendRequest<Body>,
    until: Instant,
}

struct Idle {
    line: H1,
    until: Instant,
}

/// An HTTP/1.1 connection, and what was seen of its bytes.
pub(super) struct H1 {
    pub(super) sender: http1::SendRequest<Body>,
    pub(super) exchange: Arc<Exchange>,
}

/// A connection that may take one request now.
pub(super) enum Line {
    H1(H1),
    H2(http2::SendRequest<Body>),
}

impl Line {
    /// What was wrong with the upstream's bytes.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        match self {
            Self::H1(line) => line.exchange.flaw(),
            Self::H2(_) => None,
        }
    }
}

impl H1 {
    /// Closed, or about to be: nothing more may be sent on it.
    fn is_spoilt(&self) -> bool {
        self.sender.is_closed() || self.exchange.flaw().is_some()
    }
}

impl Pools {
    /// Makes an empty pool whose connections run on the current runtime.
    pub(crate) fn new(tasks: Tasks) -> Self {
        let shelves = Arc::new(Mutex::new(HashMap::new()));
        let draining = tasks.draining().clone();
        let (sweeping, kept) = (sweep(Arc::downgrade(&shelves)), Arc::downgrade(&shelves));
        tasks.spawn("upstream-sweep", async move {
            draining.run_until_cancelled(sweeping).await;
            // An idle connection is a task that nothing else would end; the drain would wait for it.
            if let Some(shelves) = kept.upgrade() {
                shelves.lock().clear();
            }
        });
        Self { shelves, tasks }
    }

    /// An open connection to `target` that is free, if there is one.
    pub(super) fn take(&self, group: &Group, target: &Target, offer: Offer) -> Option<Line> {
        let now = Instant::now();
        let mut shelves = self.shelves.lock();
        let shelf = shelves.get_mut(&target.id)?;
        if offer == Offer::All
            && let Some(shared) = &mut shelf.h2
        {
            if !shared.sender.is_closed() {
                shared.until = now + group.timeouts.idle;
                return Some(Line::H2(shared.sender.clone()));
            }
            shelf.h2 = None;
        }
        while let Some(idle) = shelf.h1.pop() {
            if idle.until > now && idle.line.sender.is_ready() && !idle.line.is_spoilt() {
                return Some(Line::H1(idle.line));
            }
        }
        None
    }

    /// Opens a new connection to `target`.
    pub(super) async fn open(
        &self,
        group: &Group,
        target: &Target,
        offer: Offer,
    ) -> Result<Line, DialError> {
        let tls = target
            .tls
            .as_ref()
            .map(|(tls, name)| (tls, name.clone(), offer));
        let plain = tls.is_none();
        let connected = dial::connect(&target.endpoint, tls, group.timeouts.connect).await?;
        // Without TLS there is no ALPN; HTTP/2 is then spoken only where HTTP/1.1 is switched off.
        let h2 = connected.h2 || (plain && !group.protocols.h1 && offer == Offer::All);
        if h2 {
            let io = TokioIo::new(connected.stream);
            let (sender, connection) = self.http2().handshake(io).await.map_err(failed)?;
            self.tasks.spawn("upstream-http2", async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to an upstream ended");
                }
            });
            let shared = Shared {
                sender: sender.clone(),
                until: Instant::now() + group.timeouts.idle,
            };
            if !self.tasks.draining().is_cancelled() {
                self.shelves.lock().entry(target.id).or_default().h2 = Some(shared);
            }
            return Ok(Line::H2(sender));
        }
        let (followed, exchange) =
            Followed::new(connected.stream, Answers::new(MAX_HEAD, MAX_FIELDS));
        let io = TokioIo::new(followed);
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD)
            .handshake(io)
            .await
            .map_err(failed)?;
        self.tasks.spawn("upstream-http1", async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an upstream ended");
            }
        });
        Ok(Line::H1(H1 { sender, exchange }))
    }

    fn http2(&self) -> http2::Builder<Tasks> {
        let mut builder = http2::Builder::new(self.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        builder
    }

    /// Takes back a connection whose exchange ended in order.
    pub(super) fn put(&self, group: &Group, target: &Target, line: H1) {
        if line.is_spoilt() || self.tasks.draining().is_cancelled() {
            return;
        }
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(target.id).or_default();
        if shelf.h1.len() < group.keep {
            let until = Instant::now() + group.timeouts.idle;
            shelf.h1.push(Idle { line, until });
        }
    }

    #[cfg(test)]
    /// Idle HTTP/1.1 connections and whether there is one of HTTP/2, over all targets.
    pub(crate) fn idle(&self) -> (usize, usize) {
        let shelves = self.shelves.lock();
        let h1 = shelves.values().map(|shelf| shelf.h1.len()).sum();
        let h2 = shelves.values().filter(|shelf| shelf.h2.is_some()).count();
        (h1, h2)
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

fn failed(error: hyper::Error) -> DialError {
    DialError::Connect(std::io::Error::other(error))
}

/// Closes what is too old or already closed by the other side, as long as the pool exists.
async fn sweep(shelves: Weak<Mutex<HashMap<u64, Shelf>>>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shelves) = shelves.upgrade() else {
            return;
        };
        let now = Instant::now();
        shelves.lock().retain(|_target, shelf| {
            shelf
                .h1
                .retain(|idle| idle.until > now && !idle.line.is_spoilt());
            shelf
                .h2
                .take_if(|shared| shared.until <= now || shared.sender.is_closed());
            !shelf.h1.is_empty() || shelf.h2.is_some()
        });
    }
}
