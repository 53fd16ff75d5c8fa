//! Keys and secrets: the master key, sealing, signing, password hashing, randomness.
//!
//! Only this module touches the bytes of a private key. It does not know the database: what must last is handed out
//! sealed and handed back in. It never decides who may do something.

mod certificate;
mod common_passwords;
mod error;
mod master;
mod note;
mod password;
mod password_policy;
pub(crate) mod random;
mod seal;
mod sign;

use std::sync::Once;

pub(crate) use certificate::{CertificateKey, KeptCertificate};
pub(crate) use error::KeyError;
pub(crate) use master::{MacKey, MasterKey};
pub(crate) use note::{NoteSigner, NoteVerifier};
pub(crate) use password::{PasswordError, PasswordHasher, check_phc};
pub(crate) use password_policy::{PasswordPolicy, WeakPassword};
pub(crate) use seal::{HEAD, SealingKey};
pub(crate) use sign::{TokenSigner, TokenType};

/// Chooses aws-lc-rs for TLS and for tokens, once per process.
///
/// Without it both libraries guess from compiled-in features and stop the program when they find two candidates.
pub(crate) fn install_providers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that somebody installed a provider before, which is the state we want.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER
            .install_default()
            .ok();
    });
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn sha256_agrees_with_the_standard_s_example() {
        assert_eq!(
            data_encoding::HEXLOWER.encode(&super::sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn installing_the_providers_twice_is_harmless() {
        super::install_providers();
        super::install_providers();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
