//! `portcullis doctor --tls HOST`: grades any TLS listener as graders do, and says what costs points and how to mend it.
//!
//! It connects to that listener alone, sends no credential, and changes nothing.

mod facts;
mod grade;
mod scan;

use serde_json::json;

use self::facts::Facts;
use self::grade::Graded;
use self::scan::Listener;
use crate::base::{Authority, Clock};
use crate::cli::args::{Doctor, Format};
use crate::cli::outcome::Exit;
use crate::cli::{Failure, Globals, Outcome, block_on};
use crate::dial::Endpoint;
use crate::tls::probe::Version;

const HTTPS: u16 = 443;

/// Exit 1 when something stands in the way of A+.
pub(super) fn run(named: &str, args: &Doctor, globals: &Globals) -> Result<Outcome, Failure> {
    let listener = listener(named, args.at.as_deref())?;
    let now = Clock::System.now();
    let facts = block_on(listener.scan(args.ca.as_deref(), now))?
        .map_err(|error| Failure::caused("no grade", &error).exiting(Exit::Unreachable))?;
    let graded = grade::grade(&facts, now);
    match globals.format {
        Format::Text => show(&listener, &graded, globals)?,
        format => globals
            .out
            .print_json(format, &report(&listener, &facts, &graded))?,
    }
    Ok(Outcome::yes(graded.letter == "A+"))
}

fn listener(named: &str, at: Option<&str>) -> Result<Listener, Failure> {
    let read = |text: &str| {
        Authority::parse(text)
            .map_err(|error| Failure::cannot(format!("`{text}` is no HOST or HOST:PORT: {error}")))
    };
    let authority = read(named)?;
    let place = at.map(read).transpose()?;
    let place = place.as_ref().unwrap_or(&authority);
    Ok(Listener {
        endpoint: Endpoint::Tcp {
            host: place.host.clone(),
            port: place.port.or(authority.port).unwrap_or(HTTPS),
        },
        authority,
    })
}

fn show(listener: &Listener, graded: &Graded, globals: &Globals) -> Result<(), Failure> {
    for examined in &graded.found {
        globals.out.print(super::line(examined, globals))?;
    }
    let scores = graded.scores;
    globals.out.print(format_args!(
        "{}: {}, {} of 100 (protocols {}, key exchange {}, ciphers {})\n",
        listener.authority,
        graded.letter,
        scores.total,
        scores.protocols,
        scores.key_exchange,
        scores.ciphers
    ))?;
    globals
        .out
        .note("not looked for: SSL 2 and defects of single libraries, such as Heartbleed or ROBOT");
    Ok(())
}

fn report(listener: &Listener, facts: &Facts, graded: &Graded) -> serde_json::Value {
    let versions = facts.versions().into_iter();
    let suites = facts.accepted.iter();
    json!({
        "listener": listener.authority.to_string(),
        "grade": graded.letter,
        "scores": graded.scores,
        "versions": versions.map(Version::name).collect::<Vec<_>>(),
        "suites": suites
            .map(|(version, suite)| json!({
                "version": version.name(),
                "name": suite.name(),
                "bits": suite.bits(),
            }))
            .collect::<Vec<_>>(),
        "groups": facts.groups.iter().map(|(_, name)| *name).collect::<Vec<_>>(),
        "found": graded.found,
    })
}
