//! `portcullis man`: the manual page, or one page per command in a folder.

use std::path::Path;

use clap_mangen::Man;

use super::{Failure, Globals, Outcome, help, shown};

pub(super) fn run(folder: Option<&Path>, globals: &Globals) -> Result<Outcome, Failure> {
    let mut command = help::command();
    command.build();
    let Some(folder) = folder else {
        globals.out.print(page(command)?)?;
        return Ok(Outcome::Done);
    };
    let failed = |error| {
        Failure::caused(
            &format!("cannot write manual pages to {}", shown(folder)),
            &error,
        )
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut pages = 0_usize;
    for command in with_subcommands(&command) {
        let name = command
            .get_display_name()
            .unwrap_or("portcullis")
            .to_owned();
        let path = folder.join(format!("{name}.1"));
        std::fs::write(path, page(command)?).map_err(failed)?;
        pages = pages.saturating_add(1);
    }
    globals
        .out
        .note(format_args!("{pages} pages written to {}", shown(folder)));
    Ok(Outcome::Done)
}

/// The command and everything below it.
fn with_subcommands(command: &clap::Command) -> Vec<clap::Command> {
    let below = command.get_subcommands().flat_map(with_subcommands);
    std::iter::once(command.clone()).chain(below).collect()
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut roff = Vec::new();
    Man::new(command)
        .render(&mut roff)
        .map_err(|error| Failure::caused("cannot make the manual page", &error))?;
    String::from_utf8(roff).map_err(|error| Failure::caused("the manual page is no text", &error))
}
