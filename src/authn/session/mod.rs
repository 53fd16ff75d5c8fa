//! Sessions: how they begin, hold, are renewed and end, in memory and in the store together.
//!
//! A session begins only with proof of two factors and only here. What ends one takes effect in memory first, so a
//! slow or failing store never keeps a door open; the store is then told, and an error is the caller's to report.

pub(crate) mod live;
pub(crate) mod rules;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::live::{Live, LiveSessions, Refresh, SignInOrigin};
use self::rules::SessionRules;
use super::cookie::{Presented, is_reference};
use super::vault::{AuthnError, Vault};
use super::{Authn, BadCredential, Method, Principal, SessionFacts};
use crate::base::{Host, PrincipalId, Secret, SessionId, Timestamp};
use crate::keys::{self, random};
use crate::store::{
    EndReason, SessionCookieRow, SessionRow, StoreError, User, UserState, WhichSessions,
};

/// Both factors of a person, proven just now.
#[derive(Debug)]
pub(crate) struct Proven<'a> {
    pub(crate) user: &'a User,
    /// In the order of proof.
    pub(crate) methods: Vec<Method>,
    pub(crate) origin: SignInOrigin,
}

/// A session that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    /// The value of the cookie for the host it was begun on.
    pub(crate) cookie: Secret<String>,
    pub(crate) principal: Arc<Principal>,
    /// Older sessions of the same person that made room.
    pub(crate) displaced: Vec<Arc<Live>>,
}

/// All sessions of the installation.
#[derive(Debug)]
pub(crate) struct Sessions {
    live: LiveSessions,
    vault: Arc<Vault>,
}

impl Sessions {
    /// Takes up the sessions that were live when the process ended.
    pub(crate) fn load(vault: Arc<Vault>, now: Timestamp) -> Result<Self, AuthnError> {
        let live = LiveSessions::default();
        for (row, cookies) in vault.store.sessions.load_live(now)? {
            let user = vault.store.users.find(&row.user)?;
            let Some(user) = user.filter(|user| user.state == UserState::Active) else {
                continue;
            };
            // A session from before the master key was replaced still counts; only its origin is unreadable.
            let origin = vault
                .open_text(&origin_context(&row.id), &row.sealed_origin)
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default();
            let facts = SessionFacts {
                id: row.id.clone(),
                signed_in_at: row.created,
                verified_at: row.verified_at,
                methods: row
                    .methods
                    .iter()
                    .filter_map(|code| code.parse().ok())
                    .collect(),
                idp: "local".into(),
                cancelled: CancellationToken::new(),
            };
            let cookies = cookies.into_iter().map(|cookie| (cookie.host, cookie.hash));
            let principal = principal_of(&user, facts);
            live.insert(
                Live::new(principal, row.last_seen, origin),
                cookies.collect(),
            );
        }
        Ok(Self { live, vault })
    }

    /// Who presents this session cookie on `host`, under the rules of the route asked for.
    ///
    /// "Nothing presented" is [`Authn::Anonymous`]; anything presented that does not count is an error.
    pub(crate) fn authenticate(
        &self,
        presented: Presented<'_>,
        host: &Host,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Result<Authn, BadCredential> {
        let value = match presented {
            Presented::Nothing => return Ok(Authn::Anonymous),
            Presented::Conflicting => return Err(BadCredential::Conflicting),
            Presented::One(value) => value,
        };
        if !is_reference(value) {
            return Err(BadCredential::Malformed);
        }
        let hash = keys::sha256(value.as_bytes());
        self.live.find(&hash, host, rules, now).map(Authn::Known)
    }

    /// Begins a session on `host` with a fresh identifier. At most `per_user` sessions of a person stay; the oldest go.
    pub(crate) async fn begin(
        &self,
        proven: Proven<'_>,
        host: &Host,
        limits: (&SessionRules, usize),
        now: Timestamp,
    ) -> Result<Begun, AuthnError> {
        let (rules, per_user) = limits;
        let Proven {
            user,
            methods,
            origin,
        } = proven;
        let id = SessionId::new(format!("s-{}", symbols(&random::bytes::<16>())));
        let cookie = random::token();
        let hash = keys::sha256(cookie.expose().as_bytes());
        let facts = SessionFacts {
            id: id.clone(),
            signed_in_at: now,
            verified_at: now,
            methods,
            idp: "local".into(),
            cancelled: CancellationToken::new(),
        };
        let text = serde_json::to_string(&origin).unwrap_or_default();
        let row = SessionRow {
            id: id.clone(),
            user: user.id.clone(),
            created: now,
            verified_at: now,
            methods: codes(&facts.methods),
            last_seen: now,
            expires: now.plus(rules.lifetime),
            ended: None,
            sealed_origin: self.vault.seal_text(&origin_context(&id), &text)?,
        };
        let cookie_row = SessionCookieRow {
            hash,
            session: id.clone(),
            host: host.clone(),
        };
        self.vault.store.sessions.insert(row, cookie_row).await?;
        let live = Live::new(principal_of(user, facts), now, origin);
        let live = self.live.insert(live, vec![(host.clone(), hash)]);
        // Whatever happened to the person while the row was written is seen now.
        self.refresh(&user.id, now).await?;
        if self.live.get(&id).is_none() {
            return Err(StoreError::Unknown("user").into());
        }
        let displaced = self.make_room(&user.id, &id, per_user, now).await?;
        Ok(Begun {
            cookie,
            principal: live.principal(),
            displaced,
        })
    }

    async fn make_room(
        &self,
        owner: &PrincipalId,
        newest: &SessionId,
        per_user: usize,
        now: Timestamp,
    ) -> Result<Vec<Arc<Live>>, AuthnError> {
        let mut others = self.live.of(owner);
        others.retain(|live| live.id != *newest);
        let surplus = (others.len() + 1).saturating_sub(per_user.max(1));
        let mut displaced = Vec::new();
        for live in others.into_iter().take(surplus) {
            let which = WhichSessions::One(live.id.clone());
            displaced.extend(self.end(which, EndReason::TooMany, now).await?);
        }
        Ok(displaced)
    }

    /// Gives a session a cookie for one more host, instead of the one it may have there. `None` when it has ended.
    pub(crate) async fn extend(
        &self,
        session: &SessionId,
        host: &Host,
    ) -> Result<Option<Secret<String>>, StoreError> {
        let (cookie, row) = fresh_cookie(session, host);
        let hash = row.hash;
        let stored = self.vault.store.sessions.add_cookie(row).await?;
        let placed = stored && self.live.put_cookie(session, host, hash);
        Ok(placed.then_some(cookie))
    }

    /// Notes that a second factor was proven anew and gives a new cookie for `host`; the one it had there stops
    /// working. `None` when the session has ended.
    pub(crate) async fn renew(
        &self,
        principal: &Principal,
        method: Method,
        host: &Host,
        now: Timestamp,
    ) -> Result<Option<Secret<String>>, StoreError> {
        let session = &principal.session.id;
        let mut methods = principal.session.methods.clone();
        if !methods.contains(&method) {
            methods.push(method);
        }
        let (cookie, row) = fresh_cookie(session, host);
        let hash = row.hash;
        let write = self.vault.store.sessions.renew(now, codes(&methods), row);
        if !write.await? {
            return Ok(None);
        }
        let changed = self.live.change(session, |principal| {
            let mut facts = SessionFacts::clone(&principal.session);
            facts.verified_at = facts.verified_at.max(now);
            facts.methods.clone_from(&methods);
            principal.session = Arc::new(facts);
        });
        let placed = changed && self.live.put_cookie(session, host, hash);
        Ok(placed.then_some(cookie))
    }

    /// Ends sessions and gives those that were live.
    pub(crate) async fn end(
        &self,
        which: WhichSessions,
        why: EndReason,
        now: Timestamp,
    ) -> Result<Vec<Arc<Live>>, StoreError> {
        let ended = self.live.end(&which);
        self.vault.store.sessions.end(which, now, why).await?;
        Ok(ended)
    }

    /// Brings one person's sessions into line with the store; ends them when the person is disabled or gone.
    pub(crate) async fn refresh(
        &self,
        owner: &PrincipalId,
        now: Timestamp,
    ) -> Result<Vec<Arc<Live>>, StoreError> {
        let ended =
            self.live.refresh(owner, || {
                let user = self.vault.store.users.find(owner)?;
                let active = user.filter(|user| user.state == UserState::Active);
                Ok::<_, StoreError>(active.map(|user| -> Refresh {
                    Box::new(move |principal| describe(principal, &user))
                }))
            })?;
        if !ended.is_empty() {
            let which = WhichSessions::AllOf(owner.clone());
            let write = self
                .vault
                .store
                .sessions
                .end(which, now, EndReason::UserDisabled);
            write.await?;
        }
        Ok(ended)
    }

    /// Tells the store which sessions were used and ends those past their limits; call every few seconds.
    /// Gives the ended ones with the reason.
    pub(crate) async fn maintain(
        &self,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Result<Vec<(Arc<Live>, EndReason)>, StoreError> {
        for (session, seen) in self.live.take_used() {
            self.vault.store.sessions.touch(session, seen);
        }
        let mut ended = Vec::new();
        for (session, cause) in self.live.overdue(rules, now) {
            let why = if cause == BadCredential::Idle {
                EndReason::Idle
            } else {
                EndReason::Expired
            };
            let gone = self.end(WhichSessions::One(session), why, now).await?;
            ended.extend(gone.into_iter().map(|live| (live, why)));
        }
        Ok(ended)
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<Arc<Live>> {
        self.live.get(id)
    }

    /// One person's live sessions, oldest first.
    pub(crate) fn of(&self, owner: &PrincipalId) -> Vec<Arc<Live>> {
        self.live.of(owner)
    }

    /// Everybody's live sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.live.all()
    }

    pub(crate) fn hosts(&self, id: &SessionId) -> Vec<Host> {
        self.live.hosts(id)
    }

    pub(crate) fn count(&self) -> usize {
        self.live.count()
    }
}

/// How often [`Sessions::maintain`] should run.
pub(crate) const MAINTENANCE: Duration = Duration::from_secs(10);

fn fresh_cookie(session: &SessionId, host: &Host) -> (Secret<String>, SessionCookieRow) {
    let cookie = random::token();
    let row = SessionCookieRow {
        hash: keys::sha256(cookie.expose().as_bytes()),
        session: session.clone(),
        host: host.clone(),
    };
    (cookie, row)
}

fn codes(methods: &[Method]) -> Vec<String> {
    methods
        .iter()
        .map(|method| method.code().to_owned())
        .collect()
}

fn origin_context(session: &SessionId) -> String {
    format!("session origin\0{session}")
}

fn principal_of(user: &User, facts: SessionFacts) -> Principal {
    let mut principal = Principal {
        id: user.id.clone(),
        login: "".into(),
        email: "".into(),
        name: "".into(),
        groups: Arc::default(),
        tenant: "".into(),
        contractor: false,
        session: Arc::new(facts),
    };
    describe(&mut principal, user);
    principal
}

fn describe(principal: &mut Principal, user: &User) {
    principal.login = user.login.as_str().into();
    principal.email = user.email.as_str().into();
    principal.name = user.name.as_str().into();
    principal.groups = Arc::new(user.groups.clone());
    principal.tenant = user.tenant.as_str().into();
    principal.contractor = user.contractor;
}

/// Five bits of each byte as a symbol of Crockford's base 32.
pub(crate) fn symbols(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)).copied())
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests;
