//! HTTP/1.1 to an upstream: one exchange at a time on a connection, carried by the task of its own request.
//!
//! No task, channel or lock stands between a request and its bytes: whoever waits for the answer drives the upload and
//! the reading. Nothing is read leniently (see [`crate::message::wire`]), and a connection is used again only after an
//! exchange that ended in order on both sides.

mod connection;
mod exchange;
mod sending;

pub(super) use connection::Connection;
pub(super) use exchange::{Exchange, Failure};
pub(super) use sending::Sending;

#[cfg(test)]
mod tests;
