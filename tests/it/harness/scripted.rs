//! An upstream that records bytes, not messages, and answers with bytes that the test wrote.
//!
//! Each request gets the next answer of the script; the last one repeats.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A whole answer without anything special.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) bytes: &'static str,
    /// Closes the connection after the answer.
    pub(crate) closes: bool,
}

pub(crate) const fn keeps(bytes: &'static str) -> Line {
    Line {
        bytes,
        closes: false,
    }
}

pub(crate) const fn closes(bytes: &'static str) -> Line {
    Line {
        bytes,
        closes: true,
    }
}

#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    serving: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(script: Vec<Line>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&received);
        let script = Arc::new(Mutex::new((script, 0)));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&record)));
            }
        });
        Self {
            address,
            received,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far: head and body as they stood on the wire.
    pub(crate) fn received(&self) -> Vec<String> {
        let received = self.received.lock();
        received
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<(Vec<Line>, usize)>>,
    record: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let mut held = Vec::new();
    loop {
        while let Some(length) = request_length(&held) {
            let request = held.drain(..length).collect();
            record.lock().push(request);
            let line = {
                let mut script = script.lock();
                let at = script.1.min(script.0.len() - 1);
                script.1 += 1;
                script.0[at].clone()
            };
            if stream.write_all(line.bytes.as_bytes()).await.is_err() || line.closes {
                return;
            }
        }
        match stream.read_buf(&mut held).await {
            Ok(0) | Err(_) => {
                // What nobody could read as a request is worth knowing too.
                if !held.is_empty() {
                    record.lock().push(held);
                }
                return;
            }
            Ok(_) => {}
        }
    }
}

/// Bytes of the first request, when it is there in full.
fn request_length(held: &[u8]) -> Option<usize> {
    let head = held.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&held[..head]).to_ascii_lowercase();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    if field("transfer-encoding").is_some() {
        let rest = held[head..]
            .windows(5)
            .position(|end| end == b"0\r\n\r\n")?;
        return Some(head + rest + 5);
    }
    let body: usize = field("content-length").map_or(0, |length| length.parse().unwrap());
    (held.len() >= head + body).then_some(head + body)
}
