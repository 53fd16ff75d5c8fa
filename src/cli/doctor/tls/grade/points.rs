//! Points from 0 to 100 for what a listener accepts, by the rating guide's formula.

use super::super::facts::Facts;
use crate::tls::probe::Version;
use crate::tls::witness::Key;

/// Points from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Scores {
    pub(crate) protocols: u16,
    pub(crate) key_exchange: u16,
    pub(crate) ciphers: u16,
    pub(crate) total: u16,
}

/// Protocols count 30 percent, key exchange 30, ciphers 40; where one has none, nothing is worth anything.
pub(super) fn scores(facts: &Facts) -> Scores {
    let versions = facts.versions().into_iter().map(|version| match version {
        Version::TLS_1_2 | Version::TLS_1_3 => 100,
        Version::TLS_1_1 => 95,
        Version::TLS_1_0 => 90,
        _ => 80,
    });
    let suites = facts.accepted.iter().map(|(_, suite)| match suite.bits() {
        256.. => 100,
        128..=255 => 80,
        1..=127 => 20,
        0 => 0,
    });
    let anonymous = facts.accepted.iter().any(|(_, suite)| suite.is_anonymous());
    let export = facts.accepted.iter().any(|(_, suite)| suite.is_export());
    let key_exchange = match (anonymous, export) {
        (true, _) => 0,
        (false, true) => 40,
        (false, false) => facts
            .keys
            .iter()
            .map(|key| key_points(*key))
            .chain(facts.prime_bits.map(finite_points))
            .min()
            .unwrap_or(0),
    };
    let (protocols, ciphers) = (middle(versions), middle(suites));
    let nothing = protocols == 0 || key_exchange == 0 || ciphers == 0;
    let weighted = protocols * 30 / 100 + key_exchange * 30 / 100 + ciphers * 40 / 100;
    Scores {
        protocols,
        key_exchange,
        ciphers,
        total: if nothing { 0 } else { weighted },
    }
}

/// Between best and worst.
fn middle(points: impl Iterator<Item = u16> + Clone) -> u16 {
    match (points.clone().min(), points.max()) {
        (Some(least), Some(most)) => least.midpoint(most),
        _ => 0,
    }
}

pub(super) fn key_points(key: Key) -> u16 {
    match key {
        Key::Rsa(bits) => finite_points(bits),
        Key::Ecdsa(225..) | Key::Other => 100,
        Key::Ecdsa(163..) => 90,
        Key::Ecdsa(123..) => 80,
        Key::Ecdsa(110..) => 40,
        Key::Ecdsa(_) => 20,
    }
}

const fn finite_points(bits: usize) -> u16 {
    match bits {
        4096.. => 100,
        2048..=4095 => 90,
        1024..=2047 => 80,
        512..=1023 => 40,
        _ => 20,
    }
}
