//! What the process opens once and keeps: folder, keys, store, audit log, people. A reload does not touch it.
//!
//! Opening blocks and is done before any runtime starts. The order matters: the lock first, so that two processes never
//! write one folder; the audit log before anything that could have to be recorded.

use std::io::ErrorKind;
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
use crate::config::{self, At, Config};
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
    #[error("the master key {path} is gone, and the database is there")]
    MasterKeyGone { path: PathBuf, at: Box<At> },
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
        let master = Arc::new(master_key(config)?);
        let store = Store::of(Arc::new(SqliteStore::open(&config.storage.database.value)?));
        let keyring = StoredKeyring::new(Arc::clone(&store.keys), Arc::clone(&master), clock);
        let options = audit_options(config);
        let signer =
            Arc::new(keyring.signer(&format!("{}/audit", config.server.portal.value.host))?);
        let audit = AuditLog::open(options, Arc::new(keyring), signer, clock)?;
        let signer = token_signer(&store, &master, clock)?;
        let hasher = PasswordHasher::new(
            cores(config.auth.password.at_once),
            config.auth.password.cost(),
        );
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

/// Makes a key only where there is no database yet: another key opens nothing that is sealed in it.
fn master_key(config: &Config) -> Result<MasterKey, OpenCoreError> {
    let written = &config.storage.master_key;
    let path = written.value.to_path_buf();
    let opened = if config.storage.database.exists() {
        MasterKey::open_file(&path)
    } else {
        MasterKey::open_or_create(&path)
    };
    opened.map_err(|source| match source {
        KeyError::File { source, .. } if source.kind() == ErrorKind::NotFound => {
            let at = Box::new(written.at().clone());
            OpenCoreError::MasterKeyGone { path, at }
        }
        source => OpenCoreError::MasterKey { path, source },
    })
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Core, SIGNER_AGE, SIGNER_OVERLAP};
    use crate::base::{Clock, Timestamp};
    use crate::plan::Plan;
    use crate::server::housekeeping::keep_for_long;

    const START: Timestamp = Timestamp::from_secs(1_790_000_000);
    const TEXT: &str = "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n\
        [storage]\ndatabase = \"sqlite:data/portcullis.db\"\nmaster_key = { file = \"data/master.key\" }\n\
        [audit]\nfolder = \"data/audit\"\nmin_free = \"1B\"\n";

    /// In a thread of its own: opening waits for the store, which no runtime's thread may.
    fn open(folder: &Path, now: Timestamp) -> Core {
        let file = folder.join("portcullis.toml");
        std::fs::write(&file, TEXT).unwrap();
        let opening = std::thread::spawn(move || {
            let plan = Plan::load(&file, None).unwrap().plan;
            Core::open(plan, Clock::Fixed(now)).unwrap()
        });
        opening.join().unwrap()
    }

    fn keys(core: &Core, now: Timestamp) -> usize {
        let published = core.assertions.jwks(now).unwrap();
        published.matches("\"kid\"").count()
    }

    fn rotations(folder: &Path) -> usize {
        let segments = std::fs::read_dir(folder.join("data/audit/segments")).unwrap();
        segments
            .map(|segment| std::fs::read(segment.unwrap().path()).unwrap())
            .map(|bytes| {
                String::from_utf8(bytes)
                    .unwrap()
                    .matches("key.rotated")
                    .count()
            })
            .sum()
    }

    #[tokio::test]
    async fn daily_housekeeping_gives_an_old_signing_key_a_successor_once_and_records_it() {
        let folder = tempfile::tempdir().unwrap();
        let young = START.plus(SIGNER_AGE - Duration::from_secs(1));
        let due = START.plus(SIGNER_AGE);
        for (now, published, recorded) in [(START, 1, 0), (young, 1, 0), (due, 2, 1), (due, 2, 1)] {
            let core = open(folder.path(), now);
            keep_for_long(&core).await;
            assert_eq!(keys(&core, now), published);
            core.audit.close();
            assert_eq!(rotations(folder.path()), recorded);
        }
        // Both have been seen by then, and the old one has nothing left to prove.
        let later = due.plus(SIGNER_OVERLAP * 3);
        assert_eq!(keys(&open(folder.path(), later), later), 1);
    }
}
