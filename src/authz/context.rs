//! The circumstances of one request as Cedar's `context`.
//!
//! Records that none of the policies at hand reads are left out: nobody can tell, and it costs less.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cedar_policy::{Context, RestrictedExpression};
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::authn::SessionFacts;
use crate::base::Timestamp;

use super::reads::Reads;
use super::request::{AccessRequest, Certificate, Circumstances, Device, Grant, Token};
use super::schema::Kind;

type Fields = Vec<(String, RestrictedExpression)>;

/// A part of the context could not be expressed; the request is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the circumstances of the request cannot be expressed for policies")]
pub(crate) struct Inexpressible;

/// The local time of a target, as policies see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// `"mon"` to `"sun"`.
    pub(crate) weekday: &'static str,
    /// Minutes since local midnight by the wall clock.
    pub(crate) minute: i64,
    /// `"2026-11-24"`.
    pub(crate) date: String,
    /// When the wall clock shows the next minute.
    pub(crate) ends: Timestamp,
}

impl LocalTime {
    pub(crate) fn at(now: Timestamp, zone: &TimeZone) -> Self {
        let local: Zoned = now.to_jiff().to_zoned(zone.clone());
        let weekday = match local.weekday() {
            jiff::civil::Weekday::Monday => "mon",
            jiff::civil::Weekday::Tuesday => "tue",
            jiff::civil::Weekday::Wednesday => "wed",
            jiff::civil::Weekday::Thursday => "thu",
            jiff::civil::Weekday::Friday => "fri",
            jiff::civil::Weekday::Saturday => "sat",
            jiff::civil::Weekday::Sunday => "sun",
        };
        let into_minute =
            i64::from(local.second()) * 1_000_000 + i64::from(local.subsec_nanosecond()) / 1_000;
        Self {
            weekday,
            minute: i64::from(local.hour()) * 60 + i64::from(local.minute()),
            date: local.date().to_string(),
            ends: Timestamp::from_micros(now.micros().saturating_add(60_000_000 - into_minute)),
        }
    }
}

/// How much of the time the policies at hand can get to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock<'a> {
    /// None of it, as the guards have shown.
    Unseen,
    /// Weekday, minute and date in this zone.
    Calendar(&'a TimeZone),
    /// That and the exact time.
    Exact(&'a TimeZone),
}

/// What a context is made of besides the request itself. Expressions that were made before are cheaper to use again
/// than to make: Cedar parses the name of an extension function each time.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) reads: &'a Reads,
    pub(crate) clock: Clock<'a>,
    /// From [`session`].
    pub(crate) session: Option<RestrictedExpression>,
    /// From [`address`].
    pub(crate) address: Option<RestrictedExpression>,
}

/// Builds the context that `parts.reads` asks for.
pub(crate) fn build(
    request: &AccessRequest<'_>,
    parts: Parts<'_>,
) -> Result<Context, Inexpressible> {
    let reads = parts.reads;
    let mut fields: Fields = Vec::with_capacity(8);
    if reads.asks_path() || reads.host || reads.method || reads.request_id {
        fields.push(("request".to_owned(), of_request(request)?));
    }
    if reads.asks_client() {
        let address = parts.address.unwrap_or_else(|| address(request.client));
        fields.push(("client".to_owned(), of_client(request, address)?));
    }
    match parts.clock {
        Clock::Unseen => {}
        Clock::Calendar(zone) => {
            fields.push(("time".to_owned(), of_time(request.now, zone, false)?))
        }
        Clock::Exact(zone) => fields.push(("time".to_owned(), of_time(request.now, zone, true)?)),
    }
    if reads.session
        && let Some(session) = parts.session
    {
        fields.push(("session".to_owned(), session));
    }
    if reads.credentials {
        credentials(request.circumstances, &mut fields)?;
    }
    Context::from_pairs(fields).map_err(|_inexpressible| Inexpressible)
}

fn record(fields: Fields) -> Result<RestrictedExpression, Inexpressible> {
    RestrictedExpression::new_record(fields).map_err(|_repeated| Inexpressible)
}

fn of_request(request: &AccessRequest<'_>) -> Result<RestrictedExpression, Inexpressible> {
    record(vec![
        ("id".to_owned(), text(request.id.to_string())),
        ("host".to_owned(), text(request.host)),
        ("path".to_owned(), text(request.path)),
        ("method".to_owned(), text(request.action.method())),
    ])
}

fn of_client(
    request: &AccessRequest<'_>,
    address: RestrictedExpression,
) -> Result<RestrictedExpression, Inexpressible> {
    let mut fields = vec![("ip".to_owned(), address)];
    if let Some(country) = &request.circumstances.country {
        fields.push(("country".to_owned(), text(country.as_str())));
    }
    if let Some(certificate) = &request.circumstances.mtls {
        fields.push(("mtls".to_owned(), of_certificate(certificate)?));
    }
    record(fields)
}

fn of_certificate(certificate: &Certificate) -> Result<RestrictedExpression, Inexpressible> {
    record(vec![
        ("issuer".to_owned(), text(certificate.issuer.as_str())),
        ("subject".to_owned(), text(certificate.subject.as_str())),
        ("san".to_owned(), texts(&certificate.san)),
        ("serial".to_owned(), text(certificate.serial.as_str())),
    ])
}

fn of_time(
    now: Timestamp,
    zone: &TimeZone,
    exact: bool,
) -> Result<RestrictedExpression, Inexpressible> {
    let local = LocalTime::at(now, zone);
    let mut fields = vec![
        ("weekday".to_owned(), text(local.weekday)),
        (
            "minute".to_owned(),
            RestrictedExpression::new_long(local.minute),
        ),
        ("date".to_owned(), text(local.date)),
    ];
    if exact {
        fields.push(("now".to_owned(), time(now)));
    }
    record(fields)
}

/// `context.session`; `verified` replaces the time of the second factor, for a probe.
pub(crate) fn session(
    session: &SessionFacts,
    verified: Option<Timestamp>,
) -> Result<RestrictedExpression, Inexpressible> {
    let methods = session.methods.iter().map(|method| text(method.code()));
    record(vec![
        ("signed_in_at".to_owned(), time(session.signed_in_at)),
        (
            "verified_at".to_owned(),
            time(verified.unwrap_or(session.verified_at)),
        ),
        ("methods".to_owned(), RestrictedExpression::new_set(methods)),
        ("idp".to_owned(), text(&*session.idp)),
    ])
}

fn credentials(known: &Circumstances, fields: &mut Fields) -> Result<(), Inexpressible> {
    if let Some(device) = &known.device {
        fields.push(("device".to_owned(), of_device(device)?));
    }
    if let Some(token) = &known.token {
        fields.push(("token".to_owned(), of_token(token)?));
    }
    if let Some(grant) = &known.grant {
        fields.push(("grant".to_owned(), of_grant(grant)?));
    }
    Ok(())
}

fn of_device(device: &Device) -> Result<RestrictedExpression, Inexpressible> {
    record(vec![
        ("id".to_owned(), text(device.id.as_str())),
        ("issuer".to_owned(), text(device.issuer.as_str())),
        (
            "managed".to_owned(),
            RestrictedExpression::new_bool(device.managed),
        ),
    ])
}

fn of_token(token: &Token) -> Result<RestrictedExpression, Inexpressible> {
    record(vec![
        ("id".to_owned(), text(token.id.as_str())),
        ("scopes".to_owned(), texts(&token.scopes)),
        ("expires_at".to_owned(), time(token.expires_at)),
    ])
}

fn of_grant(grant: &Grant) -> Result<RestrictedExpression, Inexpressible> {
    let mut fields = vec![
        ("id".to_owned(), text(grant.id.as_str())),
        ("kind".to_owned(), text(grant.kind.as_str())),
        ("expires_at".to_owned(), time(grant.expires_at)),
        ("reason".to_owned(), text(grant.reason.as_str())),
    ];
    if let Some(approver) = &grant.approver {
        let uid = Kind::User.uid(approver);
        fields.push((
            "approver".to_owned(),
            RestrictedExpression::new_entity_uid(uid),
        ));
    }
    record(fields)
}

fn text(value: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(value.into())
}

fn texts(values: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.iter().map(|value| text(value.as_str())))
}

/// Cedar's own form of RFC 3339, in milliseconds.
fn time(at: Timestamp) -> RestrictedExpression {
    RestrictedExpression::new_datetime(at.to_string())
}

/// An IPv4 address in IPv6 clothes is the IPv4 address, or ranges would not hold for it.
pub(crate) fn address(client: IpAddr) -> RestrictedExpression {
    RestrictedExpression::new_ip(client.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_follows_the_zone_of_the_target() {
        let at: Timestamp = "2026-11-22T23:30:20.5Z".parse().unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let local = LocalTime::at(at, &berlin);
        assert_eq!((local.weekday, local.minute), ("mon", 30));
        assert_eq!(local.date, "2026-11-23");
        assert_eq!(local.ends.to_string(), "2026-11-22T23:31:00.000Z");
        assert_eq!(LocalTime::at(at, &TimeZone::UTC).weekday, "sun");
    }
}
