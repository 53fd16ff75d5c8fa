//! `portcullis cert`: the certificates of the running server, and renewing one now.

use super::admin::{Place, unexpected};
use super::args::{Cert as Verb, Format};
use super::outcome::Exit;
use super::user::{counted, local};
use super::{Failure, Globals, Outcome, shown};
use crate::admin::call::{Call, Certificate, CertificateCall, Moment, Reply};

const HEADS: [&str; 5] = ["NAMES", "FROM", "STATE", "UNTIL", "NEXT"];
const UNKNOWN: &str = "-";

pub(super) fn run(verb: &Verb, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        Verb::Status => status(globals),
        Verb::Renew { name } => renew(name.clone(), globals),
    }
}

fn ask(call: CertificateCall, globals: &Globals) -> Result<Reply, Failure> {
    let place = Place::find(globals)?;
    let reply = place.ask(&Call::Certificates(call))?;
    reply.ok_or_else(|| {
        let text = format!(
            "no server answers on {}, so no certificate is served or renewed",
            shown(place.socket())
        );
        Failure::new(Exit::Unreachable, text)
    })
}

/// Exit 1 when a certificate is missing or could not be renewed.
fn status(globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::Certificates(certificates) = ask(CertificateCall::List, globals)? else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text => {
            let rows: Vec<_> = certificates.iter().map(row).collect();
            globals.out.table(&HEADS, &rows)?;
            for certificate in &certificates {
                if let Some(problem) = &certificate.problem {
                    let names = certificate.names.join(" ");
                    let times = counted(
                        usize::try_from(certificate.failures).unwrap_or(usize::MAX),
                        "time",
                    );
                    globals
                        .out
                        .note(format_args!("{names}: failed {times}: {problem}"));
                }
            }
        }
        Format::Json => globals.out.print_json(Format::Json, &certificates)?,
        Format::Jsonl => {
            for certificate in &certificates {
                globals.out.print_json(Format::Jsonl, certificate)?;
            }
        }
    }
    let well = |one: &Certificate| one.failures == 0 && one.not_after.is_some();
    Ok(Outcome::yes(certificates.iter().all(well)))
}

fn row(certificate: &Certificate) -> Vec<String> {
    let time = |moment: Option<Moment>| {
        moment.map_or_else(
            || UNKNOWN.to_owned(),
            |moment| local(moment, "%Y-%m-%d %H:%M %Z"),
        )
    };
    vec![
        certificate.names.join(" "),
        certificate.source.clone(),
        certificate.state.clone(),
        time(certificate.not_after),
        time(certificate.due),
    ]
}

fn renew(name: Option<String>, globals: &Globals) -> Result<Outcome, Failure> {
    let Reply::Renewed { certificates } = ask(CertificateCall::Renew { name }, globals)? else {
        return Err(unexpected());
    };
    match globals.format {
        Format::Text => {
            let renewed = counted(certificates, "certificate");
            globals
                .out
                .print(format_args!("{renewed} renewed and in force\n"))?;
        }
        format => {
            let answer = serde_json::json!({ "certificates": certificates });
            globals.out.print_json(format, &answer)?;
        }
    }
    Ok(Outcome::Done)
}
