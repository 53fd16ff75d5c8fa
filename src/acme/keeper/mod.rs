//! The task that looks after all certificates: what is due is ordered, one after the other.
//!
//! A failure costs nothing that is served: the certificate in force stays, the failure is told in the log, the audit log
//! and the metrics, and the next attempt waits for its pause, also after a restart.

mod outcome;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use instant_acme::Account;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, oneshot};

use super::hook::{self, Record};
use super::order::{self, Means};
use super::vault::{Failures, Vault};
use super::ward::{self, Status, Ward, shown};
use super::{AcmeError, authority};
use crate::audit::AuditLog;
use crate::base::{Clock, Timestamp};
use crate::config::Acme;
use crate::keys::{KeptCertificate, MasterKey};
use crate::plan::Plan;
use crate::store::Keys;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::tls::certificates::{Loaded, Name, Origin};
use crate::tls::{self, shelf};

/// How soon a change of the configuration is noticed.
const NAP: Duration = Duration::from_secs(1);
/// One order, waiting for DNS included.
const ORDER: Duration = Duration::from_secs(15 * 60);
/// How long a certificate that nobody renewed any more is kept after its end.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// Why certificates cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    #[error("the kept certificates cannot be read: {0}")]
    Kept(String),
}

/// Why a renewal that was asked for did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("no certificate is obtained by ACME: [tls.acme] is not there")]
    NotConfigured,
    #[error("no certificate for {0} is obtained by ACME")]
    Unknown(String),
    #[error("{0}. What is in force stays in force")]
    Failed(String),
    #[error("the server stopped before the renewal came to its end")]
    Stopped,
}

/// What the keeper works with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) master: Arc<MasterKey>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) tls: Arc<tls::Server>,
}

/// Looks after all certificates that are obtained; [`Keeper::run`] is its task.
pub(crate) struct Keeper {
    parts: Parts,
    vault: Vault,
    board: Mutex<Board>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Board {
    /// By the directory and the names.
    wards: BTreeMap<String, Ward>,
    /// Certificates by the name of their ward, those of wards that are gone included.
    kept: BTreeMap<String, Loaded>,
    failures: BTreeMap<String, Failures>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Takes what was kept from the store and puts it in force. Blocks.
    ///
    /// # Errors
    /// When the store does not answer or its records do not open.
    pub(crate) fn open(parts: Parts) -> Result<Self, KeeperError> {
        let unreadable = |error: AcmeError| KeeperError::Kept(error.told());
        let vault = Vault::new(Arc::clone(&parts.keys), Arc::clone(&parts.master));
        let mut board = Board {
            failures: vault.failures().map_err(unreadable)?,
            ..Board::default()
        };
        let now = parts.clock.now();
        for kept in vault
            .certificates()
            .map_err(|error| unreadable(error.into()))?
        {
            match shelf::read(&kept, &[]) {
                Ok(loaded) if loaded.not_after.plus(KEPT) < now => vault.forget(&kept.id),
                Ok(loaded) => drop(board.kept.insert(kept.id, loaded)),
                Err(error) => tracing::error!(%error, "a kept certificate cannot be served"),
            }
        }
        let keeper = Self {
            parts,
            vault,
            board: Mutex::new(board),
            wake: Notify::new(),
        };
        keeper.follow();
        keeper.shelve(now);
        Ok(keeper)
    }

    /// Puts what was kept on the shelf; what the configuration in force asks for comes last and so wins.
    fn shelve(&self, now: Timestamp) {
        let certificates = self.parts.tls.certificates();
        let shelf = certificates.shelf();
        let board = self.board.lock();
        let (asked, other): (Vec<_>, Vec<_>) = board
            .kept
            .iter()
            .partition(|(id, _)| board.wards.contains_key(*id));
        for (_, loaded) in other.into_iter().chain(asked) {
            shelf.put(loaded.clone());
        }
        drop(board);
        certificates.look(now);
    }

    /// Brings the list of certificates to have in line with the configuration and the files in force.
    fn follow(&self) {
        let plan = self.parts.plan.load();
        let mut board = self.board.lock();
        let Some(settings) = plan.config.tls.obtained() else {
            board.wards.clear();
            return;
        };
        let mut files = self.parts.tls.certificates().list();
        // What one listener has of its own is missing at all others.
        files.retain(|loaded| loaded.origin == Origin::File && loaded.listener.is_none());
        let hosts = tls::setup::hosts(&plan.config);
        let mut wards = BTreeMap::new();
        for names in ward::groups(&hosts, &files, settings.bundle) {
            let id = format!("{} {}", settings.directory.value, shown(&names));
            let ward = board.wards.remove(&id).unwrap_or_else(|| Ward {
                names,
                held: board.kept.get(&id).cloned(),
                failures: board.failures.get(&id).cloned().unwrap_or_default(),
                ..Ward::default()
            });
            wards.insert(id, ward);
        }
        board.wards = wards;
    }

    /// Works until the process drains.
    pub(crate) async fn run(self: Arc<Self>, tasks: Tasks) {
        while !tasks.draining().is_cancelled() {
            self.follow();
            let plan = self.parts.plan.load_full();
            let Some(settings) = plan.config.tls.obtained() else {
                self.nap(&tasks).await;
                continue;
            };
            if let Some(id) = self.due(settings) {
                self.attempt(&id, settings, &tasks).await;
            } else if let Some(id) = self.to_ask_about() {
                let asking = self.ask_window(&id, settings, &tasks);
                tasks.draining().run_until_cancelled(asking).await;
            } else {
                self.nap(&tasks).await;
            }
        }
        // Those who wait are told by the end of their channel.
        self.board.lock().wards.clear();
    }

    async fn nap(&self, tasks: &Tasks) {
        tokio::select! {
            () = tasks.draining().cancelled() => {}
            () = self.wake.notified() => {}
            () = tokio::time::sleep(NAP) => {}
        }
    }

    /// The ward that has been due the longest, if one is.
    fn due(&self, settings: &Acme) -> Option<String> {
        let now = self.parts.clock.now();
        let board = self.board.lock();
        let due = board
            .wards
            .iter()
            .map(|(id, ward)| (ward.due(settings), id))
            .filter(|(due, _)| *due <= now)
            .min()?;
        Some(due.1.clone())
    }

    fn to_ask_about(&self) -> Option<String> {
        let now = self.parts.clock.now();
        let board = self.board.lock();
        let mut wards = board.wards.iter();
        wards
            .find(|(_, ward)| ward.asks_window(now))
            .map(|(id, _)| id.clone())
    }

    /// One order for one certificate, and all that follows from its outcome.
    async fn attempt(&self, id: &str, settings: &Acme, tasks: &Tasks) {
        let Some((names, replaces)) = self.begin(id) else {
            return;
        };
        let means = Means {
            id,
            settings,
            challenges: self.parts.tls.certificates().challenges(),
            replaces: replaces.as_ref(),
        };
        let mut records = Vec::new();
        let ordering = async {
            let account = self.account(settings, tasks).await?;
            order::obtain(&account, &names, means, &mut records).await
        };
        let outcome = tasks
            .draining()
            .run_until_cancelled(tokio::time::timeout(ORDER, ordering))
            .await;
        clean_up(settings, &records).await;
        let Some(outcome) = outcome else { return };
        let outcome = match outcome.unwrap_or(Err(AcmeError::Timeout)) {
            Ok(kept) => self.take(id, &kept).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(loaded) => self.succeeded(id, settings, &loaded).await,
            Err(error) => self.failed(id, settings, &error).await,
        }
    }

    fn begin(&self, id: &str) -> Option<(Vec<Name>, Option<CertificateDer<'static>>)> {
        let mut board = self.board.lock();
        let ward = board.wards.get_mut(id)?;
        ward.ordering = true;
        Some((ward.names.clone(), ward.replaces()))
    }

    async fn account(&self, settings: &Acme, tasks: &Tasks) -> Result<Account, AcmeError> {
        let now = self.parts.clock.now();
        authority::account(settings, &self.vault, tasks, now).await
    }

    /// Checks a new certificate, keeps it and puts it in force, in this order.
    async fn take(&self, id: &str, kept: &KeptCertificate) -> Result<Loaded, AcmeError> {
        let names = self
            .board
            .lock()
            .wards
            .get(id)
            .map(|ward| ward.names.clone());
        let loaded = shelf::read(kept, &names.unwrap_or_default())
            .map_err(|finding| AcmeError::Unusable(Box::new(finding)))?;
        let now = self.parts.clock.now();
        self.vault.keep(kept, now).await?;
        let certificates = self.parts.tls.certificates();
        certificates.shelf().put(loaded.clone());
        certificates.look(now);
        Ok(loaded)
    }

    /// Every certificate that is looked after, by its names.
    pub(crate) fn status(&self) -> Vec<Status> {
        let plan = self.parts.plan.load();
        let Some(settings) = plan.config.tls.obtained() else {
            return Vec::new();
        };
        let board = self.board.lock();
        board
            .wards
            .values()
            .map(|ward| ward.status(settings))
            .collect()
    }

    /// Renews what carries `name`, or everything, now; gives the outcome when it is there.
    ///
    /// # Errors
    /// [`RenewError`]; what is in force stays.
    pub(crate) async fn renew(&self, name: Option<&str>) -> Result<usize, RenewError> {
        if self.parts.plan.load().config.tls.obtained().is_none() {
            return Err(RenewError::NotConfigured);
        }
        let mut waiting = Vec::new();
        for ward in self.board.lock().wards.values_mut() {
            let meant =
                name.is_none_or(|name| ward.names.iter().any(|own| own.to_string() == name));
            if meant {
                let (asked, waits) = oneshot::channel();
                ward.asked.push(asked);
                waiting.push(waits);
            }
        }
        match name {
            Some(name) if waiting.is_empty() => return Err(RenewError::Unknown(name.to_owned())),
            _ => self.wake.notify_one(),
        }
        let count = waiting.len();
        for waits in waiting {
            let outcome = waits.await.map_err(|_gone| RenewError::Stopped)?;
            outcome.map_err(RenewError::Failed)?;
        }
        Ok(count)
    }
}

async fn clean_up(settings: &Acme, records: &[Record]) {
    let Some(program) = &settings.dns else { return };
    for record in records {
        if let Err(error) = hook::run(program, "cleanup", record).await {
            tracing::warn!(error = error.told(), "a record stays in DNS");
        }
    }
}
