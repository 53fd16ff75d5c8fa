//! Tests about the source tree: layering, purity, sizes, and documents that name code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What a module may not mention, whatever the layer order says.
const PURE: &[(&[&str], &[&str])] = &[
    (
        &["base", "config", "route", "limit", "authz", "pages"],
        &[
            "tokio::",
            "hyper::",
            "rusqlite",
            "std::net::TcpStream",
            "SystemTime",
        ],
    ),
    (
        &[
            "telemetry",
            "tasks",
            "confine",
            "message",
            "keys",
            "tls",
            "dial",
            "audit",
            "authn",
            "upstream",
            "plan",
            "portal",
            "admin",
            "gateway",
            "server",
            "cli",
        ],
        &["rusqlite"],
    ),
    (
        &[
            "telemetry",
            "tasks",
            "confine",
            "message",
            "keys",
            "store",
            "tls",
            "dial",
            "audit",
            "authn",
            "upstream",
            "plan",
            "portal",
            "admin",
            "gateway",
            "server",
            "cli",
        ],
        &["cedar_policy"],
    ),
];

const LARGEST_FILE: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.to_path_buf());
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files_below(&root().join(folder), "rs", &mut found);
    found.sort();
    found
}

/// The modules of `src/lib.rs` in the order in which it declares them.
fn declared_modules() -> Vec<String> {
    read("src/lib.rs")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub mod ")
                .or_else(|| line.strip_prefix("mod "))
        })
        .filter_map(|rest| rest.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn files_of_module(module: &str) -> Vec<PathBuf> {
    let mut files = rust_files(&format!("src/{module}"));
    files.extend(rust_files(&format!("src/{module}.rs")));
    files
}

fn without_comments(source: &str) -> String {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The lines before the test module, which house rules keep last in a file.
fn production_lines(source: &str) -> usize {
    source
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count()
}

fn names_after<'a>(source: &'a str, marker: &str) -> BTreeSet<&'a str> {
    source
        .match_indices(marker)
        .map(|(at, _)| {
            let rest = &source[at + marker.len()..];
            let end = rest
                .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

#[test]
fn modules_use_only_those_declared_above_them() {
    let order = declared_modules();
    assert!(
        order.len() > 10,
        "the module list of src/lib.rs was not found"
    );
    for (position, module) in order.iter().enumerate() {
        for file in files_of_module(module) {
            let source = without_comments(&fs::read_to_string(&file).unwrap());
            for used in names_after(&source, "crate::") {
                if let Some(other) = order.iter().position(|name| name == used) {
                    assert!(
                        other <= position,
                        "{}: `{module}` must not use `{used}`, declared below it",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn every_source_file_belongs_to_a_declared_module() {
    let order = declared_modules();
    for file in rust_files("src") {
        let path = file.strip_prefix(root().join("src")).unwrap();
        let first = path
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .replace(".rs", "");
        assert!(
            ["lib", "main"].contains(&first.as_str()) || order.contains(&first),
            "{} is in no module",
            file.display()
        );
    }
}

#[test]
fn pure_modules_stay_pure() {
    for (modules, banned) in PURE {
        for module in *modules {
            for file in files_of_module(module) {
                let source = without_comments(&fs::read_to_string(&file).unwrap());
                for word in *banned {
                    assert!(
                        !source.contains(word),
                        "{}: `{module}` must not mention `{word}`",
                        file.display()
                    );
                }
            }
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let source = fs::read_to_string(&file).unwrap();
        assert!(
            source.starts_with("//! "),
            "{} has no module documentation",
            file.display()
        );
    }
}

#[test]
fn files_stay_small() {
    for file in rust_files("src") {
        let source = fs::read_to_string(&file).unwrap();
        let lines = production_lines(&source);
        assert!(
            lines <= LARGEST_FILE,
            "{} has {lines} production lines, the limit is {LARGEST_FILE}",
            file.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_skipped() {
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["#[ig", "nore"].concat(),
        ["unimpl", "emented!"].concat(),
    ];
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let source = fs::read_to_string(&file).unwrap();
        for mark in &marks {
            assert!(
                !source.contains(mark.as_str()),
                "{} contains {mark}",
                file.display()
            );
        }
    }
}

#[test]
fn every_reason_has_its_paragraph() {
    let source = read("src/base/reason.rs");
    let codes: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.trim().split_once(" = \"")?.1.split_once("\", "))
        .map(|(code, _)| code.to_owned())
        .collect();
    assert!(codes.len() > 20, "the reasons were not found");
    let documented: BTreeSet<String> = read("docs/reasons.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        codes, documented,
        "docs/reasons.md has one heading per reason"
    );
}

/// Every `name` in backticks that looks like a test's.
fn tests_named_in(text: &str) -> BTreeSet<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.matches('_').count() >= 2
                && word.chars().all(|letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
                })
        })
        .collect()
}

#[test]
fn documents_name_tests_that_exist() {
    let sources: String = rust_files("src")
        .into_iter()
        .chain(rust_files("tests"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut pages = Vec::new();
    files_below(&root().join("docs/decisions"), "md", &mut pages);
    pages.push(root().join("docs/threats.md"));
    pages.push(root().join("docs/edge-requirements.md"));
    let mut seen = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for test in tests_named_in(&text) {
            assert!(
                sources.contains(&format!("fn {test}("))
                    || sources.contains(&format!("\n        {test},")),
                "{} names the test `{test}`, which does not exist",
                page.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen} tests are named");
}

/// A class of failures without a test is a hope.
#[test]
fn every_threat_has_its_test() {
    let text = read("docs/threats.md");
    let mut rows = 0;
    for line in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| Failure"))
    {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 3, "{line}");
        assert!(!tests_named_in(cells[2]).is_empty(), "no test: {line}");
        rows += 1;
    }
    assert!(rows > 30, "only {rows} threats were found");
}

/// Every published failure of the list is excluded by something that exists and shown by a test, or says why not.
#[test]
fn every_requirement_of_the_edge_has_its_test_or_its_reason() {
    let text = read("docs/edge-requirements.md");
    let mut expected = 1;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 4, "{line}");
        let Ok(number) = cells[0].trim().parse::<u32>() else {
            assert_eq!(cells[0].trim(), "#", "{line}");
            continue;
        };
        assert_eq!(number, expected, "{line}");
        expected += 1;
        let reason = cells[3].strip_prefix("Open: ");
        if reason.is_some_and(|reason| reason.len() > 10) {
            continue;
        }
        assert!(!tests_named_in(cells[3]).is_empty(), "no test: {line}");
        let mut files = cells[2].split('`').filter(|word| word.starts_with("src/"));
        let first = files.next();
        assert!(first.is_some(), "no source: {line}");
        for file in first.into_iter().chain(files) {
            assert!(root().join(file).exists(), "{file} does not exist: {line}");
        }
    }
    assert_eq!(expected, 61, "rows 1 to 60");
}

/// A target that is not built, has no inputs, or is not run by the ordinary tests protects nothing.
#[test]
fn every_fuzz_target_is_built_and_has_a_small_corpus_that_the_tests_run() {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let targets: BTreeSet<_> = rust_files("fuzz/fuzz_targets").iter().map(stem).collect();
    assert!(targets.len() > 10, "the fuzz targets were not found");
    let (built, run) = (read("fuzz/Cargo.toml"), read("src/fuzzing/mod.rs"));
    for target in &targets {
        assert!(
            built.contains(&format!("name = \"{target}\"\n")),
            "{target}"
        );
        assert!(
            run.contains(&format!("(\"{target}\", super::{target}),")),
            "{target}"
        );
        let entry = read(format!("fuzz/fuzz_targets/{target}.rs"));
        assert!(entry.contains(&format!("portcullis::fuzzing::{target}(data)")));
    }
    let mut corpora = BTreeSet::new();
    for corpus in fs::read_dir(root().join("fuzz/corpus")).unwrap() {
        let corpus = corpus.unwrap().path();
        let inputs: Vec<_> = fs::read_dir(&corpus).unwrap().flatten().collect();
        assert!((1..=60).contains(&inputs.len()), "{}", corpus.display());
        for input in inputs {
            let (path, length) = (input.path(), input.metadata().unwrap().len());
            assert!(length <= 4096, "{} has {length} bytes", path.display());
        }
        corpora.insert(stem(&corpus));
    }
    assert_eq!(targets, corpora);
}

#[test]
fn the_request_path_names_functions_that_exist() {
    let text = read("docs/request-path.md");
    let mut steps = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split('`').collect();
        let (Some(file), Some(function)) = (words.get(1), words.get(3)) else {
            continue;
        };
        if !line.starts_with("| ") || !file.starts_with("src/") {
            continue;
        }
        let name = function.rsplit("::").next().unwrap();
        let source = read(file);
        assert!(
            source.contains(&format!("fn {name}(")) || source.contains(&format!("fn {name}<")),
            "{file} has no function `{name}`"
        );
        steps += 1;
    }
    assert!(steps > 20, "only {steps} steps were found");
}

/// What a client can be answered has a row in docs/http-status.md, but for what is no refusal.
#[test]
fn every_refusal_has_its_status() {
    const NO_REFUSAL: &[&str] = &[
        "permitted",
        "public-route",
        "own-page",
        "client-closed",
        "session-ended",
        "interrupted",
    ];
    let table = read("docs/http-status.md");
    for reason in read("docs/reasons.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
    {
        assert_eq!(
            table.contains(&format!("`{reason}`")),
            !NO_REFUSAL.contains(&reason),
            "`{reason}` in docs/http-status.md"
        );
    }
}

/// The map of docs/architecture.md has every module, in the order of src/lib.rs.
#[test]
fn the_architecture_lists_every_module_in_order() {
    let listed: Vec<String> = read("docs/architecture.md")
        .lines()
        .skip_while(|line| !line.starts_with("## The map"))
        .take_while(|line| !line.starts_with("## Three ideas"))
        .filter_map(|line| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    let declared: Vec<String> = declared_modules()
        .into_iter()
        .filter(|module| module != "fuzzing" && module != "benching")
        .collect();
    assert_eq!(listed, declared);
}
