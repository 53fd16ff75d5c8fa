//! One client connection: TLS handshake, then HTTP/1.1 or HTTP/2 as ALPN settled, until it ends or the process drains.
//!
//! Everything that a client can make wait has a limit here. Requests are handed on as hyper parsed them; nothing is
//! decided about them. What hyper answers by itself, because it could not parse, is told to the caller for the record.

mod handshake;
mod session;

use std::error::Error as StdError;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use self::handshake::handshake;
use self::session::Session;
use super::accept::Accepted;
use super::activity::{Activity, Counted};
use super::calm::Calm;
use super::gather::Gather;
use super::origin::{self, OriginError};
use super::proxy_header::Ends;
use super::secured::Secured;
use crate::base::{Host, Peer};
use crate::config::Limits;
use crate::message::AdmitError;
use crate::message::frames::{Flood, Tally};
use crate::tasks::Tasks;

/// Bounds of a connection; the values come from `[server.limits]`.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) handshake_timeout: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) send_timeout: Duration,
    /// The start line included.
    pub(crate) header_bytes: usize,
    pub(crate) header_count: usize,
    pub(crate) target_bytes: usize,
    pub(crate) h2_max_streams: u32,
    pub(crate) h2_reset_budget: usize,
    /// Frames per second.
    pub(crate) h2_frames: Tally,
    pub(crate) h2_ping_interval: Duration,
    pub(crate) h2_ping_timeout: Duration,
    /// For refusals through TLS that are made here.
    pub(crate) transport_security: HeaderValue,
}

impl Rules {
    pub(crate) fn new(limits: &Limits, transport_security: HeaderValue) -> Self {
        // The start line counts too.
        let head = limits.header_bytes.saturating_add(limits.target_bytes);
        Self {
            handshake_timeout: limits.handshake_timeout,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            send_timeout: limits.send_timeout,
            header_bytes: usize::try_from(head).unwrap_or(usize::MAX),
            header_count: limits.header_count,
            target_bytes: usize::try_from(limits.target_bytes).unwrap_or(usize::MAX),
            h2_max_streams: limits.h2_max_streams,
            h2_reset_budget: limits.h2_reset_budget,
            h2_frames: frames(limits),
            h2_ping_interval: limits.h2_ping_interval,
            h2_ping_timeout: limits.h2_ping_timeout,
            transport_security,
        }
    }
}

/// Budgets per second. Whoever closes a page resets all its streams at once, which is no flood.
fn frames(limits: &Limits) -> Tally {
    let resets = u32::try_from(limits.h2_reset_budget).unwrap_or(u32::MAX);
    Tally {
        resets: resets.max(limits.h2_max_streams),
        pings: limits.h2_ping_budget,
        settings: limits.h2_settings_budget,
        empty_data: limits.h2_empty_data_budget,
        window_updates: limits.h2_window_update_budget,
        others: limits.h2_other_budget,
    }
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// In order, by either side.
    Closed,
    /// Nothing was asked for the idle time.
    Idle,
    /// A load balancer did not say whose connection it is.
    Unannounced(OriginError),
    /// The address that a load balancer named has as many connections as it may.
    Crowded,
    /// The client asked for a name that no certificate covers, or for none.
    UnknownName,
    /// An authority saw that a name leads to us (RFC 8737); there is nothing more to such a connection.
    Proved(Host),
    /// A proof was asked for that nobody presents.
    NothingToProve,
    /// The TLS handshake failed.
    Handshake(std::io::Error),
    /// The TLS handshake of a client from there did not end in time.
    HandshakeTimeout(IpAddr),
    /// A request's head did not end in time; nobody but this record knows of the request.
    HeaderTimeout(Arc<Peer>),
    /// The client did not take the bytes of an answer in time.
    SendTimeout(Arc<Peer>),
    /// The client did not answer a ping of HTTP/2 in time: a laptop that sleeps, a phone that left.
    Unresponsive,
    /// A message was refused on the wire and answered; nobody but this record knows of it.
    Refused(Arc<Peer>, AdmitError),
    /// A request could not be parsed and was answered 400; nobody but this record knows of it.
    Malformed(Arc<Peer>),
    /// A request's head was too large and was answered 431; nobody but this record knows of it.
    HeadTooLarge(Arc<Peer>),
    /// The client flooded us with frames of HTTP/2.
    Flooded(Arc<Peer>, Flood),
    /// The connection broke, or the client broke HTTP/2's rules.
    Broken(hyper::Error),
    /// The socket was gone before anything was read.
    Gone(std::io::Error),
}

impl End {
    /// What the client did that made us close, in a word for the metrics.
    pub(super) const fn offence(&self) -> Option<&'static str> {
        match self {
            Self::Idle => Some("idle"),
            Self::HandshakeTimeout(_) => Some("slow-handshake"),
            Self::HeaderTimeout(_) => Some("slow-head"),
            Self::SendTimeout(_) => Some("slow-read"),
            Self::Unresponsive => Some("unresponsive"),
            Self::Refused(..) | Self::Malformed(_) => Some("malformed"),
            Self::HeadTooLarge(_) => Some("large-head"),
            Self::Flooded(_, flood) => Some(flood.code()),
            Self::Closed
            | Self::Unannounced(_)
            | Self::Crowded
            | Self::UnknownName
            | Self::Proved(_)
            | Self::NothingToProve
            | Self::Handshake(_)
            | Self::Broken(_)
            | Self::Gone(_) => None,
        }
    }

    /// Whose offence it was, where no entry of a request or of its own tells; everyday ones are nobody's.
    pub(super) fn unrecorded(&self) -> Option<IpAddr> {
        match self {
            Self::HandshakeTimeout(client) => Some(*client),
            Self::SendTimeout(peer) => Some(peer.ip()),
            _ => None,
        }
    }
}

/// Serves one connection; `service` answers each request and never fails. `knows` says which server names are
/// answered here at all.
pub(crate) async fn serve<S, F, B>(
    mut accepted: Accepted,
    knows: impl Fn(&Host) -> bool,
    rules: &Rules,
    tasks: &Tasks,
    service: S,
) -> End
where
    S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let deadline = Instant::now() + rules.handshake_timeout;
    let ends = match find_ends(&mut accepted, deadline).await {
        Ok(ends) => ends,
        Err(end) => return end,
    };
    let Accepted {
        socket,
        pass,
        door,
        leaving,
        ..
    } = accepted;
    let activity = Arc::new(Activity::default());
    let peer = |tls| {
        let peer = Peer::new(ends.source, ends.destination, tls);
        Arc::new(peer.through(door.name.clone()))
    };
    let Some(tls) = &door.tls else {
        let io = Counted::new(socket, Arc::clone(&activity), pass);
        let session = Session {
            peer: peer(None),
            activity,
            rules,
            tasks,
            leaving,
        };
        return session.http1(io, service).await;
    };
    // In a box, so that the connection does not keep room for it afterwards.
    let shaking = Box::pin(handshake(socket, tls, knows));
    let shaking = tokio::time::timeout_at(deadline, shaking);
    let (stream, facts) = match shaking.await {
        Ok(Ok(established)) => established,
        Ok(Err(end)) => return end,
        Err(_elapsed) => return End::HandshakeTimeout(ends.source.ip()),
    };
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = Counted::new(Box::new(Secured::new(stream)), Arc::clone(&activity), pass);
    let calm = Arc::clone(&activity);
    let session = Session {
        peer: peer(Some(facts)),
        activity,
        rules,
        tasks,
        leaving,
    };
    if h2 {
        let io = Calm::new(io, calm, rules.h2_frames);
        session.http2(Gather::new(io), service).await
    } else {
        session.http1(io, service).await
    }
}

/// Both ends of the connection: those of the socket, or those that a load balancer passes on. The connection has its
/// place among those of its address then.
async fn find_ends(accepted: &mut Accepted, deadline: Instant) -> Result<Ends, End> {
    let own = Ends {
        source: accepted.address,
        destination: accepted.socket.local_addr().map_err(End::Gone)?,
    };
    if !accepted.passed_on {
        return Ok(own);
    }
    // In a box, so that the connection does not keep room for it afterwards.
    let reading = Box::pin(origin::read(&mut accepted.socket));
    let said = tokio::time::timeout_at(deadline, reading).await;
    let said = said.unwrap_or(Err(OriginError::Late));
    let ends = said.map_err(End::Unannounced)?.unwrap_or(own);
    if accepted.pass.name(ends.source.ip()) {
        Ok(ends)
    } else {
        Err(End::Crowded)
    }
}

#[cfg(test)]
mod passed_on;
#[cfg(test)]
mod tests;
