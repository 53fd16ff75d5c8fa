//! Reads the PROXY header of a load balancer from its connection, and not one byte of what follows.
//!
//! How long it may take is the caller's business, and so is whether one is expected.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::proxy_header::{Ends, HeaderError, LONGEST, parse};

/// Why nobody knows whose connection it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("the connection ended inside the PROXY header")]
    Ended,
    #[error("the PROXY header did not arrive in time")]
    Late,
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

/// What the header at the start of the connection says; `None` when the connection is the balancer's own.
///
/// # Errors
/// [`OriginError`]; the connection must be closed then.
pub(super) async fn read(socket: &mut TcpStream) -> Result<Option<Ends>, OriginError> {
    let mut held = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        let room = held.get_mut(taken..).unwrap_or_default();
        let seen = socket.peek(room).await?;
        if seen == 0 {
            return Err(OriginError::Ended);
        }
        let known = held.get(..taken + seen).unwrap_or_default();
        let header = parse(known)?;
        // Without a whole header all that was seen belongs to one; otherwise what follows it stays for the client.
        let end = header.map_or(taken + seen, |header| header.length);
        let ours = held.get_mut(taken..end).unwrap_or_default();
        socket.read_exact(ours).await?;
        if let Some(header) = header {
            return Ok(header.ends);
        }
        taken = end;
    }
}
