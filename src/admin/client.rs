//! The other end of the control socket: sends one call to the running server and gives its answer.
//!
//! It never decides what to do when nobody answers; that is the command's.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::call::{AdminError, Call, Reply};
use super::socket::LARGEST_CALL;
use crate::dial::{self, DialError, Endpoint};

/// More people and sessions than one installation has.
const LARGEST_REPLY: u64 = 256 << 20;
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// There is no socket, or nobody listens behind it.
    #[error("no server answers")]
    Nobody,
    #[error("the socket may not be opened by this account")]
    Forbidden,
    #[error("the call is larger than {} MiB", LARGEST_CALL >> 20)]
    TooLarge,
    /// The call may have been carried out.
    #[error("the server ended the connection before it answered")]
    Lost(#[source] Option<io::Error>),
}

/// Asks the server behind `socket`. Waits as long as the work takes.
pub(crate) async fn ask(socket: &Path, call: &Call) -> Result<Result<Reply, AdminError>, AskError> {
    let lost = |error: io::Error| AskError::Lost(Some(error));
    let mut line = serde_json::to_vec(call).map_err(|error| lost(error.into()))?;
    if line.len() >= LARGEST_CALL {
        return Err(AskError::TooLarge);
    }
    line.push(b'\n');
    let connected = dial::connect(&Endpoint::Unix(socket.to_owned()), None, CONNECT).await;
    let (reader, mut writer) = tokio::io::split(connected.map_err(unreached)?.stream);
    // A server that refuses the caller may close before it has read the call; its answer says why.
    let sent = async {
        writer.write_all(&line).await?;
        writer.flush().await
    };
    let sent = sent.await;
    let mut answer = Vec::new();
    let mut reader = BufReader::new(reader.take(LARGEST_REPLY));
    reader.read_until(b'\n', &mut answer).await.map_err(lost)?;
    if answer.last() != Some(&b'\n') {
        return Err(AskError::Lost(sent.err()));
    }
    serde_json::from_slice(&answer).map_err(|error| lost(error.into()))
}

fn unreached(error: DialError) -> AskError {
    let (DialError::Refused(cause) | DialError::Connect(cause)) = error else {
        return AskError::Nobody;
    };
    if cause.kind() == io::ErrorKind::PermissionDenied {
        AskError::Forbidden
    } else {
        AskError::Nobody
    }
}
