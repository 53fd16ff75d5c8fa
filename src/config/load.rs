//! Reads the files, their includes, and makes the [`Config`].

use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::source::Source;
use super::table::{Reader, Value as _};
use super::tree::{self, Node, Raw};
use super::{Config, Document};

/// A configuration that may be used, with what should still be looked at.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) warnings: Problems,
}

/// Reads `path` and what it includes. Errors are collected, never stopped at.
pub(crate) fn load(path: &Path) -> Result<Loaded, Problems> {
    let mut problems = Problems::new();
    let config = read(path, &mut problems);
    problems.settle();
    match config {
        Some(config) if !problems.has_errors() => Ok(Loaded {
            config,
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

fn read(path: &Path, problems: &mut Problems) -> Option<Config> {
    let source = tree::read_source(path, problems)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    compile(path.to_path_buf(), folder, source, problems)
}

pub(super) fn compile(
    path: PathBuf,
    folder: PathBuf,
    source: Source,
    problems: &mut Problems,
) -> Option<Config> {
    let root = tree::parse(&source, problems)?;
    let sources = vec![source];
    let document = Document::read(&root, &mut Reader::new(&folder, problems))?;
    Some(assemble(document, path, folder, sources))
}

fn assemble(document: Document, path: PathBuf, folder: PathBuf, sources: Vec<Source>) -> Config {
    Config {
        path,
        folder,
        sources,
        server: document.server,
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
