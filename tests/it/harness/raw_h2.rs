//! HTTP/2 by hand, for requests that no HTTP/2 library sends: frames are written byte by byte, names and values as
//! literals without Huffman coding (RFC 9113 section 4, RFC 7541 section 6.2.2).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Client, PATIENCE};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered(u16),
    /// RST_STREAM with this error code.
    Reset(u32),
    /// GOAWAY with this error code.
    GoneAway(u32),
    Closed,
}

pub(crate) struct RawH2 {
    pub(super) stream: TlsStream<TcpStream>,
    next: u32,
    /// The server's SETTINGS as pairs of identifier and value.
    settings: Vec<(u16, u32)>,
}

/// One frame that is not acknowledged by itself.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl RawH2 {
    pub(crate) async fn connect(client: &Client, server_name: &str) -> Self {
        let mut stream = client.connect(server_name, &[b"h2"]).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut raw = Self {
            stream,
            next: 1,
            settings: Vec::new(),
        };
        raw.frame(SETTINGS, 0, 0, &[]).await.unwrap();
        raw
    }

    async fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> std::io::Result<()> {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    /// Bytes of the test's own, frames or not.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Opens a stream with these fields, pseudo-header fields among them, and sends its whole content.
    pub(crate) async fn send(
        &mut self,
        fields: &[(&str, &str)],
        content: Option<&[u8]>,
    ) -> std::io::Result<u32> {
        let ends = if content.is_none() { END_STREAM } else { 0 };
        let stream = self.head(fields, ends).await?;
        if let Some(content) = content {
            self.data(stream, content, true).await?;
        }
        Ok(stream)
    }

    /// Opens a stream that stays open.
    pub(crate) async fn open(&mut self, fields: &[(&str, &str)]) -> std::io::Result<u32> {
        self.head(fields, 0).await
    }

    async fn head(&mut self, fields: &[(&str, &str)], flags: u8) -> std::io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.frame(HEADERS, END_HEADERS | flags, stream, &block(fields))
            .await?;
        Ok(stream)
    }

    pub(crate) async fn data(
        &mut self,
        stream: u32,
        content: &[u8],
        ends: bool,
    ) -> std::io::Result<()> {
        let flags = if ends { END_STREAM } else { 0 };
        self.frame(DATA, flags, stream, content).await
    }

    /// The next `count` bytes of a stream.
    pub(crate) async fn take(&mut self, stream: u32, count: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let frame = self.patiently().await.expect("closed");
            let concerns = frame.stream == stream;
            assert!(!(concerns && frame.kind == RST_STREAM), "reset");
            if concerns && frame.kind == DATA {
                taken.extend_from_slice(&frame.payload);
            }
        }
        taken
    }

    /// Waits until the server sends nothing more on a stream: `None` for its regular end, else the code of the reset.
    pub(crate) async fn ended(&mut self, stream: u32) -> Option<u32> {
        loop {
            let frame = self.patiently().await.expect("closed");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                DATA if frame.flags & END_STREAM != 0 => return None,
                RST_STREAM => return Some(code(&frame.payload)),
                _ => {}
            }
        }
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.patiently().await.is_some() {}
    }

    /// A value of the server's SETTINGS, which arrive before anything else.
    pub(crate) fn setting(&self, wanted: u16) -> Option<u32> {
        let mut found = self.settings.iter().filter(|(id, _)| *id == wanted);
        found.next_back().map(|(_, value)| *value)
    }

    async fn patiently(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.next_frame())
            .await
            .expect("the server said nothing")
    }

    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0_u8; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
                payload,
            };
            if frame.kind != SETTINGS {
                return Some(frame);
            }
            if frame.flags & ACK == 0 {
                for pair in frame.payload.chunks(6) {
                    let id = u16::from_be_bytes([pair[0], pair[1]]);
                    self.settings.push((id, code(&pair[2..])));
                }
                drop(self.frame(SETTINGS, ACK, 0, &[]).await);
            }
        }
    }

    /// Resets a stream, as a client does that lost interest.
    pub(crate) async fn reset(&mut self, stream: u32) -> std::io::Result<()> {
        self.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
            .await
    }

    /// Waits until it is known what became of `stream`.
    pub(crate) async fn fate(&mut self, stream: u32) -> Fate {
        tokio::time::timeout(PATIENCE, self.read_fate(stream))
            .await
            .expect("the server said nothing about the stream")
    }

    async fn read_fate(&mut self, wanted: u32) -> Fate {
        loop {
            let Some(Frame {
                kind,
                stream,
                payload,
                ..
            }) = self.next_frame().await
            else {
                return Fate::Closed;
            };
            match kind {
                GOAWAY if payload[4..8] != [0; 4] => return Fate::GoneAway(code(&payload[4..8])),
                HEADERS if stream == wanted => return Fate::Answered(status(&payload)),
                RST_STREAM if stream == wanted => return Fate::Reset(code(&payload)),
                _ => {}
            }
        }
    }
}

/// The bytes of a frame (RFC 9113 section 4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literals.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

pub(super) fn code(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

fn literal(block: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127, "a longer literal needs another encoding");
    block.push(length);
    block.extend_from_slice(text.as_bytes());
}

/// `:status`, which is the first field of every answer (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    // Table size updates may come first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap();
    let block = &block[start..];
    match block[0] {
        0x88 => 200,
        0x89 => 204,
        0x8a => 206,
        0x8b => 304,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        0x48 | 0x08 | 0x18 if block[1] & 0x80 == 0 => {
            std::str::from_utf8(&block[2..5]).unwrap().parse().unwrap()
        }
        0x48 | 0x08 | 0x18 => huffman_digits(&block[2..]),
        other => panic!("the answer does not begin with :status: {other:#x}"),
    }
}

/// Three digits: 0 to 2 have codes of five bits, 3 to 9 of six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let digit = if five < 3 {
            five
        } else {
            (five << 1 | bits.next().unwrap()) - 0b01_1001 + 3
        };
        number = number * 10 + digit;
    }
    number
}
