//! Gets an administrative call carried out: by the running server, or here when none runs.
//!
//! Whoever holds the data folder does the work, so there is never a second writer. A folder that belongs to another
//! account is not touched: files made in it now would be closed to the server later.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::outcome::{Exit, chain};
use super::{Failure, Globals, block_on, open, run, shown};
use crate::admin::account;
use crate::admin::call::{AdminError, Call, Reply};
use crate::admin::client::{self, AskError};
use crate::admin::desk::Desk;
use crate::base::Clock;
use crate::config::{self, Config, Loaded, Problems};
use crate::server::core::{Core, OpenCoreError};
use crate::store::FolderError;

/// Where the server listens unless the file says otherwise; for files too broken to be read.
const USUAL_SOCKET: &str = "/run/portcullis/admin.sock";

/// The server that a configuration file is about, running or not.
pub(super) struct Place {
    socket: PathBuf,
    /// The problems of a broken file do not keep anybody from the server that runs with the one before.
    config: Result<Config, Problems>,
}

impl Place {
    /// The one that `--config`, or the usual place, names.
    ///
    /// # Errors
    /// Exit 2 when there is no file.
    pub(super) fn find(globals: &Globals) -> Result<Self, Failure> {
        let path = globals.locate()?;
        Ok(match config::load(&path) {
            Ok(Loaded { config, .. }) => Self {
                socket: config.server.admin_socket.clone(),
                config: Ok(config),
            },
            Err(problems) => Self {
                socket: written_socket(&path),
                config: Err(problems),
            },
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the file says.
    ///
    /// # Errors
    /// All its problems.
    pub(super) fn config(self) -> Result<Config, Problems> {
        self.config
    }

    /// Has `call` carried out by the server; `None` when none runs.
    ///
    /// # Errors
    /// Every [`AdminError`] with its exit code; exit 3 when the server does not answer.
    pub(super) fn ask(&self, call: &Call) -> Result<Option<Reply>, Failure> {
        let socket = &self.socket;
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
}

/// The socket that a file names which as a whole cannot be used.
fn written_socket(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let written = text.parse::<toml::Table>().ok().and_then(|table| {
        let written = table.get("server")?.get("admin_socket")?.as_str()?;
        Some(folder.join(written))
    });
    written.unwrap_or_else(|| PathBuf::from(USUAL_SOCKET))
}

/// Carries out `call`, wherever that has to be.
///
/// # Errors
/// As [`Place::ask`], and exit 2 with all problems of the configuration when no server runs.
pub(super) fn perform(globals: &Globals, call: Call) -> Result<Reply, Failure> {
    let place = Place::find(globals)?;
    match place.ask(&call)? {
        Some(reply) => Ok(reply),
        None => {
            let config = place
                .config()
                .map_err(|problems| globals.refused(&problems))?;
            here(globals, &config, call)
        }
    }
}

/// Opens what the server would open, works, and closes it again.
fn here(globals: &Globals, config: &Config, call: Call) -> Result<Reply, Failure> {
    owned(config.data_folder())?;
    let core = Core::open(open::plan(globals)?, Clock::System)
        .map_err(|error| unopened(globals, config, &error))?;
    let desk = Desk {
        authenticator: Arc::clone(&core.authenticator),
        audit: Arc::clone(&core.audit),
        clock: Clock::System,
        reload: None,
        certificates: None,
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

fn unopened(globals: &Globals, config: &Config, error: &OpenCoreError) -> Failure {
    if let OpenCoreError::MasterKeyGone { path, at } = error {
        return run::key_is_gone(path, at, globals);
    }
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
        OpenCoreError::Folder(_)
        | OpenCoreError::MasterKey { .. }
        | OpenCoreError::MasterKeyGone { .. }
        | OpenCoreError::Key(_) => Exit::CannotDo,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{USUAL_SOCKET, written_socket};

    #[test]
    fn a_broken_file_still_tells_where_the_server_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        std::fs::write(
            &file,
            "[server]\nadmin_socket = \"data/a.sock\"\nnonsense = 1\n",
        )
        .unwrap();
        assert_eq!(written_socket(&file), folder.path().join("data/a.sock"));
        for unreadable in ["[server", "[server]\nadmin_socket = 1\n", ""] {
            std::fs::write(&file, unreadable).unwrap();
            assert_eq!(written_socket(&file), Path::new(USUAL_SOCKET));
        }
    }

    #[test]
    fn the_usual_socket_is_the_one_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        std::fs::write(&file, "[server]\nportal = \"login.example.com\"\n").unwrap();
        let loaded = crate::config::load(&file).unwrap();
        assert_eq!(loaded.config.server.admin_socket, Path::new(USUAL_SOCKET));
    }
}
