//! Not in this branch.

use super::{Failure, Globals, Outcome};

pub(super) fn run(_args: &super::args::User, _globals: &Globals) -> Result<Outcome, Failure> {
    Ok(Outcome::No)
}
