//! The service behind every proxy: HTTP/1.1 keep-alive, as cheap as can be, so that what is seen is the proxy.
//!
//! `GET /bytes/N` answers N bytes, PUT and POST count their body, an upgrade echoes WebSocket frames, anything else is
//! answered with 1 KiB of text.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use aws_lc_rs::digest;
use data_encoding::BASE64;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use crate::http::{self, RequestHead};
use crate::{Failure, websocket};

const ANSWER: usize = 1024;
const PIECE: usize = 256 * 1024;
const BACKLOG: i32 = 4096;
/// RFC 6455, section 1.3.
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

struct Texts {
    answer: Vec<u8>,
    piece: Vec<u8>,
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until it is ended.
pub(crate) fn run(address: SocketAddr) -> Result<(), Failure> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {ANSWER}\r\n\r\n")
            .into_bytes();
    answer.resize(answer.len() + ANSWER, b'x');
    let texts = Rc::new(Texts {
        answer,
        piece: vec![b'x'; PIECE],
    });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::from_std(listen(address)?)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let texts = Rc::clone(&texts);
            // A connection that breaks is the proxy's business; the load's own figures tell.
            spawn_local(async move { drop(serve(stream, &texts).await) });
        }
    })
}

async fn serve(mut stream: TcpStream, texts: &Texts) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut data = Vec::with_capacity(16 * 1024);
    loop {
        let (head, used) = loop {
            if let Some(found) = http::request(&data)? {
                break found;
            }
            if stream.read_buf(&mut data).await? == 0 {
                return Ok(());
            }
        };
        data.drain(..used);
        if let Some(key) = &head.websocket_key {
            return echo(stream, key, data).await;
        }
        if head.method != "GET" {
            let got = drain(&mut stream, &head, &mut data).await?;
            let body = format!("{got}\n");
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await?;
        } else if let Some(wanted) = head.path.strip_prefix("/bytes/") {
            send(&mut stream, wanted.parse().map_err(http::malformed)?, texts).await?;
        } else {
            stream.write_all(&texts.answer).await?;
        }
    }
}

async fn send(stream: &mut TcpStream, mut left: usize, texts: &Texts) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    while left > 0 {
        let piece = texts.piece.get(..left).unwrap_or(&texts.piece);
        stream.write_all(piece).await?;
        left -= piece.len();
    }
    Ok(())
}

/// Reads a body and gives its length; of a chunked one the length on the wire.
async fn drain(stream: &mut TcpStream, head: &RequestHead, data: &mut Vec<u8>) -> io::Result<u64> {
    if head.expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let mut got = data.len() as u64;
    let over = |got: u64, data: &[u8]| match head.length {
        Some(length) => got >= length,
        // Only the end is looked for: no body of the measurement contains it.
        None => !head.chunked || data.ends_with(b"0\r\n\r\n"),
    };
    data.reserve(PIECE);
    while !over(got, data) {
        let kept = data.len().saturating_sub(5);
        data.drain(..kept);
        let read = stream.read_buf(data).await?;
        if read == 0 {
            return Err(http::ended());
        }
        got += read as u64;
    }
    data.clear();
    Ok(got)
}

async fn echo(mut stream: TcpStream, key: &str, mut data: Vec<u8>) -> io::Result<()> {
    let digest = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{WEBSOCKET_GUID}").as_bytes(),
    );
    let accept = BASE64.encode(digest.as_ref());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answers = Vec::new();
    loop {
        while let Some(used) = websocket::answer(&data, &mut answers) {
            data.drain(..used);
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
        if stream.read_buf(&mut data).await? == 0 {
            return Ok(());
        }
    }
}
