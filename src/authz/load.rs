//! From files to rules: reading the folder, parsing, names, strict validation.
//!
//! Everything wrong is reported, each thing once, at the place where it was written. Nothing is decided here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cedar_policy::{Policy, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use crate::base::PolicyId;
use crate::config::{At, Problems, Source};

use super::rule::Rule;
use super::schema::schema;

/// Every `*.cedar` file directly in `folder`, by name. A folder that does not exist holds none.
pub(crate) fn read_folder(folder: &Path, problems: &mut Problems) -> Vec<Source> {
    read_files(folder, "cedar", problems)
}

/// Every file in `folder` that ends in `.extension`, by name; what cannot be read is reported.
pub(crate) fn read_files(folder: &Path, extension: &str, problems: &mut Problems) -> Vec<Source> {
    let paths = match list(folder, extension) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            unreadable(folder, &error, problems);
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => files.push(Source::new(path, text)),
            Err(error) => unreadable(&path, &error, problems),
        }
    }
    files
}

fn list(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error, problems: &mut Problems) {
    problems
        .error("PC2001")
        .message(format!("cannot read {}: {error}", path.display()))
        .help("the user that runs Portcullis must be able to read the policies and their tests");
}

/// Parses `files` and reads every policy's annotations. A policy without a unique id is reported and left out.
pub(crate) fn parse(files: &[Source], problems: &mut Problems) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut places: BTreeMap<PolicyId, At> = BTreeMap::new();
    for file in files {
        for (policy, at) in parse_file(file, problems) {
            let Some(rule) = Rule::read(&policy, &at, problems) else {
                continue;
            };
            if let Some(first) = places.get(&rule.id) {
                problems
                    .error("PC2103")
                    .message(format!("two policies are called `{}`", rule.id))
                    .at(&at)
                    .help(format!(
                        "the first is at {first}; give this one an id of its own"
                    ));
                continue;
            }
            places.insert(rule.id.clone(), at);
            rules.push(rule);
        }
    }
    rules
}

fn parse_file(file: &Source, problems: &mut Problems) -> Vec<(Policy, At)> {
    let set: PolicySet = match file.text().parse() {
        Ok(set) => set,
        Err(errors) => {
            let errors: cedar_policy::ParseErrors = errors;
            for error in errors.iter() {
                let problem = problems.error("PC2101");
                problem.message(plain(error)).at(&place(file, error));
                if let Some(label) = label(error) {
                    problem.label(label);
                }
                if let Some(help) = error.help() {
                    problem.help(help.to_string());
                }
            }
            return Vec::new();
        }
    };
    for template in set.templates() {
        problems
            .error("PC2104")
            .message("a policy template cannot be used")
            .at(&file.whole())
            .label(template.id().to_string())
            .help("write the entity in place of ?principal or ?resource");
    }
    let mut found: Vec<(Policy, At)> = set
        .policies()
        .map(|policy| {
            let at = policy
                .as_ref()
                .loc()
                .map_or_else(|| file.whole(), |loc| file.at(loc.start()..loc.end()));
            (policy.clone(), at)
        })
        .collect();
    found.sort_by_key(|(_, at)| at.span().start);
    found
}

/// Checks `rules` against the schema in strict mode. Findings that differ only in the request they would fail for
/// are merged and counted.
pub(crate) fn validate(rules: &[Rule], problems: &mut Problems) -> bool {
    let Ok(set) = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone())) else {
        problems
            .error("PC2103")
            .message("two policies have the same id");
        return false;
    };
    let by_id: BTreeMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let validator = Validator::new(schema().clone());
    let result = validator.validate(&set, ValidationMode::Strict);
    let mut merged: BTreeMap<Finding, usize> = BTreeMap::new();
    for error in result.validation_errors() {
        let id = error.policy_id().to_string();
        let finding = Finding::of(id, code_of(error), error);
        *merged.entry(finding).or_default() += 1;
    }
    for warning in result.validation_warnings() {
        let finding = Finding::of(warning.policy_id().to_string(), "PC2301", warning);
        *merged.entry(finding).or_default() += 1;
    }
    let passed = result.validation_passed();
    for (finding, times) in &merged {
        finding.report(&by_id, *times, problems);
    }
    passed
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    policy: String,
    span: Option<(usize, usize)>,
    code: &'static str,
    message: String,
    help: Option<String>,
}

impl Finding {
    fn of(policy: String, code: &'static str, error: &dyn Diagnostic) -> Self {
        let prefix = format!("for policy `{policy}`, ");
        let message = error.to_string();
        Self {
            span: span(error),
            code,
            message: message.strip_prefix(&prefix).unwrap_or(&message).to_owned(),
            help: error.help().map(|help| help.to_string()),
            policy,
        }
    }

    fn report(&self, rules: &BTreeMap<&str, &Rule>, times: usize, problems: &mut Problems) {
        let problem = if self.code == "PC2301" {
            problems.warning(self.code)
        } else {
            problems.error(self.code)
        };
        problem.message(format!("policy `{}`: {}", self.policy, self.message));
        if let Some(written) = rules.get(self.policy.as_str()).and_then(|rule| rule.at()) {
            let exact = self
                .span
                .map(|(start, end)| written.source().at(start..end));
            problem.at(exact.as_ref().unwrap_or(written));
        }
        if let Some(help) = &self.help {
            problem.help(help.clone());
        }
        if times > 1 {
            problem.note(format!("{times} identical findings of Cedar are merged"));
        }
    }
}

fn code_of(error: &cedar_policy::ValidationError) -> &'static str {
    use cedar_policy::ValidationError as E;
    match error {
        E::UnrecognizedEntityType(_) | E::UnrecognizedActionId(_) | E::InvalidEnumEntity(_) => {
            "PC2201"
        }
        E::UnsafeOptionalAttributeAccess(_) => "PC2203",
        E::UnsafeAttributeAccess(_) => "PC2204",
        _ => "PC2202",
    }
}

fn plain(error: &dyn Diagnostic) -> String {
    error.to_string().replace('\n', " ")
}

fn span(error: &dyn Diagnostic) -> Option<(usize, usize)> {
    let label = error.labels()?.next()?;
    Some((label.offset(), label.offset() + label.len()))
}

fn label(error: &dyn Diagnostic) -> Option<String> {
    error.labels()?.next()?.label().map(str::to_owned)
}

fn place(file: &Source, error: &dyn Diagnostic) -> At {
    span(error).map_or_else(|| file.whole(), |(start, end)| file.at(start..end))
}
