//! `portcullis completions`: what the shell needs to complete our words.

use clap_complete::Shell;

use super::{Failure, Globals, Outcome, help};

pub(super) fn run(shell: Shell, globals: &Globals) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::command(), "portcullis", &mut script);
    let script = String::from_utf8(script)
        .map_err(|error| Failure::caused("the completion script is no text", &error))?;
    globals.out.print(script)?;
    Ok(Outcome::Done)
}
