//! Waits, their growth, and who shares a counter with whom.

use std::net::IpAddr;
use std::time::Duration;

use super::{Account, Attempt, CLOSED_FOR, MOST_STRANGERS, Origin, Throttle, Try, TryLater};
use crate::base::{PrincipalId, Timestamp};
use crate::store::{Backoff, Lockout};

const BACKOFF: Backoff = Backoff {
    after: 5,
    delay: Duration::from_secs(1),
    max_delay: Duration::from_secs(300),
};
const DEVICE: [u8; 16] = [7; 16];

fn ana() -> Account {
    Account::Person(PrincipalId::new("u-ana"))
}

fn stranger(last: u8) -> Origin {
    Origin {
        address: IpAddr::from([198, 51, 100, last]),
        known_device: None,
    }
}

fn own_device() -> Origin {
    Origin {
        known_device: Some(DEVICE),
        ..stranger(1)
    }
}

fn begin(
    throttle: &Throttle,
    account: Account,
    origin: Origin,
    at: i64,
) -> Result<Attempt, TryLater> {
    let one = Try {
        account,
        origin,
        remembered: Lockout::default(),
    };
    throttle.begin(one, &BACKOFF, Timestamp::from_secs(at))
}

/// Fails `times`, waiting each time as long as told, and gives the second at which the last failure happened.
fn fail(throttle: &Throttle, account: &Account, origin: &Origin, times: u32, from: i64) -> i64 {
    let mut at = from;
    for _time in 0..times {
        match begin(throttle, account.clone(), origin.clone(), at) {
            Ok(failed) => drop(failed),
            Err(later) => {
                at = later.until.secs();
                drop(begin(throttle, account.clone(), origin.clone(), at).unwrap());
            }
        }
    }
    at
}

#[test]
fn five_failures_are_free_and_the_waits_then_double_to_five_minutes() {
    let throttle = Throttle::default();
    let mut at = fail(&throttle, &ana(), &stranger(1), 6, 100);
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
        let refused = begin(&throttle, ana(), stranger(1), at).unwrap_err();
        assert_eq!(refused.until, Timestamp::from_secs(at + wait));
        at += wait;
        drop(begin(&throttle, ana(), stranger(1), at).unwrap());
    }
}

#[test]
fn attempts_made_at_once_all_count() {
    let throttle = Throttle::default();
    let outcomes: Vec<bool> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..32)
            .map(|_thread| scope.spawn(|| begin(&throttle, ana(), stranger(1), 100).is_ok()))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|began| **began).count(), 6);
}

#[test]
fn changing_the_address_does_not_help() {
    let throttle = Throttle::default();
    for last in 0..6 {
        drop(begin(&throttle, ana(), stranger(last), 100).unwrap());
    }
    assert!(begin(&throttle, ana(), stranger(200), 100).is_err());
}

#[test]
fn a_device_that_signed_in_before_is_not_locked_out_by_strangers() {
    let throttle = Throttle::default();
    let at = fail(&throttle, &ana(), &stranger(1), 99, 100);
    assert!(begin(&throttle, ana(), stranger(9), at).is_err());
    assert!(begin(&throttle, ana(), own_device(), at).is_ok());
}

#[test]
fn a_known_device_has_a_limit_of_its_own() {
    let throttle = Throttle::default();
    let at = fail(&throttle, &ana(), &own_device(), 6, 100);
    assert!(begin(&throttle, ana(), own_device(), at).is_err());
    assert!(begin(&throttle, ana(), stranger(9), at).is_ok());
}

#[test]
fn one_address_cannot_try_one_password_on_every_account() {
    let throttle = Throttle::default();
    for number in 0..51 {
        let account = Account::Person(PrincipalId::new(format!("u-{number}")));
        drop(begin(&throttle, account, stranger(1), 100).unwrap());
    }
    let next = Account::Person(PrincipalId::new("u-next"));
    assert!(begin(&throttle, next.clone(), stranger(1), 100).is_err());
    assert!(begin(&throttle, next, stranger(2), 100).is_ok());
}

#[test]
fn neighbours_in_one_ipv6_network_share_a_counter() {
    let throttle = Throttle::default();
    let from = |text: &str| Origin {
        address: text.parse().unwrap(),
        known_device: None,
    };
    for number in 0..51 {
        let origin = from(&format!("2001:db8:0:1::{number:x}"));
        let account = Account::Nobody([number; 32]);
        drop(begin(&throttle, account, origin, 100).unwrap());
    }
    let other = Account::Nobody([99; 32]);
    assert!(begin(&throttle, other.clone(), from("2001:db8:0:1:ffff::1"), 100).is_err());
    assert!(begin(&throttle, other, from("2001:db8:0:2::1"), 100).is_ok());
}

#[test]
fn names_that_nobody_has_wait_exactly_like_accounts() {
    let throttle = Throttle::default();
    let nobody = Account::Nobody([1; 32]);
    for at in [100, 100, 100, 100, 100, 100, 101, 103, 107] {
        let person = begin(&throttle, ana(), stranger(1), at).map(drop);
        let none = begin(&throttle, nobody.clone(), stranger(2), at).map(drop);
        assert_eq!(person, none, "{at}");
        let person = begin(&throttle, ana(), stranger(1), at).map(drop);
        let none = begin(&throttle, nobody.clone(), stranger(2), at).map(drop);
        assert_eq!(person.is_err(), none.is_err(), "{at}");
    }
}

#[test]
fn a_right_password_alone_does_not_wipe_earlier_failures() {
    let throttle = Throttle::default();
    let mut began = 0;
    for _round in 0..20 {
        // The password is known; the codes are guessed.
        let Ok(password) = begin(&throttle, ana(), stranger(1), 100) else {
            break;
        };
        throttle.refund(&password);
        let Ok(code) = begin(&throttle, ana(), stranger(1), 100) else {
            break;
        };
        drop(code);
        began += 1;
    }
    assert_eq!(began, 6);
}

#[test]
fn completing_the_sign_in_wipes_the_account_but_not_the_address() {
    let throttle = Throttle::default();
    for number in 0..46 {
        drop(begin(&throttle, Account::Nobody([number; 32]), stranger(1), 100).unwrap());
    }
    let at = fail(&throttle, &ana(), &stranger(1), 4, 100);
    let right = begin(&throttle, ana(), stranger(1), at).unwrap();
    throttle.succeed(&right);
    drop(begin(&throttle, ana(), stranger(1), at).unwrap());
    assert!(
        begin(&throttle, ana(), stranger(1), at).is_err(),
        "the address has failed 51 times"
    );
    for last in 2..7 {
        assert!(
            begin(&throttle, ana(), stranger(last), at).is_ok(),
            "{last}"
        );
    }
}

#[test]
fn a_hundred_failures_close_the_account_to_strangers_for_a_day() {
    let throttle = Throttle::default();
    let at = fail(&throttle, &ana(), &stranger(1), 100, 100);
    let refused = begin(&throttle, ana(), stranger(2), at).unwrap_err();
    assert_eq!(refused.until, Timestamp::from_secs(at).plus(CLOSED_FOR));
    throttle.pardon(&PrincipalId::new("u-ana"));
    assert!(begin(&throttle, ana(), stranger(2), at).is_ok());
}

#[test]
fn failures_remembered_by_the_store_count_after_a_restart() {
    let throttle = Throttle::default();
    let remembered = Lockout {
        failures: 8,
        until: Some(Timestamp::from_secs(104)),
    };
    let attempt = |at| {
        let one = Try {
            account: ana(),
            origin: stranger(1),
            remembered,
        };
        throttle
            .begin(one, &BACKOFF, Timestamp::from_secs(at))
            .map(drop)
    };
    assert!(attempt(103).is_err());
    assert!(attempt(104).is_ok());
    let later = attempt(104).unwrap_err();
    assert_eq!(later.until, Timestamp::from_secs(104 + 8));
}

#[test]
fn quiet_counters_are_forgotten_and_busy_ones_are_not() {
    let throttle = Throttle::default();
    let at = fail(&throttle, &ana(), &stranger(1), 6, 100);
    throttle.sweep(Timestamp::from_secs(at));
    assert!(begin(&throttle, ana(), stranger(2), at).is_err());
    let day_later = at + 24 * 3600 + 1;
    throttle.sweep(Timestamp::from_secs(day_later));
    for _time in 0..6 {
        drop(begin(&throttle, ana(), stranger(2), day_later).unwrap());
    }
}

#[test]
fn made_up_names_cannot_fill_the_memory() {
    let throttle = Throttle::default();
    for number in 0..u32::try_from(MOST_STRANGERS).unwrap() + 10 {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&number.to_be_bytes());
        let origin = Origin {
            address: IpAddr::from(number.to_be_bytes()),
            known_device: None,
        };
        drop(begin(&throttle, Account::Nobody(name), origin, i64::from(number)).unwrap());
    }
    let tables = throttle.tables.lock();
    assert!(tables.nobody.len() <= MOST_STRANGERS);
    assert!(tables.addresses.len() <= MOST_STRANGERS);
}
