//! TLS on both sides: what we offer to clients, and what we demand of upstreams.
//!
//! No other module names a cipher suite, a key-exchange group or a certificate. There is one provider, aws-lc-rs.
//! This module never opens a socket, and never turns verification of an upstream's certificate off.

pub(crate) mod ahead;
pub(crate) mod certificates;
pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod internal_ca;
pub(crate) mod lint;
pub(crate) mod ocsp;
pub(crate) mod probe;
pub(crate) mod server;
pub(crate) mod setup;
pub(crate) mod shelf;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod witness;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, SupportedCipherSuite};

pub(crate) use ahead::ReadAhead;
pub(crate) use certificates::Certificates;
pub(crate) use challenge::Challenges;
pub(crate) use client::UpstreamTls;
pub(crate) use server::Server;
pub(crate) use shelf::Shelf;

/// Mozilla guideline 6.0: the same four groups, in this order, in both of its profiles.
const GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// TLS 1.3 suites of both of its profiles (RFC 8446 section 9.1 makes the first mandatory).
const SUITES_13: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// TLS 1.2 suites of the intermediate profile; guideline 6.0 has no DHE.
const SUITES_12: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Groups of `strict-256`: 192 bits of security or more, or a hybrid with ML-KEM-768.
const GROUPS_STRICT: [&dyn SupportedKxGroup; 2] = [kx_group::X25519MLKEM768, kx_group::SECP384R1];

/// What one side of TLS offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offering {
    /// The guideline's suites and groups of TLS 1.2 and 1.3.
    Both,
    /// Those of TLS 1.3 alone.
    Only13,
    /// Of both versions what has keys of 256 bits.
    Strict256,
}

/// A provider that offers exactly that.
fn provider(offering: Offering) -> Arc<CryptoProvider> {
    let mut cipher_suites = SUITES_13.to_vec();
    if offering != Offering::Only13 {
        cipher_suites.extend(SUITES_12);
    }
    let mut kx_groups = GROUPS.to_vec();
    if offering == Offering::Strict256 {
        cipher_suites.retain(|suite| !AES_128.contains(&suite.suite()));
        kx_groups = GROUPS_STRICT.to_vec();
    }
    Arc::new(CryptoProvider {
        cipher_suites,
        kx_groups,
        ..aws_lc_rs::default_provider()
    })
}

/// The suites with keys of 128 bits.
const AES_128: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];
