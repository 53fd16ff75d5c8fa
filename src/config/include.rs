//! Which further files the first one names.
//!
//! A pattern is a path whose last part has `*`; files come in the order of their names.

use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::source::At;
use super::tree::{Node, Raw};

/// The files that `root` includes, with the place that names each.
pub(super) fn files(root: &Node, folder: &Path, problems: &mut Problems) -> Vec<(PathBuf, At)> {
    let Some(Raw::List(items)) = root.get("include").map(|node| &node.raw) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items {
        let Raw::Text(pattern) = &item.raw else {
            continue;
        };
        match matching(&folder.join(pattern)) {
            Ok(paths) => found.extend(paths.into_iter().map(|path| (path, item.at.clone()))),
            Err(why) => {
                problems
                    .error("PC1005")
                    .message(format!("`include` has `{pattern}`, {why}"))
                    .at(&item.at);
            }
        }
    }
    found
}

fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let name = pattern.file_name().and_then(|name| name.to_str());
    let folder = pattern.parent().unwrap_or_else(|| Path::new("."));
    let Some(name) = name else {
        return Err("which names no file".to_owned());
    };
    if folder.as_os_str().as_encoded_bytes().contains(&b'*') {
        return Err("where `*` stands in the name of a folder".to_owned());
    }
    if !name.contains('*') {
        return if pattern.is_file() {
            Ok(vec![pattern.to_path_buf()])
        } else {
            Err("which is no file".to_owned())
        };
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|file| fits(name, file))
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    Ok(paths)
}

/// `true` when `name` is `pattern` with each `*` standing for any text; hidden files are left out.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last) && (!name.starts_with('.') || first.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_stand_for_any_text() {
        assert!(fits("*.toml", "a.toml") && fits("a*c*.toml", "abcd.toml"));
        assert!(!fits("*.toml", "a.toml.bak") && !fits("*.toml", ".a.toml"));
        assert!(!fits("a*", "b"));
    }
}
