//! Bringing people over from another system: one JSON object per line.
//!
//! Every line is checked before the first is stored, and every problem is told with its line. Passwords in clear are
//! hashed here and forgotten; hashes and code secrets are taken over only in the forms that sign-in will accept.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{NewPerson, People, PeopleError, checked};
use crate::authn::event::{Action, Event, Told};
use crate::authn::factor::totp::TotpSecret;
use crate::base::{Secret, Timestamp};
use crate::keys::{PasswordPolicy, check_phc};
use crate::store::{NewUser, User};

const DEFAULT_TENANT: &str = "default";

/// A line of the file. Either `password` or `password_hash`, or neither for somebody who will enrol by link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The name for signing in.
    name: String,
    email: Option<String>,
    full_name: Option<String>,
    #[serde(default)]
    groups: BTreeSet<String>,
    tenant: Option<String>,
    #[serde(default)]
    contractor: bool,
    password: Option<InFile>,
    /// Argon2id in PHC form.
    password_hash: Option<String>,
    /// Base 32.
    totp_secret: Option<InFile>,
}

/// A secret in the file.
#[derive(Deserialize)]
#[serde(transparent)]
struct InFile(String);

/// What keeps a line from being imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineProblem {
    /// Counted from one.
    pub(crate) line: usize,
    pub(crate) problem: String,
}

/// A person who has been imported.
#[derive(Debug, Clone)]
pub(crate) struct Imported {
    pub(crate) user: User,
    /// Without both a password and a second factor they need an enrolment link before they can sign in.
    pub(crate) complete: bool,
}

/// A line that can be imported.
struct Ready {
    new: NewUser,
    password: Option<Secret<String>>,
    phc: Option<String>,
    totp: Option<TotpSecret>,
}

impl People {
    /// Imports everybody in `text`, or nobody.
    pub(crate) async fn import(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Told<Vec<Imported>>, PeopleError> {
        let _one_at_a_time = self.gate.lock().await;
        let ready = self.check_lines(text, now)?;
        let mut imported: Vec<Imported> = Vec::new();
        for one in ready {
            match self.import_one(one, now).await {
                Ok(done) => imported.push(done),
                Err(error) => {
                    // All or nothing: what this call created goes again.
                    for done in imported {
                        self.vault.store.users.remove(done.user.id).await?;
                    }
                    return Err(error);
                }
            }
        }
        let events: Vec<Event> = imported
            .iter()
            .map(|done| Event::new(Action::UserImported).about(&done.user))
            .collect();
        Ok(Told::new(imported, events))
    }

    fn check_lines(&self, text: &str, now: Timestamp) -> Result<Vec<Ready>, PeopleError> {
        let policy = self.sign_in.rules.load().password;
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut ready = Vec::new();
        let mut problems = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            match check_line(text, policy, now) {
                Ok(one) => {
                    let names = BTreeSet::from([one.new.login.clone(), one.new.email.clone()]);
                    for name in names {
                        if let Some(problem) = self.name_problem(&name, &taken)? {
                            problems.push(LineProblem { line, problem });
                        }
                        taken.entry(name).or_insert(line);
                    }
                    ready.push(one);
                }
                Err(found) => {
                    let found = found.into_iter();
                    problems.extend(found.map(|problem| LineProblem { line, problem }));
                }
            }
        }
        if problems.is_empty() {
            Ok(ready)
        } else {
            Err(PeopleError::Lines(problems))
        }
    }

    fn name_problem(
        &self,
        name: &str,
        taken: &BTreeMap<String, usize>,
    ) -> Result<Option<String>, PeopleError> {
        if let Some(line) = taken.get(name) {
            return Ok(Some(format!("`{name}` stands in line {line} already")));
        }
        let exists = self.vault.store.users.find_by_name(name)?.is_some();
        Ok(exists.then(|| format!("`{name}` is already in use")))
    }

    async fn import_one(&self, one: Ready, now: Timestamp) -> Result<Imported, PeopleError> {
        let store = &self.vault.store;
        let user = store.users.create(one.new).await?;
        let given = self.import_credentials(&user, (one.password, one.phc, one.totp), now);
        match given.await {
            Ok(complete) => Ok(Imported { user, complete }),
            Err(error) => {
                store.users.remove(user.id).await?;
                Err(error)
            }
        }
    }

    async fn import_credentials(
        &self,
        user: &User,
        (password, phc, totp): (Option<Secret<String>>, Option<String>, Option<TotpSecret>),
        now: Timestamp,
    ) -> Result<bool, PeopleError> {
        let store = &self.vault.store;
        let phc = match password {
            Some(password) => {
                let hashed = self.vault.hasher.hash(&password).await;
                Some(hashed.map_err(crate::authn::vault::AuthnError::from)?)
            }
            None => phc,
        };
        let complete = phc.is_some() && totp.is_some();
        if let Some(phc) = phc {
            store
                .passwords
                .set_password(user.id.clone(), phc, now)
                .await?;
        }
        if let Some(totp) = totp {
            let sealed = self.vault.seal_totp(&user.id, &totp);
            let sealed = sealed.map_err(crate::authn::vault::AuthnError::from)?;
            let write = store
                .factors
                .propose_totp(user.id.clone(), sealed.clone(), now);
            write.await?;
            let write = store.factors.confirm_totp(user.id.clone(), sealed, 0, now);
            write.await?;
        }
        Ok(complete)
    }
}

fn check_line(text: &str, policy: PasswordPolicy, now: Timestamp) -> Result<Ready, Vec<String>> {
    let line: Line = serde_json::from_str(text).map_err(|error| vec![in_words(&error)])?;
    let mut problems = Vec::new();
    let person = NewPerson {
        login: line.name,
        email: line.email,
        name: line.full_name,
        groups: line.groups,
        tenant: line.tenant.unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
        contractor: line.contractor,
    };
    let new = checked(person, now).map_err(|error| problems.push(error.to_string()));
    let password = line.password.map(|secret| Secret::new(secret.0));
    if let (Some(password), Ok(new)) = (&password, &new) {
        let names = [new.login.as_str(), new.email.as_str(), new.name.as_str()];
        if let Err(weak) = policy.check(password, &names) {
            problems.push(format!("password: {weak}"));
        }
    }
    if let Some(phc) = &line.password_hash {
        if password.is_some() {
            problems.push("`password` and `password_hash` exclude each other".to_owned());
        }
        if let Err(error) = check_phc(phc) {
            problems.push(format!("password_hash: {error}"));
        }
    }
    let totp = line
        .totp_secret
        .map(|secret| TotpSecret::from_base32(Secret::new(secret.0).expose()));
    let totp = totp
        .transpose()
        .map_err(|error| problems.push(format!("totp_secret: {error}")));
    match (new, totp) {
        (Ok(new), Ok(totp)) if problems.is_empty() => Ok(Ready {
            new,
            password,
            phc: line.password_hash,
            totp,
        }),
        _ => Err(problems),
    }
}

/// What the parser says, without the values: they may be secrets.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        serde_json::error::Category::Data
            if text.starts_with("unknown field") || text.starts_with("missing field") =>
        {
            text.split(" at line").next().unwrap_or_default().to_owned()
        }
        serde_json::error::Category::Data => {
            format!("a value has the wrong type, column {}", error.column())
        }
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => {
            format!("not a JSON object, column {}", error.column())
        }
    }
}
