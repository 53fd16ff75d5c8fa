//! What stands before the first byte of a connection that a load balancer passes on: the PROXY protocol, versions 1
//! and 2 (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! Bytes in, addresses out. The parser says how many bytes are the header's and never looks behind them; it never
//! guesses, and takes nothing for a header that it does not understand to the end. Whose word counts is decided
//! elsewhere.

mod v1;
mod v2;

use std::net::SocketAddr;

/// Most bytes of a header that are read, whatever it announces: addresses, and what a balancer tells beside them.
pub(crate) const LONGEST: usize = 4096;

/// A header that was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// `None`: the connection is the sender's own, or it does not know whose; the socket's addresses count then.
    pub(crate) ends: Option<Ends>,
    /// Bytes that are the header's; what follows them is the client's.
    pub(crate) length: usize,
}

/// Both ends of the connection that the sender passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    #[error("the PROXY header breaks the grammar of version 1")]
    Line,
    #[error("the PROXY header is longer than may be")]
    TooLong,
    #[error("the PROXY header has another version than 1 and 2")]
    Version,
    #[error("the PROXY header has an unknown command")]
    Command,
    #[error("the PROXY header is not about a TCP connection")]
    Family,
    #[error("the PROXY header is too short for its addresses")]
    Addresses,
    #[error("the PROXY header ends inside an extension")]
    Extension,
    #[error("the PROXY header was changed on the way: its checksum is wrong")]
    Checksum,
}

/// Reads the header at the start of `bytes`. `None`: all of them belong to a header, and more have to come.
///
/// # Errors
/// [`HeaderError`] as soon as no continuation could make the bytes a header.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Header>, HeaderError> {
    if begins_like(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else if begins_like(bytes, &v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Neither contradicts the other as far as both go.
fn begins_like(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

#[cfg(test)]
mod tests;
