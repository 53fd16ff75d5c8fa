//! The account at the authority: registered once, kept sealed, used for every order.

use data_encoding::BASE64URL_NOPAD;
use instant_acme::{Account, ExternalAccountKey, NewAccount};
use zeroize::Zeroizing;

use super::AcmeError;
use super::client::Client;
use super::vault::{KeptAccount, Vault};
use crate::base::Timestamp;
use crate::config::{Acme, Protocols};
use crate::tasks::Tasks;
use crate::tls::UpstreamTls;
use crate::tls::client::{NativeRoots, Trust};

/// A longer file is not the key of an external account.
const LONGEST_KEY: usize = 4096;

/// What tells accounts apart: one per directory and external account.
fn id(settings: &Acme) -> String {
    let external = settings.external_account.as_ref();
    let external = external.map_or("", |external| &external.id);
    format!("{} {external}", settings.directory.value)
}

/// The account that `settings` describe, registered first where that has not been done.
///
/// # Errors
/// [`AcmeError`]; nothing is kept then.
pub(super) async fn account(
    settings: &Acme,
    vault: &Vault,
    tasks: &Tasks,
    now: Timestamp,
) -> Result<Account, AcmeError> {
    let id = id(settings);
    let builder = Account::builder_with_http(Box::new(client(settings, tasks)?));
    let email = settings.email.as_ref().map(|email| email.value.clone());
    let contact = email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    if let Some(kept) = vault.account(&id)? {
        let account = builder.from_credentials(kept.credentials).await?;
        if kept.email == email {
            return Ok(account);
        }
        account.update_contacts(&contact).await?;
        if let Some(kept) = vault.account(&id)? {
            let kept = KeptAccount { email, ..kept };
            vault.keep_account(&id, &kept, now).await?;
        }
        return Ok(account);
    }
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let external = external_account(settings)?;
    let (account, credentials) = builder
        .create(&wanted, settings.directory.value.clone(), external.as_ref())
        .await?;
    let kept = KeptAccount { email, credentials };
    vault.keep_account(&id, &kept, now).await?;
    tracing::info!(
        "event.name" = "portcullis.acme.registered",
        directory = settings.directory.value,
        account = account.id(),
        "an account at the certificate authority was registered"
    );
    Ok(account)
}

/// Forgets an account that the authority no longer knows; the next attempt registers a new one.
pub(super) async fn forget(settings: &Acme, vault: &Vault) -> Result<(), AcmeError> {
    Ok(vault.forget_account(&id(settings)).await?)
}

fn client(settings: &Acme, tasks: &Tasks) -> Result<Client, AcmeError> {
    let protocols = Protocols {
        h1: true,
        h2: false,
    };
    let trust = match &settings.directory_ca {
        Some(path) => Trust::File(&path.value),
        None => Trust::Roots(NativeRoots::default().load()?),
    };
    let tls = UpstreamTls::new(trust, None, protocols)?;
    Ok(Client::new(tls, tasks.clone()))
}

fn external_account(settings: &Acme) -> Result<Option<ExternalAccountKey>, AcmeError> {
    let Some(external) = &settings.external_account else {
        return Ok(None);
    };
    let text = std::fs::read(&*external.key.value)
        .map(Zeroizing::new)
        .map_err(|_unreadable| AcmeError::ExternalAccount)?;
    let encoded = text.trim_ascii();
    let encoded = encoded.strip_suffix(b"=").unwrap_or(encoded);
    let encoded = encoded.strip_suffix(b"=").unwrap_or(encoded);
    if encoded.is_empty() || encoded.len() > LONGEST_KEY {
        return Err(AcmeError::ExternalAccount);
    }
    let key = BASE64URL_NOPAD
        .decode(encoded)
        .map(Zeroizing::new)
        .map_err(|_not_base64| AcmeError::ExternalAccount)?;
    Ok(Some(ExternalAccountKey::new(external.id.clone(), &key)))
}
