//! The process's public side: listeners, connections, and the way requests reach the gateway.

pub(crate) mod accept;
pub(crate) mod activity;
pub(crate) mod connection;
pub(crate) mod listen;
