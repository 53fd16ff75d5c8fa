//! What a client may negotiate with us: Mozilla's profiles and one stricter, strict ALPN, no 0-RTT, tickets that rotate.
//!
//! A ticket opens only the name it was issued for: rustls compares the server name of the first handshake with that of
//! the resumption (`server::hs::can_resume`), and asks the certificate table before it resumes, so a name that is no
//! longer served cannot be resumed either. Ticket keys live in memory, seal for `tls.ticket_rotation` and open for as
//! long again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::GetRandomFailed;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ticketer::TicketRotator;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::{Certificates, Offering, provider};
use crate::base::Host;
use crate::config::{Profile, Protocols};

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// RFC 7301 protocol names, best first.
pub(super) fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    if protocols.h2 {
        names.push(b"h2".to_vec());
    }
    if protocols.h1 {
        names.push(b"http/1.1".to_vec());
    }
    names
}

/// Settings that cannot be turned into a TLS configuration; only a defect of the crypto library leads here.
#[derive(Debug, thiserror::Error)]
#[error("the TLS library refuses the settings")]
pub(crate) struct TlsSetupError(#[from] rustls::Error);

/// The server side of TLS for all listeners; the settings can be replaced while it runs.
#[derive(Debug)]
pub(crate) struct Server {
    certificates: Arc<Certificates>,
    /// The listener whose own certificates come first.
    listener: Option<Arc<str>>,
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<ServerConfig>,
}

/// What answers a server name at one listener.
#[derive(Debug)]
struct Resolver {
    certificates: Arc<Certificates>,
    listener: Option<Arc<str>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificates.resolve(self.listener.as_deref(), &hello)
    }
}

impl Server {
    /// For every listener that has nothing of its own.
    pub(crate) fn new(
        profile: Profile,
        protocols: Protocols,
        certificates: Arc<Certificates>,
        ticket_rotation: Duration,
    ) -> Result<Self, TlsSetupError> {
        let tickets = tickets(ticket_rotation)?;
        Self::with(profile, protocols, (certificates, None), tickets)
    }

    /// For the listener of that name, with tickets and certificates of its own.
    pub(crate) fn beside(
        &self,
        listener: &str,
        profile: Profile,
        protocols: Protocols,
        ticket_rotation: Duration,
    ) -> Result<Self, TlsSetupError> {
        let certificates = (Arc::clone(&self.certificates), Some(listener.into()));
        let tickets = tickets(ticket_rotation)?;
        Self::with(profile, protocols, certificates, tickets)
    }

    fn with(
        profile: Profile,
        protocols: Protocols,
        (certificates, listener): (Arc<Certificates>, Option<Arc<str>>),
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Self, TlsSetupError> {
        let resolver = Resolver {
            certificates: Arc::clone(&certificates),
            listener: listener.clone(),
        };
        let config = server_config(profile, protocols, resolver, &tickets)?;
        Ok(Self {
            certificates,
            listener,
            tickets,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Puts new settings in force for connections accepted from now on; tickets stay valid.
    pub(crate) fn replace(
        &self,
        profile: Profile,
        protocols: Protocols,
    ) -> Result<(), TlsSetupError> {
        let resolver = Resolver {
            certificates: Arc::clone(&self.certificates),
            listener: self.listener.clone(),
        };
        let config = server_config(profile, protocols, resolver, &self.tickets)?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    /// `true` when a certificate answers for this server name here.
    pub(crate) fn covers(&self, host: &Host) -> bool {
        self.certificates.covers(self.listener.as_deref(), host)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    pub(crate) const fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }
}

/// Keys that change after `rotation`, or after the library's own six hours if that is sooner.
fn tickets(rotation: Duration) -> Result<Arc<dyn ProducesTickets>, TlsSetupError> {
    let seconds = u32::try_from(rotation.as_secs()).unwrap_or(u32::MAX);
    let rotator = TicketRotator::new(seconds, || match Ticketer::new() {
        Ok(key) => Ok(Box::new(TicketKey(key))),
        Err(_no_randomness) => Err(GetRandomFailed),
    })?;
    Ok(Arc::new(rotator))
}

/// One generation of ticket keys.
#[derive(Debug)]
struct TicketKey(Arc<dyn ProducesTickets>);

impl ProducesTickets for TicketKey {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(cipher)
    }
}

fn server_config(
    profile: Profile,
    protocols: Protocols,
    resolver: Resolver,
    tickets: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsSetupError> {
    let (provider, protocol_versions): (_, &[_]) = match profile {
        Profile::Intermediate => (provider(Offering::Both), BOTH),
        Profile::Modern => (provider(Offering::Only13), ONLY_13),
        Profile::Strict256 => (provider(Offering::Strict256), BOTH),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(protocol_versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn(protocols);
    config.ticketer = Arc::clone(tickets);
    // Each ticket costs a signature's fifth; a client needs one per connection.
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.ignore_client_order = false;
    Ok(config)
}

#[cfg(test)]
mod tests;
