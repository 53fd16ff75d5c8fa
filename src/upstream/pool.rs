//! Open connections to targets: one pool per worker, so that no lock is ever contended.
//!
//! An HTTP/1.1 connection is either here and idle or with one exchange. It comes back only from an exchange that ended
//! in order, and leaves only if its other side has been silent since; the connection used last is taken first, so that
//! surplus ones grow old and are closed. An HTTP/2 connection stays here and is shared.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::group::{Group, Target};
use super::h1::Connection;
use crate::dial::{self, DialError};
use crate::message::Body;
use crate::message::wire::answer;
use crate::tasks::Tasks;
use crate::tls::client::Offer;

/// How often idle connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Receive windows: one slow reader must not hold megabytes.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connections of one worker; clones share them.
#[derive(Clone)]
pub(crate) struct Pools(Arc<Pool>);

struct Pool {
    /// By target.
    shelves: Mutex<BTreeMap<u64, Shelf>>,
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
    connection: Connection,
    until: Instant,
}

/// A connection that may take one request now.
pub(super) enum Line {
    H1(Connection),
    H2(http2::SendRequest<Body>),
}

impl Pools {
    /// Makes an empty pool whose connections run on the current runtime.
    pub(crate) fn new(tasks: Tasks) -> Self {
        let pool = Arc::new(Pool {
            shelves: Mutex::default(),
            tasks,
        });
        let draining = pool.tasks.draining().clone();
        let (sweeping, kept) = (sweep(Arc::downgrade(&pool)), Arc::downgrade(&pool));
        pool.tasks.spawn("upstream-sweep", async move {
            draining.run_until_cancelled(sweeping).await;
            // Upstreams must not wait for requests that will not come.
            if let Some(pool) = kept.upgrade() {
                pool.shelves.lock().clear();
            }
        });
        Self(pool)
    }

    /// An open connection to `target` that is free, if there is one.
    pub(super) fn take(
        &self,
        (group, target): (&Group, &Target),
        offer: Offer,
        now: Instant,
    ) -> Option<Line> {
        let mut shelves = self.0.shelves.lock();
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
        while let Some(mut idle) = shelf.h1.pop() {
            if idle.until > now && idle.connection.is_silent() {
                return Some(Line::H1(idle.connection));
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
            self.0.tasks.spawn("upstream-http2", async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to an upstream ended");
                }
            });
            let shared = Shared {
                sender: sender.clone(),
                until: Instant::now() + group.timeouts.idle,
            };
            if !self.is_draining() {
                self.0.shelves.lock().entry(target.id).or_default().h2 = Some(shared);
            }
            return Ok(Line::H2(sender));
        }
        Ok(Line::H1(Connection::new(connected.stream)))
    }

    fn is_draining(&self) -> bool {
        self.0.tasks.draining().is_cancelled()
    }

    fn http2(&self) -> http2::Builder<Tasks> {
        let mut builder = http2::Builder::new(self.0.tasks.clone());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(answer::MOST_BYTES).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        builder
    }

    /// Takes back a connection whose exchange ended in order.
    pub(super) fn put(
        &self,
        (group, target): (&Group, &Target),
        connection: Connection,
        now: Instant,
    ) {
        if self.is_draining() {
            return;
        }
        let mut shelves = self.0.shelves.lock();
        let shelf = shelves.entry(target.id).or_default();
        if shelf.h1.len() < group.keep {
            let until = now + group.timeouts.idle;
            shelf.h1.push(Idle { connection, until });
        }
    }

    #[cfg(test)]
    /// Idle HTTP/1.1 connections and whether there is one of HTTP/2, over all targets.
    pub(crate) fn idle(&self) -> (usize, usize) {
        let shelves = self.0.shelves.lock();
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
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let now = Instant::now();
        pool.shelves.lock().retain(|_target, shelf| {
            shelf
                .h1
                .retain_mut(|idle| idle.until > now && idle.connection.is_silent());
            shelf
                .h2
                .take_if(|shared| shared.until <= now || shared.sender.is_closed());
            !shelf.h1.is_empty() || shelf.h2.is_some()
        });
    }
}
