//! Which route a request belongs to.
//!
//! The host is chosen first: an exact name, else the wildcard that covers it. Within the host the longest path prefix
//! wins, counted in whole segments. A host with routes of its own never falls back to a wildcard: what it does not
//! serve is not served. Query and headers take no part. Who is asking is not looked at; that is `authz`.

mod rule;
mod table;

pub(crate) use rule::Route;
pub(crate) use table::RouteTable;
