//! How often a factor may be tried: per account, per address and per device, with waits that grow.
//!
//! An attempt is counted before the answer is known, so a thousand guesses at once count as a thousand. A device that
//! has signed in to the account before has counters of its own: strangers cannot lock the owner out of it. Names that
//! belong to nobody are counted like accounts, so that waiting tells nothing. Running sessions are never touched.

use std::collections::HashMap;
use std::hash::Hash as StdHash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::{PrincipalId, Timestamp};
use crate::store::{Backoff, Hash, Lockout};

/// After this many failures in a row an account takes one attempt per [`CLOSED_FOR`] from unknown devices
/// (SP 800-63B-4 section 3.2.2).
const MOST_FAILURES: u32 = 100;
const CLOSED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Many people share one address, so it may fail this many times as often as an account.
const ADDRESS_SHARE: u32 = 10;
/// Counters are forgotten after this long without a failure.
const QUIET: Duration = Duration::from_secs(24 * 3600);
const ADDRESS_QUIET: Duration = Duration::from_secs(3600);
/// Names that nobody has and addresses: strangers choose how many there are, so their number is bounded.
const MOST_STRANGERS: usize = 65_536;

/// Whose password or code is being tried.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Account {
    Person(PrincipalId),
    /// SHA-256 of a name that belongs to nobody.
    Nobody(Hash),
}

/// Who is trying.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) address: IpAddr,
    /// The device's number, when it proves that it has signed in to this account before.
    pub(crate) known_device: Option<[u8; 16]>,
}

/// What is about to be tried.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) account: Account,
    pub(crate) origin: Origin,
    /// What the store knows of the account; used when this process has no counter for it yet.
    pub(crate) remembered: Lockout,
}

/// Too many tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TryLater {
    pub(crate) until: Timestamp,
}

/// Failures in a row and the wait they earned.
#[derive(Debug, Clone, Copy)]
struct Counter {
    failures: u32,
    not_before: Timestamp,
    last: Timestamp,
}

impl Counter {
    const FRESH: Self = Self {
        failures: 0,
        not_before: Timestamp::EPOCH,
        last: Timestamp::EPOCH,
    };

    fn waits_until(&self, now: Timestamp) -> Option<TryLater> {
        (now < self.not_before).then_some(TryLater {
            until: self.not_before,
        })
    }

    fn count(&mut self, wait_after: impl Fn(u32) -> Option<Duration>, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        let wait = wait_after(self.failures);
        self.not_before = wait.map_or(self.not_before, |wait| now.plus(wait));
    }

    /// Takes one counted attempt back: it was right, or it was never judged.
    fn refund(&mut self, before: &Self, now: Timestamp) {
        self.failures = self.failures.saturating_sub(1);
        // Another attempt may have been counted in the meantime; its wait stays.
        if self.last == now && self.failures == before.failures {
            *self = *before;
        }
    }
}

/// An attempt that was counted as failed until shown otherwise.
#[derive(Debug)]
#[must_use = "the attempt stays counted as a failure"]
pub(crate) struct Attempt {
    account: Account,
    origin: Origin,
    at: Timestamp,
    own_before: Counter,
    address_before: Counter,
}

impl Attempt {
    /// Whether a failure of this attempt belongs to the account's own counter, which is also kept in the store.
    pub(crate) fn counts_for_account(&self) -> bool {
        self.origin.known_device.is_none()
    }
}

#[derive(Debug, Default)]
struct Tables {
    people: HashMap<PrincipalId, Counter>,
    nobody: HashMap<Hash, Counter>,
    devices: HashMap<(PrincipalId, [u8; 16]), Counter>,
    addresses: HashMap<IpAddr, Counter>,
}

/// All counters of this process.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    tables: Mutex<Tables>,
}

impl Throttle {
    /// Counts an attempt, or says when the next may be made.
    pub(crate) fn begin(
        &self,
        one: Try,
        backoff: &Backoff,
        now: Timestamp,
    ) -> Result<Attempt, TryLater> {
        let Try {
            account,
            origin,
            remembered,
        } = one;
        let mut tables = self.tables.lock();
        let known = origin.known_device.is_some();
        let address_key = network(origin.address);
        let address_before = tables
            .addresses
            .get(&address_key)
            .copied()
            .unwrap_or(Counter::FRESH);
        let own_before = tables.own(&account, &origin, remembered, now);
        if let Some(later) = own_before.waits_until(now) {
            return Err(later);
        }
        // Somebody else behind the same address must not lock out a device that the account knows.
        if !known && let Some(later) = address_before.waits_until(now) {
            return Err(later);
        }
        let mut own = own_before;
        own.count(|failures| wait_of_account(backoff, failures), now);
        tables.put_own(&account, &origin, own, now);
        if !known {
            let mut address = address_before;
            let shared = shared_by_many(backoff);
            address.count(|failures| shared.wait_after(failures), now);
            make_room(&mut tables.addresses, now, ADDRESS_QUIET);
            tables.addresses.insert(address_key, address);
        }
        Ok(Attempt {
            account,
            origin,
            at: now,
            own_before,
            address_before,
        })
    }

    /// The factor was right but the sign-in is not complete: the attempt does not count, earlier failures still do.
    /// Otherwise somebody who knows the password could guess codes for ever.
    pub(crate) fn refund(&self, attempt: &Attempt) {
        let mut tables = self.tables.lock();
        if let Some(own) = tables.own_mut(&attempt.account, &attempt.origin) {
            own.refund(&attempt.own_before, attempt.at);
        }
        tables.refund_address(attempt);
    }

    /// Both factors were right: the account's (or device's) failures are forgotten, the address' are not.
    pub(crate) fn succeed(&self, attempt: &Attempt) {
        let mut tables = self.tables.lock();
        match (&attempt.account, attempt.origin.known_device) {
            (Account::Person(person), Some(device)) => {
                tables.devices.remove(&(person.clone(), device));
            }
            (Account::Person(person), None) => {
                tables.people.insert(person.clone(), Counter::FRESH);
            }
            (Account::Nobody(name), _) => {
                tables.nobody.remove(name);
            }
        }
        tables.refund_address(attempt);
    }

    /// Forgets what was counted for a person, on an administrator's word.
    pub(crate) fn pardon(&self, person: &PrincipalId) {
        let mut tables = self.tables.lock();
        tables.people.insert(person.clone(), Counter::FRESH);
        tables
            .devices
            .retain(|(owner, _device), _counter| owner != person);
    }

    /// Drops counters that were quiet for long; call now and then.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let mut tables = self.tables.lock();
        tables
            .people
            .retain(|_person, counter| !quiet(counter, now, QUIET));
        tables
            .nobody
            .retain(|_name, counter| !quiet(counter, now, QUIET));
        tables
            .devices
            .retain(|_device, counter| !quiet(counter, now, QUIET));
        tables
            .addresses
            .retain(|_address, counter| !quiet(counter, now, ADDRESS_QUIET));
    }
}

impl Tables {
    fn own(&self, account: &Account, origin: &Origin, stored: Lockout, now: Timestamp) -> Counter {
        let found = match (account, origin.known_device) {
            (Account::Person(person), Some(device)) => {
                self.devices.get(&(person.clone(), device)).copied()
            }
            (Account::Person(person), None) => {
                return self.people.get(person).copied().unwrap_or_else(|| Counter {
                    failures: stored.failures,
                    not_before: stored.until.unwrap_or(Timestamp::EPOCH),
                    last: now,
                });
            }
            (Account::Nobody(name), _) => self.nobody.get(name).copied(),
        };
        found.unwrap_or(Counter::FRESH)
    }

    fn own_mut(&mut self, account: &Account, origin: &Origin) -> Option<&mut Counter> {
        match (account, origin.known_device) {
            (Account::Person(person), Some(device)) => {
                self.devices.get_mut(&(person.clone(), device))
            }
            (Account::Person(person), None) => self.people.get_mut(person),
            (Account::Nobody(name), _) => self.nobody.get_mut(name),
        }
    }

    fn put_own(&mut self, account: &Account, origin: &Origin, counter: Counter, now: Timestamp) {
        match (account, origin.known_device) {
            (Account::Person(person), Some(device)) => {
                self.devices.insert((person.clone(), device), counter);
            }
            (Account::Person(person), None) => {
                self.people.insert(person.clone(), counter);
            }
            (Account::Nobody(name), _) => {
                make_room(&mut self.nobody, now, QUIET);
                self.nobody.insert(*name, counter);
            }
        }
    }

    fn refund_address(&mut self, attempt: &Attempt) {
        if attempt.origin.known_device.is_some() {
            return;
        }
        if let Some(address) = self.addresses.get_mut(&network(attempt.origin.address)) {
            address.refund(&attempt.address_before, attempt.at);
        }
    }
}

/// The wait that an account's or a device's consecutive failures earn.
pub(crate) fn wait_of_account(backoff: &Backoff, failures: u32) -> Option<Duration> {
    if failures >= MOST_FAILURES {
        Some(CLOSED_FOR)
    } else {
        backoff.wait_after(failures)
    }
}

fn shared_by_many(backoff: &Backoff) -> Backoff {
    Backoff {
        after: backoff.after.saturating_mul(ADDRESS_SHARE),
        ..*backoff
    }
}

fn quiet(counter: &Counter, now: Timestamp, for_long: Duration) -> bool {
    now >= counter.not_before && now.since(counter.last) >= for_long
}

/// Keeps a table that strangers fill below its bound: first what is quiet goes, then the eighth that failed longest ago.
fn make_room<K: Eq + StdHash>(table: &mut HashMap<K, Counter>, now: Timestamp, for_long: Duration) {
    if table.len() < MOST_STRANGERS {
        return;
    }
    table.retain(|_key, counter| !quiet(counter, now, for_long));
    if table.len() < MOST_STRANGERS {
        return;
    }
    let mut times: Vec<Timestamp> = table.values().map(|counter| counter.last).collect();
    let (_older, limit, _newer) = times.select_nth_unstable(MOST_STRANGERS / 8);
    let limit = *limit;
    table.retain(|_key, counter| counter.last > limit);
}

/// One address for IPv4, the /64 for IPv6: a single customer has at least that many.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
