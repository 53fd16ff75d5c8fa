//! The two-way stream after an upgrade, such as a WebSocket.
//!
//! The client's side is a connection of HTTP/1.1 or one stream of HTTP/2, the upstream's always a connection.
//! It begins only after the upstream answered 101; no byte that the client sent earlier is passed on. It ends when one
//! side closes, when neither side sends for a while, or when the session behind it is ended.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::group::Running;
use super::h1::Connection;
use super::meter::Meter;
use crate::message::extended::Keep;

/// How long the handover of the client's connection may take after the answer 101.
const HANDOVER: Duration = Duration::from_secs(10);
const PIECE: usize = 16 * 1024;

/// An upgrade that both sides agreed to; somebody has to run it.
#[must_use = "without `run` the upgraded connection is closed"]
pub(crate) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: Connection,
    pub(super) meter: Arc<Meter>,
    pub(super) ended: Option<CancellationToken>,
    pub(super) running: Running,
    pub(super) keep: Option<Keep>,
}

/// How an upgraded stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelEnd {
    /// One side closed, and what it had sent was delivered.
    Closed,
    /// One side's connection broke, or was never handed over.
    Broken,
    /// Neither side sent a byte for the idle time.
    Idle,
    /// The session behind it was ended.
    SessionEnded,
}

impl Tunnel {
    /// Carries bytes until one of the ends named in [`TunnelEnd`].
    pub(crate) async fn run(self, idle: Duration) -> TunnelEnd {
        let Self {
            client,
            upstream,
            meter,
            ended,
            running,
            keep,
        } = self;
        let end = match tokio::time::timeout(HANDOVER, client).await {
            Ok(Ok(client)) => {
                let ended = ended.unwrap_or_default();
                tokio::select! {
                    () = ended.cancelled() => TunnelEnd::SessionEnded,
                    end = relay(client, upstream, &meter, idle) => end,
                }
            }
            Ok(Err(_)) | Err(_) => TunnelEnd::Broken,
        };
        drop((running, keep));
        end
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

async fn relay(client: Upgraded, upstream: Connection, meter: &Meter, idle: Duration) -> TunnelEnd {
    let (client_read, mut client_write) = tokio::io::split(TokioIo::new(client));
    let (upstream, first) = upstream.into_parts();
    let (upstream_read, upstream_write) = tokio::io::split(upstream);
    let up = pump(client_read, upstream_write, |bytes| meter.add_up(bytes));
    let down = async {
        if !first.is_empty() {
            client_write.write_all(&first).await?;
            client_write.flush().await?;
            meter.add_down(first.len() as u64);
        }
        drop(first);
        pump(upstream_read, client_write, |bytes| {
            meter.add_down(bytes as u64)
        })
        .await
    };
    let both = async {
        match tokio::try_join!(up, down) {
            Ok(_) => TunnelEnd::Closed,
            Err(_) => TunnelEnd::Broken,
        }
    };
    tokio::select! {
        end = both => end,
        () = silence(meter, idle) => TunnelEnd::Idle,
    }
}

/// Ends when nothing moved between two looks; so after one to two times `idle`.
async fn silence(meter: &Meter, idle: Duration) {
    let mut before = (meter.up(), meter.down());
    loop {
        tokio::time::sleep(idle).await;
        let now = (meter.up(), meter.down());
        if now == before {
            return;
        }
        before = now;
    }
}

/// Passes bytes until `from` ends, then closes `to` for writing (RFC 9110 section 9.3.6).
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: impl Fn(usize),
) -> std::io::Result<()> {
    let mut buffer = vec![0_u8; PIECE];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(piece).await?;
        to.flush().await?;
        count(length);
    }
}
