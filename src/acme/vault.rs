//! What survives a restart: the account at the authority, the certificates with their keys, and the failures so far.
//!
//! Everything is sealed under the master key before it reaches the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::AcmeError;
use crate::base::Timestamp;
use crate::keys::{self, KeptCertificate, KeyError, MasterKey};
use crate::store::{Keys, StoreError};

const CERTIFICATES: &str = "acme/certificate/";
const ACCOUNTS: &str = "acme/account/";
const FAILURES: &str = "acme/failures";

/// The account as it was registered. The credentials hold its private key.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptAccount {
    pub(super) email: Option<String>,
    pub(super) credentials: instant_acme::AccountCredentials,
}

/// Failed attempts in a row for one certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failures {
    pub(super) count: u32,
    /// Of the latest one; microseconds since the Unix epoch.
    pub(super) last: i64,
    pub(super) problem: String,
    pub(super) rate_limited: bool,
}

impl Failures {
    pub(super) const fn last(&self) -> Timestamp {
        Timestamp::from_micros(self.last)
    }
}

/// The store and the key that seals what is put there.
pub(super) struct Vault {
    keys: Arc<dyn Keys>,
    master: Arc<MasterKey>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    pub(super) const fn new(keys: Arc<dyn Keys>, master: Arc<MasterKey>) -> Self {
        Self { keys, master }
    }

    /// Every kept certificate that opens; those that do not are told in the log.
    pub(super) fn certificates(&self) -> Result<Vec<KeptCertificate>, StoreError> {
        let mut found = Vec::new();
        for name in self.keys.names(CERTIFICATES)? {
            let Some(sealed) = self.keys.find(&name)? else {
                continue;
            };
            match KeptCertificate::open(&self.master, &name, &sealed) {
                Ok(kept) => found.push(kept),
                Err(error) => {
                    tracing::error!(%error, name, "a kept certificate cannot be used");
                }
            }
        }
        Ok(found)
    }

    /// Keeps a certificate instead of the one of the same id before.
    pub(super) async fn keep(
        &self,
        kept: &KeptCertificate,
        now: Timestamp,
    ) -> Result<(), AcmeError> {
        let name = certificate_name(&kept.id);
        let sealed = kept.sealed(&self.master, &name)?;
        Ok(self.put(name, sealed, now).await?)
    }

    /// Destroys a certificate and its key; the write happens without being waited for.
    pub(super) fn forget(&self, id: &str) {
        drop(self.keys.destroy(certificate_name(id)));
    }

    pub(super) fn account(&self, id: &str) -> Result<Option<KeptAccount>, AcmeError> {
        self.read(&account_name(id))
    }

    pub(super) async fn keep_account(
        &self,
        id: &str,
        account: &KeptAccount,
        now: Timestamp,
    ) -> Result<(), AcmeError> {
        self.write(account_name(id), account, now).await
    }

    /// The authority knows this account no longer.
    pub(super) async fn forget_account(&self, id: &str) -> Result<(), StoreError> {
        self.keys.destroy(account_name(id)).await.map(drop)
    }

    pub(super) fn failures(&self) -> Result<BTreeMap<String, Failures>, AcmeError> {
        Ok(self.read(FAILURES)?.unwrap_or_default())
    }

    pub(super) async fn keep_failures(
        &self,
        failures: &BTreeMap<String, Failures>,
        now: Timestamp,
    ) -> Result<(), AcmeError> {
        self.write(FAILURES.to_owned(), failures, now).await
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, AcmeError> {
        let Some(sealed) = self.keys.find(name)? else {
            return Ok(None);
        };
        let text = self.master.open(name.as_bytes(), &sealed)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|_not_shown| KeyError::Unreadable("record of an ACME account").into())
    }

    async fn write<T: Serialize + Sync>(
        &self,
        name: String,
        value: &T,
        now: Timestamp,
    ) -> Result<(), AcmeError> {
        let text = serde_json::to_vec(value)
            .map(Zeroizing::new)
            .map_err(|_impossible| KeyError::Refused("write down an ACME account"))?;
        let sealed = self.master.seal(name.as_bytes(), &text)?;
        Ok(self.put(name, sealed, now).await?)
    }

    /// Only this task writes these names; another node that does makes the loop go round once more.
    async fn put(&self, name: String, sealed: Vec<u8>, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let Some(old) = self.keys.find(&name)? else {
                let kept = self
                    .keys
                    .create_if_absent(name.clone(), sealed.clone(), now)
                    .await?;
                if kept == sealed {
                    return Ok(());
                }
                continue;
            };
            let (name, sealed) = (name.clone(), sealed.clone());
            if self.keys.replace(name, old, sealed, now).await? {
                return Ok(());
            }
        }
    }
}

fn certificate_name(id: &str) -> String {
    format!("{CERTIFICATES}{}", digest(id))
}

fn account_name(id: &str) -> String {
    format!("{ACCOUNTS}{}", digest(id))
}

fn digest(text: &str) -> String {
    HEXLOWER.encode(&keys::sha256(text.as_bytes()))
}
