//! The command line: one file per verb, and what all of them share.
//!
//! A verb takes its own arguments and the [`Globals`] and gives an [`Outcome`] or a [`Failure`]; exit codes are the
//! contract with scripts. Results go to stdout, everything else to stderr. No verb prints a secret that was not just
//! made for the person who asked.

mod admin;
mod args;
mod audit;
mod cert;
mod check;
mod completions;
mod config;
mod demo;
mod doctor;
mod ground;
mod health;
mod help;
mod init;
mod man;
mod open;
mod outcome;
mod output;
mod policy;
mod reload;
mod run;
mod session;
mod user;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::FromArgMatches as _;

use args::{Cli, Format, Verb};
use outcome::{Exit, Failure, Outcome};
use output::Output;

/// What holds for every verb.
#[derive(Debug)]
pub(crate) struct Globals {
    /// The file named with `--config` or in `PORTCULLIS_CONFIG`.
    pub(crate) config: Option<PathBuf>,
    pub(crate) format: Format,
    /// `--yes`: questions are answered already.
    pub(crate) yes: bool,
    pub(crate) out: Output,
}

impl Globals {
    /// The configuration file that is meant.
    ///
    /// # Errors
    /// Exit 2, with what to do.
    pub(crate) fn locate(&self) -> Result<PathBuf, Failure> {
        crate::config::locate(self.config.as_deref()).map_err(|problems| self.refused(&problems))
    }

    /// Problems that keep a command from its work; rendered to stderr.
    pub(crate) fn refused(&self, problems: &crate::config::Problems) -> Failure {
        Failure::new(
            Exit::CannotDo,
            problems.render(self.out.colors_errors()).trim_end(),
        )
    }

    /// `true` when `--yes` was given or the person at the terminal agrees to `question`.
    pub(crate) fn agrees(&self, question: &str) -> bool {
        self.yes || self.out.ask(question)
    }
}

/// Runs the program: reads the command line, does what it says, and gives the exit code.
pub fn run() -> ExitCode {
    let parsed = help::command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stderr leaves nobody to tell.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let globals = Globals {
        // An empty PORTCULLIS_CONFIG names no file.
        config: cli.config.filter(|path| !path.as_os_str().is_empty()),
        format: cli.format,
        yes: cli.yes,
        out: Output::new(cli.color),
    };
    // Unwinding has closed what was open; nothing of it is used again.
    match catch_unwind(AssertUnwindSafe(|| dispatch(cli.verb, &globals))) {
        Ok(Ok(outcome)) => outcome.exit().code(),
        Ok(Err(failure)) => {
            globals.out.say(&failure.text());
            failure.exit.code()
        }
        Err(_panic) => {
            globals.out.say(&outcome::bug_report());
            Exit::Bug.code()
        }
    }
}

fn dispatch(verb: Verb, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        Verb::Demo(args) => demo::run(&args, globals),
        Verb::Init(args) => init::run(&args, globals),
        Verb::Run => run::run(globals),
        Verb::Check(args) => check::run(&args, globals),
        Verb::Reload => reload::run(globals),
        Verb::Health(args) => health::run(&args, globals),
        Verb::Policy(args) => policy::run(&args, globals),
        Verb::User(args) => user::run(&args, globals),
        Verb::Session(args) => session::run(&args, globals),
        Verb::Cert(args) => cert::run(&args, globals),
        Verb::Audit(args) => audit::run(&args, globals),
        Verb::Config(args) => config::run(&args, globals),
        Verb::Doctor(args) => doctor::run(&args, globals),
        Verb::Completions { shell } => completions::run(shell, globals),
        Verb::Man { dir } => man::run(dir.as_deref(), globals),
    }
}

/// A runtime for verbs that wait for something; `run` and `demo` make their own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::caused("Portcullis cannot start its runtime", &error))?;
    Ok(runtime.block_on(future))
}

/// A path as the operator would type it.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
