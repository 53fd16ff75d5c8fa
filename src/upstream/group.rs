//! Which targets an upstream has, and which of them gets the next request.
//!
//! The counters here are shared by all workers and survive a reload that leaves the upstream as it was. A target that
//! refused a connection is passed over for a few seconds, unless all are in that state. Connections live in the pool.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::compile::Recipe;
use crate::config::{Balance, Protocols};
use crate::dial::Endpoint;
use crate::tls::UpstreamTls;

/// How long a target that refused a connection is passed over.
const REST: Duration = Duration::from_secs(3);

/// How long each part of an exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// A connection with its TLS handshake.
    pub(crate) connect: Duration,
    /// From the request's last byte to the answer's head.
    pub(crate) first_byte: Duration,
    /// Between two pieces of the answer, and how long an unused connection is kept.
    pub(crate) idle: Duration,
    /// The whole exchange.
    pub(crate) total: Option<Duration>,
}

/// One `[upstream.NAME]`, ready for use.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Arc<str>,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) balance: Balance,
    pub(crate) timeouts: Timeouts,
    pub(crate) protocols: Protocols,
    /// Idle connections kept per worker and target.
    pub(crate) keep: usize,
    /// Targets tried while nothing of the request has been sent.
    pub(crate) attempts: usize,
    /// What this was made from; `None` for a group that no configuration describes.
    pub(super) recipe: Option<Recipe>,
    turn: AtomicUsize,
}

/// One server of an upstream.
pub(crate) struct Target {
    /// Differs between all targets of the process's life.
    pub(super) id: u64,
    /// As the configuration writes it, for logs and audit entries.
    pub(crate) label: Arc<str>,
    pub(crate) endpoint: Endpoint,
    /// The `Host` for a route that does not keep the client's.
    pub(crate) host: HeaderValue,
    pub(crate) tls: Option<(UpstreamTls, ServerName<'static>)>,
    weight: u32,
    running: AtomicU32,
    resting: Mutex<Option<Instant>>,
}

impl Group {
    pub(crate) fn new(name: &str, targets: Vec<Target>, balance: Balance) -> Self {
        Self {
            name: name.into(),
            targets: targets.into_iter().map(Arc::new).collect(),
            balance,
            timeouts: Timeouts {
                connect: Duration::from_secs(3),
                first_byte: Duration::from_secs(30),
                idle: Duration::from_secs(120),
                total: None,
            },
            protocols: Protocols { h1: true, h2: true },
            keep: 64,
            attempts: 2,
            recipe: None,
            turn: AtomicUsize::new(0),
        }
    }

    /// The next target that is not among `tried`; its counter is up until the result is dropped.
    pub(super) fn pick(&self, tried: &[u64]) -> Option<Running> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let best = |resting: bool| {
            let candidates = || {
                self.targets.iter().filter(move |target| {
                    !tried.contains(&target.id) && target.is_resting() == resting
                })
            };
            match self.balance {
                Balance::LeastRequests => least(candidates(), turn),
                Balance::RoundRobin => by_turn(candidates, turn),
            }
        };
        let target = best(false).or_else(|| best(true))?;
        Some(Running::new(target))
    }
}

/// The least loaded for its weight; among equals the turn decides, so that an idle upstream is used evenly.
fn least<'a>(
    targets: impl Iterator<Item = &'a Arc<Target>>,
    turn: usize,
) -> Option<&'a Arc<Target>> {
    let mut best: Vec<&Arc<Target>> = Vec::new();
    let load = |target: &Target| u64::from(target.running.load(Ordering::Relaxed)) + 1;
    for target in targets {
        let order = best.first().map(|first| {
            let mine = load(target) * u64::from(first.weight);
            mine.cmp(&(load(first) * u64::from(target.weight)))
        });
        match order {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => best.push(target),
            Some(std::cmp::Ordering::Less) | None => best = vec![target],
        }
    }
    let index = turn.checked_rem(best.len())?;
    best.get(index).copied()
}

fn by_turn<'a, I>(targets: impl Fn() -> I, turn: usize) -> Option<&'a Arc<Target>>
where
    I: Iterator<Item = &'a Arc<Target>>,
{
    let total: usize = targets().map(|target| target.weight as usize).sum();
    let mut place = turn.checked_rem(total)?;
    targets().find(|target| {
        let weight = target.weight as usize;
        let found = place < weight;
        place = place.saturating_sub(weight);
        found
    })
}

impl Target {
    pub(crate) fn new(
        label: &str,
        endpoint: Endpoint,
        host: HeaderValue,
        tls: Option<(UpstreamTls, ServerName<'static>)>,
        weight: u32,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            label: label.into(),
            endpoint,
            host,
            tls,
            weight: weight.max(1),
            running: AtomicU32::new(0),
            resting: Mutex::new(None),
        }
    }

    /// Passes the target over for a while.
    pub(super) fn rest(&self) {
        *self.resting.lock() = Some(Instant::now() + REST);
    }

    pub(super) fn wake(&self) {
        *self.resting.lock() = None;
    }

    /// `true` while the target is passed over; for status pages as well.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting
            .lock()
            .is_some_and(|until| until > Instant::now())
    }

    #[cfg(test)]
    /// Exchanges under way.
    pub(crate) fn running(&self) -> u32 {
        self.running.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.label).finish()
    }
}

/// A target with one more exchange under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Running(Arc<Target>);

impl Running {
    fn new(target: &Arc<Target>) -> Self {
        target.running.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(target))
    }

    pub(super) const fn target(&self) -> &Arc<Target> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{Group, Target};
    use crate::config::Balance;
    use crate::dial::Endpoint;

    fn target(label: &str, weight: u32) -> Target {
        let endpoint = Endpoint::Unix(label.into());
        Target::new(
            label,
            endpoint,
            HeaderValue::from_static("app"),
            None,
            weight,
        )
    }

    fn group(balance: Balance) -> Group {
        Group::new("app", vec![target("a", 1), target("b", 3)], balance)
    }

    #[test]
    fn requests_are_spread_by_weight() {
        for balance in [Balance::LeastRequests, Balance::RoundRobin] {
            let group = group(balance);
            let held: Vec<_> = (0..8).map(|_| group.pick(&[]).unwrap()).collect();
            let of = |label: &str| {
                held.iter()
                    .filter(|one| &*one.target().label == label)
                    .count()
            };
            assert_eq!((of("a"), of("b")), (2, 6), "{balance:?}");
            drop(held);
            assert!(group.targets.iter().all(|target| target.running() == 0));
        }
    }

    #[test]
    fn a_resting_target_is_passed_over_until_it_is_the_last_or_its_time_is_up() {
        let group = group(Balance::LeastRequests);
        group.targets[1].rest();
        let pick = |tried: &[u64]| group.pick(tried).map(|one| one.target().label.to_string());
        for _ in 0..4 {
            assert_eq!(pick(&[]).as_deref(), Some("a"));
        }
        assert_eq!(pick(&[group.targets[0].id]).as_deref(), Some("b"));
        *group.targets[1].resting.lock() = Some(tokio::time::Instant::now());
        assert!(!group.targets[1].is_resting());
        assert_eq!(pick(&[group.targets[0].id, group.targets[1].id]), None);
    }
}
