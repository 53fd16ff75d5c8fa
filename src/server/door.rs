//! What stands behind a listening address: its name, its side of TLS, and whose PROXY headers count there.
//!
//! A door is immutable. A reload puts another one behind the address; connections keep the one they came through.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::base::MAIN_LISTENER;
use crate::tls;

/// How connections to one address are taken.
#[derive(Debug)]
pub(crate) struct Door {
    /// NAME of `[listener.NAME]`; `None` is the main one.
    pub(crate) name: Option<Arc<str>>,
    /// `None` on the plain listener, which speaks HTTP/1.1 only.
    pub(crate) tls: Option<Arc<tls::Server>>,
    /// Networks whose connections begin with a PROXY header, and only theirs.
    pub(crate) balancers: Vec<IpNet>,
}

impl Door {
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(MAIN_LISTENER)
    }

    /// `true` when a connection from `ip` must say whose it is.
    pub(crate) fn is_balancer(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.balancers.iter().any(|network| network.contains(&ip))
    }
}

/// An open address: the door behind it now, and the word that it closes.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) door: Arc<ArcSwap<Door>>,
    /// Cancelled when the address is given up or the process drains; its connections then end in order.
    pub(crate) leaving: CancellationToken,
}

impl Entrance {
    pub(crate) fn new(door: Arc<Door>, leaving: CancellationToken) -> Self {
        Self {
            door: Arc::new(ArcSwap::new(door)),
            leaving,
        }
    }
}
