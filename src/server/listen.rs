//! Opens the listening sockets: one per worker on the same address, so that the kernel spreads connections.
//!
//! An address that somebody else holds is reported with the holder; sharing it in silence would split the traffic.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait for `accept`; a burst of this size is not refused.
const BACKLOG: i32 = 1024;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("the address {address} is taken{}", by(.holder.as_ref()))]
    Taken {
        address: SocketAddr,
        holder: Option<Holder>,
    },
    #[error("this process may not listen on {address}; ports below 1024 need CAP_NET_BIND_SERVICE")]
    NotPermitted { address: SocketAddr },
    #[error("this machine has no address {address}")]
    NotHere { address: SocketAddr },
    #[error("cannot listen on {address}")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
}

impl ListenError {
    /// What to do about it.
    pub(crate) const fn help(&self) -> &'static str {
        match self {
            Self::Taken { .. } => {
                "stop the program that holds it, or write another address where this one stands: [server] listen or http_redirect, a [listener.NAME], or [telemetry] operations"
            }
            Self::NotPermitted { .. } => {
                "give this program the right to ports below 1024, or write a higher port in [server] listen and http_redirect"
            }
            Self::NotHere { .. } | Self::Other { .. } => {
                "write an address of this machine; `ip address` lists them"
            }
        }
    }
}

/// The process that listens on an address already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// An address, and whether it takes IPv6 alone. `[::]` that does not takes connections to every IPv4 address too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) v6_only: bool,
}

impl Place {
    /// One address and no other.
    pub(crate) const fn alone(address: SocketAddr) -> Self {
        Self {
            address,
            v6_only: true,
        }
    }
}

/// Opens `count` listeners, non-blocking. Port 0 picks one free port for all of them.
///
/// `beside` says that this process holds the port already and will give up what is in the way: nobody else is looked
/// for then, and the kernel itself keeps other users out.
pub(crate) fn listen(
    place: Place,
    count: usize,
    beside: bool,
) -> Result<Vec<TcpListener>, ListenError> {
    let explain = |error| explain(place.address, error);
    if !beside {
        // Without SO_REUSEPORT the kernel refuses an address that anybody holds, which is the answer wanted here.
        drop(open(place, false).map_err(explain)?);
    }
    let first = open(place, true).map_err(explain)?;
    let bound = Place {
        address: first.local_addr().map_err(explain)?,
        ..place
    };
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(open(bound, true).map_err(explain)?);
    }
    Ok(listeners)
}

fn open(place: Place, shared: bool) -> io::Result<TcpListener> {
    let Place { address, v6_only } = place;
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, error: io::Error) -> ListenError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::Taken {
            address,
            holder: holder(address.port(), Path::new("/proc")),
        },
        io::ErrorKind::PermissionDenied => ListenError::NotPermitted { address },
        io::ErrorKind::AddrNotAvailable => ListenError::NotHere { address },
        _ => ListenError::Other {
            address,
            source: error,
        },
    }
}

/// The process that listens on `port`, as far as this user may see.
fn holder(port: u16, proc: &Path) -> Option<Holder> {
    let inodes: Vec<String> = ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(proc.join(file)).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    std::fs::read_dir(proc).ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = std::fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|link| {
                inodes
                    .iter()
                    .any(|inode| link.as_os_str() == inode.as_str())
            });
        if !holds {
            return None;
        }
        let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        Some(Holder {
            pid,
            name: name.trim().to_owned(),
        })
    })
}

/// Inodes of the sockets in state LISTEN (`0A`) on `port`, from the format of `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let local = fields.nth(1)?;
            let state = fields.nth(1)?;
            let inode = fields.nth(5)?;
            let (_address, hex) = local.rsplit_once(':')?;
            let same = u16::from_str_radix(hex, 16).ok()? == port;
            (same && state == "0A").then(|| inode.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{ListenError, Place, listen};

    fn place(address: &str) -> Place {
        Place::alone(address.parse().unwrap())
    }

    #[test]
    fn several_listeners_share_one_port() {
        let listeners = listen(place("127.0.0.1:0"), 3, false).unwrap();
        let ports: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn a_taken_address_names_its_holder() {
        let held = listen(place("127.0.0.1:0"), 1, false).unwrap();
        let address = held[0].local_addr().unwrap();
        let Err(ListenError::Taken { holder, .. }) = listen(Place::alone(address), 1, false) else {
            panic!("the address was taken twice");
        };
        assert_eq!(holder.unwrap().pid, std::process::id());
    }

    #[test]
    fn an_address_of_another_machine_is_named_as_such() {
        let refused = listen(place("192.0.2.1:0"), 1, false);
        assert!(matches!(refused, Err(ListenError::NotHere { .. })));
    }
}
