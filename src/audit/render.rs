//! From what happened to its line: number, time, clear members, sealed members.
//!
//! What many lines say alike is spelt once: everything about a person, and the hashes of what was in force. It is
//! known by the shared value that it was made from, which is held, so its place in memory can be no other's; and it is
//! forgotten after a moment, so nothing personal stays.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::admitted::Admitted;
use super::entry::{Person, RequestEntry, Revision, write_who};
use super::event::SecurityEvent;
use super::ledger::Place;
use super::line::{Fields, Fragment, SHORT};
use super::seal::{Envelope, KeyringError, Sealer, key_name};
use crate::base::{EntryId, PrincipalId, Reason, Timestamp};

/// Version of the field names and of the line's form.
const SCHEMA: u64 = 1;
/// People known at once, at most.
const PEOPLE: usize = 512;

/// Something to be written down.
#[derive(Debug)]
pub(super) enum Work {
    Request {
        entry: Box<RequestEntry>,
        place: Option<Place>,
    },
    Event {
        event: Box<SecurityEvent>,
        /// Told once the entry is on disk.
        durable: Option<oneshot::Sender<EntryId>>,
    },
    /// An admission that nobody will complete: the task was dropped, or the process died.
    Abandoned {
        admitted: Box<Admitted>,
        place: Option<Place>,
        reason: Reason,
        now: Timestamp,
    },
}

impl Work {
    /// When it happened.
    pub(super) fn time(&self) -> Timestamp {
        match self {
            Self::Request { entry, .. } => entry.ended,
            Self::Event { event, .. } => event.at(),
            Self::Abandoned { now, .. } => *now,
        }
    }
}

/// A person's members, clear and personal, and the name of the key that seals the latter.
#[derive(Debug)]
pub(super) struct Portrait {
    of: Arc<dyn Person>,
    pub(super) clear: Fragment,
    pub(super) personal: Fragment,
    key: String,
}

impl Portrait {
    fn of(person: Arc<dyn Person>) -> Self {
        let who = person.who();
        let mut personal = Fragment::default();
        let clear = Fragment::of(|clear| {
            personal = Fragment::of(|personal| write_who(Some(&who), clear, personal));
        });
        Self {
            key: key_name(Some(person.id()), Timestamp::EPOCH),
            of: person,
            clear,
            personal,
        }
    }
}

/// Writes lines, one after the other.
#[derive(Debug)]
pub(crate) struct Renderer {
    sealer: Arc<Sealer>,
    envelope: Envelope,
    /// By a number made from the place in memory.
    people: Vec<Option<Portrait>>,
    in_force: Option<(Arc<Revision>, Fragment)>,
    /// The name of a day's key, and the day.
    day: Option<(i64, String)>,
}

impl Renderer {
    pub(super) fn new(sealer: Arc<Sealer>) -> Self {
        Self {
            sealer,
            envelope: Envelope::default(),
            people: (0..PEOPLE).map(|_| None).collect(),
            in_force: None,
            day: None,
        }
    }

    /// Lets go of everything that was kept to be used again.
    pub(super) fn forget(&mut self) {
        self.people.fill_with(|| None);
        self.in_force = None;
    }

    /// The line of a request's entry by itself.
    ///
    /// # Errors
    /// The key of the person cannot be had.
    pub(crate) fn line_of(
        &mut self,
        entry: Box<RequestEntry>,
        seq: u64,
    ) -> Result<Vec<u8>, KeyringError> {
        let mut out = Vec::new();
        self.line(&Work::Request { entry, place: None }, seq, &mut out)?;
        Ok(out)
    }

    /// Appends the line of `work` to `out`, without its line feed. On an error a part of it may stand there.
    pub(super) fn line(
        &mut self,
        work: &Work,
        seq: u64,
        out: &mut Vec<u8>,
    ) -> Result<Timestamp, KeyringError> {
        let time = work.time();
        let mut clear = Fields::begin(out);
        clear.number("seq", seq);
        clear.time("time", time);
        clear.number("portcullis.audit.schema", SCHEMA);
        let mut personal = Fields::begin(self.envelope.open());
        let key = match work {
            Work::Request { entry, .. } => {
                let portrait = entry
                    .who
                    .as_ref()
                    .and_then(|person| portrait(&mut self.people, person));
                let in_force = in_force(&mut self.in_force, &entry.revision);
                entry.write((portrait, in_force), &mut clear, &mut personal);
                match portrait {
                    Some(portrait) => &portrait.key,
                    None => day_key(&mut self.day, entry.received),
                }
            }
            Work::Event { event, .. } => {
                event.write(&mut clear, &mut personal);
                &key_name(event.subject(), event.at())
            }
            Work::Abandoned {
                admitted, reason, ..
            } => {
                admitted.write(*reason, &mut clear, &mut personal);
                let subject = admitted.principal.as_deref().map(PrincipalId::new);
                &key_name(subject.as_ref(), admitted.received())
            }
        };
        let sealed = !personal.is_empty();
        let cut = personal.finish();
        if sealed {
            let value = self.sealer.seal(key, seq, &mut self.envelope)?;
            clear.text("sealed.key", key, SHORT);
            clear.base64("sealed", value);
        }
        clear.finish_line(&cut);
        Ok(time)
    }
}

/// What is known of `person`, or is from now on.
fn portrait<'a>(
    people: &'a mut [Option<Portrait>],
    person: &Arc<dyn Person>,
) -> Option<&'a Portrait> {
    // Values of one kind lie a multiple of some power of two apart: multiplying spreads them, the upper half is used.
    let address = Arc::as_ptr(person).addr();
    let spread = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let place = people.get_mut(spread % PEOPLE)?;
    if place
        .as_ref()
        .is_none_or(|known| Arc::as_ptr(&known.of).addr() != address)
    {
        *place = Some(Portrait::of(Arc::clone(person)));
    }
    place.as_ref()
}

fn in_force<'a>(
    known: &'a mut Option<(Arc<Revision>, Fragment)>,
    revision: &Arc<Revision>,
) -> &'a Fragment {
    let stale = |(of, _): &(Arc<Revision>, Fragment)| !Arc::ptr_eq(of, revision);
    if known.as_ref().is_some_and(stale) {
        *known = None;
    }
    let (_, fragment) = known.get_or_insert_with(|| {
        let fragment = Fragment::of(|fields| revision.write(fields));
        (Arc::clone(revision), fragment)
    });
    fragment
}

fn day_key(known: &mut Option<(i64, String)>, at: Timestamp) -> &str {
    let day = at.day();
    if known.as_ref().is_some_and(|(of, _)| *of != day) {
        *known = None;
    }
    let (_, name) = known.get_or_insert_with(|| (day, key_name(None, at)));
    name
}

#[cfg(test)]
mod tests {
    use super::super::seal::tests::MemoryKeyring;
    use super::super::tests::{entry, who};
    use super::*;

    fn renderer() -> Renderer {
        Renderer::new(Arc::new(Sealer::new(Arc::new(MemoryKeyring::default()))))
    }

    fn clear(renderer: &mut Renderer, entry: Box<RequestEntry>) -> String {
        let line = String::from_utf8(renderer.line_of(entry, 3).unwrap()).unwrap();
        line.split("\"sealed\":").next().unwrap().to_owned()
    }

    #[test]
    fn a_line_is_the_same_whether_its_person_is_known_or_not() {
        let mut renderer = renderer();
        let first = clear(&mut renderer, entry(1));
        assert_eq!(clear(&mut renderer, entry(1)), first);
        renderer.forget();
        assert_eq!(clear(&mut renderer, entry(1)), first);
    }

    #[test]
    fn nobody_is_taken_for_another_whose_place_in_memory_they_got() {
        let mut renderer = renderer();
        for number in 0..2_000 {
            let id = PrincipalId::new(format!("u-{number}"));
            let mut entry = entry(number);
            entry.who = Some(Arc::new(crate::audit::Who {
                id: id.clone(),
                ..who()
            }));
            entry.revision = Arc::new(Revision {
                config: format!("{number:04x}").into(),
                ..Revision::default()
            });
            let line = clear(&mut renderer, entry);
            assert!(line.contains(&format!("\"user.id\":\"{id}\"")), "{line}");
            assert!(line.contains(&format!("\"person:{id}\"")), "{line}");
            assert!(line.contains(&format!("hash\":\"{number:04x}\"")), "{line}");
        }
    }

    #[test]
    fn the_key_of_the_anonymous_changes_with_the_day() {
        let mut renderer = renderer();
        for (at, day) in [
            ("2026-11-22T23:59:59Z", "2026-11-22"),
            ("2026-11-23T00:00:00Z", "2026-11-23"),
            ("2026-11-22T23:59:59Z", "2026-11-22"),
        ] {
            let mut entry = entry(1);
            entry.who = None;
            entry.received = at.parse().unwrap();
            let line = clear(&mut renderer, entry);
            assert!(line.contains(&format!("\"day:{day}\"")), "{line}");
        }
    }
}
