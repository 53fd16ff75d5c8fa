//! Opens what a command works on: the configuration, the compiled plan, and, for reading alone, the store.

use std::path::Path;
use std::sync::Arc;

use crate::audit::{Sealer, StoredKeyring};
use crate::base::Clock;
use crate::config::{self, Config};
use crate::keys::{MasterKey, NoteVerifier};
use crate::plan::Plan;
use crate::store::{SqliteStore, Store};

use super::outcome::chain;
use super::{Failure, Globals};

/// The configuration alone.
///
/// # Errors
/// Exit 2 with every problem rendered.
pub(crate) fn config(globals: &Globals) -> Result<Config, Failure> {
    let path = globals.locate()?;
    let loaded = config::load(&path).map_err(|problems| globals.refused(&problems))?;
    Ok(loaded.config)
}

/// The plan that a server started now would serve.
///
/// # Errors
/// As [`config()`].
pub(crate) fn plan(globals: &Globals) -> Result<Plan, Failure> {
    let path = globals.locate()?;
    let compiled = Plan::load(&path, None).map_err(|problems| globals.refused(&problems))?;
    Ok(compiled.plan)
}

/// The store beside a server that may be running; it is read and never changed. `None` before the first start.
///
/// # Errors
/// Why an existing database cannot be read.
pub(crate) fn store(config: &Config) -> Result<Option<Store>, String> {
    let path: &Path = &config.storage.database;
    if !path.exists() {
        return Ok(None);
    }
    let store = SqliteStore::open_to_read(path).map_err(|error| chain(&error))?;
    Ok(Some(Store::of(Arc::new(store))))
}

/// What opens sealed fields of the audit log.
///
/// # Errors
/// Why they stay sealed for this reader.
pub(crate) fn sealer(config: &Config) -> Result<Sealer, String> {
    Ok(Sealer::new(Arc::new(keyring(config)?)))
}

/// The public key of the log as the store keeps it, out of reach of whoever can only write to the log's folder.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn log_key(config: &Config) -> Result<Option<NoteVerifier>, String> {
    keyring(config)?.verifier().map_err(|error| chain(&error))
}

fn keyring(config: &Config) -> Result<StoredKeyring, String> {
    let master = MasterKey::open_file(&config.storage.master_key).map_err(|error| chain(&error))?;
    let store = store(config)?.ok_or("there is no database yet")?;
    Ok(StoredKeyring::new(
        store.keys,
        Arc::new(master),
        Clock::System,
    ))
}
