//! `portcullis user`: the people who may sign in.
//!
//! Enrolment links are printed to whoever asked for them and to nobody else.

use std::io::Read as _;
use std::path::Path;

use jiff::tz::TimeZone;

use super::admin::{perform, unexpected};
use super::args::{Format, TwoFactor, User, UserAdd, UserGroup};
use super::outcome::Exit;
use super::{Failure, Globals, Outcome, shown};
use crate::admin::call::{
    Addition, Call, Change, Imported, Link, Moment, PeopleCall, Person, Reply,
};
use crate::authn::people::ADMINISTRATORS;

const STANDARD_INPUT: &str = "-";
const HEADS: [&str; 7] = [
    "NAME",
    "E-MAIL",
    "GROUPS",
    "STATE",
    "SECOND FACTOR",
    "SESSIONS",
    "LAST SIGN-IN",
];

pub(super) fn run(verb: &User, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        User::Add(args) => add(args, globals),
        User::List => list(globals),
        User::Show { name } => show(name, globals),
        User::Disable { name } => change(
            globals,
            name,
            Change::Disable,
            "disabled; their sessions have ended",
        ),
        User::Enable { name } => change(globals, name, Change::Enable, "may sign in again"),
        User::Remove { name, erase } => remove(name, *erase, globals),
        User::Enrol { name } => change(globals, name, Change::Enrol, ""),
        User::Import { file } => import(file, globals),
        User::TwoFactor(TwoFactor::Reset { name, reason }) => change(
            globals,
            name,
            Change::TwoFactorReset {
                reason: reason.clone(),
            },
            "",
        ),
        User::Group(UserGroup::Add { group, name }) => change(
            globals,
            name,
            Change::GroupAdd {
                group: group.clone(),
            },
            &format!("is in {group}"),
        ),
        User::Group(UserGroup::Remove { group, name }) => change(
            globals,
            name,
            Change::GroupRemove {
                group: group.clone(),
            },
            &format!("is not in {group}"),
        ),
    }
}

fn people(globals: &Globals, call: PeopleCall) -> Result<Reply, Failure> {
    perform(globals, Call::People(call))
}

fn add(args: &UserAdd, globals: &Globals) -> Result<Outcome, Failure> {
    let admins = args.admin.then(|| ADMINISTRATORS.to_owned());
    let addition = Addition {
        login: args.name.clone(),
        email: args.email.clone(),
        title: args.title.clone(),
        groups: args.groups.iter().cloned().chain(admins).collect(),
        tenant: args.tenant.clone(),
        contractor: args.contractor,
        invite: !args.no_invite,
    };
    told(
        globals,
        people(globals, PeopleCall::Add(addition))?,
        "added",
    )
}

fn change(globals: &Globals, name: &str, change: Change, done: &str) -> Result<Outcome, Failure> {
    let reply = people(
        globals,
        PeopleCall::Change {
            name: name.to_owned(),
            change,
        },
    )?;
    told(globals, reply, done)
}

fn remove(name: &str, erase: bool, globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::Person(person) = people(
        globals,
        PeopleCall::Show {
            name: name.to_owned(),
        },
    )?
    else {
        return Err(unexpected());
    };
    let question = format!(
        "Remove {} ({}) with password, second factor and {}? {}",
        person.login,
        person.email,
        counted(person.sessions, "session"),
        if erase {
            "What the audit log says of them becomes unreadable for ever."
        } else {
            "Entries in the audit log stay."
        }
    );
    if !globals.agrees(&question) {
        return Err(Failure::new(
            Exit::Stopped,
            format!(
                "stopped: {} was not removed. To remove without a question: --yes",
                person.login
            ),
        ));
    }
    let done = if erase {
        "removed and erased"
    } else {
        "removed"
    };
    change(globals, &person.login, Change::Remove { erase }, done)
}

/// Prints what a change led to: the link that it made, or that it is done.
fn told(globals: &Globals, reply: Reply, done: &str) -> Result<Outcome, Failure> {
    match (globals.format, reply) {
        (Format::Text, Reply::Invited { link, .. }) => {
            globals.out.print(format_args!("{}\n", invitation(&link)))?
        }
        (Format::Text, Reply::Person(person)) => globals
            .out
            .print(format_args!("{}: {done}\n", person.login))?,
        (format, Reply::Invited { person, link }) => {
            let value =
                serde_json::json!({ "person": person, "link": link.url, "expires": link.expires });
            globals.out.print_json(format, &value)?;
        }
        (format, Reply::Person(person)) => globals.out.print_json(format, &person)?,
        _ => return Err(unexpected()),
    }
    Ok(Outcome::Done)
}

fn invitation(link: &Link) -> String {
    format!(
        "{}  works once, until {}; check that {} is reachable for them",
        link.url.expose(),
        local(link.expires, "%Y-%m-%d %H:%M %Z"),
        link.portal
    )
}

fn list(globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::People(everybody) = people(globals, PeopleCall::List)? else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text if everybody.is_empty() => globals
            .out
            .note("nobody yet. To add the first person: portcullis user add NAME --admin"),
        Format::Text => globals
            .out
            .table(&HEADS, &everybody.iter().map(row).collect::<Vec<_>>())?,
        Format::Json => globals.out.print_json(Format::Json, &everybody)?,
        Format::Jsonl => {
            for person in &everybody {
                globals.out.print_json(Format::Jsonl, person)?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn row(person: &Person) -> Vec<String> {
    vec![
        person.login.clone(),
        person.email.clone(),
        groups(person),
        person.state.clone(),
        yes_no(person.second_factor),
        person.sessions.to_string(),
        last_sign_in(person),
    ]
}

fn show(name: &str, globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::Person(person) = people(
        globals,
        PeopleCall::Show {
            name: name.to_owned(),
        },
    )?
    else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text => globals.out.print(card(&person))?,
        format => globals.out.print_json(format, &person)?,
    }
    Ok(Outcome::Done)
}

fn card(person: &Person) -> String {
    let lines = [
        ("name", person.login.clone()),
        ("shown as", person.name.clone()),
        ("e-mail", person.email.clone()),
        ("id", person.id.clone()),
        ("groups", groups(person)),
        ("tenant", person.tenant.clone()),
        ("contractor", yes_no(person.contractor)),
        ("state", person.state.clone()),
        ("password", yes_no(person.password)),
        ("second factor", yes_no(person.second_factor)),
        ("recovery codes", format!("{} left", person.recovery_codes)),
        ("sessions", person.sessions.to_string()),
        ("added", local(person.created, "%Y-%m-%d %H:%M %Z")),
        ("last sign-in", last_sign_in(person)),
    ];
    lines
        .map(|(what, value)| format!("{what:<14}  {value}\n"))
        .concat()
}

fn groups(person: &Person) -> String {
    let groups: Vec<&str> = person.groups.iter().map(String::as_str).collect();
    groups.join(",")
}

fn last_sign_in(person: &Person) -> String {
    person
        .last_sign_in
        .map_or_else(|| "never".to_owned(), |at| local(at, "%Y-%m-%d %H:%M %Z"))
}

fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// `1 session`, `2 sessions`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// A time where the operator is.
pub(super) fn local(moment: Moment, format: &str) -> String {
    moment
        .0
        .to_jiff()
        .to_zoned(TimeZone::system())
        .strftime(format)
        .to_string()
}

fn import(file: &Path, globals: &Globals) -> Result<Outcome, Failure> {
    let lines = read(file)?;
    let Reply::Imported(Imported { people, incomplete }) = people(
        globals,
        PeopleCall::Import {
            lines: lines.into(),
        },
    )?
    else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text => {
            let counted = if people == 1 {
                "1 person".to_owned()
            } else {
                format!("{people} people")
            };
            globals.out.print(format_args!("{counted} imported\n"))?;
            for name in incomplete {
                globals.out.note(format_args!("{name} cannot sign in yet. To print an enrolment link: portcullis user enrol {name}"));
            }
        }
        format => {
            let value = serde_json::json!({ "people": people, "incomplete": incomplete });
            globals.out.print_json(format, &value)?;
        }
    }
    Ok(Outcome::Done)
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new(STANDARD_INPUT) {
        std::io::stdin().lock().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::caused(&format!("cannot read {}", shown(file)), &error))?;
    Ok(text)
}
