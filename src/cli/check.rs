//! `portcullis check`: what start-up checks, by start-up's own code, without starting or creating anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{Check, Format};
use super::outcome::Exit;
use super::output::counted;
use super::{Failure, Globals, Outcome, ground, shown};
use crate::base::{Clock, Timestamp};
use crate::config::{self, Config, Problems};
use crate::plan::Plan;

pub(super) fn run(args: &Check, globals: &Globals) -> Result<Outcome, Failure> {
    let started = Clock::System.now();
    let files = if args.files.is_empty() {
        vec![globals.locate()?]
    } else {
        args.files.clone()
    };
    let mut good = true;
    let mut reports = Vec::new();
    for file in files {
        let path = existing(&file)?;
        let checked = check(&path, Clock::System.now());
        let refused =
            checked.problems.has_errors() || (args.deny.is_some() && !checked.problems.is_empty());
        good &= !refused;
        match globals.format {
            Format::Text => show(&checked, refused, started, globals)?,
            Format::Json | Format::Jsonl => reports.push(report(&path, &checked, refused)),
        }
    }
    match (globals.format, reports.as_slice()) {
        (Format::Text, _) => {}
        (Format::Json, [one]) => globals.out.print_json(Format::Json, one)?,
        (Format::Json, all) => globals.out.print_json(Format::Json, &all)?,
        (Format::Jsonl, all) => {
            for one in all {
                globals.out.print_json(Format::Jsonl, one)?;
            }
        }
    }
    Ok(Outcome::yes(good))
}

/// A folder stands for the configuration in it.
fn existing(file: &Path) -> Result<PathBuf, Failure> {
    let path = if file.is_dir() {
        file.join("portcullis.toml")
    } else {
        file.to_path_buf()
    };
    if path.exists() {
        return Ok(path);
    }
    let message = format!(
        "error[PC1001]: no configuration found: {} does not exist",
        shown(&path)
    );
    Err(Failure::new(Exit::CannotDo, message))
}

/// What a check found.
struct Checked {
    /// What would be served; `None` when that much was wrong.
    plan: Option<Plan>,
    problems: Problems,
}

/// Everything that start-up looks at before it listens.
fn check(path: &Path, now: Timestamp) -> Checked {
    match Plan::load(path, None) {
        Ok(compiled) => {
            let mut problems = compiled.warnings;
            machine(&compiled.plan.config, now, &mut problems);
            Checked {
                plan: Some(compiled.plan),
                problems,
            }
        }
        Err(mut problems) => {
            // The policies may be what is wrong; certificates are then worth a look all the same.
            if let Ok(loaded) = config::load(path) {
                machine(&loaded.config, now, &mut problems);
            }
            Checked {
                plan: None,
                problems,
            }
        }
    }
}

fn machine(config: &Config, now: Timestamp, problems: &mut Problems) {
    ground::storage(config, problems);
    // What is loaded here is loaded again by whoever serves.
    drop(ground::certificates(config, now, problems));
    problems.settle();
}

/// Findings on stderr, one line about the whole on stdout.
fn show(
    checked: &Checked,
    refused: bool,
    started: Timestamp,
    globals: &Globals,
) -> Result<(), Failure> {
    let took = Clock::System.now().since(started).as_millis();
    globals
        .out
        .say(&checked.problems.render(globals.out.colors_errors()));
    let findings = checked.problems.summary();
    match &checked.plan {
        Some(plan) if !refused => {
            let also = if findings.is_empty() {
                String::new()
            } else {
                format!(", {findings}")
            };
            for cost in costs(plan) {
                globals.out.note(cost);
            }
            globals
                .out
                .print(format_args!("ok: {}{also} ({took} ms)\n", contents(plan)))
        }
        _ => {
            let first = checked.problems.iter().next();
            let code = first.map_or("CODE", |problem| problem.code);
            globals.out.print(format_args!(
                "{findings}{} ({took} ms). `portcullis config explain {code}` says more.\n",
                places(&checked.problems)
            ))
        }
    }
}

/// What the TLS profiles in use cost, each once.
fn costs(plan: &Plan) -> BTreeSet<&'static str> {
    let config = &plan.config;
    let further = config.listeners.values().filter_map(|one| one.profile);
    std::iter::once(config.tls.profile.value)
        .chain(further)
        .filter_map(config::Profile::cost)
        .collect()
}

/// ` in portcullis.toml`, ` in 3 files`, or nothing when no file is concerned.
fn places(problems: &Problems) -> String {
    let files: BTreeSet<&Path> = problems
        .iter()
        .filter_map(|problem| Some(problem.at.as_ref()?.source().path()))
        .collect();
    match (files.first(), files.len()) {
        (None, _) => String::new(),
        (Some(one), 1) => format!(" in {}", shown(one)),
        (Some(_), count) => format!(" in {count} files"),
    }
}

/// `2 apps, 17 policies, 31 tests passed`
fn contents(plan: &Plan) -> String {
    let policies = plan.policies.count();
    [
        counted(plan.routes.routes().len(), "app"),
        counted(
            policies.written.saturating_add(policies.generated),
            "policy",
        ),
        format!("{} passed", counted(plan.tested.passed, "test")),
    ]
    .join(", ")
}

fn report(path: &Path, checked: &Checked, refused: bool) -> serde_json::Value {
    let served = checked.plan.as_ref().map(|plan| {
        let policies = plan.policies.count();
        json!({
            "routes": plan.routes.routes().len(),
            "policies": { "written": policies.written, "from_allow": policies.generated },
            "tests_passed": plan.tested.passed,
            "costs": costs(plan),
            "config_hash": &*plan.revision.config,
            "policy_hash": &*plan.revision.policies,
        })
    });
    json!({
        "file": path,
        "ok": !refused,
        "errors": checked.problems.errors(),
        "warnings": checked.problems.warnings(),
        "problems": checked.problems.to_json(),
        "serves": served,
    })
}
