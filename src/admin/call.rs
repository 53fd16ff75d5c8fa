//! What an operator may ask of the process that holds the data folder, and what it answers.
//!
//! The lists are closed; both sides of the control socket are the same program, so nothing here is kept compatible
//! between versions. What must not be logged is [`Hidden`] from `Debug`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::base::{Secret, Timestamp};

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Call {
    /// Puts the configuration on disk in force.
    Reload,
    People(PeopleCall),
    Sessions(SessionCall),
    Certificates(CertificateCall),
}

/// About certificates.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum CertificateCall {
    List,
    /// Obtains the certificate with this name, or all, now, and waits for the outcome.
    Renew {
        name: Option<String>,
    },
}

/// About people; `name` is a login name or e-mail address in any spelling.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum PeopleCall {
    List,
    Show {
        name: String,
    },
    Add(Addition),
    /// JSON lines; all of them or none.
    Import {
        lines: Hidden,
    },
    Change {
        name: String,
        change: Change,
    },
}

/// What to do with one person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Change {
    Disable,
    Enable,
    Remove {
        /// Also makes their sealed entries in the audit log unreadable for ever.
        erase: bool,
    },
    /// Makes a fresh enrolment link.
    Enrol,
    TwoFactorReset {
        reason: String,
    },
    GroupAdd {
        group: String,
    },
    GroupRemove {
        group: String,
    },
}

/// A person to add.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addition {
    pub(crate) login: String,
    pub(crate) email: Option<String>,
    /// As shown to people.
    pub(crate) title: Option<String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
    /// Whether to make an enrolment link at once.
    pub(crate) invite: bool,
}

/// About sessions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SessionCall {
    List { user: Option<String> },
    Show { id: String },
    Revoke(Which),
}

/// The sessions to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Which {
    Id(String),
    User(String),
    All,
}

/// The answer to a [`Call`] that was carried out and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Reloaded(Reloaded),
    People(Vec<Person>),
    Person(Person),
    Invited {
        person: Person,
        link: Link,
    },
    Imported(Imported),
    Sessions(Vec<Session>),
    Session(Session),
    Certificates(Vec<Certificate>),
    /// How many certificates were renewed.
    Renewed {
        certificates: usize,
    },
    /// How many sessions were ended.
    Revoked {
        sessions: usize,
    },
}

/// What a reload put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reloaded {
    /// The digest by which audit entries name the configuration.
    pub(crate) config: String,
    /// Rendered; empty when there are none.
    pub(crate) warnings: String,
    /// Keys whose new values wait for a restart.
    pub(crate) waiting: Vec<String>,
}

/// A person as `user list` and `user show` print them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
    /// `active` or `disabled`.
    pub(crate) state: String,
    pub(crate) password: bool,
    pub(crate) second_factor: bool,
    pub(crate) recovery_codes: usize,
    pub(crate) sessions: usize,
    pub(crate) created: Moment,
    pub(crate) last_sign_in: Option<Moment>,
}

/// An enrolment link. It works once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) url: Hidden,
    /// The host that has to be reachable for the person.
    pub(crate) portal: String,
    pub(crate) expires: Moment,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imported {
    pub(crate) people: usize,
    /// Logins of those who need an enrolment link before they can sign in.
    pub(crate) incomplete: Vec<String>,
}

/// A session as `session list` and `session show` print it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) email: String,
    pub(crate) signed_in: Moment,
    /// The latest proof of a second factor.
    pub(crate) verified: Moment,
    pub(crate) last_seen: Moment,
    pub(crate) methods: Vec<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    pub(crate) hosts: Vec<String>,
}

/// A certificate as `cert status` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) names: Vec<String>,
    /// `files`, `internal` or `acme`.
    pub(crate) source: String,
    /// `current`, `missing`, `ordering` or `failing`.
    pub(crate) state: String,
    pub(crate) not_after: Option<Moment>,
    /// When it is renewed, or tried again; for those that are obtained.
    pub(crate) due: Option<Moment>,
    /// Failed attempts in a row.
    pub(crate) failures: u32,
    /// The latest failure, in words.
    pub(crate) problem: Option<String>,
}

/// Why a [`Call`] was not carried out; each variant has one exit code. Texts are whole sentences for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AdminError {
    /// No person or session of that name.
    #[error("{0}")]
    NotFound(String),
    /// What was given cannot be used.
    #[error("{0}")]
    Unusable(String),
    #[error("{} lines cannot be imported", .0.len())]
    Lines(Vec<BadLine>),
    /// The login name or e-mail address of the one who has to stay.
    #[error("{0} is the last person who can administer Portcullis")]
    LastAdministrator(String),
    /// The rendered problems; what was in force stays.
    #[error("the configuration on disk cannot be used")]
    ReloadRefused(String),
    #[error("{0}")]
    NotPermitted(String),
    /// The database, the audit log or the server cannot do it now.
    #[error("{0}")]
    Unavailable(String),
}

/// A line of an import that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BadLine {
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// Text that is for the other side only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(crate) struct Hidden(Secret<String>);

impl Hidden {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl From<Hidden> for String {
    fn from(hidden: Hidden) -> Self {
        hidden.expose().to_owned()
    }
}

/// A time, written in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Moment(pub(crate) Timestamp);

impl TryFrom<String> for Moment {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.0.to_string()
    }
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        // What is written has milliseconds; both sides see the same.
        Self(Timestamp::from_millis(at.millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Moment, PeopleCall, SessionCall, Which};
    use crate::base::Timestamp;

    #[test]
    fn a_call_is_read_back_as_written() {
        let calls = [
            Call::Reload,
            Call::People(PeopleCall::Import {
                lines: "{\"name\":\"kim\"}\n".to_owned().into(),
            }),
            Call::Sessions(SessionCall::Revoke(Which::All)),
        ];
        for call in calls {
            let text = serde_json::to_string(&call).unwrap();
            assert!(!text.contains('\n'), "{text}");
            let again: Call = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&again).unwrap(), text);
        }
    }

    #[test]
    fn unknown_calls_and_unknown_fields_are_refused() {
        for text in [
            r#""shutdown""#,
            r#"{"people":{"show":{"name":"kim","force":true}}}"#,
            r#"{"people":"all"}"#,
            "1",
        ] {
            assert!(serde_json::from_str::<Call>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_imported_is_not_logged() {
        let call = Call::People(PeopleCall::Import {
            lines: "hunter2".to_owned().into(),
        });
        assert!(!format!("{call:?}").contains("hunter2"));
    }

    #[test]
    fn a_moment_survives_the_way_there() {
        let moment = Moment::from(Timestamp::from_micros(1_795_000_000_123_456));
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), moment);
    }
}
