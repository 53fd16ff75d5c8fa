//! How many requests of one network are under way at once.
//!
//! A client decides how slowly it takes an answer. So that no network can hold every place of the audit queue that
//! way, each has only so many. Counts end with their requests; a network without requests costs nothing.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;

use super::keys::Network;

/// The requests under way, by network.
#[derive(Debug, Default)]
pub(super) struct Crowd(DashMap<Network, usize, RandomState>);

/// One request under way, counted until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Guest {
    crowd: Arc<Crowd>,
    network: Network,
}

impl Crowd {
    /// Counts one more request of `address`; `None` when there are `most` already.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Guest> {
        let network = Network::of(address);
        let admitted = match self.0.entry(network) {
            Entry::Occupied(entry) if *entry.get() >= most => false,
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += 1;
                true
            }
            Entry::Vacant(entry) => {
                entry.insert(1);
                true
            }
        };
        admitted.then(|| Guest {
            crowd: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.crowd.0.entry(self.network) {
            if *entry.get() > 1 {
                *entry.get_mut() -= 1;
            } else {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Crowd;

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let crowd = Arc::new(Crowd::default());
        let enter = |address: &str| crowd.enter(address.parse().unwrap(), 2);
        let first = enter("2001:db8::1");
        let second = enter("2001:db8::2");
        assert!(first.is_some() && second.is_some());
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::1").is_some());
        drop(first);
        assert!(enter("2001:db8::3").is_some());
        drop(second);
        assert!(crowd.0.is_empty());
    }
}
