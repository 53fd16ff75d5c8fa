//! What a start would find on this machine beside the configuration: certificates, master key, data folder.
//!
//! Looks and creates nothing, so that `check` and `doctor` may run as anybody, anywhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::base::Timestamp;
use crate::config::{At, Config, Problems};
use crate::keys::{KeyError, MasterKey};
use crate::tls;
use crate::tls::certificates::{Certificates, Wanted};

use super::outcome::chain;
use super::shown;

/// Loads the certificates as a start does. An internal authority that has not been made yet has nothing to load.
pub(super) fn certificates(
    config: &Config,
    now: Timestamp,
    problems: &mut Problems,
) -> Option<Certificates> {
    let loaded = Wanted::looked_at(config, now)?
        .map_err(|finding| vec![finding])
        .and_then(|wanted| Certificates::load(wanted, now).map_err(|rejected| rejected.0));
    match loaded {
        Ok((certificates, warnings)) => {
            tls::setup::report(&warnings, config, problems);
            Some(certificates)
        }
        Err(findings) => {
            tls::setup::report(&findings, config, problems);
            None
        }
    }
}

/// Says that a database has lost its master key, which is configured `at`.
pub(super) fn key_is_gone(path: &Path, at: &At, problems: &mut Problems) {
    problems
        .error("PC6101")
        .message(format!(
            "the master key {} is gone, and the database is there",
            shown(path)
        ))
        .at(at)
        .label("what is sealed cannot be opened without it")
        .help("bring the key back from where its copy is kept");
}

/// The master key and the data folder, as far as they exist.
pub(super) fn storage(config: &Config, problems: &mut Problems) {
    let storage = &config.storage;
    match MasterKey::open_file(&storage.master_key) {
        Ok(_key) => {}
        Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            if storage.database.exists() {
                key_is_gone(&storage.master_key, storage.master_key.at(), problems);
            }
        }
        Err(error) => {
            let problem = problems
                .error("PC6101")
                .message(chain(&error))
                .at(storage.master_key.at());
            if matches!(error, KeyError::TooOpen { .. }) {
                problem.help(format!("run: chmod 600 {}", shown(&storage.master_key)));
            }
        }
    }
    let folder = config.data_folder();
    let Ok(metadata) = std::fs::metadata(folder) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o022 != 0 {
        problems
            .error("PC6102")
            .message(format!(
                "the data folder {} can be changed by others than its owner (mode {mode:04o})",
                shown(folder)
            ))
            .at(storage.database.at())
            .help(format!("run: chmod 700 {}", shown(folder)));
    }
}
