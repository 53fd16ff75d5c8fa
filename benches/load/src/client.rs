//! What all load has in common: whom it talks to, its TLS, its requests, and how it tells what it found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, version::TLS13,
};

use crate::Failure;

/// Longest time that is told apart, in nanoseconds: ten minutes.
const LONGEST: u64 = 600_000_000_000;

/// The proxy and what it has to be sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct To {
    /// Where the proxy listens.
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// The app's host name.
    #[arg(long, default_value = "localhost")]
    pub(crate) host: String,
    /// The Cookie field; none when empty.
    #[arg(long, default_value = "")]
    pub(crate) cookie: String,
    /// The one key exchange that is offered.
    #[arg(long, value_enum, default_value_t = KeyExchange::X25519)]
    pub(crate) key_exchange: KeyExchange,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KeyExchange {
    X25519,
    P256,
    X25519mlkem768,
}

impl To {
    /// A request with the session; `more` are whole field lines.
    pub(crate) fn request(&self, method_and_path: &str, more: &str) -> Vec<u8> {
        let cookie = match self.cookie.as_str() {
            "" => String::new(),
            cookie => format!("cookie: {cookie}\r\n"),
        };
        // The port belongs to the host: it is not the one that https means.
        format!(
            "{method_and_path} HTTP/1.1\r\nhost: {}:{}\r\n{cookie}{more}\r\n",
            self.host,
            self.to.port()
        )
        .into_bytes()
    }

    pub(crate) fn name(&self) -> Result<ServerName<'static>, Failure> {
        Ok(ServerName::try_from(self.host.clone())?)
    }

    /// TLS 1.3 and HTTP/1.1 only; a session store of its own when `resume`.
    pub(crate) fn tls(&self, resume: bool) -> Result<Arc<ClientConfig>, Failure> {
        let mut provider = default_provider();
        provider.kx_groups = vec![match self.key_exchange {
            KeyExchange::X25519 => kx_group::X25519,
            KeyExchange::P256 => kx_group::SECP256R1,
            KeyExchange::X25519mlkem768 => kx_group::X25519MLKEM768,
        }];
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unjudged(schemes)))
            .with_no_client_auth();
        config.resumption = if resume {
            Resumption::in_memory_sessions(256)
        } else {
            Resumption::disabled()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Accepts any certificate: checking it would cost the load generator more than the request itself.
#[derive(Debug)]
struct Unjudged(Vec<SignatureScheme>);

impl ServerCertVerifier for Unjudged {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// What was served, and how long it took.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) served: u64,
    pub(crate) resumed: u64,
    pub(crate) broken: u64,
    /// The first thing that went wrong, in words.
    pub(crate) why: Option<String>,
    nanoseconds: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            served: 0,
            resumed: 0,
            broken: 0,
            why: None,
            nanoseconds: Histogram::new_with_bounds(1, LONGEST, 3)?,
        })
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.nanoseconds
            .saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn broke(&mut self, why: &impl ToString) {
        self.broken += 1;
        self.why.get_or_insert_with(|| why.to_string());
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.served += other.served;
        self.resumed += other.resumed;
        self.broken += other.broken;
        if self.why.is_none() {
            self.why.clone_from(&other.why);
        }
        self.nanoseconds.add(&other.nanoseconds)?;
        Ok(())
    }

    /// Latencies are in microseconds.
    pub(crate) fn tell(&self, seconds: Duration) {
        let at = |quantile| self.nanoseconds.value_at_quantile(quantile) as f64 / 1000.0;
        tell(&json!({
            "requests": self.served, "resumed": self.resumed, "broken": self.broken, "why": self.why,
            "seconds": seconds.as_secs_f64(), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999),
        }));
    }
}

pub(crate) fn tell(found: &Value) {
    println!("{found}");
}
