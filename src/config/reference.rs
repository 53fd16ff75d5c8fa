//! `docs/configuration.md`, made from the declarations of the tables.

use super::table::{Table as _, TableDoc};

/// Every table, in the order of the reference.
pub(super) const TABLES: &[&TableDoc] = &[
    &super::Document::DOC,
    &super::server::Server::DOC,
    &super::server::Limits::DOC,
    &super::server::HeaderNames::DOC,
    &super::server::Branding::DOC,
    &super::tls::Tls::DOC,
    &super::tls::CertificateFile::DOC,
    &super::tls::Hsts::DOC,
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
    &super::route::RouteHeaders::DOC,
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
