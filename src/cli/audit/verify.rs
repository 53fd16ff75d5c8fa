//! `portcullis audit verify`: folder and public key are enough; neither server nor database is asked for the proof.

use std::path::Path;

use crate::audit::{report, verify};
use crate::cli::args::{AuditVerify, Format};
use crate::cli::{Failure, Globals, Outcome, open, shown};
use crate::keys::NoteVerifier;

/// The key that the server writes beside the log.
const KEY_FILE: &str = "log.vkey";

pub(super) fn run(args: &AuditVerify, globals: &Globals) -> Result<Outcome, Failure> {
    let config = match &args.folder {
        Some(_) => None,
        None => Some(open::config(globals)?),
    };
    let folder = match (&args.folder, &config) {
        (Some(folder), _) => folder.clone(),
        (None, Some(config)) => config.audit_folder(),
        (None, None) => return Err(Failure::cannot("no folder is named")),
    };
    if !folder.is_dir() {
        return Err(Failure::cannot(format!(
            "there is no audit log in {}",
            shown(&folder)
        )));
    }
    let kept = config
        .as_ref()
        .and_then(|config| open::log_key(config).ok().flatten());
    let key = match (&args.key, kept) {
        (Some(key), _) => named(key)?,
        (None, Some(key)) => key,
        (None, None) => {
            let key = named(&shown(&folder.join(KEY_FILE)))?;
            globals.out.note("the key was taken from the log's own folder. Whoever could replace the log could replace it too; with a copy kept elsewhere: --key KEY");
            key
        }
    };
    let against = match &args.against {
        Some(path) => vec![read(path)?],
        None => Vec::new(),
    };
    let findings = verify::verify(&folder, &key, &against).map_err(|error| {
        Failure::caused(
            &format!("the audit log in {} cannot be verified", shown(&folder)),
            &error,
        )
    })?;
    let text = match globals.format {
        Format::Text => report::verification(&findings, &key),
        Format::Json | Format::Jsonl => report::verification_json(&findings, &key) + "\n",
    };
    globals.out.print(text)?;
    Ok(Outcome::yes(findings.is_verified()))
}

/// A verifier line, or the file that holds one.
fn named(key: &str) -> Result<NoteVerifier, Failure> {
    let path = Path::new(key);
    let line = if path.is_file() {
        read(path)?
    } else {
        key.to_owned()
    };
    NoteVerifier::parse(&line).map_err(|_unreadable| {
        Failure::cannot(format!(
            "`{}` is neither a verifier key (NAME+ID+KEY) nor a file that holds one",
            key.trim()
        ))
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::caused(&format!("cannot read {}", shown(path)), &error))
}
