//! The command with its help in three groups; clap itself knows one group of commands.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::args::Cli;

/// What belongs together, in the order of a first week with the program.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "Run it",
        &["demo", "init", "run", "check", "reload", "health"],
    ),
    (
        "Look after it",
        &[
            "policy", "user", "session", "cert", "audit", "config", "doctor",
        ],
    ),
    ("Use it", &["completions", "man"]),
];

const AFTER: &str = "\
Exit codes: 0 done or yes; 1 no; 2 not doable as asked; 3 not reachable; 4 not permitted; 5 timed out;
6 stopped by a safety question; 70 a defect of Portcullis; 74 the audit log cannot be written.";

/// The whole command line.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n");
    for (title, names) in GROUPS {
        // Writing to a String cannot fail.
        write!(text, "\n{title}\n").unwrap_or_default();
        for name in names {
            let about = command
                .find_subcommand(name)
                .and_then(clap::Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            writeln!(text, "  {name:<12} {about}").unwrap_or_default();
        }
    }
    text.push_str("\nOptions\n{options}{after-help}");
    command.help_template(text).after_help(AFTER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{GROUPS, command};

    #[test]
    fn every_command_stands_in_one_group_of_the_help() {
        let grouped: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        let known: BTreeSet<String> = command()
            .get_subcommands()
            .map(|verb| verb.get_name().to_owned())
            .collect();
        assert_eq!(grouped.len(), known.len());
        assert!(grouped.iter().all(|name| known.contains(*name)));
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }
}
