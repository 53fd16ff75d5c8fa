//! The only place that opens outgoing connections.
//!
//! A connection is tried within one deadline: name resolution, every address in the resolver's order, then TLS.
//! Addresses that lead to a cloud's metadata service, and those that are no unicast address, are refused after
//! resolution, so that no DNS answer can lead us there. Other link-local addresses are refused as well unless the
//! configuration names them as a literal address. Nothing here sends a byte of a request.

mod stream;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

pub(crate) use stream::Stream;

use crate::base::Host;
use crate::tls::client::Offer;
use crate::tls::{ReadAhead, UpstreamTls};

/// The least time that one of several addresses is given before the next is tried.
const ADDRESS_TIME: Duration = Duration::from_millis(500);

/// The other end of a connection to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp { host: Host, port: u16 },
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } => {
                let authority = crate::base::Authority {
                    host: host.clone(),
                    port: Some(*port),
                };
                write!(f, "{authority}")
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An open connection, and what its handshake settled.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) stream: Stream,
    /// ALPN chose HTTP/2.
    pub(crate) h2: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the name `{host}` does not resolve")]
    Resolve { host: Host, source: io::Error },
    #[error("the address {0} must not be connected to")]
    Forbidden(IpAddr),
    #[error("the connection is refused")]
    Refused(#[source] io::Error),
    #[error("the connection cannot be opened")]
    Connect(#[source] io::Error),
    #[error("the connection did not open in time")]
    Timeout,
    #[error("the certificate is not trusted")]
    Untrusted(#[source] io::Error),
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(error),
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Connect(error),
        }
    }
}

/// Opens a connection to `endpoint` within `limit`, with TLS when `tls` is given.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    tls: Option<(&UpstreamTls, ServerName<'static>, Offer)>,
    limit: Duration,
) -> Result<Connected, DialError> {
    let deadline = Instant::now() + limit;
    let tcp = match endpoint {
        Endpoint::Unix(path) => {
            let stream = timeout_at(deadline, UnixStream::connect(path))
                .await
                .map_err(|_elapsed| DialError::Timeout)??;
            return Ok(Connected {
                stream: Stream::Unix(stream),
                h2: false,
            });
        }
        Endpoint::Tcp { host, port } => connect_tcp(host, *port, deadline).await?,
    };
    let Some((tls, name, offer)) = tls else {
        return Ok(Connected {
            stream: Stream::Tcp(tcp),
            h2: false,
        });
    };
    let connector = TlsConnector::from(tls.config(offer));
    let stream = timeout_at(deadline, connector.connect(name, ReadAhead::new(tcp)))
        .await
        .map_err(|_elapsed| DialError::Timeout)?
        .map_err(tls_error)?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connected {
        stream: Stream::Tls(Box::new(stream)),
        h2,
    })
}

fn tls_error(error: io::Error) -> DialError {
    let untrusted = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<rustls::Error>())
        .is_some_and(|source| matches!(source, rustls::Error::InvalidCertificate(_)));
    if untrusted {
        DialError::Untrusted(error)
    } else {
        DialError::Tls(error)
    }
}

async fn connect_tcp(host: &Host, port: u16, deadline: Instant) -> Result<TcpStream, DialError> {
    let addresses = resolve(host, port, deadline).await?;
    let mut last = DialError::Timeout;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = (left / others).max(ADDRESS_TIME).min(left);
        match timeout_at(Instant::now() + share, open(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.into(),
            Err(_elapsed) => last = DialError::Timeout,
        }
    }
    Err(last)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    let stream = socket.connect(address).await?;
    // Without it small requests wait for the other side's delayed acknowledgement (p99 x 5).
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// All admissible addresses of `host`; an error when there is none.
async fn resolve(host: &Host, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, DialError> {
    if let Some(ip) = host.as_ip() {
        if is_forbidden(ip) {
            return Err(DialError::Forbidden(ip));
        }
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found: Vec<_> = timeout_at(deadline, tokio::net::lookup_host((host.as_str(), port)))
        .await
        .map_err(|_elapsed| DialError::Timeout)?
        .map_err(|source| DialError::Resolve {
            host: host.clone(),
            source,
        })?
        .collect();
    let (refused, admitted): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| is_forbidden(address.ip()) || is_link_local(address.ip()));
    match (admitted.is_empty(), refused.first()) {
        (true, Some(address)) => Err(DialError::Forbidden(address.ip())),
        (true, None) => Err(DialError::Resolve {
            host: host.clone(),
            source: io::ErrorKind::NotFound.into(),
        }),
        (false, _) => Ok(admitted),
    }
}

/// Metadata services of the large clouds, and addresses that name no single machine.
fn is_forbidden(ip: IpAddr) -> bool {
    const METADATA_V4: [Ipv4Addr; 5] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(169, 254, 170, 2),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
    ];
    const METADATA_V6: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    let ip = ip.to_canonical();
    let metadata = match ip {
        IpAddr::V4(ip) => METADATA_V4.contains(&ip) || ip.is_broadcast(),
        IpAddr::V6(ip) => METADATA_V6.contains(&ip),
    };
    metadata || ip.is_unspecified() || ip.is_multicast()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DialError, Endpoint, connect};
    use crate::base::Host;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp {
            host: Host::parse(host).unwrap(),
            port,
        }
    }

    #[tokio::test]
    async fn metadata_addresses_are_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "224.0.0.1",
        ] {
            let refused = connect(&endpoint(host, 80), None, Duration::from_secs(1)).await;
            assert!(matches!(refused, Err(DialError::Forbidden(_))), "{host}");
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_an_unknown_name_does_not_resolve() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let limit = Duration::from_secs(5);
        let refused = connect(&endpoint("127.0.0.1", port), None, limit).await;
        assert!(matches!(refused, Err(DialError::Refused(_))));
        let unknown = connect(&endpoint("no-such-name.invalid", 80), None, limit).await;
        assert!(matches!(
            unknown,
            Err(DialError::Resolve { .. } | DialError::Timeout)
        ));
    }

    #[tokio::test]
    async fn a_unix_socket_is_connected_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let _listener = tokio::net::UnixListener::bind(&path).unwrap();
        let connected = connect(&Endpoint::Unix(path), None, Duration::from_secs(1)).await;
        assert!(!connected.unwrap().h2);
    }
}
