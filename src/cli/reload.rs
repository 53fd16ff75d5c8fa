//! `portcullis reload`: lets the running server take the configuration on disk, and waits for its verdict.

use super::admin::{ask, unexpected};
use super::args::Format;
use super::outcome::Exit;
use super::{Failure, Globals, Outcome, shown};
use crate::admin::call::{Call, Reloaded, Reply};
use crate::config;

pub(super) fn run(globals: &Globals) -> Result<Outcome, Failure> {
    let path = globals.locate()?;
    // A file that cannot be read does not say where the server's socket is, and the server would refuse it anyway.
    let loaded =
        config::load(&path).map_err(|problems| globals.refused(&problems).exiting(Exit::No))?;
    let Some(reply) = ask(&loaded.config, &Call::Reload)? else {
        let socket = shown(&loaded.config.server.admin_socket);
        return Err(Failure::new(
            Exit::Unreachable,
            format!(
                "no server answers on {socket}, so there is nothing to reload. The next start takes the configuration on disk"
            ),
        ));
    };
    let Reply::Reloaded(reloaded) = reply else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text => tell(&reloaded, globals)?,
        format => globals.out.print_json(format, &reloaded)?,
    }
    Ok(Outcome::Done)
}

fn tell(reloaded: &Reloaded, globals: &Globals) -> Result<(), Failure> {
    globals.out.say(&reloaded.warnings);
    globals
        .out
        .print("the configuration on disk is in force\n")?;
    for key in &reloaded.waiting {
        globals
            .out
            .note(format_args!("{key}: the new value waits for a restart"));
    }
    Ok(())
}
