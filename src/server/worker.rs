//! One worker: a thread with its own runtime, sockets and upstream connections.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, Gate, accept_loop};
use super::connection::{self, End};
use super::listeners::Handed;
use crate::base::{Host, Reason};
use crate::gateway::{Gateway, Shared};
use crate::tasks::Tasks;

/// Tasks that run before sockets are looked at again: all that are ready, so that what they send leaves together.
const TASKS_PER_TURN: u32 = 1024;

/// What every worker gets.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) gate: Arc<Gate>,
    pub(super) tasks: Tasks,
    /// Cancelled when the drain is over and runtimes may go.
    pub(super) finished: CancellationToken,
}

impl Worker {
    /// Starts one thread per inbox; sockets arrive there, at the start and when a reload opens an address.
    pub(super) fn start_all(
        self,
        inboxes: Vec<UnboundedReceiver<Handed>>,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        inboxes
            .into_iter()
            .enumerate()
            .map(|(number, inbox)| self.clone().start(number, inbox))
            .collect()
    }

    fn start(self, number: usize, inbox: UnboundedReceiver<Handed>) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(TASKS_PER_TURN)
            .build()?;
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(self.work(inbox)))
    }

    async fn work(self, mut inbox: UnboundedReceiver<Handed>) {
        let gateway = Gateway::new(Arc::clone(&self.shared), self.tasks.clone());
        let gateway = Arc::new(gateway);
        loop {
            tokio::select! {
                () = self.finished.cancelled() => return,
                Some(handed) = inbox.recv() => self.listen(handed, &gateway),
            }
        }
    }

    fn listen(&self, handed: Handed, gateway: &Arc<Gateway>) {
        let Handed { socket, entrance } = handed;
        let listener = match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listener cannot be served");
                return;
            }
        };
        let (gateway, tasks) = (Arc::clone(gateway), self.tasks.clone());
        let serve = move |accepted| serve(accepted, Arc::clone(&gateway), tasks.clone());
        let (gate, tasks) = (Arc::clone(&self.gate), self.tasks.clone());
        self.tasks.spawn(
            "listener",
            accept_loop(listener, entrance, gate, tasks, serve),
        );
    }
}

/// One connection from its first byte to its last.
async fn serve(accepted: Accepted, gateway: Arc<Gateway>, tasks: Tasks) {
    let rules = connection::Rules::new(&gateway.limits(), gateway.transport_security());
    let metrics = Arc::clone(gateway.metrics());
    metrics.connections.inc();
    let answering = Arc::clone(&gateway);
    let service = move |request, peer| answering.serve(request, peer);
    let door = Arc::clone(&accepted.door);
    let knows = |name: &Host| gateway.shakes_hands(name, door.name());
    let end = connection::serve(accepted, knows, &rules, &tasks, service).await;
    metrics.connections.dec();
    if let Some(kind) = end.offence() {
        metrics.cut(kind);
        if let Some(client) = end.unrecorded() {
            gateway.cut(client, kind);
        }
    }
    match end {
        End::Closed | End::Idle => {}
        End::Unannounced(error) => {
            metrics.proxy_headers_refused.inc();
            tracing::debug!(%error, "a load balancer did not say whose connection it is");
        }
        End::Crowded => tracing::debug!("too many connections"),
        End::Handshake(error) => {
            metrics.handshake_failures.inc();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        End::Proved(host) => tracing::debug!(%host, "an authority saw the proof for a name"),
        End::UnknownName | End::NothingToProve | End::HandshakeTimeout(_) => {
            metrics.handshake_failures.inc();
        }
        End::HeaderTimeout(peer) => gateway.unparsed(peer, Reason::RequestTimeout, 0),
        End::Refused(peer, why) => gateway.unparsed(peer, why.reason(), why.status().as_u16()),
        End::SendTimeout(_) => tracing::debug!("a client did not take its answer"),
        End::Unresponsive => tracing::debug!("a client did not answer a ping"),
        End::Malformed(peer) => gateway.unparsed(peer, Reason::MalformedRequest, 400),
        End::HeadTooLarge(peer) => gateway.unparsed(peer, Reason::HeadTooLarge, 431),
        End::Flooded(peer, flood) => gateway.flooded(&peer, flood),
        End::Broken(error) => tracing::debug!(%error, "a connection broke"),
        End::Gone(error) => tracing::debug!(%error, "a connection was gone before it began"),
    }
}
