//! "This browser has signed in to this account before", told by a long-lived signed cookie.
//!
//! It earns the device failed attempts of its own and nothing else: it is no factor and names nobody.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::base::{PrincipalId, Timestamp};
use crate::keys::{KeyError, MacKey, MasterKey, random};

/// How long a browser is remembered after its last sign-in.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(180 * 24 * 3600);
/// People who share one browser; the one who signed in longest ago makes room.
const MOST_ACCOUNTS: usize = 5;
const TAG_BYTES: usize = 16;

/// Issues and reads the device cookie.
#[derive(Debug)]
pub(crate) struct Devices {
    key: MacKey,
}

/// A well-formed device cookie. Whom it vouches for is only told for a given account.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    number: [u8; 16],
    /// Unix seconds and tag, latest sign-in first.
    vouchers: Vec<(i64, [u8; TAG_BYTES])>,
}

impl Devices {
    pub(crate) fn new(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self {
            key: master.mac_key("known devices")?,
        })
    }

    /// The device's number if it proves that `account` signed in on it within [`REMEMBERED`].
    pub(crate) fn known(
        &self,
        cookie: Option<&str>,
        account: &PrincipalId,
        now: Timestamp,
    ) -> Option<[u8; 16]> {
        let device = Device::parse(cookie?)?;
        let vouched = device.vouchers.iter().any(|(until, tag)| {
            now.secs() < *until && self.tag(&device.number, account, *until) == *tag
        });
        vouched.then_some(device.number)
    }

    /// The cookie's value after `account` has signed in.
    pub(crate) fn vouch(
        &self,
        cookie: Option<&str>,
        account: &PrincipalId,
        now: Timestamp,
    ) -> String {
        let mut device = cookie.and_then(Device::parse).unwrap_or_else(|| Device {
            number: random::bytes(),
            vouchers: Vec::new(),
        });
        let number = device.number;
        device.vouchers.retain(|(until, tag)| {
            now.secs() < *until && self.tag(&number, account, *until) != *tag
        });
        let until = now.plus(REMEMBERED).secs();
        device
            .vouchers
            .insert(0, (until, self.tag(&number, account, until)));
        device.vouchers.truncate(MOST_ACCOUNTS);
        device.print()
    }

    fn tag(&self, number: &[u8; 16], account: &PrincipalId, until: i64) -> [u8; TAG_BYTES] {
        let full = self
            .key
            .tag(&[number, account.as_str().as_bytes(), &until.to_be_bytes()]);
        let mut tag = [0; TAG_BYTES];
        for (to, from) in tag.iter_mut().zip(full) {
            *to = from;
        }
        tag
    }
}

impl Device {
    /// `NUMBER(.SECONDS-TAG)*`, binary parts in base64url.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let number = decode(parts.next()?)?;
        let mut vouchers = Vec::new();
        for part in parts {
            if vouchers.len() == MOST_ACCOUNTS {
                return None;
            }
            let (until, tag) = part.split_once('-')?;
            vouchers.push((until.parse().ok()?, decode(tag)?));
        }
        Some(Self { number, vouchers })
    }

    fn print(&self) -> String {
        let mut text = BASE64URL_NOPAD.encode(&self.number);
        for (until, tag) in &self.vouchers {
            text.push_str(&format!(".{until}-{}", BASE64URL_NOPAD.encode(tag)));
        }
        text
    }
}

fn decode(text: &str) -> Option<[u8; 16]> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Devices, REMEMBERED};
    use crate::authn::fixture;
    use crate::base::{PrincipalId, Timestamp};

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn person(number: u32) -> PrincipalId {
        PrincipalId::new(format!("u-{number}"))
    }

    #[test]
    fn a_device_is_known_to_those_who_signed_in_on_it_and_to_nobody_else() {
        let devices = Devices::new(&fixture::master()).unwrap();
        let cookie = devices.vouch(None, &person(1), NOW);
        let cookie = devices.vouch(Some(&cookie), &person(2), NOW);
        let numbers: Vec<_> = [1, 2]
            .map(|number| devices.known(Some(&cookie), &person(number), NOW).unwrap())
            .into();
        assert_eq!(numbers[0], numbers[1]);
        assert_eq!(devices.known(Some(&cookie), &person(3), NOW), None);
        assert_eq!(devices.known(None, &person(1), NOW), None);
    }

    #[test]
    fn a_device_is_forgotten_after_half_a_year_without_sign_in() {
        let devices = Devices::new(&fixture::master()).unwrap();
        let cookie = devices.vouch(None, &person(1), NOW);
        let later = NOW.plus(REMEMBERED);
        assert!(devices.known(Some(&cookie), &person(1), later).is_none());
        let renewed = devices.vouch(Some(&cookie), &person(1), NOW.plus(REMEMBERED / 2));
        assert!(devices.known(Some(&renewed), &person(1), later).is_some());
    }

    #[test]
    fn a_forged_or_foreign_cookie_vouches_for_nobody() {
        let devices = Devices::new(&fixture::master()).unwrap();
        let cookie = devices.vouch(None, &person(1), NOW);
        let elsewhere = Devices::new(&fixture::master()).unwrap();
        assert!(elsewhere.known(Some(&cookie), &person(1), NOW).is_none());
        let (number, voucher) = cookie.split_once('.').unwrap();
        let longer = format!("{number}.9{voucher}");
        let other_device = format!("AAAAAAAAAAAAAAAAAAAAAA.{voucher}");
        for forged in [&longer, &other_device, number, "", "....", "x.y-z"] {
            assert!(
                devices.known(Some(forged), &person(1), NOW).is_none(),
                "{forged}"
            );
        }
    }

    #[test]
    fn the_cookie_does_not_grow_without_bound() {
        let devices = Devices::new(&fixture::master()).unwrap();
        let mut cookie = devices.vouch(None, &person(0), NOW);
        for number in 1..50 {
            cookie = devices.vouch(Some(&cookie), &person(number), NOW);
        }
        assert!(cookie.len() < 300);
        assert!(devices.known(Some(&cookie), &person(49), NOW).is_some());
        assert!(devices.known(Some(&cookie), &person(0), NOW).is_none());
    }
}
