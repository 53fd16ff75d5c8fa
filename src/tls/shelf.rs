//! Certificates that were obtained from an authority, between who obtains them and who serves them.
//!
//! Kept in memory; what survives a restart is kept, sealed, by who obtains them. One that is here is served for its
//! names until a newer one comes: an expired certificate says more to a visitor than none.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::lint::{Finding, Loaded, Name, check};
use crate::config::Profile;
use crate::keys::KeptCertificate;

/// The certificates obtained so far, by the names they were ordered for.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    held: RwLock<Vec<Loaded>>,
    changes: AtomicU64,
}

impl Shelf {
    /// Adds a certificate. Those before it that have no other name than it has are given up.
    pub(crate) fn put(&self, new: Loaded) {
        let mut held = self.held.write();
        held.retain(|old| !old.names.iter().all(|name| new.names.contains(name)));
        held.push(new);
        // Newest first: where two carry a name, the one that lives longer is served.
        held.sort_by_key(|loaded| std::cmp::Reverse(loaded.not_after));
        drop(held);
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn list(&self) -> Vec<Loaded> {
        self.held.read().clone()
    }

    /// A number that differs after every change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

/// Reads an obtained chain and its key, and checks that they can be served for all of `names`.
///
/// # Errors
/// What is wrong with them, as with a file.
pub(crate) fn read(kept: &KeptCertificate, names: &[Name]) -> Result<Loaded, Finding> {
    let shown: Vec<_> = names.iter().map(ToString::to_string).collect();
    let shown = shown.join(" ");
    let path = Path::new(&shown);
    let unreadable = |source| Finding::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(kept.chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    // The profile is judged where certificates are put in force.
    let loaded = check(path, chain, &kept.key.private(), Profile::Intermediate)?;
    match names.iter().find(|name| !loaded.names.contains(name)) {
        None => Ok(loaded),
        Some(Name::Exact(host) | Name::Wildcard(host)) => Err(Finding::HostUncovered(host.clone())),
    }
}
