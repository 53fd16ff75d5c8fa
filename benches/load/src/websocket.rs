//! S7: WebSocket messages that go to the service behind and come back. Only short frames (RFC 6455, section 5.2).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;

use crate::client::{Tally, To};
use crate::{Failure, http};

const MESSAGE: u8 = 64;
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [1, 2, 3, 4];

pub(crate) fn run(to: To, connections: u64, seconds: u64) -> Result<(), Failure> {
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let to = Rc::new(to);
    let begun = Instant::now();
    let span = Duration::from_secs(seconds);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut running = Vec::new();
        for _ in 0..connections {
            let tls = TlsConnector::from(to.tls(false)?);
            let (to, tally) = (Rc::clone(&to), Rc::clone(&tally));
            running.push(spawn_local(async move {
                if let Err(error) = play(&to, &tls, span, &tally).await {
                    tally.borrow_mut().broke(&error);
                }
            }));
        }
        for one in running {
            one.await?;
        }
        Ok::<(), Failure>(())
    })?;
    tally.borrow().tell(begun.elapsed());
    Ok(())
}

async fn play(
    to: &To,
    tls: &TlsConnector,
    span: Duration,
    tally: &RefCell<Tally>,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(to.to).await?;
    stream.set_nodelay(true)?;
    let mut stream = tls.connect(to.name()?, stream).await?;
    let upgrade = format!(
        "origin: https://{}:{}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        to.host,
        to.to.port()
    );
    stream.write_all(&to.request("GET /ws", &upgrade)).await?;
    let mut data = Vec::with_capacity(4096);
    let head = loop {
        if let Some(head) = http::answer(&data)? {
            break head;
        }
        if stream.read_buf(&mut data).await? == 0 {
            return Err(http::ended().into());
        }
    };
    if head.status != 101 {
        return Err(format!("answered {}", head.status).into());
    }
    let mut frame = vec![BINARY, MASKED | MESSAGE];
    frame.extend(MASK);
    frame.resize(frame.len() + usize::from(MESSAGE), 7);
    // From here on: connections that open late must not take the time of the messages.
    let end = Instant::now() + span;
    let mut back = [0; 2 + MESSAGE as usize];
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&frame).await?;
        stream.read_exact(&mut back).await?;
        let mut tally = tally.borrow_mut();
        tally.served += 1;
        tally.took(sent.elapsed());
    }
    Ok(())
}

/// Appends the answer to the masked frame at the start of `data`; gives the frame's bytes, `None` while it is not whole.
pub(crate) fn answer(data: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
    let (&[first, second], rest) = data.split_first_chunk()?;
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::from(second & !MASKED);
    let message = rest.get(..length)?;
    answers.extend([first, second & !MASKED]);
    let unmasked = message
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    answers.extend(unmasked);
    Some(2 + 4 + length)
}
