//! The words that every other module speaks: names, times, secrets and the facts of one request.
//!
//! Nothing here does I/O (the clock in [`time`] is the one exception), knows a route, or decides anything.
//! A type belongs here only when at least two layers above need the same meaning of it.

pub(crate) mod facts;
pub(crate) mod host;
pub(crate) mod ids;
pub(crate) mod lane;
pub(crate) mod peer;
pub(crate) mod reason;
pub(crate) mod recent;
pub(crate) mod secret;
pub(crate) mod time;

pub(crate) use facts::Facts;
pub(crate) use host::{Authority, Host, Origin};
pub(crate) use ids::{EntryId, PolicyId, PrincipalId, RequestId, RouteName, SessionId};
pub(crate) use peer::{MAIN_LISTENER, Peer, Statement, TlsFacts};
pub(crate) use reason::{Fault, Reason};
pub(crate) use secret::Secret;
pub(crate) use time::{Clock, Timestamp};
