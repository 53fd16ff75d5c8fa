//! What the process takes from itself before it serves: account, capabilities, files, system calls, core dumps.
//!
//! All of it holds for a thread and those that it starts, so it is done before there is a second one. Nothing here gives
//! anything back, and what cannot be taken is told or keeps the process from starting, as `[process]` says; it never
//! passes for done.

mod account;
mod calls;
mod examine;
mod reach;

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

pub(crate) use self::account::AccountError;
pub(crate) use self::examine::{offered, status_of};
use self::reach::Reach;
use crate::config::{Config, Mechanism, Problems};

/// What keeps the process from confining itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error("core dumps cannot be turned off")]
    CoreDumps(#[source] io::Error),
    #[error("gaining privileges cannot be turned off")]
    NewPrivileges(#[source] io::Error),
    #[error(
        "`{mechanism}` in [process] is required, and this kernel does not have it or was told to refuse it"
    )]
    Lacking { mechanism: &'static str },
    #[error("the rules for files cannot be put in force")]
    Files(#[from] landlock::RulesetError),
    #[error("the filter of system calls cannot be put in force")]
    Calls(#[from] seccompiler::Error),
}

/// Becomes the account that `[process]` names, gives up capabilities and core dumps. Call it before any file is made or
/// thread started.
///
/// # Errors
/// [`ConfineError`]; the process may have given up some of it already and must end.
pub(crate) fn settle(config: &Config) -> Result<(), ConfineError> {
    account::settle(config)?;
    if !config.process.core_dumps {
        // After the change of account, which sets it anew.
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .and_then(|()| no_core())
            .map_err(|error| ConfineError::CoreDumps(error.into()))?;
    }
    Ok(())
}

fn no_core() -> rustix::io::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // A service manager may have done it already, and have refused the call.
    if getrlimit(Resource::Core) == nothing {
        return Ok(());
    }
    setrlimit(Resource::Core, nothing)
}

/// Gives up every file and system call that serving `config` does not need. Call it when the listeners are open, before
/// any thread is started: opening them looks at other processes, to say who holds an address.
///
/// # Errors
/// [`ConfineError`]; the process may have given up some of it already and must end.
pub(crate) fn enclose(config: &Config) -> Result<Confined, ConfineError> {
    let written = &config.process;
    rustix::thread::set_no_new_privs(true)
        .map_err(|error| ConfineError::NewPrivileges(error.into()))?;
    for folder in reach::written(config) {
        // Whoever opens it says what is wrong with one that cannot be made.
        drop(DirBuilder::new().recursive(true).mode(0o700).create(folder));
    }
    let reach = Reach::of(config);
    let files = match written.landlock {
        Mechanism::Off => InForce::Off,
        Mechanism::Required | Mechanism::WhenAvailable => {
            InForce::told("landlock", written.landlock, reach.enforce()?)?
        }
    };
    let calls = match written.seccomp {
        Mechanism::Off => InForce::Off,
        Mechanism::Required | Mechanism::WhenAvailable => {
            InForce::told("seccomp", written.seccomp, calls::refuse(reach.programs())?)?
        }
    };
    Ok(Confined {
        account: account::told(),
        core_dumps: written.core_dumps,
        files,
        calls,
        reach,
    })
}

/// Whether a mechanism of the kernel is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
enum InForce {
    /// In a few words, how far.
    Yes(String),
    /// The configuration does without.
    Off,
    /// The kernel does not have it, or a filter around this process refuses it.
    Lacking,
}

impl InForce {
    fn told(
        mechanism: &'static str,
        wanted: Mechanism,
        done: Option<String>,
    ) -> Result<Self, ConfineError> {
        match (done, wanted) {
            (Some(how), _) => Ok(Self::Yes(how)),
            (None, Mechanism::Required) => Err(ConfineError::Lacking { mechanism }),
            (None, Mechanism::WhenAvailable | Mechanism::Off) => {
                tracing::warn!(
                    mechanism,
                    "this kernel does not have it or was told to refuse it; it goes without"
                );
                Ok(Self::Lacking)
            }
        }
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes(how) => f.write_str(how),
            Self::Off => f.write_str("off"),
            Self::Lacking => f.write_str("not to be had here"),
        }
    }
}

/// What is in force since the start.
#[derive(Debug)]
pub(crate) struct Confined {
    account: String,
    core_dumps: bool,
    files: InForce,
    calls: InForce,
    reach: Reach,
}

impl Confined {
    /// Whether whoever takes the process over has the machine.
    pub(crate) fn is_root(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// Whether `config` can be served by this process.
    ///
    /// # Errors
    /// What it names that was given up at the start, each with its place.
    pub(crate) fn admits(&self, config: &Config) -> Result<(), Problems> {
        let mut problems = Problems::new();
        if matches!(self.files, InForce::Yes(_)) {
            self.reach.lacks_files(config, &mut problems);
            self.reach.lacks_ports(config, &mut problems);
        }
        if matches!(self.files, InForce::Yes(_)) || matches!(self.calls, InForce::Yes(_)) {
            self.reach.lacks_programs(config, &mut problems);
        }
        problems.settle();
        if problems.has_errors() {
            Err(problems)
        } else {
            Ok(())
        }
    }

    /// Why what could not be read by a reload may be out of reach.
    pub(crate) fn explain(&self, problems: &mut Problems) {
        if !matches!(self.files, InForce::Yes(_)) {
            return;
        }
        for problem in problems.iter_mut() {
            if problem.code == "PC1004" {
                problem.note(
                    "since its start this process can read only the folders that its configuration named then; a further one needs a restart",
                );
            }
        }
    }
}

/// `account root (uid 0); no core dumps; landlock: …; seccomp: …`
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.core_dumps {
            "core dumps allowed"
        } else {
            "no core dumps"
        };
        write!(
            f,
            "account {}; {cores}; landlock: {}; seccomp: {}",
            self.account, self.files, self.calls
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{ConfineError, InForce};
    use crate::config::Mechanism;

    #[test]
    fn what_the_kernel_lacks_is_told_or_keeps_the_process_from_starting() {
        let told = |wanted, done| InForce::told("seccomp", wanted, done);
        let lacking = told(Mechanism::WhenAvailable, None).unwrap();
        assert_eq!(lacking.to_string(), "not to be had here");
        assert!(matches!(
            told(Mechanism::Required, None),
            Err(ConfineError::Lacking {
                mechanism: "seccomp"
            })
        ));
        for wanted in [Mechanism::Required, Mechanism::WhenAvailable] {
            let done = told(wanted, Some("9 calls".to_owned())).unwrap();
            assert_eq!(done, InForce::Yes("9 calls".to_owned()));
        }
    }
}
