//! Every block of every page does what the page says: configuration is checked, policies are tested, commands run,
//! programs are the tested files.
//!
//! The word after the fence says what a block is and how it is run ([`blocks::Kind`]). A block that cannot run here
//! names its reason, and the reasons are a closed list.

mod assertion;
mod blocks;
mod console;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::blocks::{Block, Kind, blocks_of};
use crate::harness::command::run_in;

/// What a fragment of a configuration stands in, and what policies of a page are checked against.
const FRAME: &str = r#"
[server]
portal = "login.example.com"

[tls]
certificates = "internal"

[storage]
database   = "sqlite:data/portcullis.db"
master_key = { file = "data/master.key" }
"#;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The apps that pages without configuration of their own speak of.
const USUAL_APPS: &str = r#"
[route.billing]
host   = "billing.example.com"
to     = "https://billing.internal:8443"
labels = ["internal"]

[route.grafana]
host   = "grafana.example.com"
to     = "https://grafana-1.internal:3000"
labels = ["internal"]
allow  = ["group:engineering"]
"#;

/// Every page, relative to the root: all that this repository tells people.
pub(crate) fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for file in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        pages.push(PathBuf::from(file));
    }
    for folder in ["docs", "policies", "certs"] {
        collect(&root().join(folder), &mut pages);
    }
    pages.sort();
    pages
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, pages);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path.strip_prefix(root()).unwrap().to_path_buf());
        }
    }
}

pub(crate) fn read(page: &Path) -> String {
    let path = root().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn all_blocks() -> Vec<Block> {
    pages()
        .iter()
        .flat_map(|page| blocks_of(page, &read(page)))
        .collect()
}

fn blocks_of_kind(kind: Kind) -> Vec<Block> {
    let found: Vec<Block> = all_blocks()
        .into_iter()
        .filter(|block| block.kind == kind)
        .collect();
    assert!(
        !found.is_empty(),
        "no page has a block of this kind: {kind:?}"
    );
    found
}

/// Writes a configuration into a fresh folder and checks it as start-up does.
fn check(config: &str, more: &[(String, String)], whose: &str) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("portcullis.toml", config);
    for (name, text) in more {
        write(name, text);
    }
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 0, "{whose}:\n{}{}\n{config}", said.out, said.err);
}

#[test]
fn every_block_says_how_it_is_run() {
    for page in pages() {
        let text = read(&page);
        blocks_of(&page, &text);
        blocks::refuse_indented(&page, &text);
    }
}

#[test]
fn whole_configurations_pass_the_check() {
    for block in blocks_of_kind(Kind::Config) {
        check(&block.text, &[], &block.place());
    }
}

#[test]
fn parts_of_configurations_pass_the_check() {
    for block in blocks_of_kind(Kind::ConfigPart) {
        check(&format!("{FRAME}\n{}", block.text), &[], &block.place());
    }
}

/// The policies and tests of one page belong together, with the parts of a configuration that the page shows.
#[test]
fn policies_are_valid_and_their_tests_pass() {
    let blocks = all_blocks();
    let with_policies: BTreeSet<_> = blocks
        .iter()
        .filter(|block| matches!(block.kind, Kind::Policy | Kind::PolicyTest))
        .map(|block| block.page.clone())
        .collect();
    assert!(!with_policies.is_empty());
    for page in with_policies {
        let own = blocks
            .iter()
            .any(|block| block.page == page && block.kind == Kind::ConfigPart);
        let mut config = format!("{FRAME}{}", if own { "" } else { USUAL_APPS });
        let mut files = Vec::new();
        for (number, block) in blocks.iter().filter(|block| block.page == page).enumerate() {
            match block.kind {
                Kind::ConfigPart => config.push_str(&block.text),
                Kind::Policy => {
                    files.push((format!("policies/{number}.cedar"), block.text.clone()))
                }
                Kind::PolicyTest => {
                    files.push((format!("policies/tests/{number}.toml"), block.text.clone()));
                }
                _ => {}
            }
        }
        check(&config, &files, &page.display().to_string());
    }
}

#[test]
fn programs_on_pages_are_the_tested_files() {
    for block in blocks_of_kind(Kind::File) {
        let file = block.argument.as_deref().unwrap();
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(
            block.text == text,
            "{}: differs from {file}; the file is what is tested",
            block.place()
        );
    }
}

/// Examples nobody reads are examples nobody notices breaking.
#[test]
fn every_example_file_stands_on_a_page() {
    let shown: BTreeSet<_> = blocks_of_kind(Kind::File)
        .into_iter()
        .filter_map(|block| block.argument)
        .collect();
    for entry in fs::read_dir(root().join("docs/how-to/examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        assert!(shown.contains(&name), "{name} stands on no page");
    }
}

#[test]
fn json_on_pages_parses() {
    for block in blocks_of_kind(Kind::Json) {
        for line in serde_json::Deserializer::from_str(&block.text).into_iter::<serde_json::Value>()
        {
            line.unwrap_or_else(|error| panic!("{}: {error}", block.place()));
        }
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages() {
        let text = read(&page);
        for (number, target) in blocks::links(&text) {
            if target.contains("://") || target.starts_with('#') || target.starts_with("mailto:") {
                continue;
            }
            let file = target.split('#').next().unwrap();
            let path = root().join(&page).parent().unwrap().join(file);
            assert!(
                path.exists(),
                "{}:{number}: {target} does not exist",
                page.display()
            );
        }
    }
}

/// Where a page says that another test runs its block, that test exists and reads the page.
#[test]
fn blocks_run_by_other_tests_name_them() {
    for block in all_blocks()
        .into_iter()
        .filter(|block| block.kind == Kind::RunElsewhere)
    {
        let (name, file) = blocks::test_elsewhere(&block);
        let source = fs::read_to_string(root().join(file)).unwrap();
        assert!(
            source.contains(&format!("fn {name}(")),
            "{}: {file} has no test {name}",
            block.place()
        );
        let page = block.page.file_name().unwrap().to_str().unwrap();
        assert!(
            source.contains(page),
            "{}: {file} does not read {page}",
            block.place()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_pages_run_and_print_what_the_page_shows() {
    let mut ran = 0;
    for page in pages() {
        let blocks: Vec<Block> = blocks_of(&page, &read(&page))
            .into_iter()
            .filter(|block| matches!(block.kind, Kind::Console | Kind::ConsoleBackground))
            .collect();
        if !blocks.is_empty() {
            ran += console::run(&blocks).await;
        }
    }
    assert!(ran > 20, "only {ran} commands were found");
}

/// Of systemd's scale from 0 (nothing) to 10 (everything).
const MOST_EXPOSED: f32 = 1.5;

#[test]
fn systemd_accepts_the_unit_and_finds_little_exposed() {
    let unit = root().join("docs/how-to/examples/portcullis.service");
    let text = fs::read_to_string(&unit).unwrap();
    for line in ["Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict"] {
        assert!(text.lines().any(|other| other == line), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("portcullis.service");
    // The check wants the program to be there; everything else stays as it is.
    fs::write(
        &copy,
        text.replace(
            "/usr/local/bin/portcullis",
            env!("CARGO_BIN_EXE_portcullis"),
        ),
    )
    .unwrap();
    let analyze = |args: &[&str]| {
        std::process::Command::new("systemd-analyze")
            .args(args)
            .arg(&copy)
            .output()
            .expect("scripts/install-test-tools installs systemd")
    };
    let said = String::from_utf8(analyze(&["verify"]).stderr).unwrap();
    let about_us: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("portcullis.service") && !line.contains("man portcullis"))
        .collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
    let output = analyze(&["security", "--no-pager", "--offline=true"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let level = said.rsplit("portcullis.service: ").next().unwrap();
    let level: f32 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= MOST_EXPOSED, "{said}");
    let told = fs::read_to_string(root().join("docs/how-to/run-with-systemd.md")).unwrap();
    assert!(
        told.contains(&format!("exposure level {level:.1}")),
        "the page tells another level than {level}"
    );
}
