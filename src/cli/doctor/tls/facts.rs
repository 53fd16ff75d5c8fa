//! What a listener accepts and presents, as far as a grade asks.

use rustls::pki_types::CertificateDer;

use crate::base::{Host, Timestamp};
use crate::tls::ocsp::Question;
use crate::tls::probe::{Suite, Version};
use crate::tls::witness::{Key, Leaf, Presented, Verdict};

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) host: Host,
    /// Every suite that was taken, by version.
    pub(super) accepted: Vec<(Version, Suite)>,
    /// Of TLS 1.3.
    pub(super) groups: Vec<(u16, &'static str)>,
    pub(super) compression: bool,
    /// `None` where there is only TLS 1.3, which has no renegotiation.
    pub(super) secure_renegotiation: Option<bool>,
    /// The smallest prime of finite-field Diffie-Hellman.
    pub(super) prime_bits: Option<usize>,
    /// Of every certificate that was presented.
    pub(super) keys: Vec<Key>,
    pub(super) leaf: Option<Leaf>,
    pub(super) verdict: Verdict,
    pub(super) hsts: Hsts,
    pub(super) staple: Staple,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hsts {
    /// No answer could be had.
    Unseen,
    Missing,
    Seconds(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Staple {
    /// The certificate names no responder.
    Unneeded,
    Missing,
    Good,
    Bad(String),
}

impl Staple {
    pub(super) fn of(presented: &Presented, now: Timestamp) -> Self {
        match Question::of(&presented.chain) {
            Ok(None) => Self::Unneeded,
            Ok(Some(_)) | Err(_) if presented.staple.is_empty() => Self::Missing,
            Ok(Some(question)) => match question.verify(&presented.staple, now) {
                Ok(_) => Self::Good,
                Err(error) => Self::Bad(error.to_string()),
            },
            Err(error) => Self::Bad(error.to_string()),
        }
    }
}

impl Facts {
    /// The versions that took a suite, oldest first.
    pub(super) fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<_> = self.accepted.iter().map(|(version, _)| *version).collect();
        versions.sort();
        versions.dedup();
        versions
    }
}

/// The keys of leaves, each kind once.
pub(super) fn keys(leaves: impl Iterator<Item = CertificateDer<'static>>, host: &Host) -> Vec<Key> {
    let mut keys = Vec::new();
    for leaf in leaves {
        if let Some(leaf) = Leaf::read(&leaf, host)
            && !keys.contains(&leaf.key)
        {
            keys.push(leaf.key);
        }
    }
    keys
}
