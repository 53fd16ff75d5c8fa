//! S6: connections that were used once and then do nothing, held until the input ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{To, tell};
use crate::{Failure, http};

const AT_ONCE: usize = 32;

pub(crate) fn run(to: To, connections: u64) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let held = Rc::new(RefCell::new(Vec::new()));
        let left = Rc::new(Cell::new(connections));
        let why = Rc::new(RefCell::new(None));
        let tls = TlsConnector::from(to.tls(false)?);
        let to = Rc::new(to);
        let mut running = Vec::new();
        for _ in 0..AT_ONCE {
            let (to, tls, left) = (Rc::clone(&to), tls.clone(), Rc::clone(&left));
            let (held, why) = (Rc::clone(&held), Rc::clone(&why));
            running.push(spawn_local(async move {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    match open(&to, &tls).await {
                        Ok(stream) => held.borrow_mut().push(stream),
                        Err(error) => {
                            why.borrow_mut().get_or_insert(error.to_string());
                        }
                    }
                }
            }));
        }
        for one in running {
            one.await?;
        }
        let open = held.borrow().len() as u64;
        tell(
            &json!({ "open": open, "broken": connections - open, "why": why.borrow().as_deref() }),
        );
        tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
        Ok(())
    })
}

async fn open(to: &To, tls: &TlsConnector) -> Result<TlsStream<TcpStream>, Failure> {
    let stream = TcpStream::connect(to.to).await?;
    let mut stream = tls.connect(to.name()?, stream).await?;
    stream.write_all(&to.request("GET /", "")).await?;
    http::read_served(&mut stream, &mut Vec::with_capacity(4096)).await?;
    Ok(stream)
}
