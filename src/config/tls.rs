//! `[tls]`: protocol versions and certificates towards clients.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use super::secret::SecretFile;
use super::source::Spanned;
use super::table::{default_from, table};
use super::types::Profile;
use super::words::words;

table! {
    /// TLS towards clients.
    Tls ["tls"] {
        /// Mozilla's guideline 6.0: `"intermediate"` is TLS 1.2 and 1.3, `"modern"` is TLS 1.3 alone. `"strict-256"` is for those who have to show 100 of 100 in every score: `check` says what it costs.
        profile: Spanned<Profile> = "intermediate", reload;
        /// Where certificates come from.
        certificates: Spanned<Certificates> = "files", reload;
        /// Certificates by ACME. Naming the table is enough; `certificates = "internal"` has to be taken out.
        acme: Option<Acme> = none, reload;
        /// Certificates and their keys; each serves the names it carries. Beside ACME, no certificate is asked for a name that a file carries.
        files: Vec<CertificateFile> = [], reload;
        /// How often certificate files are looked at for a change.
        recheck: Duration = "30s", reload;
        /// Sends with each certificate that names a responder its proof of not being revoked (OCSP), fetched ahead of time. The responder is asked over plain http, as all are.
        staple: bool = true, reload;
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
        /// Obtained and renewed by ACME for the portal and every route, as `[tls.acme]` says. Using it means that you agree to the terms of the certificate authority.
        Acme = "acme",
        /// Made at start by an own authority in the data folder. For trials: no browser trusts it.
        Internal = "internal",
    }
}

impl Tls {
    /// How certificates are obtained, when they are: `[tls.acme]` is there, or `certificates` says so.
    pub(crate) fn obtained(&self) -> Option<&Acme> {
        static USUAL: LazyLock<Option<Acme>> = LazyLock::new(|| default_from("{}"));
        match (&self.acme, self.certificates.value) {
            (Some(acme), _) => Some(acme),
            (None, Certificates::Acme) => USUAL.as_ref(),
            (None, Certificates::Files | Certificates::Internal) => None,
        }
    }

    #[cfg(test)]
    /// `[tls.acme]` without a key.
    pub(crate) fn usual_acme() -> Acme {
        default_from("{}").unwrap()
    }
}

table! {
    /// Certificates by ACME (RFC 8555): obtained for the portal and every route, renewed when a third of their life is left.
    Acme ["tls.acme"] {
        /// Where the certificate authority may write when something is wrong.
        email: Option<Spanned<String>> = none, reload;
        /// The authority's directory.
        directory: Spanned<String> = "https://acme-v02.api.letsencrypt.org/directory", reload;
        /// PEM file with the authorities that vouch for the directory's own certificate, instead of the system's.
        directory_ca: Option<Spanned<PathBuf>> = none, reload;
        /// How names are proved to be ours.
        challenge: Spanned<Challenge> = "tls-alpn-01", reload;
        /// The program that changes DNS for `challenge = "dns-01"`.
        dns: Option<DnsHook> = none, reload;
        /// The account at the authority that this one belongs to, where the authority wants that.
        external_account: Option<ExternalAccount> = none, reload;
        /// One certificate for all names instead of one for each. Every visitor can then read all names, and one name that cannot be proved holds up the rest.
        bundle: bool = false, reload;
        /// The pause after a first failure. It doubles with every further one, up to `retry_max`.
        retry: Duration = "5m", reload;
        /// The longest pause between two attempts.
        retry_max: Duration = "6h", reload;
    }
}

words! {
    /// How names are proved to be ours.
    Challenge {
        /// Answered in TLS where Portcullis listens for https; the authority connects to port 443.
        TlsAlpn01 = "tls-alpn-01",
        /// Answered where `http_redirect` listens; the authority connects to port 80.
        Http01 = "http-01",
        /// Answered in DNS by the program in `dns`; the only one for wildcards.
        Dns01 = "dns-01",
    }
}

table! {
    /// The program that changes DNS. It is run as `PROGRAM present NAME VALUE` and later as `PROGRAM cleanup NAME VALUE`, without an environment.
    DnsHook ["tls.acme.dns"] {
        /// The program.
        exec: Spanned<PathBuf> = required, reload;
        /// How long one run may take.
        timeout: Duration = "60s", reload;
        /// From the end of `present` until the authority is asked to look: the time that name servers need to agree.
        wait: Duration = "10s", reload;
    }
}

table! {
    /// External account binding (RFC 8555 section 7.3.4).
    ExternalAccount ["tls.acme.external_account"] {
        /// The key identifier that the authority gave.
        id: String = required, reload;
        /// The key that the authority gave, base64url.
        key: Spanned<SecretFile> = required, reload;
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
