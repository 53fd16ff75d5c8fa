//! Reads the fenced blocks of a page and what their info strings say.

use std::path::{Path, PathBuf};

/// Reasons for which a block may stay unrun; anything else is an error.
const REASONS_NOT_TO_RUN: &[&str] = &[
    // Would build the program a second time; the demo itself is tested with the program that exists.
    "builds-from-source",
    // Changes the machine: accounts, units, packages.
    "needs-an-installation",
    // Shows the shape of a change to this repository.
    "sketch",
    // Is the whole of what `scripts/test` does, this test included.
    "runs-all-tests",
    // `.ci/run` runs it, with the tools that it installs.
    "run-by-ci",
    // Takes minutes and wants a quiet machine.
    "measures",
];

/// Blocks of documents that another test reads and runs: page, language, test, file of the test.
const ELSEWHERE: &[(&str, &str, &str, &str)] = &[(
    "docs/audit-format.md",
    "python",
    "the_documented_program_verifies_without_us",
    "src/audit/tests/golden.rs",
)];

/// What a block is, by the words after its fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `toml`: a whole configuration; passes `portcullis check`.
    Config,
    /// `toml part`: tables of a configuration; passes in a frame.
    ConfigPart,
    /// `toml policy-test`: cases; pass with the policies of their page.
    PolicyTest,
    /// `cedar`: policies; accepted together with the rest of their page.
    Policy,
    /// `console`: commands after `$ ` and what they print; run in order in one folder per page.
    Console,
    /// `console background`: one command that goes on running until the page ends.
    ConsoleBackground,
    /// `LANGUAGE file=PATH`: the whole content of a file that a test runs.
    File,
    /// `json`: parses.
    Json,
    /// A program that another test runs ([`ELSEWHERE`]).
    RunElsewhere,
    /// `text`, or nothing: a picture, a layout, an output.
    Text,
    /// `LANGUAGE not-run=REASON`.
    NotRun,
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) page: PathBuf,
    /// Line of the opening fence.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// What stands behind `file=`, or the language of a block that is run elsewhere.
    pub(crate) argument: Option<String>,
    /// Exit code that the last command of a console block ends with.
    pub(crate) exit: i32,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }
}

/// The blocks of a page, in order.
pub(crate) fn blocks_of(page: &Path, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, Some(info)) => open = Some(opened(page, number + 1, info)),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block does not end", page.display());
    blocks
}

fn opened(page: &Path, line: usize, info: &str) -> Block {
    let mut words = info.split_whitespace();
    let language = words.next().unwrap_or("text");
    let mut block = Block {
        page: page.to_path_buf(),
        line,
        kind: Kind::Text,
        argument: None,
        exit: 0,
        text: String::new(),
    };
    let rest: Vec<&str> = words.collect();
    block.kind = match (language, rest.as_slice()) {
        ("toml", []) => Kind::Config,
        ("toml", ["part"]) => Kind::ConfigPart,
        ("toml", ["policy-test"]) => Kind::PolicyTest,
        ("cedar", []) => Kind::Policy,
        ("console", []) => Kind::Console,
        ("console", ["background"]) => Kind::ConsoleBackground,
        ("console", [word]) if word.starts_with("exit=") => {
            block.exit = word["exit=".len()..].parse().unwrap();
            Kind::Console
        }
        ("json", []) => Kind::Json,
        ("text", []) => Kind::Text,
        (_, [word]) if word.starts_with("file=") => {
            block.argument = Some(word["file=".len()..].to_owned());
            Kind::File
        }
        (_, [word]) if word.starts_with("not-run=") => {
            let reason = &word["not-run=".len()..];
            assert!(
                REASONS_NOT_TO_RUN.contains(&reason),
                "{}: `{reason}` is no reason not to run",
                block.place()
            );
            Kind::NotRun
        }
        (language, []) if elsewhere(page, language).is_some() => {
            block.argument = Some(language.to_owned());
            Kind::RunElsewhere
        }
        _ => panic!(
            "{}: `{info}` does not say how the block is run",
            block.place()
        ),
    };
    block
}

fn elsewhere(page: &Path, language: &str) -> Option<(&'static str, &'static str)> {
    ELSEWHERE
        .iter()
        .find(|(other, kind, _, _)| Path::new(other) == page && *kind == language)
        .map(|(_, _, test, file)| (*test, *file))
}

/// Name and file of the test that runs a block of kind [`Kind::RunElsewhere`].
pub(crate) fn test_elsewhere(block: &Block) -> (&'static str, &'static str) {
    elsewhere(&block.page, block.argument.as_deref().unwrap()).unwrap()
}

/// Code in indented blocks would escape the rules; it belongs between fences.
pub(crate) fn refuse_indented(page: &Path, text: &str) {
    let mut fenced = false;
    let mut before = "";
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && before.is_empty() && line.starts_with("    ") {
            panic!(
                "{}:{}: an indented block; use a fence that says what it is",
                page.display(),
                number + 1
            );
        }
        before = line;
    }
}

/// Line and target of every link.
pub(crate) fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for piece in line.split("](").skip(1) {
            let target = piece.split(')').next().unwrap();
            found.push((number + 1, target.to_owned()));
        }
    }
    found
}
