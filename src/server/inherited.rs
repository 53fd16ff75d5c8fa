//! Sockets that the service manager opened before it started us (systemd's socket activation).
//!
//! An address of the configuration that is among them is taken over and never opened a second time. They are kept as
//! long as the process lives: the service manager goes on listening on them, so a reload can give one up and take it
//! back.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// Why a socket from the service manager cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InheritError {
    #[error("the service manager's sockets (LISTEN_FDS) cannot be taken over")]
    Unusable(#[from] io::Error),
    #[error(
        "the service manager passed a socket on {address} (named `{name}`), which the configuration does not have"
    )]
    Unwanted { address: SocketAddr, name: String },
}

/// The sockets that were passed on.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    socket: TcpListener,
    address: SocketAddr,
    /// From LISTEN_FDNAMES, `FileDescriptorName=` in the unit.
    name: String,
}

impl Inherited {
    /// Takes what LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES speak of, once; nothing when they are meant for another
    /// process. Call it before there is a second thread.
    ///
    /// # Errors
    /// A descriptor that is no TCP socket.
    pub(crate) fn from_environment() -> Result<Self, InheritError> {
        let names: Vec<String> = sd_notify::listen_fds_with_names()?
            .map(|(_number, name)| name)
            .collect();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let mut descriptors = ListenFd::from_env();
        let mut passed = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let Some(socket) = descriptors.take_tcp_listener(index)? else {
                continue;
            };
            socket.set_nonblocking(true)?;
            passed.push(Passed {
                address: socket.local_addr()?,
                socket,
                name,
            });
        }
        Ok(Self(passed))
    }

    /// The socket on `address`, once for each of `count` workers. `None`: nobody opened it for us.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub(super) fn take(
        &self,
        address: SocketAddr,
        count: usize,
    ) -> Option<io::Result<Vec<TcpListener>>> {
        let passed = self.0.iter().find(|passed| passed.address == address)?;
        Some(
            (0..count)
                .map(|_worker| passed.socket.try_clone())
                .collect(),
        )
    }

    /// Every socket must be wanted: one that nobody accepts from lets its clients wait for ever.
    ///
    /// # Errors
    /// The first one that is not.
    pub(super) fn check(
        &self,
        mut wanted: impl FnMut(SocketAddr) -> bool,
    ) -> Result<(), InheritError> {
        match self.0.iter().find(|passed| !wanted(passed.address)) {
            None => Ok(()),
            Some(passed) => Err(InheritError::Unwanted {
                address: passed.address,
                name: passed.name.clone(),
            }),
        }
    }
}
