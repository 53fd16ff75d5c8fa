//! What the process opens once and keeps: folder, keys, store, audit log, people. A reload does not touch it.
//!
//! Opening blocks and is done before any runtime starts. The order matters: the lock first, so that two processes never
//! write one folder; the audit log before anything that could have to be recorded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::acme;
use crate::audit::{self, Action, Actor, AuditLog, OpenError, SecurityEvent};
use crate::audit::{KeyringError, StoredKeyring};
use crate::authn::Authenticator;
use crate::authn::vault::AuthnError;
use crate::base::{Clock, Timestamp};
use crate::config::{self, Config};
use crate::gateway::record::Ledger;
use crate::keys::{self, KeyError, MasterKey, PasswordHasher, TokenSigner};
use crate::plan::Plan;
use crate::portal::Assertions;
use crate::store::{DataFolder, FolderError, Lock, SqliteStore, Store, StoreError};
use crate::telemetry::Metrics;
use crate::tls;

const TOKEN_SIGNER: &str = "token-signer";

/// A token signing key this old gets a successor.
const SIGNER_AGE: Duration = Duration::from_hours(90 * 24);
/// The successor is published this long before it signs, and its predecessor this long after; both are far more than
/// an upstream keeps the key set or an assertion lives.
const SIGNER_OVERLAP: Duration = Duration::from_hours(24);

/// What keeps the process from starting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenCoreError {
    #[error("the data folder cannot be used: {0}")]
    Folder(#[from] FolderError),
    #[error("the key in {path} cannot be used: {source}")]
    MasterKey { path: PathBuf, source: KeyError },
    #[error("the database cannot be used: {0}")]
    Store(#[from] StoreError),
    #[error("the audit log cannot be used: {0}")]
    Audit(#[from] OpenError),
    #[error("the keys of the audit log cannot be used: {0}")]
    Keyring(#[from] KeyringError),
    #[error("a key in the database cannot be used: {0}")]
    Key(#[from] KeyError),
    #[error("people and sessions cannot be loaded: {0}")]
    People(#[from] AuthnError),
}

/// Everything that lives as long as the process.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    pub(crate) store: Store,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) assertions: Arc<Assertions>,
    pub(crate) ledger: Ledger,
    master: Arc<MasterKey>,
    /// Held until the process ends.
    _lock: Lock,
}

impl Core {
    /// Opens, and on the first start makes, everything that `plan` names.
    ///
    /// # Errors
    /// [`OpenCoreError`]; what was opened before is closed again.
    pub(crate) fn open(plan: Plan, clock: Clock) -> Result<Self, OpenCoreError> {
        keys::install_providers();
        let config = &plan.config;
        let lock = DataFolder::open_or_create(config.data_folder())?.lock()?;
        let path = config.storage.master_key.value.to_path_buf();
        let master = MasterKey::open_or_create(&path)
            .map_err(|source| OpenCoreError::MasterKey { path, source })?;
        let master = Arc::new(master);
        let store = Store::of(Arc::new(SqliteStore::open(&config.storage.database.value)?));
        let keyring = StoredKeyring::new(Arc::clone(&store.keys), Arc::clone(&master), clock);
        let options = audit_options(config);
        let signer =
            Arc::new(keyring.signer(&format!("{}/audit", config.server.portal.value.host))?);
        let audit = AuditLog::open(options, Arc::new(keyring), signer, clock)?;
        let signer = token_signer(&store, &master, clock)?;
        let hasher = PasswordHasher::new(cores(config.auth.password.at_once));
        let authenticator = Authenticator::open(
            store.clone(),
            Arc::clone(&master),
            hasher,
            plan.authn_rules(),
            clock.now(),
        )?;
        Ok(Self {
            plan: Arc::new(ArcSwap::from_pointee(plan)),
            store,
            audit,
            authenticator: Arc::new(authenticator),
            assertions: Arc::new(Assertions::new(signer)),
            ledger: Ledger {
                metrics: Arc::new(Metrics::new()),
                clock,
            },
            master,
            _lock: lock,
        })
    }
}

impl Core {
    /// What whoever obtains certificates for `tls` works with.
    pub(crate) fn keeper_parts(&self, tls: &Arc<tls::Server>) -> acme::Parts {
        acme::Parts {
            plan: Arc::clone(&self.plan),
            keys: Arc::clone(&self.store.keys),
            master: Arc::clone(&self.master),
            audit: Arc::clone(&self.audit),
            metrics: Arc::clone(&self.ledger.metrics),
            clock: self.ledger.clock,
            tls: Arc::clone(tls),
        }
    }
}

/// `configured`, or half of the processors: the other half goes on carrying traffic while passwords are checked.
fn cores(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    processors.div_ceil(2)
}

fn audit_options(config: &Config) -> audit::Options {
    let written = &config.audit;
    audit::Options {
        durability: match written.durability {
            config::Durability::Process => audit::Durability::Process,
            config::Durability::Power => audit::Durability::Power,
        },
        on_failure: match written.on_failure {
            config::OnFailure::Deny => audit::OnFailure::Deny,
        },
        flush: written.flush,
        checkpoint: written.checkpoint,
        min_free: written.min_free,
        warn_free: written.warn_free,
        segment_bytes: written.segment_bytes,
        queue: written.queue,
        ..audit::Options::new(config.audit_folder())
    }
}

/// The key that signs assertions, made on the first start.
impl Core {
    /// Gives the token signing key a successor when it is due. `true` when it did.
    ///
    /// # Errors
    /// [`OpenCoreError`]; the keys stay as they were.
    pub(crate) async fn rotate_signer(&self, now: Timestamp) -> Result<bool, OpenCoreError> {
        let Some(old) = self.store.keys.find(TOKEN_SIGNER)? else {
            return Ok(false);
        };
        let signer = TokenSigner::open(&self.master, &old)?;
        if now.since(signer.newest_from()) < SIGNER_AGE {
            return Ok(false);
        }
        let rotated = signer.rotated(now, SIGNER_OVERLAP, SIGNER_OVERLAP)?;
        let sealed = rotated.sealed(&self.master)?;
        let name = TOKEN_SIGNER.to_owned();
        let replaced = self.store.keys.replace(name, old, sealed, now).await?;
        if replaced {
            self.assertions.replace_signer(rotated);
            let event = SecurityEvent::new(now, Action::KeyRotated)
                .by(Actor::System)
                .detail("portcullis.key", TOKEN_SIGNER);
            self.audit.record(event);
        }
        Ok(replaced)
    }
}

fn token_signer(
    store: &Store,
    master: &MasterKey,
    clock: Clock,
) -> Result<TokenSigner, OpenCoreError> {
    let sealed = match store.keys.find(TOKEN_SIGNER)? {
        Some(sealed) => sealed,
        None => {
            let fresh = TokenSigner::generate(clock.now())?.sealed(master)?;
            store
                .keys
                .create_if_absent(TOKEN_SIGNER.to_owned(), fresh, clock.now())
                .wait()?
        }
    };
    Ok(TokenSigner::open(master, &sealed)?)
}
