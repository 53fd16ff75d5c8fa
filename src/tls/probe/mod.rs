//! The first flight of a handshake as bytes, for asking a server what it would accept: also what our own library never
//! offers, such as TLS 1.0.
//!
//! Nothing here completes a handshake, holds a key or verifies anything; what arrives is a stranger's.

pub(crate) mod answer;
pub(crate) mod hello;
pub(crate) mod suites;

pub(crate) use answer::{Answer, Hello, Malformed};
pub(crate) use hello::Offer;
pub(crate) use suites::Suite;

/// A protocol version as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u16);

impl Version {
    pub(crate) const SSL_3: Self = Self(0x0300);
    pub(crate) const TLS_1_0: Self = Self(0x0301);
    pub(crate) const TLS_1_1: Self = Self(0x0302);
    pub(crate) const TLS_1_2: Self = Self(0x0303);
    pub(crate) const TLS_1_3: Self = Self(0x0304);

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SSL_3 => "SSL 3",
            Self::TLS_1_0 => "TLS 1.0",
            Self::TLS_1_1 => "TLS 1.1",
            Self::TLS_1_2 => "TLS 1.2",
            Self::TLS_1_3 => "TLS 1.3",
            _ => "an unknown version",
        }
    }
}

/// Groups for key exchange that are asked for, with IANA's numbers and names.
pub(crate) const GROUPS: [(u16, &str); 14] = [
    (0x11EC, "X25519MLKEM768"),
    (0x11EB, "SecP256r1MLKEM768"),
    (0x11ED, "SecP384r1MLKEM1024"),
    (29, "x25519"),
    (30, "x448"),
    (23, "secp256r1"),
    (24, "secp384r1"),
    (25, "secp521r1"),
    (256, "ffdhe2048"),
    (257, "ffdhe3072"),
    (258, "ffdhe4096"),
    (259, "ffdhe6144"),
    (260, "ffdhe8192"),
    (22, "secp256k1"),
];
