//! `docs/configuration.md`, made from the declarations of the tables.

use super::codes::CODES;
use super::table::{FieldDoc, Table as _, TableDoc};

/// Every table, in the order of the reference.
pub(super) const TABLES: &[&TableDoc] = &[
    &super::Document::DOC,
    &super::server::Server::DOC,
    &super::server::Limits::DOC,
    &super::server::HeaderNames::DOC,
    &super::server::Branding::DOC,
    &super::listener::ProxyProtocol::DOC,
    &super::listener::Listener::DOC,
    &super::tls::Tls::DOC,
    &super::tls::Acme::DOC,
    &super::tls::DnsHook::DOC,
    &super::tls::ExternalAccount::DOC,
    &super::tls::CertificateFile::DOC,
    &super::tls::Hsts::DOC,
    &super::process::Process::DOC,
    &super::storage::Storage::DOC,
    &super::auth::Auth::DOC,
    &super::auth::Password::DOC,
    &super::auth::Lockout::DOC,
    &super::auth::Session::DOC,
    &super::upstream::Upstream::DOC,
    &super::values::WeightedTarget::DOC,
    &super::upstream::UpstreamTls::DOC,
    &super::upstream::UpstreamTimeout::DOC,
    &super::route::Route::DOC,
    &super::route::Identity::DOC,
    &super::answers::RouteHeaders::DOC,
    &super::answers::RouteCookies::DOC,
    &super::answers::Cors::DOC,
    &super::route::RouteSession::DOC,
    &super::route::RouteAudit::DOC,
    &super::rules::RateLimit::DOC,
    &super::rules::Group::DOC,
    &super::rules::Tenant::DOC,
    &super::rules::PolicyFiles::DOC,
    &super::audit::Audit::DOC,
    &super::audit::Telemetry::DOC,
];

/// The tables that have a key of this name, as `[path]`.
pub(super) fn tables_with(key: &str) -> Vec<String> {
    TABLES
        .iter()
        .filter(|table| !table.path.is_empty())
        .filter(|table| table.fields.iter().any(|field| field.name == key))
        .map(|table| format!("[{}]", table.path))
        .collect()
}

/// The required keys of the table at `path`, in backticks.
pub(super) fn required_in(path: &str) -> Vec<String> {
    let keys = TABLES.iter().filter(|table| table.path == path);
    keys.flat_map(|table| table.fields)
        .filter(|field| field.default == "required")
        .map(|field| format!("`{}`", field.name))
        .collect()
}

/// The whole of `docs/configuration.md`.
pub(crate) fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for table in TABLES {
        chapter(table, &mut page);
    }
    page.push_str("\n## Messages\n\nEvery finding has a code that never changes its meaning. `portcullis config explain CODE` prints the same text.\n");
    for code in CODES {
        page.push_str(&format!(
            "\n### {}: {}\n\n{}\n",
            code.id, code.title, code.text
        ));
    }
    page
}

/// The reference entry of a table or key, such as `route.NAME`, `route.allow` or `server.limits.body_bytes`.
pub(crate) fn explain(name: &str) -> Option<String> {
    let plain = |path: &str| path.replace(".NAME", "").replace("[]", "");
    if let Some(table) = TABLES
        .iter()
        .find(|table| !table.path.is_empty() && plain(table.path) == plain(name))
    {
        let mut text = String::new();
        chapter(table, &mut text);
        return Some(text);
    }
    let (home, key) = name.rsplit_once('.')?;
    let table = TABLES
        .iter()
        .find(|table| plain(table.path) == plain(home))?;
    let field = table.fields.iter().find(|field| field.name == key)?;
    Some(entry(field))
}

const INTRODUCTION: &str = "\
<!-- Made from the declarations in src/config; a test compares. To renew it: PORTCULLIS_BLESS=1 cargo test --lib config:: -->

# Configuration

Portcullis reads one TOML file. It is looked for in this order: `--config`, the environment variable `PORTCULLIS_CONFIG`, `./portcullis.toml`, `/etc/portcullis/portcullis.toml`.

- Unknown keys and tables are errors, and all findings are reported together. `portcullis check` shows them without starting anything.
- Order never matters.
- Relative paths start at the folder of the first file.
- Durations are one whole number with its unit: `\"250ms\"`, `\"30s\"`, `\"5m\"`, `\"12h\"`, `\"400d\"`. Sizes: `\"512B\"`, `\"32KiB\"`, `\"8MiB\"`, `\"1GiB\"`. Rates: `\"100/10s\"`.
- Secrets are named, never written: `{ file = \"PATH\" }` or `{ credential = \"NAME\" }`. Their files are closed to others.
- NAME in a table's header is yours to choose: letters, digits, `-`, `_` and `.`, at most 64. It is the id in policies, logs and metrics.
- \"after reload\" and \"after restart\" say what brings a change into force; a reload is SIGHUP or `portcullis reload`.
";

fn chapter(table: &TableDoc, page: &mut String) {
    let title = if table.path.is_empty() {
        "Top of the file".to_owned()
    } else {
        format!("[{}]", table.path)
    };
    page.push_str(&format!("\n## {title}\n\n{}\n\n", paragraphs(table.doc)));
    for field in table.fields {
        page.push_str(&entry(field));
    }
}

fn entry(field: &FieldDoc) -> String {
    let (name, effect, kind) = (field.name, field.effect, (field.kind)());
    let default = match field.default {
        "required" => "required; ".to_owned(),
        "none" => "none by default; ".to_owned(),
        "{}" => String::new(),
        text => format!("default `{text}`; "),
    };
    let doc = paragraphs(field.doc);
    format!("- **`{name}`**: {doc}\n  Takes {kind}; {default}after {effect}.\n")
}

/// The lines of a doc comment as one text; an empty line ends a paragraph.
fn paragraphs(lines: &[&str]) -> String {
    let trimmed: Vec<_> = lines.iter().map(|line| line.trim()).collect();
    let paragraphs: Vec<_> = trimmed
        .split(|line| line.is_empty())
        .map(|paragraph| paragraph.join(" "))
        .collect();
    paragraphs.join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{TABLES, explain, markdown};
    use crate::config::tests::compare_or_bless;
    use crate::config::tree::parse_value;

    #[test]
    fn every_table_that_is_declared_stands_in_the_reference() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config");
        let mut declared = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if !path.is_file() {
                continue;
            }
            let source = std::fs::read_to_string(path).unwrap();
            // `Server ["server"] {` begins a declaration.
            let heads = source.lines().filter_map(|line| {
                let head = line.strip_prefix("    ")?.strip_suffix("\"] {")?;
                let (name, path) = head.split_once(" [\"")?;
                name.chars()
                    .all(char::is_alphabetic)
                    .then_some((name, path))
            });
            // A reference to a secret is a value, and explained where it may stand.
            for (name, path) in heads.filter(|(name, _)| *name != "Reference") {
                declared += 1;
                assert!(TABLES.iter().any(|table| table.path == path), "{name}");
            }
        }
        assert!(declared > 20, "{declared}");
    }

    #[test]
    fn the_committed_reference_is_what_the_declarations_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        compare_or_bless(path.as_ref(), &markdown());
    }

    #[test]
    fn every_table_is_listed_once_and_every_key_is_explained() {
        let paths: BTreeSet<_> = TABLES.iter().map(|table| table.path).collect();
        assert_eq!(paths.len(), TABLES.len());
        for table in TABLES {
            for field in table.fields {
                let text = field.doc.join("");
                assert!(
                    text.trim_end().ends_with('.'),
                    "[{}] {}",
                    table.path,
                    field.name
                );
                assert!(
                    matches!(field.effect, "reload" | "restart"),
                    "{}",
                    field.effect
                );
                let stated = matches!(field.default, "required" | "none");
                assert!(
                    stated || parse_value(field.default).is_some(),
                    "{}",
                    field.default
                );
            }
        }
    }

    #[test]
    fn a_key_can_be_explained_by_its_path() {
        assert!(explain("route.allow").unwrap().contains("Who may open it"));
        assert!(explain("server.limits").unwrap().contains("body_bytes"));
        assert!(explain("route.NAME.identity.audience").is_some());
        assert!(explain("route.alow").is_none());
    }
}
