//! S3: every request on a new TLS connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::HandshakeKind;

use crate::client::{Tally, To};
use crate::{Failure, http};

pub(crate) fn run(to: To, connections: u64, seconds: u64, resume: bool) -> Result<(), Failure> {
    let tally = Rc::new(RefCell::new(Tally::new()?));
    let to = Rc::new(to);
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut running = Vec::new();
        for _ in 0..connections {
            let tls = TlsConnector::from(to.tls(resume)?);
            let (to, tally) = (Rc::clone(&to), Rc::clone(&tally));
            running.push(spawn_local(async move {
                let mut data = Vec::with_capacity(4096);
                while Instant::now() < end {
                    let sent = Instant::now();
                    match once(&to, &tls, &mut data).await {
                        Ok(resumed) => {
                            let mut tally = tally.borrow_mut();
                            tally.served += 1;
                            tally.resumed += u64::from(resumed);
                            tally.took(sent.elapsed());
                        }
                        Err(error) => {
                            tally.borrow_mut().broke(&error);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
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

/// Connects, asks, reads to the end; says whether the TLS session was resumed.
async fn once(to: &To, tls: &TlsConnector, data: &mut Vec<u8>) -> Result<bool, Failure> {
    let stream = TcpStream::connect(to.to).await?;
    stream.set_nodelay(true)?;
    let mut stream = tls.connect(to.name()?, stream).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    stream
        .write_all(&to.request("GET /", "connection: close\r\n"))
        .await?;
    data.clear();
    loop {
        match stream.read_buf(data).await {
            Ok(0) => break,
            Ok(_) => {}
            // Closed without the alert that says goodbye, as some servers do.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error.into()),
        }
    }
    if !http::served(data)? {
        return Err(http::ended().into());
    }
    Ok(resumed)
}
