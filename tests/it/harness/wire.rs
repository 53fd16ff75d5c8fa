//! An HTTP/1.1 connection on which a test writes bytes and reads answers one by one.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::PATIENCE;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An answer as it stood on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case, in their order.
    pub(crate) fields: Vec<(String, String)>,
    /// Content without chunk framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The end of the body arrived.
    pub(crate) complete: bool,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(own, _)| own == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(
            found.next().is_none(),
            "`{name}` stands there twice: {self:?}"
        );
        value
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    held: Vec<u8>,
    ended: bool,
}

impl Wire {
    pub(crate) fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            held: Vec::new(),
            ended: false,
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// For bytes that the other side may refuse to take.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.stream.flush().await
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads what comes next; `false` at the end.
    async fn more(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.held)).await;
        // A close without close_notify is an error to rustls; here it is the end like any other.
        self.ended = matches!(
            read.expect("the server neither sent nor closed"),
            Ok(0) | Err(_)
        );
        !self.ended
    }

    /// At least `count` bytes of whatever comes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count {
            assert!(
                self.more().await,
                "closed after {:?}",
                String::from_utf8_lossy(&self.held)
            );
        }
        self.held.drain(..count).collect()
    }

    /// Reads until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.held)
    }

    /// Waits for the close; anything sent before it fails the test.
    pub(crate) async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.held.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("no field: {line:?}"));
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        fields
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> Reply {
        let start = self
            .line()
            .await
            .expect("the server closed without an answer");
        let status = start
            .strip_prefix("HTTP/1.1 ")
            .or(start.strip_prefix("HTTP/1.0 "))
            .unwrap_or_else(|| panic!("no answer: {start:?}"));
        Reply {
            status: status[..3].parse().unwrap(),
            fields: self.fields().await,
            body: Vec::new(),
            trailers: Vec::new(),
            complete: true,
        }
    }

    /// The next answer to anything but HEAD.
    pub(crate) async fn answer(&mut self) -> Reply {
        let mut reply = self.head().await;
        if reply.status / 100 == 1 || matches!(reply.status, 204 | 304) {
            return reply;
        }
        if reply.field("transfer-encoding").is_some() {
            assert_eq!(
                reply.field("content-length"),
                None,
                "two lengths: {reply:?}"
            );
            self.chunks(&mut reply).await;
        } else if let Some(length) = reply.field("content-length") {
            let length: usize = length.parse().unwrap();
            while self.held.len() < length && self.more().await {}
            reply.complete = self.held.len() >= length;
            reply.body = self.held.drain(..length.min(self.held.len())).collect();
        } else {
            reply.body = self.rest().await;
        }
        reply
    }

    /// The data of the next chunk; `None` at the last one or when the connection ended.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
        if size == 0 {
            return None;
        }
        while self.held.len() < size + 2 {
            if !self.more().await {
                return None;
            }
        }
        let data = self.held.drain(..size).collect();
        assert_eq!(self.held.drain(..2).as_slice(), b"\r\n");
        Some(data)
    }

    async fn chunks(&mut self, reply: &mut Reply) {
        while let Some(data) = self.chunk().await {
            reply.body.extend_from_slice(&data);
        }
        reply.complete = !self.ended;
        if reply.complete {
            reply.trailers = self.fields().await;
        }
    }
}
