//! From files to rules: reading the folder, parsing, names, strict validation.
//!
//! Everything wrong is reported, each thing once, at the place where it was written. Nothing is decided here.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cedar_policy::{Policy, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use crate::base::PolicyId;
use crate::config::{At, Problems, Source};

use super::parallel;
use super::rule::Rule;
use super::schema::schema;

/// Policies that are validated together: few enough to share them out evenly.
const VALIDATED_AT_ONCE: usize = 128;

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
    for (found, theirs) in parallel::map(files, read_rules) {
        problems.append(theirs);
        for (rule, at) in found {
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

/// The rules of one file, in order, and what is wrong with it.
fn read_rules(file: &Source) -> (Vec<(Rule, At)>, Problems) {
    let mut problems = Problems::new();
    let found = parse_file(file, &mut problems)
        .into_iter()
        .filter_map(|(policy, at)| Some((Rule::read(&policy, &at, &mut problems)?, at)))
        .collect();
    (found, problems)
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
    let by_id: HashMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let validator = Validator::new(schema().clone());
    if by_id.len() != rules.len() {
        problems
            .error("PC2103")
            .message("two policies have the same id");
        return false;
    }
    // Cedar validates every policy by itself, so any division finds what the whole would.
    let parts: Vec<&[Rule]> = rules.chunks(VALIDATED_AT_ONCE).collect();
    let mut passed = true;
    let mut merged: BTreeMap<Finding, usize> = BTreeMap::new();
    for found in parallel::map(&parts, |part| findings(&validator, part)) {
        let Some((theirs, found)) = found else {
            problems
                .error("PC2107")
                .message("the policies cannot be validated");
            return false;
        };
        passed &= theirs;
        for (finding, times) in found {
            *merged.entry(finding).or_default() += times;
        }
    }
    for (finding, times) in &merged {
        finding.report(&by_id, *times, problems);
    }
    passed
}

/// Whether `rules` pass, and how often each thing was found.
fn findings(validator: &Validator, rules: &[Rule]) -> Option<(bool, BTreeMap<Finding, usize>)> {
    let set = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone())).ok()?;
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
    Some((result.validation_passed(), merged))
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
        let whole = error.to_string();
        let message = whole.strip_prefix(&prefix).unwrap_or(&whole);
        // Cedar repeats itself for every action; the place and the fix are the same.
        let message = message
            .split_once(" for Action::")
            .map_or(message, |(message, _action)| message);
        let absent = message
            .strip_prefix("unable to guarantee safety of access to optional attribute `")
            .and_then(|rest| rest.strip_suffix("` in context"));
        let (message, help) = match absent {
            Some(name) => (
                format!("policy `{policy}` reads `context.{name}` without testing that it exists"),
                Some(format!("write `context has {name} && ...`")),
            ),
            None => (
                format!("policy `{policy}`: {message}"),
                error.help().map(|help| help.to_string()),
            ),
        };
        Self {
            span: span(error),
            code,
            message,
            help,
            policy,
        }
    }

    fn report(&self, rules: &HashMap<&str, &Rule>, times: usize, problems: &mut Problems) {
        let problem = if self.code == "PC2301" {
            problems.warning(self.code)
        } else {
            problems.error(self.code)
        };
        problem.message(self.message.clone());
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
    if matches!(
        error,
        E::UnrecognizedEntityType(_) | E::UnrecognizedActionId(_) | E::InvalidEnumEntity(_)
    ) {
        "PC2201"
    } else if matches!(error, E::UnsafeOptionalAttributeAccess(_)) {
        "PC2203"
    } else if matches!(error, E::UnsafeAttributeAccess(_)) {
        "PC2204"
    } else {
        "PC2202"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(String, String, String, Vec<String>)> {
        let mut problems = Problems::new();
        let rules = parse(&[Source::new("p.cedar", text)], &mut problems);
        validate(&rules, &mut problems);
        problems
            .iter()
            .map(|problem| {
                let place = problem
                    .at
                    .as_ref()
                    .map(|at| format!("{}:{}", at.line(), at.column()));
                let mut more = problem.help.clone();
                more.extend(problem.notes.clone());
                (
                    problem.code.to_owned(),
                    place.unwrap_or_default(),
                    problem.message.clone(),
                    more,
                )
            })
            .collect()
    }

    #[test]
    fn a_syntax_error_names_its_place() {
        let found = problems("@id(\"a\")\npermit (principal, action resource);");
        assert_eq!(
            (found[0].0.as_str(), found[0].1.as_str()),
            ("PC2101", "2:27")
        );
    }

    #[test]
    fn ids_are_required_and_unique() {
        let mut found = problems(
            "permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);\n@id(\"a b\") permit (principal, action, resource);",
        );
        found.sort_by(|one, other| one.1.cmp(&other.1));
        let codes: Vec<(&str, &str)> = found
            .iter()
            .map(|one| (one.0.as_str(), one.1.as_str()))
            .collect();
        assert_eq!(
            codes,
            [("PC2102", "1:1"), ("PC2103", "3:1"), ("PC2102", "4:1")]
        );
        assert!(found[1].3[0].contains("p.cedar:2:1"));
    }

    #[test]
    fn unsafe_access_is_found_once_with_its_place() {
        let found = problems(
            "@id(\"a\") @reason(\"r\")\nforbid (principal, action, resource)\nwhen { context.session.idp == \"x\" };",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].0.as_str(), found[0].1.as_str()),
            ("PC2203", "3:8")
        );
        assert!(
            found[0]
                .3
                .iter()
                .any(|line| line.contains("identical findings")),
            "{found:?}"
        );
    }

    #[test]
    fn a_misspelt_attribute_is_answered_with_the_right_one() {
        let found = problems(
            "@id(\"a\") permit (principal is User, action, resource) when { principal.contracto };",
        );
        assert_eq!(found[0].0, "PC2204");
        assert!(
            found[0].3.iter().any(|line| line.contains("contractor")),
            "{found:?}"
        );
    }

    #[test]
    fn unknown_types_actions_and_annotations_are_errors() {
        let found = problems(
            "@id(\"a\") @raeson(\"x\") permit (principal is Userr, action == Action::\"get\", resource);",
        );
        let codes: Vec<&str> = found.iter().map(|one| one.0.as_str()).collect();
        assert!(
            codes.contains(&"PC2105") && codes.contains(&"PC2201"),
            "{found:?}"
        );
        assert!(found[0].3[0].contains("@reason"));
    }

    #[test]
    fn annotations_with_a_form_are_read() {
        let found = problems(
            "@id(\"a\") @step_up(\"five\") @review(\"soon\") permit (principal, action, resource);",
        );
        assert_eq!(found.len(), 2);
        assert!(problems("@id(\"a\") @step_up(\"5m\") @review(\"2027-06-30\") permit (principal, action, resource);").is_empty());
    }

    #[test]
    fn templates_are_refused() {
        let found = problems("@id(\"a\") permit (principal == ?principal, action, resource);");
        assert_eq!(found[0].0, "PC2104");
    }

    #[test]
    fn a_folder_that_does_not_exist_holds_no_policies() {
        let mut problems = Problems::new();
        assert!(read_folder(Path::new("/nonexistent/policies"), &mut problems).is_empty());
        assert!(problems.is_empty());
    }
}
