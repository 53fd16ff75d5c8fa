//! The limits of a configuration, and the three questions asked of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{Bucket, Pace};
use super::crowd::{Crowd, Guest};
use super::keys::Network;
use crate::base::{PrincipalId, RouteName};
use crate::config::{By, Config, RateLimit};

/// When to come back after too many requests at once; nobody knows when those end.
const CROWDED: Duration = Duration::from_secs(5);

/// A refusal for being too fast, answered 429.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many requests under `{limit}`")]
pub(crate) struct TooFast {
    /// `client.address`, `client.requests`, `sign-in`, or the name of a `[rate_limit.NAME]`.
    pub(crate) limit: Arc<str>,
    wait: Duration,
}

impl TooFast {
    /// For `Retry-After`: whole seconds, at least one.
    pub(crate) const fn retry_after(&self) -> u64 {
        let part = if self.wait.subsec_nanos() > 0 { 1 } else { 0 };
        let seconds = self.wait.as_secs().saturating_add(part);
        if seconds == 0 { 1 } else { seconds }
    }
}

/// Whom a route's limit counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) address: IpAddr,
    /// `None` before sign-in: then the address stands for the person.
    pub(crate) principal: Option<&'a PrincipalId>,
    pub(crate) route: &'a RouteName,
}

/// Every limit in force. Cloning shares the counts.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    most: usize,
    at_once: usize,
    crowd: Arc<Crowd>,
    address: Named<Network>,
    sign_in: Named<Network>,
    named: BTreeMap<Arc<str>, Rule>,
}

/// A limit of the configuration, and what it counts under.
#[derive(Debug, Clone)]
enum Rule {
    Address(Named<Network>),
    Principal(Named<Person>),
    Route(Named<RouteName>),
}

/// A person, or the address of somebody who has not signed in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Person {
    Known(PrincipalId),
    Unknown(Network),
}

#[derive(Debug)]
struct Named<K: std::hash::Hash + Eq + Clone> {
    name: Arc<str>,
    bucket: Arc<Bucket<K>>,
}

impl<K: std::hash::Hash + Eq + Clone> Clone for Named<K> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            bucket: Arc::clone(&self.bucket),
        }
    }
}

impl<K: std::hash::Hash + Eq + Clone> Named<K> {
    /// Takes over the counts of `earlier` when nothing about the limit changed.
    fn compile(name: &str, pace: Pace, most: usize, earlier: Option<&Self>) -> Self {
        match earlier {
            Some(earlier) if earlier.bucket.pace() == pace => earlier.clone(),
            _ => Self {
                name: name.into(),
                bucket: Arc::new(Bucket::new(pace, most)),
            },
        }
    }

    fn admit(&self, key: &K) -> Result<(), TooFast> {
        self.bucket.admit(key).map_err(|wait| TooFast {
            limit: Arc::clone(&self.name),
            wait,
        })
    }
}

impl Rule {
    fn compile(name: &str, written: &RateLimit, most: usize, earlier: Option<&Self>) -> Self {
        let pace = Pace {
            count: written.rate.count,
            per: written.rate.per,
            burst: written.burst(),
        };
        match (written.by, earlier) {
            (By::Address, Some(Self::Address(earlier))) => {
                Self::Address(Named::compile(name, pace, most, Some(earlier)))
            }
            (By::Principal, Some(Self::Principal(earlier))) => {
                Self::Principal(Named::compile(name, pace, most, Some(earlier)))
            }
            (By::Route, Some(Self::Route(earlier))) => {
                Self::Route(Named::compile(name, pace, most, Some(earlier)))
            }
            (By::Address, _) => Self::Address(Named::compile(name, pace, most, None)),
            (By::Principal, _) => Self::Principal(Named::compile(name, pace, most, None)),
            (By::Route, _) => Self::Route(Named::compile(name, pace, most, None)),
        }
    }

    fn admit(&self, caller: Caller<'_>) -> Result<(), TooFast> {
        match self {
            Self::Address(named) => named.admit(&Network::of(caller.address)),
            Self::Route(named) => named.admit(caller.route),
            Self::Principal(named) => named.admit(&match caller.principal {
                Some(principal) => Person::Known(principal.clone()),
                None => Person::Unknown(Network::of(caller.address)),
            }),
        }
    }

    fn sweep(&self) {
        match self {
            Self::Address(named) => named.bucket.sweep(),
            Self::Principal(named) => named.bucket.sweep(),
            Self::Route(named) => named.bucket.sweep(),
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        match self {
            Self::Address(named) => named.bucket.len(),
            Self::Principal(named) => named.bucket.len(),
            Self::Route(named) => named.bucket.len(),
        }
    }
}

impl Limits {
    /// Compiles the limits; those that `earlier` had under the same name with the same numbers keep their counts.
    pub(crate) fn compile(config: &Config, earlier: Option<&Self>) -> Self {
        let limits = &config.server.limits;
        let most = limits.rate_entries;
        // Requests that are under way stay so, whatever the new configuration says.
        let crowd = earlier.map_or_else(Arc::default, |earlier| Arc::clone(&earlier.crowd));
        // Room for other numbers means other memory, so everything starts afresh.
        let earlier = earlier.filter(|earlier| earlier.most == most);
        let address = Pace {
            count: limits.address_rate.count,
            per: limits.address_rate.per,
            burst: limits.address_burst,
        };
        let attempts = config.auth.attempt_rate;
        let sign_in = Pace {
            count: attempts.count,
            per: attempts.per,
            burst: attempts.count,
        };
        let named = config.rate_limits.iter().map(|(name, written)| {
            let before = earlier.and_then(|earlier| earlier.named.get(name.as_str()));
            let rule = Rule::compile(name, written, most, before);
            (name.as_str().into(), rule)
        });
        Self {
            most,
            at_once: limits.requests_per_address,
            crowd,
            address: Named::compile(
                "client.address",
                address,
                most,
                earlier.map(|earlier| &earlier.address),
            ),
            sign_in: Named::compile(
                "sign-in",
                sign_in,
                most,
                earlier.map(|earlier| &earlier.sign_in),
            ),
            named: named.collect(),
        }
    }

    /// Counts a request as under way until the guest is dropped.
    ///
    /// # Errors
    /// [`TooFast`] when its network has `[server.limits]` requests_per_address under way.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Guest, TooFast> {
        let guest = self.crowd.enter(address, self.at_once);
        guest.ok_or_else(|| TooFast {
            limit: "client.requests".into(),
            wait: CROWDED,
        })
    }

    /// Counts a request before anything else is done for it.
    ///
    /// # Errors
    /// [`TooFast`] when its network exceeds `[server.limits]` address_rate.
    pub(crate) fn admit_address(&self, address: IpAddr) -> Result<(), TooFast> {
        self.address.admit(&Network::of(address))
    }

    /// Counts an attempt to sign in, before a password or code is looked at.
    ///
    /// # Errors
    /// [`TooFast`] when the network exceeds `[auth]` attempt_rate.
    pub(crate) fn admit_sign_in(&self, address: IpAddr) -> Result<(), TooFast> {
        self.sign_in.admit(&Network::of(address))
    }

    /// Counts a request under the limit that its route names. Routes that name the same one share it.
    ///
    /// # Errors
    /// [`TooFast`] when it is exceeded. A route without a limit is never too fast.
    pub(crate) fn admit_to_route(
        &self,
        limit: Option<&str>,
        caller: Caller<'_>,
    ) -> Result<(), TooFast> {
        limit
            .and_then(|name| self.named.get(name))
            .map_or(Ok(()), |rule| rule.admit(caller))
    }

    /// Forgets counts that have run out; wants to be called once a minute.
    pub(crate) fn sweep(&self) {
        self.address.bucket.sweep();
        self.sign_in.bucket.sweep();
        for rule in self.named.values() {
            rule.sweep();
        }
    }

    #[cfg(test)]
    /// Keys that are remembered, all together.
    pub(crate) fn entries(&self) -> usize {
        let named: usize = self.named.values().map(Rule::len).sum();
        self.address.bucket.len() + self.sign_in.bucket.len() + named
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Limits};
    use crate::base::{PrincipalId, RouteName};
    use crate::config::{self, Config};

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        let head = "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n";
        std::fs::write(&file, format!("{head}{text}")).unwrap();
        config::load(&file).unwrap().config
    }

    const SLOW: &str = "[server.limits]\naddress_rate = \"1/1h\"\naddress_burst = 2\n\
        [auth]\nattempt_rate = \"1/1h\"\n\
        [rate_limit.people]\nrate = \"1/1h\"\n\
        [rate_limit.places]\nrate = \"1/1h\"\nby = \"client.address\"\n\
        [rate_limit.apps]\nrate = \"1/1h\"\nby = \"route\"\n";

    fn caller<'a>(
        address: &str,
        principal: Option<&'a PrincipalId>,
        route: &'a RouteName,
    ) -> Caller<'a> {
        Caller {
            address: address.parse().unwrap(),
            principal,
            route,
        }
    }

    #[test]
    fn an_address_is_limited_and_another_is_not() {
        let limits = Limits::compile(&config(SLOW), None);
        let address = "2001:db8::1".parse().unwrap();
        assert!(limits.admit_address(address).is_ok());
        assert!(limits.admit_address(address).is_ok());
        let refused = limits
            .admit_address("2001:db8::2".parse().unwrap())
            .unwrap_err();
        assert_eq!(&*refused.limit, "client.address");
        assert!((1..=3600).contains(&refused.retry_after()));
        assert!(limits.admit_address("192.0.2.1".parse().unwrap()).is_ok());
    }

    #[test]
    fn sign_in_has_a_limit_of_its_own() {
        let limits = Limits::compile(&config(SLOW), None);
        let address = "192.0.2.1".parse().unwrap();
        assert!(limits.admit_sign_in(address).is_ok());
        assert!(limits.admit_sign_in(address).is_err());
        assert!(limits.admit_address(address).is_ok());
    }

    #[test]
    fn each_limit_counts_what_it_says() {
        let limits = Limits::compile(&config(SLOW), None);
        let (ada, bob) = (PrincipalId::new("u-1"), PrincipalId::new("u-2"));
        let (wiki, shop) = (RouteName::new("wiki"), RouteName::new("shop"));
        let rows = [
            ("people", caller("192.0.2.1", Some(&ada), &wiki), true),
            ("people", caller("192.0.2.9", Some(&ada), &shop), false),
            ("people", caller("192.0.2.1", Some(&bob), &wiki), true),
            ("people", caller("192.0.2.1", None, &wiki), true),
            ("people", caller("192.0.2.1", None, &wiki), false),
            ("places", caller("192.0.2.1", Some(&ada), &wiki), true),
            ("places", caller("192.0.2.1", Some(&bob), &shop), false),
            ("places", caller("192.0.2.2", Some(&ada), &wiki), true),
            ("apps", caller("192.0.2.1", Some(&ada), &wiki), true),
            ("apps", caller("192.0.2.2", Some(&bob), &wiki), false),
            ("apps", caller("192.0.2.2", Some(&bob), &shop), true),
        ];
        for (row, (limit, caller, admitted)) in rows.into_iter().enumerate() {
            let found = limits.admit_to_route(Some(limit), caller);
            assert_eq!(found.is_ok(), admitted, "row {row}: {limit}");
        }
    }

    #[test]
    fn a_route_without_a_limit_is_never_too_fast() {
        let limits = Limits::compile(&config(SLOW), None);
        let route = RouteName::new("wiki");
        for _ in 0..100 {
            assert!(
                limits
                    .admit_to_route(None, caller("192.0.2.1", None, &route))
                    .is_ok()
            );
        }
    }

    #[test]
    fn unchanged_limits_keep_their_counts_over_a_reload_and_changed_ones_start_afresh() {
        let before = Limits::compile(&config(SLOW), None);
        let address = "192.0.2.1".parse().unwrap();
        assert!(before.admit_sign_in(address).is_ok());
        let route = RouteName::new("wiki");
        assert!(
            before
                .admit_to_route(Some("places"), caller("192.0.2.1", None, &route))
                .is_ok()
        );

        let changed = SLOW.replace(
            "[rate_limit.places]\nrate = \"1/1h\"",
            "[rate_limit.places]\nrate = \"2/1h\"",
        );
        let after = Limits::compile(&config(&changed), Some(&before));
        assert!(after.admit_sign_in(address).is_err());
        assert!(
            after
                .admit_to_route(Some("places"), caller("192.0.2.1", None, &route))
                .is_ok()
        );
    }

    #[test]
    fn requests_under_way_are_counted_over_a_reload_that_changes_their_number() {
        let most = |most: u32, rates: &str| {
            config(&format!(
                "[server.limits]\nrequests_per_address = {most}\n{rates}"
            ))
        };
        let before = Limits::compile(&most(2, ""), None);
        let address = "192.0.2.1".parse().unwrap();
        let guests = (before.enter(address), before.enter(address));
        let refused = before.enter(address).unwrap_err();
        assert_eq!(
            (&*refused.limit, refused.retry_after()),
            ("client.requests", 5)
        );
        let after = Limits::compile(&most(3, "rate_entries = 9\n"), Some(&before));
        let third = after.enter(address);
        assert!(third.is_ok() && after.enter(address).is_err());
        drop(guests);
        assert!(after.enter(address).is_ok());
    }

    #[test]
    fn sweeping_keeps_live_counts() {
        let limits = Limits::compile(&config(SLOW), None);
        let address = "192.0.2.1".parse().unwrap();
        assert!(limits.admit_sign_in(address).is_ok());
        limits.sweep();
        assert_eq!(limits.entries(), 1);
        assert!(limits.admit_sign_in(address).is_err());
    }
}
