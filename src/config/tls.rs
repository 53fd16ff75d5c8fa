//! `[tls]`: protocol versions and certificates towards clients.

use std::path::PathBuf;
use std::time::Duration;

use super::secret::SecretFile;
use super::source::Spanned;
use super::table::table;
use super::types::Profile;
use super::words::words;

table! {
    /// TLS towards clients.
    Tls ["tls"] {
        /// Mozilla's guideline 6.0: `"intermediate"` is TLS 1.2 and 1.3, `"modern"` is TLS 1.3 alone.
        profile: Spanned<Profile> = "intermediate", reload;
        /// Where certificates come from.
        certificates: Spanned<Certificates> = "files", reload;
        /// Certificates and their keys; each serves the names it carries.
        files: Vec<CertificateFile> = [], reload;
        /// How often certificate files are looked at for a change.
        recheck: Duration = "30s", reload;
        /// How long a key that seals session tickets is in use.
        ticket_rotation: Duration = "6h", restart;
        /// Strict-Transport-Security.
        hsts: Hsts = {}, reload;
    }
}

words! {
    /// Where certificates come from.
    Certificates {
        /// From `files`.
        Files = "files",
        /// Made at start by an own authority in the data folder. For trials: no browser trusts it.
        Internal = "internal",
    }
}

table! {
    /// One certificate chain and its key, both PEM.
    CertificateFile ["tls.files[]"] {
        /// The chain, leaf first.
        cert: Spanned<PathBuf> = required, reload;
        /// The private key.
        key: Spanned<SecretFile> = required, reload;
    }
}

table! {
    /// Strict-Transport-Security (RFC 6797), sent with every answer.
    Hsts ["tls.hsts"] {
        /// How long browsers remember to use https only.
        max_age: Duration = "730d", reload;
        /// Also for names below the host.
        include_subdomains: bool = true, reload;
        /// Asks for a place on the browsers' built-in lists. Hard to undo.
        preload: bool = false, reload;
    }
}
