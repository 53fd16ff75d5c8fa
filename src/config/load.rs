//! Finds the file, reads it with its includes, and makes the [`Config`].

use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::source::{Source, Spanned};
use super::table::{Reader, Value as _};
use super::tree::{self, Node};
use super::{Config, Document, check, include};

/// Where the file is looked for when nobody names one.
const USUAL: [&str; 2] = ["portcullis.toml", "/etc/portcullis/portcullis.toml"];

/// What stands in for a portal that cannot be read, while the rest is checked.
const PORTAL: &str = "[server]\nportal = \"portal.invalid\"";

/// A configuration that may be used, with what should still be looked at.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Problems,
}

/// The file to load: `named` (from `--config`), else the one in `PORTCULLIS_CONFIG`, else the first of the
/// usual places that exists.
pub(crate) fn locate(named: Option<&Path>) -> Result<PathBuf, Problems> {
    let from_environment = || {
        std::env::var_os("PORTCULLIS_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let mut problems = Problems::new();
    if let Some(path) = named.map(Path::to_path_buf).or_else(from_environment) {
        if path.exists() {
            return Ok(path);
        }
        let message = format!("no configuration found: {} does not exist", path.display());
        problems.error("PC1001").message(message);
    } else if let Some(path) = USUAL.iter().map(Path::new).find(|path| path.exists()) {
        return Ok(path.to_path_buf());
    } else {
        let message = format!(
            "no configuration found. Looked in ./{}",
            USUAL.join(" and ")
        );
        problems.error("PC1001").message(message);
    }
    for problem in problems.iter_mut() {
        problem
            .help("to make one: portcullis init --portal login.example.com")
            .help("to try without one: portcullis demo");
    }
    Err(problems)
}

/// Reads `path` and what it includes. Errors are collected, never stopped at.
pub(crate) fn load(path: &Path) -> Result<Loaded, Problems> {
    let mut problems = Problems::new();
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let config = tree::read_source(path, &mut problems)
        .and_then(|source| compile(source, folder, &mut problems));
    problems.settle();
    match config {
        Some(config) if !problems.has_errors() => Ok(Loaded {
            config,
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

/// `None` when a file is no TOML or lacks what has no default.
pub(crate) fn compile(source: Source, folder: &Path, problems: &mut Problems) -> Option<Config> {
    let first = tree::parse(&source, problems);
    let mut sources = vec![source];
    let included = first
        .as_ref()
        .map(|root| included(root, folder, &mut sources, problems))
        .unwrap_or_default();
    let mut root = first?;
    for other in included {
        tree::merge(&mut root, other?, "", problems);
    }
    let mut reader = Reader::new(folder, problems);
    let document = Document::read(&root, &mut reader);
    let named = reader.named;
    let document = document.or_else(|| {
        // Only a portal that is missing or unreadable leads here, and that is noted. With a stand-in the
        // rest can be checked too.
        let stand_in = tree::parse(&Source::new("", PORTAL), &mut Problems::new())?;
        let mut problems = Problems::new();
        root.overlay(&stand_in);
        Document::read(&root, &mut Reader::new(folder, &mut problems))
    });
    let mut config = assemble(document?, sources, named);
    // Defaults know no folder.
    if !config.policy.dir.at().is_written() {
        config.policy.dir.value = folder.join(&config.policy.dir.value);
    }
    check::complete(&mut config, &root, problems);
    Some(config)
}

/// The trees of the included files; `None` for one that is no TOML.
fn included(
    root: &Node,
    folder: &Path,
    sources: &mut Vec<Source>,
    problems: &mut Problems,
) -> Vec<Option<Node>> {
    let mut trees = Vec::new();
    for (path, at) in include::files(root, folder, problems) {
        if sources.iter().any(|source| source.path() == path) {
            continue;
        }
        let Some(source) = tree::read_source(&path, problems) else {
            continue;
        };
        let tree = tree::parse(&source, problems);
        if let Some(nested) = tree.as_ref().and_then(|tree| tree.get("include")) {
            problems
                .error("PC1005")
                .message(format!("{} includes further files", path.display()))
                .at(&nested.at)
                .label("only the first file can")
                .note(format!("included at {at}"));
        }
        trees.push(tree.map(Node::without_include));
        sources.push(source);
    }
    trees
}

fn assemble(document: Document, sources: Vec<Source>, named: Vec<Spanned<PathBuf>>) -> Config {
    Config {
        path: sources
            .first()
            .map(|source| source.path().to_path_buf())
            .unwrap_or_default(),
        sources,
        named,
        process: document.process,
        server: document.server,
        listeners: document.listener,
        tls: document.tls,
        storage: document.storage,
        auth: document.auth,
        session: document.session,
        upstreams: document.upstream,
        routes: document.route,
        rate_limits: document.rate_limit,
        groups: document.group,
        tenants: document.tenant,
        policy: document.policy,
        audit: document.audit,
        telemetry: document.telemetry,
    }
}
