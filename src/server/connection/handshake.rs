//! The TLS handshake: which name is asked for, and what was agreed.
//!
//! A name that no certificate covers is refused before any key exists. Nothing is decided about requests.

use rustls::server::Acceptor;
use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::End;
use crate::base::{Host, TlsFacts};
use crate::tls;

/// TLS record: fatal alert `unrecognized_name` (RFC 6066 section 3), before any key exists.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Shakes hands with a client that asks for a name that `knows` knows; nothing here limits how long that takes.
pub(super) async fn handshake(
    socket: TcpStream,
    tls: &tls::Server,
    knows: impl Fn(&Host) -> bool,
) -> Result<(TlsStream<TcpStream>, TlsFacts), End> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket)
        .await
        .map_err(End::Handshake)?;
    let name = start
        .client_hello()
        .server_name()
        .and_then(|name| Host::parse(name).ok())
        .filter(|name| tls.certificates().covers(name) && knows(name));
    let Some(server_name) = name else {
        // Best effort: the connection ends either way.
        if let Err(error) = start.io.write_all(&UNRECOGNIZED_NAME).await {
            tracing::debug!(%error, "a connection was gone before the alert");
        }
        return Err(End::UnknownName);
    };
    let stream = start
        .into_stream(tls.config())
        .await
        .map_err(End::Handshake)?;
    let connection = stream.get_ref().1;
    let facts = TlsFacts {
        server_name,
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("unknown", |suite| iana_name(suite.suite())),
    };
    Ok((stream, facts))
}

/// rustls spells the three TLS 1.3 suites its own way.
fn iana_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}
