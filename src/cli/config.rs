//! `portcullis config`: what keys and message codes mean, from the same declarations that read the file.

use super::args::{ConfigVerb, Format};
use super::{Failure, Globals, Outcome};
use crate::config;

pub(super) fn run(verb: &ConfigVerb, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        ConfigVerb::Explain { what } => explain(what, globals),
        ConfigVerb::Reference => {
            globals.out.print(config::reference())?;
            Ok(Outcome::Done)
        }
    }
}

fn explain(what: &str, globals: &Globals) -> Result<Outcome, Failure> {
    // People paste what they see, brackets included: `error[PC1104]`, `[route.grafana]`.
    let what = what
        .trim_start_matches("error")
        .trim_start_matches("warning")
        .trim_matches(['[', ']', ':']);
    if let Some(code) = config::find_code(what) {
        match globals.format {
            Format::Text => globals.out.print(format_args!(
                "{}: {}\n\n{}\n",
                code.id, code.title, code.text
            ))?,
            format => {
                let value =
                    serde_json::json!({ "code": code.id, "title": code.title, "text": code.text });
                globals.out.print_json(format, &value)?;
            }
        }
        return Ok(Outcome::Done);
    }
    let Some(text) = config::explain_key(what) else {
        return Err(Failure::cannot(format!(
            "`{what}` is neither a message code such as PC1104 nor a key such as session.idle. All of them: portcullis config reference"
        )));
    };
    match globals.format {
        Format::Text => globals.out.print(format_args!("{}\n", text.trim()))?,
        format => globals.out.print_json(
            format,
            &serde_json::json!({ "key": what, "text": text.trim() }),
        )?,
    }
    Ok(Outcome::Done)
}
