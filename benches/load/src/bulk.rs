//! S4: large bodies, down or up, over a few connections at once.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde_json::json;
use tokio_rustls::rustls::ClientConfig;

use crate::client::{To, tell};
use crate::rate::connect;
use crate::{Failure, http};

const PIECE: usize = 256 * 1024;
const TLS_BUFFER: usize = 1024 * 1024;

pub(crate) fn run(to: &To, connections: u64, bytes: u64, upload: bool) -> Result<(), Failure> {
    let tls = to.tls(false)?;
    let begun = Instant::now();
    let running: Vec<_> = (0..connections)
        .map(|_| {
            let (to, tls) = (to.clone(), Arc::clone(&tls));
            thread::spawn(move || {
                if upload {
                    send(&to, tls, bytes)
                } else {
                    fetch(&to, tls, bytes)
                }
            })
        })
        .collect();
    let (mut broken, mut why) = (0, None);
    for one in running {
        if let Err(error) = one.join().map_err(|_| "a connection's thread died")? {
            broken += 1;
            why.get_or_insert(error.to_string());
        }
    }
    tell(&json!({
        "bytes": bytes * (connections - broken), "broken": broken, "why": why,
        "seconds": begun.elapsed().as_secs_f64(),
    }));
    Ok(())
}

fn send(to: &To, tls: Arc<ClientConfig>, bytes: u64) -> Result<(), Failure> {
    let mut stream = connect(to, tls)?;
    stream.conn.set_buffer_limit(Some(TLS_BUFFER));
    let length = format!("content-length: {bytes}\r\n");
    stream.write_all(&to.request("PUT /upload", &length))?;
    let piece = vec![b'x'; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        stream.write_all(piece.get(..now).unwrap_or(&piece))?;
        left -= now as u64;
    }
    stream.flush()?;
    let mut data = Vec::new();
    let mut room = [0; 4096];
    while !http::served(&data)? {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Err(http::ended().into());
        }
        data.extend_from_slice(room.get(..read).unwrap_or_default());
    }
    let received: u64 = String::from_utf8_lossy(&data)
        .lines()
        .next_back()
        .unwrap_or_default()
        .parse()?;
    if received != bytes {
        return Err(format!("{received} of {bytes} bytes arrived").into());
    }
    Ok(())
}

fn fetch(to: &To, tls: Arc<ClientConfig>, bytes: u64) -> Result<(), Failure> {
    let mut stream = connect(to, tls)?;
    stream.conn.set_buffer_limit(Some(TLS_BUFFER));
    stream.write_all(&to.request(&format!("GET /bytes/{bytes}"), ""))?;
    let mut room = vec![0; PIECE];
    let mut start = Vec::new();
    let mut got = loop {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Err(http::ended().into());
        }
        start.extend_from_slice(room.get(..read).unwrap_or_default());
        if let Some(head) = http::answer(&start)? {
            if head.status != 200 {
                return Err(format!("answered {}", head.status).into());
            }
            break (start.len() - head.head) as u64;
        }
    };
    while got < bytes {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Err(http::ended().into());
        }
        got += read as u64;
    }
    Ok(())
}
