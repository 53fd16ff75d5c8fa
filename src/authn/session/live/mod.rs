//! The sessions that count at this moment, in memory, found by the hash of a cookie.
//!
//! A worker finds again what it found before without meeting another; a cookie that is new to it takes one shared lock
//! of one shard. Nothing is allocated. Everything that changes which sessions exist passes through one mutex, so a
//! session that has ended can never be given another cookie. Writing to the store is
//! the caller's work; this file forgets everything when the process ends.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use dashmap::DashMap;
use parking_lot::Mutex;

use super::rules::SessionRules;
use crate::authn::{BadCredential, Principal};
use crate::base::recent::Recent;
use crate::base::{Host, PrincipalId, SessionId, Timestamp};
use crate::store::{Hash, WhichSessions};

/// Where a sign-in came from, to be recognised by its owner.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SignInOrigin {
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
}

/// One sign-in.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) owner: PrincipalId,
    pub(crate) signed_in_at: Timestamp,
    last_seen: AtomicI64,
    /// The `last_seen` that the store knows.
    noted: AtomicI64,
    ended: AtomicBool,
    principal: ArcSwap<Principal>,
    pub(crate) origin: SignInOrigin,
}

impl Live {
    pub(crate) fn new(principal: Principal, last_seen: Timestamp, origin: SignInOrigin) -> Self {
        Self {
            origin,
            id: principal.session.id.clone(),
            owner: principal.id.clone(),
            signed_in_at: principal.session.signed_in_at,
            last_seen: AtomicI64::new(last_seen.micros()),
            noted: AtomicI64::new(last_seen.micros()),
            ended: AtomicBool::new(false),
            principal: ArcSwap::from_pointee(principal),
        }
    }

    pub(crate) fn principal(&self) -> Arc<Principal> {
        self.principal.load_full()
    }

    pub(crate) fn last_seen(&self) -> Timestamp {
        Timestamp::from_micros(self.last_seen.load(Ordering::Relaxed))
    }

    /// Whose session it is while it holds. Looking is no use: it does not move the idle limit.
    pub(crate) fn look(
        &self,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Result<Arc<Principal>, BadCredential> {
        self.judge(rules, now)?;
        Ok(self.principal())
    }

    fn judge(&self, rules: &SessionRules, now: Timestamp) -> Result<(), BadCredential> {
        if self.ended.load(Ordering::Acquire) {
            return Err(BadCredential::Unknown);
        }
        rules.judge(self.signed_in_at, self.last_seen(), now)
    }

    /// Notes a use. The last second is rounded off, so that a busy session does not write to shared memory each time.
    fn see(&self, now: Timestamp) {
        let seen = self.last_seen.load(Ordering::Relaxed);
        if now.micros().saturating_sub(seen) >= 1_000_000 {
            self.last_seen.fetch_max(now.micros(), Ordering::Relaxed);
        }
    }
}

/// What a cookie stands for.
#[derive(Debug)]
struct Reference {
    host: Host,
    /// Empty from when it leaves the table, whichever worker keeps it: of a session that has ended nothing stays.
    live: ArcSwapOption<Live>,
}

impl Reference {
    /// `None` when it stands for nothing any more.
    fn open(
        &self,
        host: &Host,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Option<Result<Arc<Principal>, BadCredential>> {
        let live = self.live.load();
        let live = live.as_ref()?;
        if self.host != *host {
            return Some(Err(BadCredential::Unknown));
        }
        Some(live.judge(rules, now).map(|()| {
            live.see(now);
            live.principal()
        }))
    }
}

/// The key is a SHA-256 of 256 random bits: its first eight bytes are as good as any hash of it.
#[derive(Debug, Default, Clone)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that arrays write before their bytes.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Entry {
    live: Arc<Live>,
    cookies: Vec<(Host, Hash)>,
}

#[derive(Debug, Default)]
struct Index {
    sessions: HashMap<SessionId, Entry>,
    by_owner: HashMap<PrincipalId, Vec<SessionId>>,
}

/// Cookies that a worker keeps.
const KEPT: usize = 16_384;

/// All live sessions of this process.
#[derive(Debug)]
pub(crate) struct LiveSessions {
    by_cookie: DashMap<Hash, Arc<Reference>, BuildHasherDefault<Prefix>>,
    recent: Recent<Hash, Arc<Reference>>,
    index: Mutex<Index>,
}

impl Default for LiveSessions {
    fn default() -> Self {
        Self {
            by_cookie: DashMap::default(),
            recent: Recent::new(KEPT),
            index: Mutex::default(),
        }
    }
}

impl LiveSessions {
    /// Who presents this cookie on this host. A use moves the idle limit; a refusal does not.
    pub(crate) fn find(
        &self,
        cookie: &Hash,
        host: &Host,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Result<Arc<Principal>, BadCredential> {
        let open = |reference: &Arc<Reference>| reference.open(host, rules, now);
        match self.recent.with(cookie, open) {
            Some(Some(found)) => return found,
            Some(None) => self.recent.remove(cookie),
            None => {}
        }
        let reference = match self.by_cookie.get(cookie) {
            Some(reference) => Arc::clone(&reference),
            None => return Err(BadCredential::Unknown),
        };
        let found = open(&reference).unwrap_or(Err(BadCredential::Unknown));
        self.recent.insert(*cookie, reference);
        found
    }

    /// Adds a session with its cookies.
    pub(crate) fn insert(&self, live: Live, cookies: Vec<(Host, Hash)>) -> Arc<Live> {
        let live = Arc::new(live);
        let mut index = self.index.lock();
        for (host, cookie) in &cookies {
            self.refer(*cookie, host, &live);
        }
        index
            .by_owner
            .entry(live.owner.clone())
            .or_default()
            .push(live.id.clone());
        index.sessions.insert(
            live.id.clone(),
            Entry {
                live: Arc::clone(&live),
                cookies,
            },
        );
        live
    }

    /// Gives a session a cookie for `host` instead of the one it had there. `false` when the session has ended.
    pub(crate) fn put_cookie(&self, session: &SessionId, host: &Host, cookie: Hash) -> bool {
        let mut index = self.index.lock();
        let Some(entry) = index.sessions.get_mut(session) else {
            return false;
        };
        entry.cookies.retain(|(other, old)| {
            let stays = other != host;
            if !stays {
                self.withdraw(old);
            }
            stays
        });
        entry.cookies.push((host.clone(), cookie));
        self.refer(cookie, host, &entry.live);
        true
    }

    fn refer(&self, cookie: Hash, host: &Host, live: &Arc<Live>) {
        let reference = Reference {
            host: host.clone(),
            live: ArcSwapOption::new(Some(Arc::clone(live))),
        };
        self.by_cookie.insert(cookie, Arc::new(reference));
    }

    fn withdraw(&self, cookie: &Hash) {
        if let Some((_cookie, reference)) = self.by_cookie.remove(cookie) {
            reference.live.store(None);
        }
    }

    /// Ends sessions: from here on their cookies open nothing and their streams are told to stop.
    pub(crate) fn end(&self, which: &WhichSessions) -> Vec<Arc<Live>> {
        let mut index = self.index.lock();
        let chosen: Vec<SessionId> = match which {
            WhichSessions::One(id) => vec![id.clone()],
            WhichSessions::AllOf(owner) => index.of_owner(owner).to_vec(),
            WhichSessions::AllOfExcept(owner, kept) => {
                let all = index.of_owner(owner).iter();
                all.filter(|id| *id != kept).cloned().collect()
            }
            WhichSessions::Everybody => index.sessions.keys().cloned().collect(),
        };
        chosen
            .iter()
            .filter_map(|id| self.remove(&mut index, id))
            .collect()
    }

    fn remove(&self, index: &mut Index, id: &SessionId) -> Option<Arc<Live>> {
        let entry = index.sessions.remove(id)?;
        entry.live.ended.store(true, Ordering::Release);
        for (_host, cookie) in &entry.cookies {
            self.withdraw(cookie);
        }
        if let Some(all) = index.by_owner.get_mut(&entry.live.owner) {
            all.retain(|other| other != id);
            if all.is_empty() {
                index.by_owner.remove(&entry.live.owner);
            }
        }
        entry.live.principal().session.cancelled.cancel();
        Some(entry.live)
    }

    /// Replaces the snapshots of one person's sessions. `current` is asked inside the mutex, so of two changes at the
    /// same time the later one is what remains; `None` from it means that the person may not be signed in.
    pub(crate) fn refresh<E>(
        &self,
        owner: &PrincipalId,
        current: impl FnOnce() -> Result<Option<Refresh>, E>,
    ) -> Result<Vec<Arc<Live>>, E> {
        let mut index = self.index.lock();
        let ids = index.of_owner(owner).to_vec();
        let Some(change) = current()? else {
            return Ok(ids
                .iter()
                .filter_map(|id| self.remove(&mut index, id))
                .collect());
        };
        for entry in ids.iter().filter_map(|id| index.sessions.get(id)) {
            let mut principal = Principal::clone(&entry.live.principal());
            change(&mut principal);
            entry.live.principal.store(Arc::new(principal));
        }
        Ok(Vec::new())
    }

    /// Changes one session's snapshot, such as after a step-up. `false` when it has ended.
    pub(crate) fn change(&self, id: &SessionId, change: impl FnOnce(&mut Principal)) -> bool {
        let index = self.index.lock();
        let Some(entry) = index.sessions.get(id) else {
            return false;
        };
        let mut principal = Principal::clone(&entry.live.principal());
        change(&mut principal);
        entry.live.principal.store(Arc::new(principal));
        true
    }

    /// The hosts on which a session has a cookie.
    pub(crate) fn hosts(&self, id: &SessionId) -> Vec<Host> {
        let index = self.index.lock();
        let entry = index.sessions.get(id);
        let cookies = entry.map_or(&[][..], |entry| entry.cookies.as_slice());
        cookies.iter().map(|(host, _cookie)| host.clone()).collect()
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<Arc<Live>> {
        let index = self.index.lock();
        index.sessions.get(id).map(|entry| Arc::clone(&entry.live))
    }

    /// One person's sessions, oldest sign-in first.
    pub(crate) fn of(&self, owner: &PrincipalId) -> Vec<Arc<Live>> {
        let index = self.index.lock();
        let ids = index.of_owner(owner).iter();
        let mut all: Vec<Arc<Live>> = ids
            .filter_map(|id| index.sessions.get(id))
            .map(|entry| Arc::clone(&entry.live))
            .collect();
        all.sort_by_key(|live| live.signed_in_at);
        all
    }

    /// Every session, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        let index = self.index.lock();
        index
            .sessions
            .values()
            .map(|entry| Arc::clone(&entry.live))
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.index.lock().sessions.len()
    }

    /// The sessions that were used since the store was told, with the time to tell it.
    pub(crate) fn take_used(&self) -> Vec<(SessionId, Timestamp)> {
        let all = self.all();
        all.iter()
            .filter_map(|live| {
                let seen = live.last_seen.load(Ordering::Relaxed);
                let before = live.noted.swap(seen, Ordering::Relaxed);
                (seen > before).then(|| (live.id.clone(), Timestamp::from_micros(seen)))
            })
            .collect()
    }

    /// The sessions that no longer hold under `rules`, with the reason.
    pub(crate) fn overdue(
        &self,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Vec<(SessionId, BadCredential)> {
        let all = self.all();
        all.iter()
            .filter_map(|live| Some((live.id.clone(), live.judge(rules, now).err()?)))
            .collect()
    }
}

/// How a person's snapshot changes.
pub(crate) type Refresh = Box<dyn Fn(&mut Principal)>;

impl Index {
    fn of_owner(&self, owner: &PrincipalId) -> &[SessionId] {
        self.by_owner.get(owner).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests;
