//! One certificate to look after: its names, what is held, what failed, and so when something is due.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;

use super::schedule;
use super::vault::Failures;
use crate::base::Timestamp;
use crate::config::Acme;
use crate::tls::certificates::{Loaded, Name};

/// The most names of one certificate that authorities accept.
const MOST_NAMES: usize = 100;

/// A certificate to have.
#[derive(Debug, Default)]
pub(super) struct Ward {
    pub(super) names: Vec<Name>,
    pub(super) held: Option<Loaded>,
    pub(super) failures: Failures,
    /// When the authority suggests to renew (RFC 9773), and when to ask it again.
    pub(super) window: Option<(Timestamp, Timestamp)>,
    pub(super) ask_window_at: Option<Timestamp>,
    pub(super) ordering: bool,
    /// Those who asked for a renewal now, and wait for its outcome.
    pub(super) asked: Vec<oneshot::Sender<Result<(), String>>>,
}

/// What a certificate's life looks like to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none yet.
    Missing,
    Current,
    Ordering,
    /// The latest attempt failed; what is held is served on.
    Failing,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Current => "current",
            Self::Ordering => "ordering",
            Self::Failing => "failing",
        }
    }
}

/// A [`Ward`] as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) names: Vec<Name>,
    pub(crate) state: State,
    pub(crate) not_after: Option<Timestamp>,
    /// When the next attempt is due.
    pub(crate) due: Timestamp,
    pub(crate) failures: u32,
    /// The latest one, in words.
    pub(crate) problem: Option<String>,
}

impl Ward {
    fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.held.as_ref()?.leaf()
    }

    fn spread(&self) -> u16 {
        match self.leaf() {
            Some(leaf) => schedule::spread(leaf),
            None => schedule::spread(shown(&self.names).as_bytes()),
        }
    }

    /// When the next attempt is due.
    pub(super) fn due(&self, settings: &Acme) -> Timestamp {
        if !self.asked.is_empty() {
            return Timestamp::EPOCH;
        }
        let wanted = self.held.as_ref().map_or(Timestamp::EPOCH, |held| {
            let life = (held.not_before, held.not_after);
            match self.window {
                Some(window) => schedule::renew_within(window, life, self.spread()),
                None => schedule::renew_at(life.0, life.1, self.spread()),
            }
        });
        if self.failures.count == 0 {
            return wanted;
        }
        let (first, longest) = (settings.retry, settings.retry_max);
        let mut pause = schedule::pause(self.failures.count, first, longest, self.spread());
        if self.failures.rate_limited {
            pause = pause.max(schedule::RATE_LIMITED);
        }
        wanted.max(self.failures.last().plus(pause))
    }

    /// Whether the authority should be asked for its suggestion now.
    pub(super) fn asks_window(&self, now: Timestamp) -> bool {
        self.held.is_some() && self.ask_window_at.is_none_or(|at| at <= now)
    }

    /// What the new certificate replaces, where the authority offers to be told. Not after a failure: it may have been
    /// replaced already, which is refused.
    pub(super) fn replaces(&self) -> Option<CertificateDer<'static>> {
        self.window?;
        (self.failures.count == 0).then(|| self.leaf().cloned())?
    }

    pub(super) fn status(&self, settings: &Acme) -> Status {
        Status {
            names: self.names.clone(),
            state: match (self.ordering, self.failures.count, &self.held) {
                (true, _, _) => State::Ordering,
                (false, 1.., _) => State::Failing,
                (false, 0, None) => State::Missing,
                (false, 0, Some(_)) => State::Current,
            },
            not_after: self.held.as_ref().map(|held| held.not_after),
            due: self.due(settings),
            failures: self.failures.count,
            problem: (self.failures.count > 0).then(|| self.failures.problem.clone()),
        }
    }
}

/// `a.example.com b.example.com`
pub(super) fn shown(names: &[Name]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// The names of each certificate to have: every host that no file has, and no wildcard among the hosts covers.
pub(super) fn groups(hosts: &[Name], files: &[Loaded], bundle: bool) -> Vec<Vec<Name>> {
    let in_files = |host: &Name| {
        files
            .iter()
            .flat_map(|file| &file.names)
            .any(|name| match host {
                Name::Exact(host) => name.covers(host),
                Name::Wildcard(_) => name == host,
            })
    };
    let below_wildcard = |host: &Name| match host {
        Name::Exact(host) => hosts
            .iter()
            .any(|other| matches!(other, Name::Wildcard(_)) && other.covers(host)),
        Name::Wildcard(_) => false,
    };
    let wanted: Vec<Name> = hosts
        .iter()
        .filter(|host| !in_files(host) && !below_wildcard(host))
        .cloned()
        .collect();
    let size = if bundle { MOST_NAMES } else { 1 };
    wanted.chunks(size).map(<[Name]>::to_vec).collect()
}

/// How long until the authority is asked again for its suggestion, from what it said itself.
pub(super) fn until_asked_again(said: Duration) -> Duration {
    said.clamp(Duration::from_hours(1), Duration::from_hours(24))
}

#[cfg(test)]
mod tests {
    use super::{Ward, groups, shown};
    use crate::base::{Host, Timestamp};
    use crate::config;
    use crate::tls::certificates::Name;
    use std::time::Duration;

    fn exact(text: &str) -> Name {
        Name::Exact(Host::parse(text).unwrap())
    }

    fn wildcard(text: &str) -> Name {
        Name::Wildcard(Host::parse(text).unwrap())
    }

    #[test]
    fn every_host_gets_its_own_certificate_unless_bundled_or_below_a_wildcard() {
        let hosts = [
            exact("login.test"),
            wildcard("apps.test"),
            exact("one.apps.test"),
            exact("two.one.apps.test"),
        ];
        let shown_groups = |bundle| -> Vec<_> {
            groups(&hosts, &[], bundle)
                .iter()
                .map(|names| shown(names))
                .collect()
        };
        assert_eq!(
            shown_groups(false),
            ["login.test", "*.apps.test", "two.one.apps.test"]
        );
        assert_eq!(
            shown_groups(true),
            ["login.test *.apps.test two.one.apps.test"]
        );
    }

    #[test]
    fn after_a_failure_nothing_is_due_before_the_pause_is_over_unless_asked_for() {
        let settings = config::Tls::usual_acme();
        let now = Timestamp::from_secs(1_795_000_000);
        let mut ward = Ward {
            names: vec![exact("a.test")],
            ..Ward::default()
        };
        assert!(ward.due(&settings) <= now);
        ward.failures.count = 1;
        ward.failures.last = now.micros();
        assert!(ward.due(&settings) >= now.plus(settings.retry));
        ward.failures.rate_limited = true;
        assert!(ward.due(&settings) >= now.plus(Duration::from_hours(1)));
        let (asked, _waits) = tokio::sync::oneshot::channel();
        ward.asked.push(asked);
        assert!(ward.due(&settings) <= now);
    }

    #[test]
    fn what_is_replaced_is_told_while_the_authority_suggests_and_nothing_has_failed() {
        let now = Timestamp::from_secs(1_795_000_000);
        let names = vec![exact("a.test")];
        let pki = crate::tls::testing::TestPki::new();
        let profile = config::Profile::Modern;
        let server = pki.server(profile, crate::tls::testing::BOTH, &["a.test"]);
        let mut ward = Ward {
            held: server.certificates().list().into_iter().next(),
            names,
            ..Ward::default()
        };
        assert!(ward.replaces().is_none());
        ward.window = Some((now, now.plus(Duration::from_hours(1))));
        assert_eq!(ward.replaces().as_ref(), ward.leaf());
        ward.failures.count = 1;
        assert!(ward.replaces().is_none());
    }

    #[test]
    fn the_authority_is_asked_again_when_it_said_within_an_hour_and_a_day() {
        let hour = Duration::from_hours(1);
        let rows = [
            (Duration::ZERO, hour),
            (6 * hour, 6 * hour),
            (100 * hour, 24 * hour),
        ];
        for (said, kept) in rows {
            assert_eq!(super::until_asked_again(said), kept);
        }
    }
}
