//! People, services and requests as tests and `policy explain` describe them in words.
//!
//! Nobody described here has signed in; they exist only to ask what the policies would say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::authn::{Method, Principal, SessionFacts};
use crate::base::{PrincipalId, RouteName, SessionId, Timestamp};

use super::request::{Action, Caller, Service, Target};

/// Words that describe nothing we know; the text says what would be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotUnderstood(pub(crate) String);

/// A person or service to ask for.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// `user:EMAIL`, `service:NAME` or `anonymous`.
    pub(crate) who: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
    /// How long ago both factors were proven.
    pub(crate) signed_in: Duration,
    /// How long ago the second factor was last proven.
    pub(crate) verified: Duration,
    pub(crate) methods: Vec<Method>,
    pub(crate) idp: String,
}

impl Description {
    /// Somebody who has just signed in with password and code.
    pub(crate) fn new(who: &str, tenant: &str) -> Self {
        Self {
            who: who.to_owned(),
            groups: BTreeSet::new(),
            tenant: tenant.to_owned(),
            contractor: false,
            signed_in: Duration::ZERO,
            verified: Duration::ZERO,
            methods: vec![Method::Password, Method::Totp],
            idp: "local".to_owned(),
        }
    }

    pub(crate) fn caller(&self, now: Timestamp) -> Result<OwnedCaller, NotUnderstood> {
        if self.who == "anonymous" {
            return Ok(OwnedCaller::Anonymous);
        }
        match self.who.split_once(':') {
            Some(("user", email)) if !email.is_empty() => {
                Ok(OwnedCaller::Person(Arc::new(self.person(email, now))))
            }
            Some(("service", name)) if !name.is_empty() => {
                Ok(OwnedCaller::Service(Arc::new(self.service(name))))
            }
            Some(_) | None => Err(NotUnderstood(format!(
                "`{}` is nobody: write user:EMAIL, service:NAME or anonymous",
                self.who
            ))),
        }
    }

    fn person(&self, email: &str, now: Timestamp) -> Principal {
        let email: Arc<str> = email.to_lowercase().into();
        Principal {
            id: PrincipalId::new(format!("user:{email}")),
            login: Arc::clone(&email),
            name: Arc::clone(&email),
            email,
            groups: Arc::new(self.groups.clone()),
            tenant: self.tenant.as_str().into(),
            contractor: self.contractor,
            session: Arc::new(SessionFacts {
                id: SessionId::new("described"),
                signed_in_at: now.minus(self.signed_in.max(self.verified)),
                verified_at: now.minus(self.verified),
                methods: self.methods.clone(),
                idp: self.idp.as_str().into(),
                cancelled: Default::default(),
            }),
        }
    }

    fn service(&self, name: &str) -> Service {
        Service {
            name: name.into(),
            tenant: self.tenant.as_str().into(),
            owner: "".into(),
            groups: self.groups.clone(),
        }
    }
}

/// A caller that is not borrowed from a session.
#[derive(Debug, Clone)]
pub(crate) enum OwnedCaller {
    Anonymous,
    Person(Arc<Principal>),
    Service(Arc<Service>),
}

impl OwnedCaller {
    pub(crate) const fn borrow(&self) -> Caller<'_> {
        match self {
            Self::Anonymous => Caller::Anonymous,
            Self::Person(person) => Caller::Person(person),
            Self::Service(service) => Caller::Service(service),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Person(person) => &person.email,
            Self::Service(service) => &service.name,
        }
    }
}

/// Which route has this host and path; the plan knows.
pub(crate) type Locate<'a> = dyn Fn(&str, &str) -> Option<RouteName> + 'a;

/// What is asked, in words: `GET https://HOST/PATH`, `connect ROUTE`, `shell ROUTE`, or an act on the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    verb: String,
    route: Option<RouteName>,
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Asked {
    pub(crate) fn read(text: &str, locate: &Locate<'_>) -> Result<Self, NotUnderstood> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (verb, rest) = (verb.to_owned(), rest.trim());
        if rest.is_empty() {
            return Self::console(verb);
        }
        if matches!(verb.as_str(), "connect" | "shell") {
            return Ok(Self {
                verb,
                route: Some(RouteName::new(rest)),
                host: String::new(),
                path: String::new(),
            });
        }
        let uri: Option<Uri> = rest.parse().ok();
        let (Some(uri), true) = (uri, verb.bytes().all(|byte| byte.is_ascii_uppercase())) else {
            return Err(unreadable(text));
        };
        let (Some(host), true) = (uri.host(), uri.scheme_str() == Some("https")) else {
            return Err(unreadable(text));
        };
        let (host, path) = (host.to_ascii_lowercase(), uri.path().to_owned());
        let route = locate(&host, &path).ok_or_else(|| {
            NotUnderstood(format!("no route has the address https://{host}{path}"))
        })?;
        Ok(Self {
            verb,
            route: Some(route),
            host,
            path,
        })
    }

    fn console(verb: String) -> Result<Self, NotUnderstood> {
        if !verb.contains('.') || super::schema::action(&verb).is_none() {
            return Err(unreadable(&verb));
        }
        Ok(Self {
            verb,
            route: None,
            host: String::new(),
            path: String::new(),
        })
    }

    pub(crate) fn action(&self) -> Action<'_> {
        match (self.verb.as_str(), &self.route) {
            ("connect", _) => Action::Connect,
            ("shell", _) => Action::Shell,
            (verb, Some(_)) => Action::Http(verb),
            (verb, None) => Action::Console(verb),
        }
    }

    pub(crate) const fn target(&self) -> Target<'_> {
        match &self.route {
            Some(route) => Target::Route(route),
            None => Target::Console,
        }
    }

    /// `GET`, `connect` or `audit.read`.
    pub(crate) fn verb(&self) -> &str {
        &self.verb
    }
}

fn unreadable(text: &str) -> NotUnderstood {
    NotUnderstood(format!(
        "`{text}` is no request: write \"GET https://app.example.com/path\", \"connect ROUTE\", \"shell ROUTE\" or an action such as audit.read"
    ))
}

/// `"10m"` or `"10m ago"`; s, m, h and d.
pub(crate) fn ago(text: &str) -> Result<Duration, NotUnderstood> {
    let wrong = || {
        NotUnderstood(format!(
            "`{text}` is no time: write a number and s, m, h or d, such as \"10m ago\""
        ))
    };
    let text = text.strip_suffix(" ago").unwrap_or(text);
    let end = text.len().checked_sub(1).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(end).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(host: &str, _path: &str) -> Option<RouteName> {
        (host == "app.example.com").then(|| RouteName::new("app"))
    }

    #[test]
    fn requests_are_read_from_words() {
        let asked = Asked::read("GET https://App.example.com/a?b=c", &here).unwrap();
        assert_eq!(
            (asked.host.as_str(), asked.path.as_str()),
            ("app.example.com", "/a")
        );
        assert_eq!(
            Asked::read("shell db", &here).unwrap().action(),
            Action::Shell
        );
        assert_eq!(
            Asked::read("audit.read", &here).unwrap().target(),
            Target::Console
        );
        for wrong in [
            "GET",
            "GET app.example.com",
            "get https://app.example.com/",
            "GET https://b.example.com/",
            "GET http://app.example.com/",
            "inspect",
        ] {
            assert!(Asked::read(wrong, &here).is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_are_read_from_words() {
        let now = Timestamp::from_secs(1_000_000);
        let mut who = Description::new("user:Ana@Example.com", "default");
        who.verified = ago("10m ago").unwrap();
        let OwnedCaller::Person(ana) = who.caller(now).unwrap() else {
            panic!("a person is expected");
        };
        assert_eq!(&*ana.email, "ana@example.com");
        assert_eq!(ana.session.verified_age(now), Duration::from_secs(600));
        assert!(ana.session.signed_in_at <= ana.session.verified_at);
        assert!(Description::new("ana", "default").caller(now).is_err());
        assert!(ago("soon").is_err() && ago("").is_err());
    }
}
