//! `portcullis reload`: lets the running server take the configuration on disk, and waits for its verdict.

use super::admin::{Place, unexpected};
use super::args::Format;
use super::outcome::Exit;
use super::{Failure, Globals, Outcome, shown};
use crate::admin::call::{Call, Reloaded, Reply};

pub(super) fn run(globals: &Globals) -> Result<Outcome, Failure> {
    let place = Place::find(globals)?;
    let Some(reply) = place.ask(&Call::Reload)? else {
        return Err(nobody(place, globals));
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

/// The file's own problems come first: they may be why nobody was found.
fn nobody(place: Place, globals: &Globals) -> Failure {
    let text = format!(
        "no server answers on {}, so there is nothing to reload. The next start takes the configuration on disk",
        shown(place.socket())
    );
    match place.config() {
        Ok(_) => Failure::new(Exit::Unreachable, text),
        Err(problems) => globals.refused(&problems).exiting(Exit::No),
    }
}
