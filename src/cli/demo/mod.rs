//! Not in this branch.

use crate::cli::args::Demo;
use crate::cli::{Failure, Globals, Outcome};

pub(super) fn run(_args: &Demo, _globals: &Globals) -> Result<Outcome, Failure> {
    Ok(Outcome::No)
}
