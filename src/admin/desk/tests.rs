//! The desk over a store in memory and a real log: what is changed, recorded, and refused.

use std::sync::Arc;

use super::Desk;
use crate::admin::call::{
    Addition, AdminError, Call, Change, PeopleCall, Reloaded, Reply, SessionCall, Which,
};
use crate::audit::{Actor, AuditLog, Options, StoredKeyring};
use crate::authn::fixture::{PORTAL, START, Site, master, visitor};
use crate::base::Clock;

/// A desk, the people behind it, and the folder of its log.
pub(in crate::admin) struct Office {
    pub(in crate::admin) desk: Desk,
    folder: tempfile::TempDir,
}

impl Office {
    pub(in crate::admin) async fn over(site: Site) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::Fixed(START);
        let options = Options {
            min_free: 0,
            ..Options::new(folder.path())
        };
        let keys = Arc::clone(&site.store.keys);
        let audit = tokio::task::spawn_blocking(move || {
            let keyring = StoredKeyring::new(keys, master(), clock);
            let signer = Arc::new(keyring.signer("login.example.com/audit").unwrap());
            AuditLog::open(options, Arc::new(keyring), signer, clock).unwrap()
        });
        let desk = Desk {
            authenticator: Arc::new(site.auth),
            audit: audit.await.unwrap(),
            clock,
            reload: None,
            certificates: None,
        };
        Self { desk, folder }
    }

    async fn perform(&self, call: Call) -> Result<Reply, AdminError> {
        self.desk
            .perform(call, Actor::Operator("root".to_owned()))
            .await
    }

    async fn change(&self, name: &str, change: Change) -> Result<Reply, AdminError> {
        self.perform(Call::People(PeopleCall::Change {
            name: name.to_owned(),
            change,
        }))
        .await
    }

    /// The entries' events with their actors, in order.
    fn recorded(&self) -> Vec<(String, String)> {
        let segment = self
            .folder
            .path()
            .join("segments/00000000000000000000.jsonl");
        let text = std::fs::read_to_string(segment).unwrap_or_default();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .map(|line| (word(&line, "event.name"), word(&line, "portcullis.actor")))
            .collect()
    }
}

fn word(line: &serde_json::Value, name: &str) -> String {
    line[name].as_str().unwrap_or("").to_owned()
}

fn by_root(events: &[&str]) -> Vec<(String, String)> {
    events
        .iter()
        .map(|event| ((*event).to_owned(), "os:root".to_owned()))
        .collect()
}

fn addition(login: &str, groups: &[&str]) -> Call {
    Call::People(PeopleCall::Add(Addition {
        login: login.to_owned(),
        email: None,
        title: None,
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        tenant: "default".to_owned(),
        contractor: false,
        invite: true,
    }))
}

#[tokio::test]
async fn a_person_is_added_with_a_link_and_the_log_says_who_did_it() {
    let office = Office::over(Site::empty()).await;
    let Reply::Invited { person, link } = office
        .perform(addition("Kim@example.com", &["staff"]))
        .await
        .unwrap()
    else {
        panic!("an invitation was asked for");
    };
    assert_eq!(
        (person.login.as_str(), person.state.as_str()),
        ("kim@example.com", "active")
    );
    assert!(
        link.url
            .expose()
            .starts_with(&format!("https://{PORTAL}/enrol/"))
    );
    // Success was told, so the entries are on disk already.
    assert_eq!(
        office.recorded(),
        by_root(&["user.created", "user.enrolment_issued"])
    );
    let token = link.url.expose().rsplit('/').next().unwrap();
    assert!(
        office
            .desk
            .authenticator
            .enrolment
            .invited(token, START)
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn nothing_is_changed_while_nothing_can_be_recorded() {
    let office = Office::over(Site::empty()).await;
    office.desk.audit.close();
    let refused = office.perform(addition("kim@example.com", &[])).await;
    assert!(
        matches!(refused, Err(AdminError::Unavailable(_))),
        "{refused:?}"
    );
    let everybody = office.perform(Call::People(PeopleCall::List)).await;
    assert_eq!(everybody, Ok(Reply::People(Vec::new())));
}

#[tokio::test]
async fn the_last_administrator_stays_in_every_way() {
    let office = Office::over(Site::empty()).await;
    office
        .perform(addition("lena@example.com", &["admins"]))
        .await
        .unwrap();
    let changes = [
        Change::Disable,
        Change::Remove { erase: true },
        Change::GroupRemove {
            group: "admins".to_owned(),
        },
    ];
    for change in changes {
        let refused = office.change("LENA@example.com", change).await;
        assert_eq!(
            refused,
            Err(AdminError::LastAdministrator("lena@example.com".to_owned()))
        );
    }
    assert_eq!(office.recorded().len(), 2);
}

#[tokio::test]
async fn revoking_ends_the_session_and_what_it_holds_open() {
    let site = Site::with_ana().await;
    let ana = site.signed_in(&visitor(0)).await;
    let office = Office::over(site).await;
    let Reply::Sessions(sessions) = office
        .perform(Call::Sessions(SessionCall::List {
            user: Some("ana".to_owned()),
        }))
        .await
        .unwrap()
    else {
        panic!("sessions were asked for");
    };
    assert_eq!(sessions[0].id, ana.principal.session.id.as_str());
    assert_eq!(sessions[0].methods, ["password", "totp"]);
    assert_eq!(sessions[0].hosts, [PORTAL]);
    let revoke = Call::Sessions(SessionCall::Revoke(Which::Id(sessions[0].id.clone())));
    assert_eq!(
        office.perform(revoke.clone()).await,
        Ok(Reply::Revoked { sessions: 1 })
    );
    assert!(ana.principal.session.cancelled.is_cancelled());
    assert_eq!(office.recorded(), by_root(&["session.revoked"]));
    assert!(matches!(
        office.perform(revoke).await,
        Err(AdminError::NotFound(_))
    ));
}

#[tokio::test]
async fn every_bad_line_of_an_import_is_told_and_nobody_is_imported() {
    let office = Office::over(Site::empty()).await;
    let lines = "{\"name\":\"kim\",\"email\":\"kim@example.com\"}\n{\"name\":\"a b\"}\nnonsense\n";
    let import = Call::People(PeopleCall::Import {
        lines: lines.to_owned().into(),
    });
    let Err(AdminError::Lines(bad)) = office.perform(import).await else {
        panic!("two lines cannot be used");
    };
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        office.perform(Call::People(PeopleCall::List)).await,
        Ok(Reply::People(Vec::new()))
    );
    assert!(office.recorded().is_empty());
}

#[tokio::test]
async fn a_removed_person_is_told_as_they_were() {
    let office = Office::over(Site::with_ana().await).await;
    let Ok(Reply::Person(ana)) = office.change("ana", Change::Remove { erase: false }).await else {
        panic!("ana can be removed");
    };
    assert_eq!((ana.login.as_str(), ana.password), ("ana", false));
    assert!(matches!(
        office.change("ana", Change::Enable).await,
        Err(AdminError::NotFound(_))
    ));
}

#[tokio::test]
async fn a_reload_needs_a_server_and_gives_its_verdict() {
    let mut office = Office::over(Site::empty()).await;
    assert!(matches!(
        office.perform(Call::Reload).await,
        Err(AdminError::Unavailable(_))
    ));
    office.desk.reload = Some(Arc::new(|actor| match actor {
        Actor::Operator(_) => Err("error[PC1104]".to_owned()),
        Actor::Person(_) | Actor::System => Ok(Reloaded {
            config: String::new(),
            warnings: String::new(),
            waiting: Vec::new(),
        }),
    }));
    assert_eq!(
        office.perform(Call::Reload).await,
        Err(AdminError::ReloadRefused("error[PC1104]".to_owned()))
    );
}
