//! Takes connections from a listener, as many as the caps allow, and hands each to its own task.
//!
//! The loop ends only when the process drains. Running out of file descriptors slows it down; it never dies of it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use prometheus_client::metrics::counter::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::door::{Door, Entrance};
use crate::base::recent::Recent;
use crate::tasks::Tasks;

/// Pause after an error that says the machine is out of something.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a worker tells that a cap is reached, however many connections it costs.
const TELL_EVERY: Duration = Duration::from_mins(1);
/// Addresses of which a worker knows when it told of them.
const TOLD: usize = 4096;

/// A connection that passed the caps.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) address: SocketAddr,
    /// Counts the connection until it is dropped.
    pub(crate) pass: Pass,
    /// The one it came through.
    pub(crate) door: Arc<Door>,
    /// It comes from a load balancer, which says first whose it is.
    pub(crate) passed_on: bool,
    /// Cancelled when it should end in order.
    pub(crate) leaving: CancellationToken,
}

/// Counts open connections, in all and per address; shared by all workers.
#[derive(Debug)]
pub(crate) struct Gate {
    total: usize,
    per_address: usize,
    open: AtomicUsize,
    by_address: DashMap<Neighbour, usize>,
    refusals: Refusals,
}

/// Which cap is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Address(IpAddr),
    All,
}

/// Where connections that find no place are counted, and told of now and then.
pub(crate) struct Refusals {
    counter: Counter,
    tell: Box<dyn Fn(Full) + Send + Sync>,
    /// When a worker told of whom last; of `None`, that there is no place at all.
    told: Recent<Option<Neighbour>, Instant>,
}

impl Refusals {
    pub(crate) fn new(counter: Counter, tell: impl Fn(Full) + Send + Sync + 'static) -> Self {
        Self {
            counter,
            tell: Box::new(tell),
            told: Recent::new(TOLD),
        }
    }

    fn count(&self, full: Full, now: Instant) {
        self.counter.inc();
        let of_whom = match full {
            Full::Address(ip) => Some(Neighbour::from(ip)),
            Full::All => None,
        };
        let before = self.told.find(&of_whom);
        if before.is_none_or(|before| now.duration_since(before) >= TELL_EVERY) {
            self.told.insert(of_whom, now);
            (self.tell)(full);
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Refusals").field(&self.counter).finish()
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 network of 64 bits, which one customer gets as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Neighbour {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Neighbour {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Self::V6(
                    [a, b, c, d]
                        .iter()
                        .fold(0, |network, part| (network << 16) | u64::from(*part)),
                )
            }
        }
    }
}

/// A place among the open connections, given back when dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    /// `None` until it is known whose connection it is.
    neighbour: Option<Neighbour>,
}

impl Gate {
    pub(crate) fn new(total: usize, per_address: usize, refusals: Refusals) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_address,
            open: AtomicUsize::new(0),
            by_address: DashMap::new(),
            refusals,
        })
    }

    /// A place for a connection from `ip`; `None` when a cap is reached.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Pass> {
        let mut pass = self.enter_unnamed()?;
        pass.name(ip).then_some(pass)
    }

    /// A place among all for a connection that still has to say whose it is.
    pub(crate) fn enter_unnamed(self: &Arc<Self>) -> Option<Pass> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.total {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.refusals.count(Full::All, Instant::now());
            return None;
        }
        Some(Pass {
            gate: Arc::clone(self),
            neighbour: None,
        })
    }

    /// Takes a place of one address, if there is one.
    fn has_place_for(&self, neighbour: Neighbour) -> bool {
        let mut count = self.by_address.entry(neighbour).or_insert(0);
        let has_place = *count < self.per_address;
        *count += usize::from(has_place);
        has_place
    }

    #[cfg(test)]
    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Pass {
    /// Counts the connection for `ip`, unless it is counted for an address already. `false` when that address has as
    /// many as it may: the connection must be closed.
    pub(crate) fn name(&mut self, ip: IpAddr) -> bool {
        if self.neighbour.is_some() {
            return true;
        }
        let neighbour = Neighbour::from(ip);
        if !self.gate.has_place_for(neighbour) {
            let refusals = &self.gate.refusals;
            refusals.count(Full::Address(ip), Instant::now());
            return false;
        }
        self.neighbour = Some(neighbour);
        true
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        let Some(neighbour) = self.neighbour else {
            return;
        };
        if let Entry::Occupied(mut entry) = self.gate.by_address.entry(neighbour) {
            if *entry.get() > 1 {
                *entry.get_mut() -= 1;
            } else {
                entry.remove();
            }
        }
    }
}

/// Accepts until the address is given up; `serve` runs as a task of its own for every connection.
pub(crate) async fn accept_loop<S, F>(
    listener: TcpListener,
    entrance: Entrance,
    gate: Arc<Gate>,
    tasks: Tasks,
    serve: S,
) where
    S: Fn(Accepted) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let leaving = entrance.leaving;
    while let Some(outcome) = leaving.run_until_cancelled(listener.accept()).await {
        let (socket, address) = match outcome {
            Ok(accepted) => accepted,
            Err(error) => {
                if !concerns_one_connection(&error) {
                    tracing::error!(%error, "connections cannot be accepted for the moment");
                    leaving.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
                continue;
            }
        };
        let door = entrance.door.load_full();
        let passed_on = door.is_balancer(address.ip());
        let entered = if passed_on {
            gate.enter_unnamed()
        } else {
            gate.enter(address.ip())
        };
        let Some(pass) = entered else {
            tracing::debug!(%address, "too many connections");
            continue;
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it began");
            continue;
        }
        tasks.spawn(
            "connection",
            serve(Accepted {
                socket,
                address,
                pass,
                door,
                passed_on,
                leaving: leaving.clone(),
            }),
        );
    }
}

/// The client went away between its connection and our `accept`; the next one is not affected.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use parking_lot::Mutex;
    use prometheus_client::metrics::counter::Counter;

    use tokio::time::Instant;

    use super::{Full, Gate, Refusals};

    /// A gate, and what it told.
    fn gate(total: usize, per_address: usize) -> (Arc<Gate>, Arc<Mutex<Vec<Full>>>) {
        let told = Arc::<Mutex<Vec<Full>>>::default();
        let log = Arc::clone(&told);
        let refusals = Refusals::new(Counter::default(), move |full| log.lock().push(full));
        (Gate::new(total, per_address, refusals), told)
    }

    #[test]
    fn caps_hold_in_all_and_per_address_and_places_come_back() {
        let (gate, _told) = gate(3, 2);
        let enter = |ip: &str| gate.enter(ip.parse().unwrap());
        let first = enter("192.0.2.1");
        let second = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        let third = enter("192.0.2.2");
        assert!(third.is_some());
        assert!(enter("192.0.2.3").is_none());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop((second, third));
        assert_eq!((gate.open(), gate.refusals.counter.get()), (0, 2));
        assert!(gate.by_address.is_empty());
    }

    #[test]
    fn of_many_refusals_the_first_is_told_for_each_address_and_in_all() {
        let (gate, told) = gate(3, 1);
        let ip = |text: &str| text.parse().unwrap();
        let (here, there) = (ip("192.0.2.1"), ip("192.0.2.2"));
        // That all of an address's connections end starts nothing anew.
        drop(gate.enter(here));
        let _open = (gate.enter(here), gate.enter(there));
        for _ in 0..9 {
            assert!(gate.enter(here).is_none() && gate.enter(there).is_none());
        }
        assert_eq!(*told.lock(), [Full::Address(here), Full::Address(there)]);
        let _last = gate.enter(ip("192.0.2.3"));
        for last in 4..9 {
            assert!(gate.enter(ip(&format!("192.0.2.{last}"))).is_none());
        }
        assert_eq!(told.lock().split_off(2), [Full::All]);
        assert_eq!(gate.refusals.counter.get(), 23);
    }

    #[test]
    fn refusals_that_go_on_are_told_again_every_minute() {
        let (gate, told) = gate(0, 0);
        let begun = Instant::now();
        for seconds in [0, 1, 59, 60, 61, 119, 120] {
            let now = begun + Duration::from_secs(seconds);
            gate.refusals.count(Full::All, now);
        }
        assert_eq!(told.lock().len(), 3);
        assert_eq!(gate.refusals.counter.get(), 7);
    }

    #[test]
    fn a_passed_on_connection_counts_for_the_address_it_names_and_for_no_other() {
        let (gate, _told) = gate(3, 1);
        let client = "192.0.2.1".parse().unwrap();
        let mut first = gate.enter_unnamed().unwrap();
        let mut second = gate.enter_unnamed().unwrap();
        assert!(gate.by_address.is_empty());
        assert!(first.name(client) && first.name("192.0.2.9".parse().unwrap()));
        assert!(!second.name(client) && gate.enter(client).is_none());
        assert!(gate.enter("192.0.2.9".parse().unwrap()).is_some());
        drop((first, second));
        assert!(gate.open() == 0 && gate.by_address.is_empty());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let (gate, _told) = gate(10, 1);
        let first = gate.enter("2001:db8:0:1::1".parse().unwrap());
        assert!(first.is_some());
        assert!(
            gate.enter("2001:db8:0:1:ffff::9".parse().unwrap())
                .is_none()
        );
        assert!(gate.enter("2001:db8:0:2::1".parse().unwrap()).is_some());
    }
}
