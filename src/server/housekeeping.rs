//! The control runtime: signals, the operations listener, the admin socket, and what has to be done every few seconds.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::reload::Reloader;
use crate::acme::Keeper;
use crate::admin::call::Reloaded;
use crate::admin::desk::{Certificates, Desk};
use crate::admin::operations::{self, Part};
use crate::admin::socket::ControlSocket;
use crate::audit::{Action, Actor, SecurityEvent};
use crate::authn::session::MAINTENANCE;
use crate::staple::Stapler;
use crate::tasks::Tasks;
use crate::tls;

const SWEEP: Duration = Duration::from_secs(60);
/// How often is looked after what changes over weeks.
const LONG_TERM: Duration = Duration::from_hours(24);
/// Ended sessions and used links stay this long, so that people can be told about them.
const KEPT: Duration = Duration::from_hours(30 * 24);
const SAMPLE: Duration = Duration::from_secs(1);
/// How soon the memory of a burst goes back to the system, and a piece too large for the allocator to keep.
const LET_GO: Duration = Duration::from_millis(250);
const LARGE: usize = 1 << 20;

/// What housekeeping needs.
#[derive(Debug, Clone)]
pub(super) struct House {
    pub(super) core: Arc<Core>,
    pub(super) tls: Arc<tls::Server>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) tasks: Tasks,
    pub(super) stop: CancellationToken,
}

/// Runs until SIGTERM, SIGINT or the stop token.
pub(super) async fn control(
    house: House,
    (operations, socket): (TcpListener, ControlSocket),
    ready: impl FnOnce(),
) -> io::Result<()> {
    let mut signals = Signals::listen()?;
    let tasks = &house.tasks;
    let core = Arc::clone(&house.core);
    let examine = Arc::new(move || examine(&core));
    let listener = tokio::net::TcpListener::from_std(operations)?;
    let metrics = Arc::clone(&house.core.ledger.metrics);
    tasks.spawn(
        "operations-listener",
        operations::serve(listener, metrics, examine, tasks.clone()),
    );
    tasks.spawn("admin-socket", socket.serve(desk(&house), tasks.clone()));
    tasks.spawn("maintenance", maintain(house.clone()));
    tasks.spawn("sweep", sweep(house.clone()));
    tasks.spawn("long-term", long_term(house.clone()));
    tasks.spawn("sample", sample(house.clone()));
    tasks.spawn("let-go", let_go(house.clone()));
    let watch = Arc::clone(house.tls.certificates())
        .watch(house.core.ledger.clock, tasks.draining().clone());
    tasks.spawn("certificates", watch);
    tasks.spawn("acme", Arc::clone(&house.keeper).run(tasks.clone()));
    let stapler = Stapler::new(
        Arc::clone(&house.core.plan),
        Arc::clone(house.tls.certificates()),
        Arc::clone(&house.core.audit),
        Arc::clone(&house.core.ledger.metrics),
        house.core.ledger.clock,
    );
    tasks.spawn("staple", stapler.run(tasks.clone()));
    ready();
    tell_supervisor(sd_notify::NotifyState::Ready);
    loop {
        tokio::select! {
            () = house.stop.cancelled() => break,
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => reload(&house).await,
        }
    }
    tell_supervisor(sd_notify::NotifyState::Stopping);
    tracing::info!(
        "event.name" = "portcullis.stopping",
        "requests that run may end, new ones are not taken"
    );
    Ok(())
}

/// Where commands from the admin socket are carried out.
fn desk(house: &House) -> Desk {
    let reloader = Arc::clone(&house.reloader);
    let reload = move |actor| match reloader.reload(actor) {
        Ok(done) => Ok(Reloaded {
            config: done.plan.revision.config.to_string(),
            warnings: done.warnings.render(false),
            waiting: done.waiting,
        }),
        Err(problems) => Err(problems.render(false)),
    };
    let core = &house.core;
    Desk {
        authenticator: Arc::clone(&core.authenticator),
        audit: Arc::clone(&core.audit),
        clock: core.ledger.clock,
        reload: Some(Arc::new(reload)),
        certificates: Some(Certificates {
            in_force: Arc::clone(house.tls.certificates()),
            keeper: Arc::clone(&house.keeper),
        }),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Compiling takes a moment and tests policies, so it runs beside the control runtime.
async fn reload(house: &House) {
    let reloader = Arc::clone(&house.reloader);
    let outcome = tokio::task::spawn_blocking(move || {
        reloader
            .reload(Actor::Operator("signal".to_owned()))
            .is_ok()
    })
    .await;
    if !matches!(outcome, Ok(true)) {
        tracing::warn!("the reload changed nothing");
    }
}

fn tell_supervisor(state: sd_notify::NotifyState<'_>) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

fn examine(core: &Core) -> Vec<Part> {
    let audit = core.audit.stats().unavailable.map(|why| why.to_string());
    let store = core
        .store
        .keys
        .find("readiness")
        .err()
        .map(|error| error.to_string());
    vec![
        Part {
            name: "audit",
            trouble: audit,
        },
        Part {
            name: "store",
            trouble: store,
        },
    ]
}

async fn every(house: &House, pause: Duration) -> bool {
    house
        .tasks
        .draining()
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
}

/// Ends sessions past their limits and writes down which were used.
async fn maintain(house: House) {
    while every(&house, MAINTENANCE).await {
        keep_sessions(&house.core).await;
    }
}

async fn keep_sessions(core: &Core) {
    let now = core.ledger.clock.now();
    match core.authenticator.maintain(now).await {
        Ok(events) => events
            .into_iter()
            .for_each(|event| core.audit.record(event.record(now))),
        Err(error) => tracing::error!(%error, "sessions could not be maintained"),
    }
}

/// Forgets counters that have run out.
async fn sweep(house: House) {
    while every(&house, SWEEP).await {
        house.core.plan.load().limits.sweep();
    }
}

/// Has the allocator return what it no longer needs. It looks whenever a piece is freed that it does not keep for the
/// next one, so a process without work would hold the memory of its last burst for ever.
async fn let_go(house: House) {
    while every(&house, LET_GO).await {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
    }
}

/// Rotates keys and removes rows whose time is over, at the start and then every day.
async fn long_term(house: House) {
    loop {
        keep_for_long(&house.core).await;
        if !every(&house, LONG_TERM).await {
            return;
        }
    }
}

pub(super) async fn keep_for_long(core: &Core) {
    let now = core.ledger.clock.now();
    match core.rotate_signer(now).await {
        Ok(true) => tracing::info!("the token signing key has a successor"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the token signing key could not be rotated"),
    }
    match core.store.upkeep.purge(now.minus(KEPT)).await {
        Ok(rows) => tracing::debug!(rows, "old sessions and links were removed"),
        Err(error) => tracing::error!(%error, "old sessions and links could not be removed"),
    }
}

/// Brings gauges up to date that nobody counts.
async fn sample(house: House) {
    let metrics = Arc::clone(&house.core.ledger.metrics);
    let (mut entries, mut failures, mut panics) = (0_u64, 0_u64, 0_u64);
    while every(&house, SAMPLE).await {
        let stats = house.core.audit.stats();
        metrics
            .audit_entries
            .inc_by(stats.entries.saturating_sub(entries));
        metrics
            .audit_write_failures
            .inc_by(stats.write_failures.saturating_sub(failures));
        metrics
            .panics
            .inc_by(house.tasks.panics().saturating_sub(panics));
        panics = house.tasks.panics();
        (entries, failures) = (stats.entries, stats.write_failures);
        metrics
            .audit_queue_length
            .set(i64::try_from(stats.queue).unwrap_or(i64::MAX));
        metrics
            .audit_disk_remaining
            .set(i64::try_from(stats.free_bytes).unwrap_or(i64::MAX));
        let sessions = house.core.authenticator.sessions.count();
        metrics
            .sessions_active
            .set(i64::try_from(sessions).unwrap_or(i64::MAX));
        for certificate in house.tls.certificates().list() {
            for name in &certificate.names {
                metrics.certificate(&name.to_string(), certificate.not_after.secs());
            }
        }
    }
}

/// The last things before the log is closed.
pub(super) async fn farewell(core: &Core) {
    keep_sessions(core).await;
    if let Err(error) = core.store.upkeep.flush().await {
        tracing::error!(%error, "the store could not be flushed");
    }
    let now = core.ledger.clock.now();
    core.audit
        .record(SecurityEvent::new(now, Action::ServerStopped).by(Actor::System));
}
