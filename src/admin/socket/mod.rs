//! The control socket: one line of JSON with a call, one line with the answer, then the end.
//!
//! Only root and the server's own account are answered, whatever the mode of the file says: the kernel tells who is at
//! the other end, and that account is recorded as the actor. A socket that another server answers is never taken away.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::account;
use super::call::{AdminError, Call, Reply};
use super::desk::Desk;
use crate::tasks::Tasks;

/// Bytes of one call, the line break included.
pub(crate) const LARGEST_CALL: usize = 4 << 20;
/// For reading a call, and again for writing its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("another server answers on the admin socket {}. Set [server] admin_socket to another path", .0.display())]
    Taken(PathBuf),
    #[error("{} is no socket. Remove it, or set [server] admin_socket to another path", .0.display())]
    NoSocket(PathBuf),
    #[error("the admin socket {} cannot be opened. Make its folder writable for this account, or set [server] admin_socket to another path", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The listening socket; its file goes when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: net::UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens at `path`, in place of a socket that nobody answers any more. Blocks.
    pub(crate) fn open(path: &Path) -> Result<Self, SocketError> {
        use std::os::unix::fs::FileTypeExt as _;
        let failed = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        if let Ok(found) = std::fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            if net::UnixStream::connect(path).is_ok() {
                return Err(SocketError::Taken(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(folder)
                .map_err(failed)?;
        }
        let listener = net::UnixListener::bind(path).map_err(failed)?;
        // Whoever connects before this line is judged by account like everybody else.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Answers until the process drains; calls under way are then finished by the drain.
    pub(crate) async fn serve(self, desk: Desk, tasks: Tasks) {
        let listener = self.listener.try_clone().and_then(UnixListener::from_std);
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the admin socket cannot be served");
                return;
            }
        };
        let server = account::own();
        loop {
            let accepted = tokio::select! {
                () = tasks.draining().cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors; the next moment may be better.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let desk = desk.clone();
            tasks.spawn("admin-call", async move {
                if let Err(error) = answer(stream, &desk, server).await {
                    tracing::debug!(%error, "a caller at the admin socket was lost");
                }
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that stays is replaced at the next start.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Answers one connection.
async fn answer(stream: UnixStream, desk: &Desk, server: u32) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    let reply = converse(BufReader::new(reader), caller, server, desk).await;
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    timeout(PATIENCE, writer.write_all(&line)).await??;
    timeout(PATIENCE, writer.shutdown()).await?
}

/// Reads a call from an account that may make one, and carries it out.
async fn converse(
    reader: impl AsyncBufRead + Unpin,
    caller: u32,
    server: u32,
    desk: &Desk,
) -> Result<Reply, AdminError> {
    if !account::may_administer(caller, server) {
        let (caller, server) = (account::name(caller), account::name(server));
        tracing::warn!(
            caller,
            "an account that may not administer this server was refused at the admin socket"
        );
        return Err(AdminError::NotPermitted(format!(
            "the account {caller} may not administer this server. Run the command as {server} or root"
        )));
    }
    let call = match timeout(PATIENCE, read_call(reader)).await {
        Ok(call) => call?,
        Err(_elapsed) => {
            return Err(AdminError::Unusable(
                "the call did not arrive in time".to_owned(),
            ));
        }
    };
    desk.perform(call, account::operator(caller)).await
}

async fn read_call(reader: impl AsyncBufRead + Unpin) -> Result<Call, AdminError> {
    let mut line = Vec::new();
    let limit = u64::try_from(LARGEST_CALL).unwrap_or(u64::MAX);
    let read = reader.take(limit).read_until(b'\n', &mut line).await;
    if let Err(error) = read {
        return Err(AdminError::Unusable(format!(
            "the call could not be read: {error}"
        )));
    }
    if line.pop() != Some(b'\n') {
        return Err(AdminError::Unusable(format!(
            "the call has no end within {} MiB",
            LARGEST_CALL >> 20
        )));
    }
    serde_json::from_slice(&line).map_err(|_not_shown| {
        AdminError::Unusable("the server does not know this call. It may be of another version than this command: restart it".to_owned())
    })
}

#[cfg(test)]
mod tests;
