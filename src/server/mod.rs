//! The running process: listeners, workers, reload, drain.
//!
//! One worker per core, each with its own listener (the kernel spreads connections over them), its own runtime and its
//! own upstream connections; what they share is read-mostly. The control runtime beside them serves operators and keeps
//! house. Nothing here looks into a request.

pub(crate) mod accept;
pub(crate) mod activity;
mod calm;
pub(crate) mod connection;
pub(crate) mod core;
pub(crate) mod door;
mod gather;
mod guard;
mod housekeeping;
pub(crate) mod inherited;
mod leaving;
pub(crate) mod listen;
pub(crate) mod listeners;
mod loan;
mod origin;
pub(crate) mod proxy_header;
pub(crate) mod reload;
mod secured;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use self::accept::{Full, Gate, Refusals};
use self::core::{Core, OpenCoreError};
use self::inherited::Inherited;
use self::listeners::{Handed, Listeners, OpenError};
use self::reload::Reloader;
use self::worker::Worker;
use crate::acme::{Keeper, KeeperError};
use crate::admin::socket::{ControlSocket, SocketError};
use crate::audit::{Action, Actor, SecurityEvent};
use crate::base::Clock;
use crate::config::Problems;
use crate::confine::{self, ConfineError, Confined};
use crate::gateway::Shared;
use crate::plan::{Compiled, Plan};
use crate::portal::Portal;
use crate::tasks::Tasks;
use crate::tls;
use crate::tls::certificates::{Certificates, Rejected, Wanted};

/// What keeps the server from starting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the configuration has errors")]
    Config(Problems),
    #[error(transparent)]
    Core(#[from] OpenCoreError),
    #[error(transparent)]
    Listen(#[from] OpenError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tls::server::TlsSetupError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Certificates(#[from] KeeperError),
    #[error(transparent)]
    Confine(#[from] ConfineError),
    #[error("the process cannot set itself up: {0}")]
    Process(#[from] io::Error),
}

/// A server that has its sockets and may begin.
#[derive(Debug)]
pub(crate) struct Server {
    core: Arc<Core>,
    tls: Arc<tls::Server>,
    reloader: Arc<Reloader>,
    keeper: Arc<Keeper>,
    listeners: Arc<Listeners>,
    confined: Arc<Confined>,
    inboxes: Vec<UnboundedReceiver<Handed>>,
    operations: TcpListener,
    tasks: Tasks,
    socket: ControlSocket,
    warnings: Problems,
}

impl Server {
    /// Reads the configuration at `path`, opens everything it names, and listens. Blocks. What the service manager
    /// opened already is among `inherited`.
    ///
    /// # Errors
    /// [`StartError`]; nothing stays open.
    pub(crate) fn open(
        path: PathBuf,
        inherited: Inherited,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let Compiled { plan, mut warnings } =
            Plan::load(&path, None).map_err(StartError::Config)?;
        let tls = Arc::new(tls_server(&plan, clock, &mut warnings)?);
        crate::store::DataFolder::open_or_create(plan.config.data_folder())
            .map_err(OpenCoreError::from)?;
        let tasks = Tasks::new();
        let (listeners, inboxes) = Listeners::open(
            &plan.config,
            Arc::clone(&tls),
            inherited,
            tasks.draining().clone(),
            workers(&plan),
        )?;
        let listeners = Arc::new(listeners);
        let operations = listeners.operations(plan.config.telemetry.operations.value)?;
        // The last moment with one thread: the store and the log bring the next ones.
        let confined = Arc::new(confine::enclose(&plan.config)?);
        let core = Arc::new(Core::open(plan, clock)?);
        let keeper = Arc::new(Keeper::open(core.keeper_parts(&tls))?);
        let socket = ControlSocket::open(&core.plan.load().config.server.admin_socket)?;
        let reloader = Arc::new(Reloader::new(
            path,
            Arc::clone(&core),
            Arc::clone(&tls),
            Arc::clone(&listeners),
            Arc::clone(&confined),
        ));
        Ok(Self {
            core,
            tls,
            reloader,
            keeper,
            listeners,
            confined,
            inboxes,
            operations,
            tasks,
            socket,
            warnings,
        })
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) const fn warnings(&self) -> &Problems {
        &self.warnings
    }

    /// What the process gave up.
    pub(crate) fn confined(&self) -> &Confined {
        &self.confined
    }

    pub(crate) fn certificates(&self) -> &Arc<Certificates> {
        self.tls.certificates()
    }

    /// Where the listeners really are; port 0 in the configuration means any.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            secure: self.listeners.addresses(true),
            plain: self.listeners.addresses(false),
            operations: self.operations.local_addr().ok(),
        }
    }

    /// Serves until a signal or `stop` says otherwise, then drains. `ready` is called when connections are accepted.
    ///
    /// # Errors
    /// When a thread or a runtime cannot be had.
    pub(crate) fn run(self, stop: CancellationToken, ready: impl FnOnce()) -> io::Result<()> {
        let Self {
            core,
            tls,
            reloader,
            keeper,
            inboxes,
            operations,
            tasks,
            socket,
            ..
        } = self;
        let plan = core.plan.load_full();
        let finished = CancellationToken::new();
        let gate = Gate::new(
            plan.config.server.max_connections,
            plan.config.server.max_connections_per_address,
            refusals(&core),
        );
        let worker = Worker {
            shared: Arc::new(shared(&core, &tls)),
            gate,
            tasks: tasks.clone(),
            finished: finished.clone(),
        };
        let threads = worker.start_all(inboxes)?;
        let now = core.ledger.clock.now();
        core.audit
            .record(SecurityEvent::new(now, Action::ServerStarted).by(Actor::System));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let grace = plan.config.server.shutdown_grace;
        drop(plan);
        runtime.block_on(housekeeping::control(
            housekeeping::House {
                core: Arc::clone(&core),
                tls,
                reloader,
                keeper,
                tasks: tasks.clone(),
                stop,
            },
            (operations, socket),
            ready,
        ))?;
        let late = runtime.block_on(tasks.drain(grace));
        if late > 0 {
            tracing::warn!(late, "requests are cut off now that the grace is over");
        }
        // Each worker's runtime takes along what it still runs; a request that is cut off leaves its entry.
        finished.cancel();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
        runtime.block_on(housekeeping::farewell(&core));
        runtime.shutdown_timeout(Duration::from_secs(1));
        core.audit.close();
        Ok(())
    }
}

/// The addresses that are listened on.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) secure: Vec<SocketAddr>,
    pub(crate) plain: Vec<SocketAddr>,
    pub(crate) operations: Option<SocketAddr>,
}

/// Where connections are counted that find no place, and how it is told that there is none.
fn refusals(core: &Core) -> Refusals {
    let (audit, clock) = (Arc::clone(&core.audit), core.ledger.clock);
    let counter = core.ledger.metrics.connections_refused.clone();
    Refusals::new(counter, move |full| {
        let event = SecurityEvent::new(clock.now(), Action::ConnectionCut);
        audit.offer(match full {
            Full::Address(client) => {
                tracing::warn!(
                    "event.name" = "portcullis.connections.crowded",
                    "an address has as many connections as it may; the audit log tells which"
                );
                event.from(client, None).detail("portcullis.kind", "address-full")
            }
            Full::All => {
                tracing::error!(
                    "event.name" = "portcullis.connections.full",
                    "there are `max_connections` connections, and nobody else gets one; see who holds them, or raise it"
                );
                event.detail("portcullis.kind", "all-full")
            }
        });
    })
}

/// What all workers have of the core.
fn shared(core: &Core, tls: &tls::Server) -> Shared {
    Shared {
        plan: Arc::clone(&core.plan),
        audit: Arc::clone(&core.audit),
        authenticator: Arc::clone(&core.authenticator),
        assertions: Arc::clone(&core.assertions),
        portal: Portal::new(
            Arc::clone(&core.authenticator),
            Arc::clone(&core.audit),
            Arc::clone(&core.assertions),
            Arc::clone(&core.ledger.metrics),
        ),
        challenges: Arc::clone(tls.certificates().challenges()),
        ledger: core.ledger.clone(),
    }
}

fn workers(plan: &Plan) -> usize {
    match plan.config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

/// The TLS side of all listeners; findings about certificates are problems like any other.
fn tls_server(
    plan: &Plan,
    clock: Clock,
    warnings: &mut Problems,
) -> Result<tls::Server, StartError> {
    let now = clock.now();
    let config = &plan.config;
    let loaded = Wanted::of(config, Arc::default(), now)
        .map_err(|finding| vec![finding])
        .and_then(|wanted| Certificates::load(wanted, now).map_err(|Rejected(findings)| findings));
    let (certificates, findings) = match loaded {
        Ok(loaded) => loaded,
        Err(findings) => {
            let mut problems = std::mem::replace(warnings, Problems::new());
            tls::setup::report(&findings, config, &mut problems);
            problems.settle();
            return Err(StartError::Config(problems));
        }
    };
    tls::setup::report(&findings, config, warnings);
    warnings.settle();
    Ok(tls::Server::new(
        config.tls.profile.value,
        config.server.http,
        Arc::new(certificates),
        config.tls.ticket_rotation,
    )?)
}
