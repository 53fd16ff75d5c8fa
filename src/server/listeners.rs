//! Which addresses are open, and how a reload changes that: sockets that stay are not touched, new ones are opened
//! before anything else changes, and removed ones are closed with their connections ending in order.
//!
//! Every worker has its own socket of every address. What happens on a connection is not decided here.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::door::{Door, Entrance};
use super::inherited::{InheritError, Inherited};
use super::listen::{ListenError, Place, listen};
use crate::base::MAIN_LISTENER;
use crate::config::{Config, Profile};
use crate::tls;

/// Why the addresses of a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot listen: {0}")]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Inherited(#[from] InheritError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] tls::server::TlsSetupError),
}

/// One worker's socket of one address.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) socket: TcpListener,
    pub(super) entrance: Entrance,
}

/// An address as the configuration wants it.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) place: Place,
    listener: &'a str,
    secure: bool,
}

/// Every address that clients reach, in the order of the configuration.
pub(crate) fn wanted(config: &Config) -> Vec<Wanted<'_>> {
    let server = &config.server;
    let main = [(&server.listen, true), (&server.http_redirect, false)];
    let main = main.map(|(addresses, secure)| (addresses, MAIN_LISTENER, secure));
    let further = config.listeners.values();
    let further = further.map(|one| (&one.listen, one.name.as_str(), true));
    let all: Vec<(SocketAddr, &str, bool)> = main
        .into_iter()
        .chain(further)
        .flat_map(|(list, name, secure)| list.iter().map(move |address| (*address, name, secure)))
        .collect();
    let operations = config.telemetry.operations.value;
    let holds_v4 = |port: u16| {
        let addresses = all.iter().map(|(address, ..)| address);
        addresses
            .chain(std::iter::once(&operations))
            .any(|address| address.is_ipv4() && address.port() == port && port != 0)
    };
    all.iter()
        .map(|(address, listener, secure)| Wanted {
            place: Place {
                address: *address,
                v6_only: match address.ip() {
                    IpAddr::V4(_) => false,
                    IpAddr::V6(ip) => !ip.is_unspecified() || holds_v4(address.port()),
                },
            },
            listener,
            secure: *secure,
        })
        .collect()
}

/// The open addresses of a process.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// The side of TLS at the addresses of `[server]`.
    main: Arc<tls::Server>,
    state: Mutex<State>,
    inherited: Inherited,
    workers: Vec<UnboundedSender<Handed>>,
    draining: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    /// The sides of TLS of `[listener.NAME]`, by name.
    named: BTreeMap<String, Arc<tls::Server>>,
}

#[derive(Debug)]
struct Open {
    place: Place,
    /// As the kernel says; differs from the place where that has port 0.
    bound: SocketAddr,
    secure: bool,
    entrance: Entrance,
}

/// What a new configuration changes; everything that can fail has been done.
#[derive(Debug)]
pub(super) struct Change {
    /// Positions among the open addresses, and the door that is behind each from now on.
    kept: BTreeMap<usize, Arc<Door>>,
    opened: Vec<(Open, Vec<TcpListener>)>,
    named: BTreeMap<String, (Arc<tls::Server>, Profile)>,
}

impl Listeners {
    /// Opens every address of `config` for `count` workers, each of which gets its sockets through its inbox.
    ///
    /// # Errors
    /// [`OpenError`]; nothing stays open.
    pub(super) fn open(
        config: &Config,
        main: Arc<tls::Server>,
        inherited: Inherited,
        draining: CancellationToken,
        count: usize,
    ) -> Result<(Self, Vec<UnboundedReceiver<Handed>>), OpenError> {
        let (workers, inboxes) = (0..count).map(|_worker| unbounded_channel()).unzip();
        let listeners = Self {
            main,
            state: Mutex::default(),
            inherited,
            workers,
            draining,
        };
        let change = listeners.prepare(config)?;
        listeners.apply(change, config);
        let operations = config.telemetry.operations.value;
        let wanted = wanted(config);
        listeners.inherited.check(|address| {
            address == operations || wanted.iter().any(|one| one.place.address == address)
        })?;
        Ok((listeners, inboxes))
    }

    /// The one socket of the operations listener.
    pub(super) fn operations(&self, address: SocketAddr) -> Result<TcpListener, OpenError> {
        let sockets = self.sockets(Place::alone(address), 1, false)?;
        let nothing = || ListenError::Other {
            address,
            source: io::Error::from(io::ErrorKind::AddrNotAvailable),
        };
        Ok(sockets.into_iter().next().ok_or_else(nothing)?)
    }

    /// Opens what is new in `config` and changes nothing yet; a change that is dropped leaves everything as it was.
    ///
    /// # Errors
    /// [`OpenError`], for the first address that cannot be had.
    pub(super) fn prepare(&self, config: &Config) -> Result<Change, OpenError> {
        let state = self.state.lock();
        let named = self.named(&state, config)?;
        let mut change = Change {
            kept: BTreeMap::new(),
            opened: Vec::new(),
            named,
        };
        for one in wanted(config) {
            let door = self.door(&one, config, &change.named);
            let stays = state.open.iter().enumerate().find(|(position, open)| {
                open.place == one.place && !change.kept.contains_key(position)
            });
            if let Some((position, _open)) = stays {
                change.kept.insert(position, door);
                continue;
            }
            let port = one.place.address.port();
            let beside = state.open.iter().any(|open| open.bound.port() == port);
            let sockets = self.sockets(one.place, self.workers.len(), beside)?;
            let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
            let open = Open {
                place: one.place,
                bound: bound.unwrap_or(one.place.address),
                secure: one.secure,
                entrance: Entrance::new(door, self.draining.child_token()),
            };
            change.opened.push((open, sockets));
        }
        Ok(change)
    }

    /// Puts a change in force.
    pub(super) fn apply(&self, change: Change, config: &Config) {
        let mut state = self.state.lock();
        for (server, profile) in change.named.values() {
            if let Err(error) = server.replace(*profile, config.server.http) {
                tracing::error!(%error, "the TLS settings of a listener stay");
            }
        }
        let named = change.named.into_iter();
        state.named = named
            .map(|(name, (server, _profile))| (name, server))
            .collect();
        let mut kept = change.kept;
        let before = std::mem::take(&mut state.open).into_iter().enumerate();
        for (position, mut open) in before {
            let Some(door) = kept.remove(&position) else {
                tracing::info!(address = %open.bound, "an address is given up");
                open.entrance.leaving.cancel();
                continue;
            };
            open.secure = door.tls.is_some();
            open.entrance.door.store(door);
            state.open.push(open);
        }
        for (open, sockets) in change.opened {
            tracing::info!(address = %open.bound, "an address is open");
            for (worker, socket) in self.workers.iter().zip(sockets) {
                let entrance = open.entrance.clone();
                if worker.send(Handed { socket, entrance }).is_err() {
                    tracing::debug!("a worker has ended already");
                }
            }
            state.open.push(open);
        }
    }

    /// Where the listeners really are.
    pub(super) fn addresses(&self, secure: bool) -> Vec<SocketAddr> {
        let state = self.state.lock();
        let open = state.open.iter().filter(|open| open.secure == secure);
        open.map(|open| open.bound).collect()
    }

    /// A side of TLS for every `[listener.NAME]`: the one there is, whose tickets stay good, or a new one.
    fn named(
        &self,
        state: &State,
        config: &Config,
    ) -> Result<BTreeMap<String, (Arc<tls::Server>, Profile)>, OpenError> {
        let mut named = BTreeMap::new();
        for (name, written) in &config.listeners {
            let profile = written.profile.unwrap_or(config.tls.profile.value);
            let server = match state.named.get(name) {
                Some(server) => Arc::clone(server),
                None => Arc::new(self.main.beside(
                    name,
                    profile,
                    config.server.http,
                    config.tls.ticket_rotation,
                )?),
            };
            named.insert(name.clone(), (server, profile));
        }
        Ok(named)
    }

    fn door(
        &self,
        wanted: &Wanted<'_>,
        config: &Config,
        named: &BTreeMap<String, (Arc<tls::Server>, Profile)>,
    ) -> Arc<Door> {
        let further = config.listeners.get(wanted.listener);
        let proxies = further.map_or(&config.server.proxy_protocol, |one| &one.proxy_protocol);
        let own = named.get(wanted.listener).map(|(server, _profile)| server);
        Arc::new(Door {
            name: further.map(|one| one.name.as_str().into()),
            tls: wanted.secure.then(|| Arc::clone(own.unwrap_or(&self.main))),
            balancers: proxies.from.clone(),
        })
    }

    fn sockets(
        &self,
        place: Place,
        count: usize,
        beside: bool,
    ) -> Result<Vec<TcpListener>, OpenError> {
        match self.inherited.take(place.address, count) {
            Some(taken) => Ok(taken.map_err(InheritError::from)?),
            None => Ok(listen(place, count, beside)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::wanted;
    use crate::config;

    fn v6_only(listen: &str) -> Vec<(String, bool)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        let text = format!(
            "[server]\nportal = \"login.example\"\nlisten = {listen}\nhttp_redirect = [\"[::]:80\"]\n\
             [tls]\ncertificates = \"internal\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = config::load(&file).unwrap().config;
        let places = wanted(&config).into_iter().map(|one| one.place);
        places
            .map(|place| (place.address.to_string(), place.v6_only))
            .collect()
    }

    #[test]
    fn an_open_ipv6_address_takes_ipv4_too_unless_one_has_its_port() {
        let rows = [
            (r#"["[::]:443"]"#, vec![("[::]:443", false)]),
            (
                r#"["[::]:443", "0.0.0.0:443"]"#,
                vec![("[::]:443", true), ("0.0.0.0:443", false)],
            ),
            (
                r#"["[::]:443", "0.0.0.0:8443"]"#,
                vec![("[::]:443", false), ("0.0.0.0:8443", false)],
            ),
            (r#"["[::]:9464"]"#, vec![("[::]:9464", true)]),
            (r#"["[::1]:443"]"#, vec![("[::1]:443", true)]),
        ];
        for (listen, mut expected) in rows {
            expected.push(("[::]:80", false));
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(address, only)| (address.to_owned(), only))
                .collect();
            assert_eq!(v6_only(listen), expected, "{listen}");
        }
    }
}
