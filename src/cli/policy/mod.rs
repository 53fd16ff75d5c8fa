//! `portcullis policy`: the rules of the configuration on disk, offline.

mod explain;

use serde_json::json;

use super::args::{Format, Policy};
use super::{Failure, Globals, Outcome, open};
use crate::authz::{cases, schema};
use crate::base::PolicyId;
use crate::config::Problems;
use crate::plan::Untested;

pub(super) fn run(verb: &Policy, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        Policy::Test { filter, coverage } => test(filter.as_deref(), *coverage, globals),
        Policy::Explain(args) => explain::run(args, globals),
        Policy::List => {
            let plan = open::plan(globals)?;
            match globals.format {
                Format::Text => globals.out.print(plan.policies.list())?,
                Format::Json | Format::Jsonl => {
                    globals.out.print(plan.policies.list_json() + "\n")?
                }
            }
            Ok(Outcome::Done)
        }
        Policy::Show { id } => show(id, globals),
        Policy::Schema => {
            globals.out.print(schema::TEXT)?;
            Ok(Outcome::Done)
        }
    }
}

fn show(id: &str, globals: &Globals) -> Result<Outcome, Failure> {
    let plan = open::plan(globals)?;
    let shown = match globals.format {
        Format::Text => plan.policies.show(id),
        Format::Json | Format::Jsonl => plan.policies.show_json(id).map(|text| text + "\n"),
    };
    match shown {
        Ok(text) => globals.out.print(text)?,
        Err(nearest) => {
            let nearest = nearest.map(|nearest| format!("; a similar id exists: {nearest}"));
            let message = format!(
                "no policy has the id `{id}`{}. All of them: portcullis policy list",
                nearest.unwrap_or_default()
            );
            return Err(Failure::cannot(message));
        }
    }
    Ok(Outcome::Done)
}

fn test(filter: Option<&str>, coverage: bool, globals: &Globals) -> Result<Outcome, Failure> {
    let path = globals.locate()?;
    let Untested { policies, cases } =
        Untested::load(&path).map_err(|problems| globals.refused(&problems))?;
    let report = cases::run(&policies, &cases, filter.unwrap_or_default());
    let ran = report.passed.saturating_add(report.failures.len());
    match globals.format {
        Format::Text => {
            globals.out.print(report.text())?;
            if coverage {
                globals.out.print(report.coverage(&policies))?;
            }
        }
        format => {
            let mut failures = Problems::new();
            report.add_to(&mut failures);
            let untested: Vec<_> = report
                .untested(&policies)
                .into_iter()
                .map(PolicyId::as_str)
                .collect();
            let value = json!({
                "passed": report.passed,
                "failed": report.failures.len(),
                "failures": failures.to_json(),
                "untested": if coverage { json!(untested) } else { json!(null) },
            });
            globals.out.print_json(format, &value)?;
        }
    }
    if ran == 0 {
        globals.out.note(match filter {
            Some(filter) => format!("no test has `{filter}` in its name or file"),
            None => "there are no tests".to_owned(),
        });
    }
    Ok(Outcome::yes(report.has_passed()))
}
