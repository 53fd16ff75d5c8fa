//! How a command ends: the exit codes, and the two ways to get one.

use std::error::Error;
use std::process::ExitCode;

/// What the number means to the script that started us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, or: the answer is yes.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// The job could not be done as asked; trying again changes nothing.
    CannotDo = 2,
    /// The server, the database or an upstream cannot be reached.
    Unreachable = 3,
    /// Not permitted.
    NotPermitted = 4,
    TimedOut = 5,
    /// A safety question was not answered with yes.
    Stopped = 6,
    /// Our own defect.
    Bug = 70,
    /// The audit log cannot be written.
    AuditUnwritable = 74,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// A command that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit 0.
    Done,
    /// Exit 1: the work is done and the answer is no.
    No,
}

impl Outcome {
    pub(crate) const fn exit(self) -> Exit {
        match self {
            Self::Done => Exit::Done,
            Self::No => Exit::No,
        }
    }

    /// [`Outcome::Done`] for yes.
    pub(crate) const fn yes(answer: bool) -> Self {
        if answer { Self::Done } else { Self::No }
    }
}

/// A command that could not do its work; `message` goes to stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is wrong and what to do. Empty says nothing.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// Exit 2.
    pub(crate) fn cannot(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotDo, message)
    }

    /// Exit 2, `what` with the whole chain of causes.
    pub(crate) fn caused(what: &str, error: &dyn Error) -> Self {
        Self::cannot(format!("{what}: {}", chain(error)))
    }

    /// The same with another exit code.
    pub(crate) fn exiting(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The reader of our output went away: nothing is wrong.
    pub(super) const fn unread() -> Self {
        Self {
            exit: Exit::Done,
            message: String::new(),
        }
    }

    /// The message with a line break, or nothing.
    pub(super) fn text(&self) -> String {
        if self.message.is_empty() {
            String::new()
        } else {
            format!("{}\n", self.message)
        }
    }
}

/// An error and its causes, each once: `cannot read x: permission denied`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// What to say after a panic.
pub(super) fn bug_report() -> String {
    format!(
        "this is a defect of Portcullis, not of your files. Report it with the lines above and: portcullis {}, {} {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests {
    use super::{Failure, chain};

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_said_once() {
        let error = Outer(std::io::Error::other("disk full"));
        assert_eq!(chain(&error), "cannot open the log: disk full");
        assert_eq!(
            Failure::caused("stopped", &error).message,
            "stopped: cannot open the log: disk full"
        );
    }

    #[test]
    fn an_unread_output_is_no_failure() {
        let failure = Failure::unread();
        assert_eq!((failure.exit as u8, failure.text().as_str()), (0, ""));
    }
}
