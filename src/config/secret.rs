//! Secrets enter by reference, never as text in the file.
//!
//! One reader for `{ file = ... }`, `{ env = ... }` and `{ credential = ... }`. A problem never repeats what it found.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::Problems;
use super::source::{At, Spanned};
use super::table::{Reader, Value, table};
use super::tree::{Node, Raw};

/// A file with a secret in it; when it exists, strangers cannot read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretFile(PathBuf);

impl std::ops::Deref for SecretFile {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for SecretFile {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

table! {
    /// Where a secret is.
    Reference ["secret"] {
        /// A file that only Portcullis can read.
        file: Option<PathBuf> = none, restart;
        /// An environment variable.
        env: Option<String> = none, restart;
        /// A systemd credential (`LoadCredential=`).
        credential: Option<String> = none, restart;
    }
}

const KIND: &str = "`{ file = \"PATH\" }` or `{ credential = \"NAME\" }` (systemd LoadCredential=)";

impl Value for SecretFile {
    fn kind() -> String {
        KIND.to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Raw::Text(_) = node.raw {
            let (key, _) = reader.here();
            let help = format!(
                "put it in a file that only Portcullis can read and write: {key} = {{ file = \"/etc/portcullis/secrets/{key}\" }}"
            );
            reader
                .refuse("PC1301", node, "is written in the file")
                .hide_line()
                .help(help)
                .note("if it is a path, write { file = \"PATH\" }; if it is the secret, replace it: copies of this file have it");
            return None;
        }
        let reference = Reference::read(node, reader)?;
        let path = match (reference.file, reference.env, reference.credential) {
            (Some(file), None, None) => file,
            (None, None, Some(name)) => credential(&name, node, reader)?,
            (None, Some(_), None) => {
                reader
                    .refuse(
                        "PC1303",
                        node,
                        "must be a file, not an environment variable",
                    )
                    .label("children and crash reports inherit the environment")
                    .help(format!("it takes {KIND}"));
                return None;
            }
            _ => {
                reader
                    .refuse("PC1303", node, "must name exactly one place")
                    .help(format!("it takes {KIND}"));
                return None;
            }
        };
        check_mode(&path, &node.at, reader.problems);
        Some(Self(path))
    }
}

/// The path of a systemd credential (systemd.exec(5), `LoadCredential=`).
fn credential(name: &str, node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        reader.refuse(
            "PC1303",
            node,
            "has a credential whose name is no file name",
        );
        return None;
    }
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        reader
            .refuse(
                "PC1304",
                node,
                &format!("names the credential `{name}`, and systemd gave this process none"),
            )
            .help(format!(
                "add to the unit: LoadCredential={name}:/etc/portcullis/{name}"
            ))
            .note("the variable CREDENTIALS_DIRECTORY is not set");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    reader
        .named
        .push(Spanned::new(path.clone(), node.at.clone()));
    Some(path)
}

/// Refuses a secret's file that people outside its group can read, or others than its owner write.
/// An absent file is the concern of whoever opens it.
pub(crate) fn check_mode(path: &Path, at: &At, problems: &mut Problems) {
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    let whose = match mode {
        _ if mode & 0o004 != 0 => "can be read by everyone",
        _ if mode & 0o022 != 0 => "can be changed by others than its owner",
        _ if mode & 0o007 != 0 => "is open to everyone",
        _ => return,
    };
    problems
        .error("PC1302")
        .message(format!("{} {whose} (mode {mode:04o})", path.display()))
        .at(at)
        .label("this file holds a secret")
        .help(format!("run: chmod 600 {}", path.display()));
}
