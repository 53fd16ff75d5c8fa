//! Carries plain connections into TLS under a server name, for tools that cannot say one.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::Client;

/// What it may hold of an answer, so that a client that does not read is felt by the server at once.
const HELD: u32 = 16 * 1024;

/// A listener that does not serve yet, so that its port can be written into a configuration.
pub(crate) struct Relay {
    listener: TcpListener,
    pub(crate) port: u16,
}

/// Serves until it is dropped.
pub(crate) struct Serving(JoinHandle<()>);

impl Relay {
    pub(crate) fn bind() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Accepted connections inherit it.
        socket.set_send_buffer_size(HELD).unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1024).unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// Carries every connection to where `client` leads; the end of one side is the end of the other.
    pub(crate) fn serve(self, client: &Client, server_name: &'static str) -> Serving {
        let connector = TlsConnector::from(Arc::new(client.tls_config(&[b"http/1.1"])));
        let address = client.address;
        let serving = async move {
            loop {
                let (plain, _) = self.listener.accept().await.unwrap();
                let connector = connector.clone();
                // A connection that fails ends; what that means is for the test to see.
                tokio::spawn(async move {
                    drop(carry(plain, connector, address, server_name).await);
                });
            }
        };
        Serving(tokio::spawn(serving))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn carry(
    plain: TcpStream,
    connector: TlsConnector,
    address: SocketAddr,
    server_name: &'static str,
) -> std::io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(HELD)?;
    let stream = socket.connect(address).await?;
    let name = ServerName::try_from(server_name).unwrap();
    let stream = connector.connect(name, stream).await?;
    let (mut from_client, mut to_client) = tokio::io::split(plain);
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    tokio::select! {
        up = tokio::io::copy(&mut from_client, &mut to_server) => up.map(drop),
        down = tokio::io::copy(&mut from_server, &mut to_client) => down.map(drop),
    }
}
