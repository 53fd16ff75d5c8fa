//! Opens what a command works on: the configuration, the compiled plan, the store and keys, read only.

use crate::config::{self, Config};
use crate::plan::Plan;

use super::{Failure, Globals};

/// The configuration alone.
///
/// # Errors
/// Exit 2 with every problem rendered.
pub(crate) fn config(globals: &Globals) -> Result<Config, Failure> {
    let path = globals.locate()?;
    let loaded = config::load(&path).map_err(|problems| globals.refused(&problems))?;
    Ok(loaded.config)
}

/// The plan that a server started now would serve.
///
/// # Errors
/// As [`config`].
pub(crate) fn plan(globals: &Globals) -> Result<Plan, Failure> {
    let path = globals.locate()?;
    let compiled = Plan::load(&path, None).map_err(|problems| globals.refused(&problems))?;
    Ok(compiled.plan)
}
