//! A ClientHello that arrives in pieces: its name decides like that of a whole one, and there is no default in the meantime.

use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Site, Upstream};

/// RFC 8446 section 6: a fatal alert `unrecognized_name`, outside of any encryption.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Type, version and length of a TLS record (RFC 8446 section 5.1).
const RECORD_HEAD: usize = 5;

/// How a hello is cut: bytes of the message in each record, and bytes in each write.
const CUTS: [(usize, usize); 6] = [
    (16_384, 1),
    (16_384, 100),
    (1, 4_096),
    (7, 4_096),
    (40, 1),
    (500, 505),
];

/// A client and its hello, whose message is cut into records of `size` bytes.
fn hello(site: &Site, name: &str, size: usize) -> (ClientConnection, Vec<u8>) {
    let config = Arc::new(site.client().tls_config(&[b"http/1.1"]));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut whole = Vec::new();
    connection.write_tls(&mut whole).unwrap();
    let (head, message) = whole.split_at(RECORD_HEAD);
    let announced = usize::from(u16::from_be_bytes([head[3], head[4]]));
    assert_eq!(announced, message.len(), "the hello is one record");
    let records = message.chunks(size).flat_map(|piece| {
        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
        [&head[..3], &length, piece].concat()
    });
    (connection, records.collect())
}

async fn send(site: &Site, bytes: &[u8], step: usize) -> TcpStream {
    let mut stream = site.client().dial().await.unwrap();
    for piece in bytes.chunks(step) {
        // The server may have refused it before its end.
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    stream
}

/// Completes the handshake, which verifies the certificate, and gives the answer to one request.
async fn ask(site: &Site, mut connection: ClientConnection, mut stream: TcpStream) -> String {
    let asked = format!(
        "GET / HTTP/1.1\r\nHost: notes.test:{}\r\nConnection: close\r\n\r\n",
        site.port
    );
    std::io::Write::write_all(&mut connection.writer(), asked.as_bytes()).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut out = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut out).unwrap();
        }
        stream.write_all(&out).await.unwrap();
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        if count == 0 {
            return String::from_utf8(answer).unwrap();
        }
        let mut rest = &piece[..count];
        while !rest.is_empty() {
            connection.read_tls(&mut rest).unwrap();
            let state = connection.process_new_packets().unwrap();
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            std::io::Read::read_exact(&mut connection.reader(), &mut plain).unwrap();
            answer.extend(plain);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_in_a_hello_in_pieces_decides_like_that_of_a_whole_one() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    for (size, step) in CUTS {
        let (connection, bytes) = hello(&site, "notes.test", size);
        let stream = send(&site, &bytes, step).await;
        let answer = ask(&site, connection, stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("upstream notes /"),
            "{size} {step}: {answer}"
        );
    }
    assert_eq!(upstream.hits(), CUTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_in_pieces_gets_an_alert_and_no_certificate() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    for (size, step) in CUTS {
        let (_connection, bytes) = hello(&site, "other.test", size);
        let mut stream = send(&site, &bytes, step).await;
        let mut answer = Vec::new();
        // A reset after the alert is as good as a close.
        drop(stream.read_to_end(&mut answer).await);
        assert_eq!(answer, UNRECOGNIZED_NAME, "{size} {step}");
    }
    assert_eq!(upstream.hits(), 0);
}
