//! Carries permitted requests to the services behind: which target, over which connection, within which time.
//!
//! Nothing here decides whether a request may leave; what arrives as an [`UpstreamRequest`] may. Bodies pass piece by
//! piece in both directions. An answer that breaks off is never made to look complete.

mod body;
mod compile;
pub(crate) mod error;
mod forward;
pub(crate) mod group;
mod h1;
mod handshake;
mod meter;
mod pool;
pub(crate) mod request;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tunnel;

pub(crate) use compile::Groups;
pub(crate) use error::Error;
pub(crate) use forward::{Forwarded, Report};
pub(crate) use group::{Group, Target};
pub(crate) use meter::Meter;
pub(crate) use pool::Pools;
pub(crate) use request::UpstreamRequest;
pub(crate) use tunnel::{Tunnel, TunnelEnd};
