//! One worker: a thread with its own runtime, listeners and upstream connections.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, Gate, accept_loop};
use super::connection::{self, End};
use crate::base::Reason;
use crate::gateway::{Gateway, Shared};
use crate::tasks::Tasks;
use crate::tls;

/// Tasks that run before sockets are looked at again: all that are ready, so that what they send leaves together.
const TASKS_PER_TURN: u32 = 1024;

/// The sockets of one worker.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    secure: Vec<TcpListener>,
    plain: Vec<TcpListener>,
}

impl Listeners {
    /// From one group per address, each with one socket per worker, to one set per worker.
    pub(super) fn spread(secure: Vec<Vec<TcpListener>>, plain: Vec<Vec<TcpListener>>) -> Vec<Self> {
        let mut workers: Vec<Self> = Vec::new();
        let mut place = |group: Vec<TcpListener>, is_secure: bool| {
            for (number, socket) in group.into_iter().enumerate() {
                if workers.len() <= number {
                    workers.push(Self::default());
                }
                if let Some(worker) = workers.get_mut(number) {
                    if is_secure {
                        worker.secure.push(socket)
                    } else {
                        worker.plain.push(socket)
                    }
                }
            }
        };
        secure.into_iter().for_each(|group| place(group, true));
        plain.into_iter().for_each(|group| place(group, false));
        workers
    }
}

/// What every worker gets.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Arc<tls::Server>,
    pub(super) gate: Arc<Gate>,
    pub(super) tasks: Tasks,
    /// Cancelled when the drain is over and runtimes may go.
    pub(super) finished: CancellationToken,
}

impl Worker {
    /// Starts one thread per set of sockets.
    pub(super) fn start_all(self, sets: Vec<Listeners>) -> io::Result<Vec<JoinHandle<()>>> {
        sets.into_iter()
            .enumerate()
            .map(|(number, sockets)| self.clone().start(number, sockets))
            .collect()
    }

    fn start(self, number: usize, sockets: Listeners) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_PER_TURN)
            .build()?;
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(self.work(sockets)))
    }

    async fn work(self, sockets: Listeners) {
        let gateway = Gateway::new(Arc::clone(&self.shared), self.tasks.clone());
        let secure = sockets
            .secure
            .into_iter()
            .map(|socket| (socket, Some(Arc::clone(&self.tls))));
        let plain = sockets.plain.into_iter().map(|socket| (socket, None));
        for (socket, tls) in secure.chain(plain) {
            let listener = match tokio::net::TcpListener::from_std(socket) {
                Ok(listener) => listener,
                Err(error) => {
                    tracing::error!(%error, "a listener cannot be served");
                    continue;
                }
            };
            let (gateway, tasks) = (gateway.clone(), self.tasks.clone());
            let serve =
                move |accepted| serve(accepted, gateway.clone(), tls.clone(), tasks.clone());
            self.tasks.spawn(
                "listener",
                accept_loop(listener, Arc::clone(&self.gate), self.tasks.clone(), serve),
            );
        }
        self.finished.cancelled().await;
    }
}

/// One connection from its first byte to its last.
async fn serve(accepted: Accepted, gateway: Gateway, tls: Option<Arc<tls::Server>>, tasks: Tasks) {
    let rules = connection::Rules::new(&gateway.limits(), gateway.transport_security());
    let metrics = Arc::clone(gateway.metrics());
    metrics.connections.inc();
    let answering = gateway.clone();
    let service = move |request, peer| {
        let gateway = answering.clone();
        async move { gateway.serve(request, peer).await }
    };
    let end = connection::serve(accepted, tls.as_deref(), &rules, &tasks, service).await;
    metrics.connections.dec();
    if let Some(kind) = end.offence() {
        metrics.cut(kind);
    }
    match end {
        End::Closed | End::Idle => {}
        End::Handshake(error) => {
            metrics.handshake_failures.inc();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        End::UnknownName | End::HandshakeTimeout => {
            metrics.handshake_failures.inc();
        }
        End::HeaderTimeout(peer) => gateway.unparsed(peer, Reason::RequestTimeout, 0),
        End::Refused(peer, why) => gateway.unparsed(peer, why.reason(), why.status().as_u16()),
        End::SendTimeout => tracing::debug!("a client did not take its answer"),
        End::Malformed(peer) => gateway.unparsed(peer, Reason::MalformedRequest, 400),
        End::HeadTooLarge(peer) => gateway.unparsed(peer, Reason::HeadTooLarge, 431),
        End::Flooded(peer, flood) => gateway.flooded(&peer, flood),
        End::Broken(error) => tracing::debug!(%error, "a connection broke"),
        End::Gone(error) => tracing::debug!(%error, "a connection was gone before it began"),
    }
}
