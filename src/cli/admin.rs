//! Gets an administrative call carried out: by the running server, or here when none runs.
//!
//! Whoever holds the data folder does the work, so there is never a second writer. A folder that belongs to another
//! account is not touched: files made in it now would be closed to the server later.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::outcome::{Exit, chain};
use super::{Failure, Globals, block_on, open, shown};
use crate::admin::account;
use crate::admin::call::{AdminError, Call, Reply};
use crate::admin::client::{self, AskError};
use crate::admin::desk::Desk;
use crate::base::Clock;
use crate::config::Config;
use crate::server::core::{Core, OpenCoreError};
use crate::store::FolderError;

/// Carries out `call`, wherever that has to be.
///
/// # Errors
/// Every [`AdminError`] with its exit code; exit 3 when a server runs but does not answer.
pub(super) fn perform(globals: &Globals, call: Call) -> Result<Reply, Failure> {
    let config = open::config(globals)?;
    match ask(&config, &call)? {
        Some(reply) => Ok(reply),
        None => here(globals, &config, call),
    }
}

/// Carries out `call` only if a server runs; `None` when none does.
pub(super) fn ask(config: &Config, call: &Call) -> Result<Option<Reply>, Failure> {
    let socket = &config.server.admin_socket;
    match block_on(client::ask(socket, call))? {
        Ok(reply) => reply.map(Some).map_err(failure),
        Err(AskError::Nobody) => Ok(None),
        Err(AskError::Forbidden) => {
            let who = account::name(account::own());
            Err(Failure::new(
                Exit::NotPermitted,
                format!(
                    "the account {who} may not open {}. Run the command as root or as the account of the server",
                    shown(socket)
                ),
            ))
        }
        Err(error @ AskError::TooLarge) => Err(Failure::cannot(format!(
            "{error}. Split the file; each part is imported as a whole"
        ))),
        Err(error @ AskError::Lost(_)) => Err(Failure::new(
            Exit::Unreachable,
            format!(
                "{}. Whether the change was made stands in the audit log: portcullis audit tail --no-follow",
                chain(&error)
            ),
        )),
    }
}

/// Opens what the server would open, works, and closes it again.
fn here(globals: &Globals, config: &Config, call: Call) -> Result<Reply, Failure> {
    owned(config.data_folder())?;
    let core = Core::open(open::plan(globals)?, Clock::System)
        .map_err(|error| unopened(config, &error))?;
    let desk = Desk {
        authenticator: Arc::clone(&core.authenticator),
        audit: Arc::clone(&core.audit),
        clock: Clock::System,
        reload: None,
    };
    let outcome = block_on(desk.perform(call, account::operator(account::own())));
    core.audit.close();
    outcome?.map_err(failure)
}

fn owned(folder: &Path) -> Result<(), Failure> {
    let own = account::own();
    // A folder that cannot be looked at is opened next, with better words about it.
    let Some(owner) = std::fs::metadata(folder)
        .ok()
        .map(|found| found.uid())
        .filter(|owner| *owner != own)
    else {
        return Ok(());
    };
    let (folder, owner) = (shown(folder), account::name(owner));
    Err(Failure::new(
        Exit::NotPermitted,
        format!(
            "{folder} belongs to the account {owner}. Run the command as that account: sudo -u {owner} portcullis …"
        ),
    ))
}

fn unopened(config: &Config, error: &OpenCoreError) -> Failure {
    if let OpenCoreError::Folder(held @ FolderError::Held { .. }) = error {
        let socket = shown(&config.server.admin_socket);
        return Failure::new(
            Exit::Unreachable,
            format!(
                "{held}, but nothing answers on its admin socket {socket}. It may be starting or stopping; or it was started with another [server] admin_socket"
            ),
        );
    }
    let exit = match error {
        OpenCoreError::Audit(_) | OpenCoreError::Keyring(_) => Exit::AuditUnwritable,
        OpenCoreError::Store(_) | OpenCoreError::People(_) => Exit::Unreachable,
        OpenCoreError::Folder(_) | OpenCoreError::MasterKey { .. } | OpenCoreError::Key(_) => {
            Exit::CannotDo
        }
    };
    Failure::new(exit, chain(error))
}

/// What the terminal is told about a call that was not carried out.
fn failure(error: AdminError) -> Failure {
    match error {
        AdminError::NotFound(text) | AdminError::Unusable(text) => Failure::cannot(text),
        AdminError::Lines(lines) => {
            let lines: Vec<String> = lines
                .iter()
                .map(|bad| format!("line {}: {}", bad.line, bad.problem))
                .collect();
            Failure::cannot(format!("{}\nnothing was imported", lines.join("\n")))
        }
        AdminError::LastAdministrator(name) => Failure::new(
            Exit::Stopped,
            format!(
                "stopped: {name} is the last person who can administer Portcullis. Make another first: portcullis user group add admins PERSON"
            ),
        ),
        AdminError::ReloadRefused(problems) => Failure::new(Exit::No, problems.trim_end()),
        AdminError::NotPermitted(text) => Failure::new(Exit::NotPermitted, text),
        AdminError::Unavailable(text) => Failure::new(Exit::Unreachable, text),
    }
}

/// An answer that does not belong to the call: a server of another version.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Unreachable,
        "the server gave an answer to another question. It may be of another version than this command: restart it",
    )
}
