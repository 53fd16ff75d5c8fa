//! `portcullis doctor`: why does it not work, seen from this machine. Each cross comes with one command.
//!
//! With `--tls` it grades one listener instead. Otherwise it
//! changes nothing and asks nobody outside: it reads files, tries the addresses to listen on, and connects to the
//! configured upstreams and to a Portcullis that runs here.

mod machine;
mod network;
mod tls;

use serde::Serialize;

use super::args::{Doctor, Format};
use super::output::{Tone, counted};
use super::{Failure, Globals, Outcome, block_on};
use crate::base::Clock;
use crate::config::{self, Problems};
use crate::plan::Plan;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Examined {
    what: &'static str,
    ok: bool,
    text: String,
    /// What puts it right; a cross always has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl Examined {
    fn good(what: &'static str, text: impl Into<String>) -> Self {
        Self {
            what,
            ok: true,
            text: text.into(),
            command: None,
        }
    }

    fn bad(what: &'static str, text: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            what,
            ok: false,
            text: text.into(),
            command: Some(command.into()),
        }
    }
}

pub(super) fn run(args: &Doctor, globals: &Globals) -> Result<Outcome, Failure> {
    if let Some(listener) = &args.tls {
        return tls::run(listener, args, globals);
    }
    let found = examine(globals)?;
    let good = found.iter().all(|examined| examined.ok);
    match globals.format {
        Format::Text => {
            for examined in &found {
                globals.out.print(line(examined, globals))?;
            }
            let crosses = found.iter().filter(|examined| !examined.ok).count();
            globals.out.note(match crosses {
                0 => format!("{} things looked at, all well", found.len()),
                1 => format!("{} things looked at, 1 needs you", found.len()),
                _ => format!("{} things looked at, {crosses} need you", found.len()),
            });
        }
        format => globals.out.print_json(format, &found)?,
    }
    Ok(Outcome::yes(good))
}

fn line(examined: &Examined, globals: &Globals) -> String {
    let mark = if examined.ok {
        globals.out.paint(Tone::Good, "\u{2713}")
    } else {
        globals.out.paint(Tone::Bad, "\u{2717}")
    };
    let mut text = format!("{mark} {:<13} {}\n", examined.what, examined.text);
    if let Some(command) = &examined.command {
        text.push_str(&format!("  {:<13} \u{2192} {command}\n", ""));
    }
    text
}

fn examine(globals: &Globals) -> Result<Vec<Examined>, Failure> {
    let now = Clock::System.now();
    let path = globals.locate()?;
    let named = super::shown(&path);
    let check = format!("portcullis -c {named} check");
    let mut found = vec![Examined::good(
        "version",
        format!("portcullis {}", env!("CARGO_PKG_VERSION")),
    )];
    let loaded = match config::load(&path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            found.push(Examined::bad(
                "configuration",
                format!("{named}: {}", told(&problems)),
                check,
            ));
            return Ok(found);
        }
    };
    let plan = match Plan::compile(loaded.config.clone(), loaded.warnings, None) {
        Ok(compiled) => {
            let text = format!(
                "{named}, {}, {} passed",
                counted(compiled.plan.routes.routes().len(), "app"),
                counted(compiled.plan.tested.passed, "test")
            );
            found.push(Examined::good("configuration", text));
            Some(compiled.plan)
        }
        Err(problems) => {
            found.push(Examined::bad(
                "configuration",
                format!("{named}: {}", told(&problems)),
                check,
            ));
            None
        }
    };
    let config = &loaded.config;
    machine::examine(config, now, &mut found);
    block_on(network::examine(config, plan.as_ref(), &mut found))?;
    Ok(found)
}

/// The count, and the first finding in one line.
fn told(problems: &Problems) -> String {
    let first = problems
        .iter()
        .find(|problem| problem.severity == config::Severity::Error);
    let first = first.map(|problem| format!("{}: {}", problem.code, problem.message));
    let first = first.unwrap_or_default();
    format!("{}; first: {first}", problems.summary())
}
