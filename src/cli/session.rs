//! `portcullis session`: who is signed in, and ending that.

use super::admin::{perform, unexpected};
use super::args::{Format, Revoke, Session as Verb};
use super::outcome::Exit;
use super::user::{counted, local};
use super::{Failure, Globals, Outcome};
use crate::admin::call::{Call, Reply, Session, SessionCall, Which};

const HEADS: [&str; 7] = [
    "ID",
    "PERSON",
    "SIGNED IN",
    "LAST SEEN",
    "DEVICE",
    "FROM",
    "METHODS",
];
const UNKNOWN: &str = "-";

pub(super) fn run(verb: &Verb, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        Verb::List { user } => list(user.clone(), globals),
        Verb::Show { id } => show(id, globals),
        Verb::Revoke(args) => revoke(args, globals),
    }
}

fn sessions(globals: &Globals, user: Option<String>) -> Result<Vec<Session>, Failure> {
    match perform(globals, Call::Sessions(SessionCall::List { user }))? {
        Reply::Sessions(sessions) => Ok(sessions),
        _ => Err(unexpected()),
    }
}

fn list(user: Option<String>, globals: &Globals) -> Result<Outcome, Failure> {
    let sessions = sessions(globals, user)?;
    match globals.format {
        Format::Text if sessions.is_empty() => globals.out.note("no session is in force"),
        Format::Text => globals
            .out
            .table(&HEADS, &sessions.iter().map(row).collect::<Vec<_>>())?,
        Format::Json => globals.out.print_json(Format::Json, &sessions)?,
        Format::Jsonl => {
            for session in &sessions {
                globals.out.print_json(Format::Jsonl, session)?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn row(session: &Session) -> Vec<String> {
    vec![
        session.id.clone(),
        session.email.clone(),
        local(session.signed_in, "%Y-%m-%d %H:%M %Z"),
        local(session.last_seen, "%Y-%m-%d %H:%M %Z"),
        device(session),
        from(session),
        session.methods.join("+"),
    ]
}

fn device(session: &Session) -> String {
    // What a browser calls itself is a stranger's text; it must not move the operator's cursor.
    let name = session.user_agent.as_deref().unwrap_or(UNKNOWN);
    name.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

fn from(session: &Session) -> String {
    session
        .address
        .map_or_else(|| UNKNOWN.to_owned(), |address| address.to_string())
}

fn show(id: &str, globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::Session(session) = perform(
        globals,
        Call::Sessions(SessionCall::Show { id: id.to_owned() }),
    )?
    else {
        return Err(unexpected());
    };
    if globals.format != Format::Text {
        globals.out.print_json(globals.format, &session)?;
        return Ok(Outcome::Done);
    }
    let lines = [
        ("id", session.id.clone()),
        ("person", format!("{} ({})", session.login, session.email)),
        (
            "signed in",
            local(session.signed_in, "%Y-%m-%d %H:%M:%S %Z"),
        ),
        ("verified", local(session.verified, "%Y-%m-%d %H:%M:%S %Z")),
        (
            "last seen",
            local(session.last_seen, "%Y-%m-%d %H:%M:%S %Z"),
        ),
        ("methods", session.methods.join("+")),
        ("device", device(&session)),
        ("from", from(&session)),
        ("hosts", session.hosts.join(" ")),
    ];
    globals.out.print(
        lines
            .map(|(what, value)| format!("{what:<9}  {value}\n"))
            .concat(),
    )?;
    Ok(Outcome::Done)
}

fn revoke(args: &Revoke, globals: &Globals) -> Result<Outcome, Failure> {
    let which = match (&args.id, &args.user) {
        (Some(id), _) => Which::Id(id.clone()),
        (None, Some(user)) => Which::User(user.clone()),
        (None, None) => Which::All,
    };
    asked(&which, globals)?;
    let Reply::Revoked { sessions } = perform(globals, Call::Sessions(SessionCall::Revoke(which)))?
    else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text if sessions == 0 => globals.out.note("no session is in force"),
        Format::Text => {
            let ended = counted(sessions, "session");
            globals
                .out
                .print(format_args!("{ended} ended, with every stream held open\n"))?;
        }
        format => globals
            .out
            .print_json(format, &serde_json::json!({ "sessions": sessions }))?,
    }
    Ok(Outcome::Done)
}

/// Ending more than one session is worth a question, unless there is nothing to end.
fn asked(which: &Which, globals: &Globals) -> Result<(), Failure> {
    let (user, whose) = match which {
        Which::Id(_) => return Ok(()),
        Which::User(name) => (Some(name.clone()), name.as_str()),
        Which::All => (None, "everybody"),
    };
    if globals.yes {
        return Ok(());
    }
    let count = sessions(globals, user)?.len();
    if count == 0 || globals.agrees(&format!("End {} of {whose}?", counted(count, "session"))) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Stopped,
        format!(
            "stopped: {} of {whose} stay in force. To end them without a question: --yes",
            counted(count, "session")
        ),
    ))
}
