//! The TLS handshake: which name is asked for, and what was agreed.
//!
//! A name that no certificate covers is refused before any key exists. An authority that checks a name (RFC 8737) is
//! shown the proof, for names that are being proved, and nothing else. Nothing is decided about requests.

use rustls::server::Acceptor;
use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::End;
use crate::base::{Host, TlsFacts};
use crate::tls::challenge;
use crate::tls::{self, ReadAhead};

/// TLS record: fatal alert `unrecognized_name` (RFC 6066 section 3), before any key exists.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// TLS record: fatal alert `no_application_protocol` (RFC 7301 section 3.2).
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// Shakes hands with a client that asks for a name that `knows` knows; nothing here limits how long that takes.
pub(super) async fn handshake(
    socket: TcpStream,
    tls: &tls::Server,
    knows: impl Fn(&Host) -> bool,
) -> Result<(TlsStream<ReadAhead>, TlsFacts), End> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), ReadAhead::new(socket))
        .await
        .map_err(End::Handshake)?;
    if challenge::asks(&start.client_hello()) {
        return Err(prove(start, tls).await);
    }
    let name = start
        .client_hello()
        .server_name()
        .and_then(|name| Host::parse(name).ok())
        .filter(|name| tls.covers(name) && knows(name));
    let Some(server_name) = name else {
        alert(&mut start.io, &UNRECOGNIZED_NAME).await;
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

/// Best effort: the connection ends either way.
async fn alert(socket: &mut ReadAhead, record: &[u8]) {
    if let Err(error) = socket.write_all(record).await {
        tracing::debug!(%error, "a connection was gone before the alert");
    }
}

/// Completes the handshake of TLS-ALPN-01 for a name that is being proved, and ends it (RFC 8737 section 3).
async fn prove(mut start: StartHandshake<ReadAhead>, tls: &tls::Server) -> End {
    let hello = start.client_hello();
    let host = hello
        .server_name()
        .filter(|_| challenge::asks_alone(&hello))
        .and_then(|name| Host::parse(name).ok());
    let presented = host.and_then(|host| {
        let config = tls.certificates().challenges().tls(&host)?;
        Some((host, config))
    });
    let Some((host, config)) = presented else {
        alert(&mut start.io, &NO_APPLICATION_PROTOCOL).await;
        return End::NothingToProve;
    };
    match start.into_stream(config).await {
        Ok(mut stream) => {
            if let Err(error) = stream.shutdown().await {
                tracing::debug!(%error, "a validating authority was gone before the end");
            }
            End::Proved(host)
        }
        Err(error) => End::Handshake(error),
    }
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
