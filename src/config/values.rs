//! How each type is read from the file, and what is said when it cannot be.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use jiff::tz::TimeZone;

use super::answers::CorsOrigin;
use super::table::{Reader, Value};
use super::tree::{Node, Raw};
use super::types::{
    Colour, CookieName, Database, HostPattern, PathPrefix, Protocols, Pseudonym, Rate, Subject,
    Target, TargetUrl, Timezone,
};
use super::units::{self, UnitError};
use crate::base::{Authority, Host, Origin};

/// The text at `node`.
pub(super) fn text<'n>(node: &'n Node, wanted: &str, reader: &mut Reader<'_>) -> Option<&'n str> {
    if let Raw::Text(text) = &node.raw {
        return Some(text);
    }
    reader.wrong_type(node, wanted);
    None
}

/// A type made from text; `parse` says what is wrong, as the end of "`key` ...".
macro_rules! from_text {
    ($($ty:ty: $kind:literal, $code:literal, $parse:expr;)+) => { $(
        impl Value for $ty {
            fn kind() -> String {
                $kind.to_owned()
            }

            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let text = text(node, $kind, reader)?;
                let parse: fn(&str) -> Result<$ty, String> = $parse;
                match parse(text) {
                    Ok(value) => Some(value),
                    Err(why) => {
                        reader.refuse($code, node, &why).help(concat!("it takes ", $kind));
                        None
                    }
                }
            }
        }
    )+ };
}

from_text! {
    String: "text", "PC1106", |text| {
        if text.chars().any(|character| character.is_control() && character != '\n') {
            Err("has control characters".to_owned())
        } else {
            Ok(text.to_owned())
        }
    };
    SocketAddr: "an address with a port, such as \"[::]:443\" or \"127.0.0.1:8443\"", "PC1112",
        |text| text.parse().map_err(|_unreadable| format!("is `{text}`, which is no address with a port"));
    IpNet: "a network, such as \"10.20.0.0/16\"", "PC1112",
        |text| text.parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
            .map(|network| network.trunc())
            .map_err(|_unreadable| format!("has `{text}`, which is no network"));
    Authority: "a host with or without a port, such as \"login.example.com\"", "PC1110",
        |text| Authority::parse(text).map_err(|error| bad_host(text, &error.to_string()));
    Host: "a host, such as \"app.example.com\"", "PC1110",
        |text| Host::parse(text).map_err(|error| bad_host(text, &error.to_string()));
    HostPattern: "a host, such as \"app.example.com\" or \"*.example.com\"", "PC1110",
        |text| HostPattern::parse(text).map_err(|error| bad_host(text, &error.to_string()));
    Origin: "an origin, such as \"https://app.example.com\"", "PC1111",
        |text| Origin::parse(text).map_err(|error| format!("has `{text}`: {error}"));
    TargetUrl: "the address of a server, such as \"https://app-1.internal:8443\"", "PC1111",
        |text| TargetUrl::parse(text).map_err(|error| format!("has `{text}`, which {error}"));
    PathPrefix: "a path, such as \"/reports\"", "PC1113",
        |text| PathPrefix::parse(text).map_err(|error| format!("is `{text}`, which {error}"));
    Method: "a method, such as \"GET\"", "PC1113", parse_method;
    HeaderName: "a header name, such as \"X-Example\"", "PC1113",
        |text| HeaderName::try_from(text).map_err(|_unreadable| format!("has `{text}`, which is no header name"));
    HeaderValue: "a header value", "PC1113", parse_header_value;
    CorsOrigin: "an origin, such as \"https://app.example.com\", or \"*\"", "PC1111",
        |text| if text == "*" {
            Ok(CorsOrigin::Any)
        } else {
            Origin::parse(text).map(CorsOrigin::One).map_err(|error| format!("has `{text}`: {error}"))
        };
    Colour: "a colour, such as \"#2f5d8a\"", "PC1113", parse_colour;
    CookieName: "a cookie name that begins with `__Host-`", "PC1113", parse_cookie_name;
    Pseudonym: "a name of letters, digits, `-`, `_` and `.`, at most 64", "PC1116",
        |text| if is_name(text) { Ok(Pseudonym(text.to_owned())) } else { Err(format!("is `{text}`, which is no name")) };
    Subject: "\"group:NAME\", \"user:EMAIL\" or \"everyone\"", "PC1114", parse_subject;
    Timezone: "a time zone, such as \"Europe/Berlin\"", "PC1113", parse_timezone;
}

fn bad_host(text: &str, why: &str) -> String {
    if text.contains("://") {
        format!("is `{text}`, an address with a scheme; a host stands alone")
    } else {
        format!("is `{text}`, which is no host: {why}")
    }
}

/// Printable ASCII without blanks around it: HTTP/2 refuses those, and bytes beyond ASCII have no agreed meaning.
fn parse_header_value(text: &str) -> Result<HeaderValue, String> {
    let plain = |byte: u8| matches!(byte, 0x20..=0x7e);
    if text.trim() != text {
        return Err("begins or ends with a blank".to_owned());
    }
    match HeaderValue::from_str(text) {
        Ok(value) if text.bytes().all(plain) => Ok(value),
        _ => Err("has characters that a header cannot carry".to_owned()),
    }
}

/// Any method but CONNECT and TRACE, in capitals: methods are compared exactly.
fn parse_method(text: &str) -> Result<Method, String> {
    match text.parse::<Method>() {
        Ok(Method::CONNECT | Method::TRACE) => Err(format!("has {text}, which is never carried")),
        Ok(method) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => Ok(method),
        _ => Err(format!(
            "has `{text}`, which is no method; methods are written in capitals"
        )),
    }
}

fn parse_colour(text: &str) -> Result<Colour, String> {
    let digits = text.strip_prefix('#').unwrap_or("");
    if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Colour(text.to_ascii_lowercase()))
    } else {
        Err(format!("is `{text}`, which is no colour"))
    }
}

fn parse_cookie_name(text: &str) -> Result<CookieName, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match text.strip_prefix("__Host-") {
        Some(rest) if !rest.is_empty() && rest.len() <= 64 && rest.bytes().all(token) => {
            Ok(CookieName(text.to_owned()))
        }
        _ => Err(format!(
            "is `{text}`, which a browser does not bind to one host"
        )),
    }
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    match text.split_once(':') {
        None if text == "everyone" => Ok(Subject::Everyone),
        Some(("group", name)) if is_name(name) => Ok(Subject::Group(name.to_owned())),
        Some(("user", email)) if email.contains('@') && !email.contains(char::is_whitespace) => {
            Ok(Subject::User(email.to_lowercase()))
        }
        _ => Err(format!("has `{text}`, which names nobody")),
    }
}

fn parse_timezone(text: &str) -> Result<Timezone, String> {
    let zone = if text == "UTC" {
        TimeZone::UTC
    } else {
        TimeZone::get(text).map_err(|_unreadable| {
            format!("is `{text}`, which this machine's time zone database does not have")
        })?
    };
    Ok(Timezone {
        name: text.to_owned(),
        zone,
    })
}

/// Names of tables, groups and labels: letters, digits, `-`, `_` and `.`, at most 64.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(plain)
}

/// A quantity with a unit.
fn quantity<T>(
    node: &Node,
    kind: &str,
    parse: fn(&str) -> Result<T, UnitError>,
    reader: &mut Reader<'_>,
) -> Option<T> {
    if let Raw::Integer(_) | Raw::Float = node.raw {
        reader
            .refuse("PC1115", node, "has no unit")
            .label("a number alone")
            .help(format!("it takes {kind}"));
        return None;
    }
    let text = text(node, kind, reader)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(why) => {
            reader
                .refuse("PC1115", node, &format!("is `{text}`, which {why}"))
                .help(format!("it takes {kind}"));
            None
        }
    }
}

const DURATION: &str = "a duration, such as \"30s\" (units ms, s, m, h, d)";
const SIZE: &str = "a size, such as \"32KiB\" (units B, KiB, MiB, GiB, TiB)";
const RATE: &str = "a rate, such as \"100/10s\"";

impl Value for Duration {
    fn kind() -> String {
        DURATION.to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let value = quantity(node, DURATION, units::duration, reader)?;
        if value.is_zero() {
            reader.refuse("PC1113", node, "must be more than zero");
            return None;
        }
        Some(value)
    }
}

impl Value for u64 {
    fn kind() -> String {
        SIZE.to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        quantity(node, SIZE, units::size, reader)
    }
}

impl Value for Rate {
    fn kind() -> String {
        RATE.to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let (count, per) = quantity(node, RATE, units::rate, reader)?;
        Some(Self { count, per })
    }
}

macro_rules! numbers {
    ($($ty:ty),+) => { $(
        impl Value for $ty {
            fn kind() -> String {
                "a whole number".to_owned()
            }

            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let Raw::Integer(number) = node.raw else {
                    reader.wrong_type(node, "a whole number");
                    return None;
                };
                let value = number.and_then(|number| number.try_into().ok());
                if value.is_none() {
                    reader.refuse("PC1113", node, &format!("must be from 0 to {}", <$ty>::MAX));
                }
                value
            }
        }
    )+ };
}

numbers!(u8, u16, u32, usize);

impl Value for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Raw::Boolean(value) = node.raw {
            return Some(value);
        }
        reader.wrong_type(node, "true or false");
        None
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "a path; a relative one starts at the folder of the configuration".to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = text(node, "a path", reader)?;
        if text.is_empty() || text.contains('\0') {
            reader.refuse("PC1113", node, "is no path");
            return None;
        }
        Some(reader.file(text, node))
    }
}

impl Value for Database {
    fn kind() -> String {
        "\"sqlite:PATH\"".to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = text(node, "\"sqlite:PATH\"", reader)?;
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() && !path.starts_with(':') => {
                Some(Self(reader.file(path, node)))
            }
            Some(("postgres" | "postgresql", _)) => {
                reader
                    .refuse("PC1108", node, "names a PostgreSQL database")
                    .label("not in this version")
                    .help("use the embedded one: \"sqlite:/var/lib/portcullis/portcullis.db\"");
                None
            }
            _ => {
                reader.refuse("PC1113", node, "must be \"sqlite:PATH\"");
                None
            }
        }
    }
}

impl Value for Protocols {
    fn kind() -> String {
        "a list of `\"h1\"` and `\"h2\"`".to_owned()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let words: Vec<String> = Vec::read(node, reader)?;
        for word in &words {
            if word != "h1" && word != "h2" {
                let problem = reader.refuse(
                    "PC1109",
                    node,
                    &format!("has `{word}`; it takes \"h1\" and \"h2\""),
                );
                if word == "h3" {
                    problem.note("HTTP/3 is not in this version of Portcullis");
                }
                return None;
            }
        }
        if words.is_empty() {
            reader.refuse(
                "PC1113",
                node,
                "is empty; without an HTTP version nothing can be served",
            );
            return None;
        }
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        Some(Self {
            h1: has("h1"),
            h2: has("h2"),
        })
    }
}

impl Value for Target {
    fn kind() -> String {
        format!(
            "{}, or `{{ url = \"...\", weight = 2 }}`",
            TargetUrl::kind()
        )
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Raw::Table(_) = node.raw {
            let WeightedTarget { url, weight } = WeightedTarget::read(node, reader)?;
            if weight == 0 || weight > 1000 {
                reader.refuse("PC1113", node, "must have a weight from 1 to 1000");
                return None;
            }
            return Some(Self { url, weight });
        }
        TargetUrl::read(node, reader).map(|url| Self { url, weight: 1 })
    }
}

super::table::table! {
    /// A server with a weight.
    WeightedTarget ["upstream.NAME.targets[]"] {
        /// The server.
        url: TargetUrl = required, reload;
        /// Share of the requests relative to the other targets, from 1 to 1000.
        weight: u32 = 1, reload;
    }
}
