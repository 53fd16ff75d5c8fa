//! What can go wrong with keys, in the operator's words. No variant carries key material.

use std::path::PathBuf;

/// A key that could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("could not read or create the key file `{path}`", path = path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the key file `{path}` can be read by others (mode {mode:04o}): run `chmod 600` on it", path = path.display())]
    TooOpen { path: PathBuf, mode: u32 },
    #[error("the key file `{path}` is not a Portcullis master key", path = path.display())]
    Malformed { path: PathBuf },
    /// Wrong master key, wrong context, or changed bytes; these cannot be told apart.
    #[error("a sealed value does not open: it was changed, or sealed under another master key")]
    Unsealable,
    #[error("a stored {0} cannot be read")]
    Unreadable(&'static str),
    #[error("the cryptographic library refused to {0}")]
    Refused(&'static str),
    #[error("could not sign a token")]
    Signing(#[source] jsonwebtoken::errors::Error),
}
