//! `portcullis policy explain`: one question, and what every policy said to it.

use crate::cli::args::Explain;
use crate::cli::{Failure, Globals, Outcome};

pub(super) fn run(_args: &Explain, _globals: &Globals) -> Result<Outcome, Failure> {
    Ok(Outcome::No)
}
