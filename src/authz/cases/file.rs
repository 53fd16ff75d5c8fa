//! The files of policy tests: what can be written in them, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use crate::authn::Method;
use crate::authz::described::{self, Asked, Description, Locate, NotUnderstood};
use crate::authz::request::{Certificate, Circumstances, Device, Grant, Token};
use crate::base::Timestamp;
use crate::config::{At, Problems, Source};

use super::{Case, Expect};

/// An address of nobody (RFC 5737), for cases that do not say.
const SOMEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    given: Given,
    #[serde(default, rename = "case")]
    cases: Vec<Spanned<CaseTable>>,
}

/// What holds for every case that does not say otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    time: String,
    #[serde(default)]
    client: Option<Client>,
    #[serde(default)]
    tenant: Option<String>,
    #[serde(default)]
    groups: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    address: IpAddr,
    country: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseTable {
    name: String,
    who: String,
    #[serde(default)]
    groups: BTreeSet<String>,
    tenant: Option<String>,
    #[serde(default)]
    contractor: bool,
    #[serde(default)]
    session: SessionTable,
    request: String,
    time: Option<String>,
    client: Option<Client>,
    device: Option<DeviceTable>,
    certificate: Option<CertificateTable>,
    token: Option<TokenTable>,
    grant: Option<GrantTable>,
    expect: String,
    #[serde(default)]
    because: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionTable {
    signed_in: Option<String>,
    verified: Option<String>,
    methods: Option<Vec<String>>,
    idp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceTable {
    issuer: String,
    managed: bool,
    #[serde(default)]
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateTable {
    issuer: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    san: BTreeSet<String>,
    #[serde(default)]
    serial: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenTable {
    scopes: BTreeSet<String>,
    expires: String,
    #[serde(default)]
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantTable {
    kind: String,
    approver: Option<String>,
    expires: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    id: String,
}

/// Reads `source`; what cannot be understood is reported and left out. `tenant` is that of people who name none.
pub(super) fn read(
    source: &Source,
    tenant: &str,
    locate: &Locate<'_>,
    problems: &mut Problems,
) -> Vec<Case> {
    let file: File = match toml::from_str(source.text()) {
        Ok(file) => file,
        Err(error) => {
            problems
                .error("PC2502")
                .message(error.message().to_owned())
                .at(&source.at(error.span().unwrap_or_default()));
            return Vec::new();
        }
    };
    let mut cases = Vec::new();
    for case in &file.cases {
        // The span covers the table with its header; its first line is where people look.
        let at = source.at(case.span());
        match case.get_ref().read(&file.given, tenant, locate, &at) {
            Ok(case) => cases.push(case),
            Err(NotUnderstood(why)) => {
                problems
                    .error("PC2502")
                    .message(format!("\"{}\": {why}", case.get_ref().name))
                    .at(&at);
            }
        }
    }
    cases
}

impl CaseTable {
    fn read(
        &self,
        given: &Given,
        tenant: &str,
        locate: &Locate<'_>,
        at: &At,
    ) -> Result<Case, NotUnderstood> {
        let now = moment(self.time.as_ref().unwrap_or(&given.time))?;
        let stated = self.tenant.as_deref().or(given.tenant.as_deref());
        let client = self.client.as_ref().or(given.client.as_ref());
        let case = Case {
            at: at.clone(),
            name: self.name.clone(),
            who: self.describe(given, stated.unwrap_or(tenant))?,
            asked: Asked::read(&self.request, locate)?,
            now,
            client: client.map_or(SOMEWHERE, |client| client.address),
            circumstances: self.circumstances(client)?,
            expect: Expect::read(&self.expect)?,
            because: self.because.clone(),
        };
        case.who.caller(now)?;
        Ok(case)
    }

    fn describe(&self, given: &Given, tenant: &str) -> Result<Description, NotUnderstood> {
        let mut who = Description::new(&self.who, tenant);
        let usual = given.groups.get(&self.who).into_iter().flatten();
        who.groups = self.groups.iter().chain(usual).cloned().collect();
        who.contractor = self.contractor;
        if let Some(text) = &self.session.signed_in {
            who.signed_in = described::ago(text)?;
        }
        if let Some(text) = &self.session.verified {
            who.verified = described::ago(text)?;
        }
        if let Some(methods) = &self.session.methods {
            who.methods = methods
                .iter()
                .map(|word| method(word))
                .collect::<Result<_, _>>()?;
        }
        if let Some(idp) = &self.session.idp {
            who.idp.clone_from(idp);
        }
        Ok(who)
    }

    fn circumstances(&self, client: Option<&Client>) -> Result<Circumstances, NotUnderstood> {
        let token = |token: &TokenTable| {
            Ok(Token {
                id: token.id.clone(),
                scopes: token.scopes.clone(),
                expires_at: moment(&token.expires)?,
            })
        };
        let grant = |grant: &GrantTable| {
            Ok(Grant {
                id: grant.id.clone(),
                kind: grant.kind.clone(),
                approver: grant.approver.as_deref().map(email),
                expires_at: moment(&grant.expires)?,
                reason: grant.reason.clone(),
            })
        };
        Ok(Circumstances {
            country: client.and_then(|client| client.country.clone()),
            mtls: self.certificate.as_ref().map(|certificate| Certificate {
                issuer: certificate.issuer.clone(),
                subject: certificate.subject.clone(),
                san: certificate.san.clone(),
                serial: certificate.serial.clone(),
            }),
            device: self.device.as_ref().map(|device| Device {
                id: device.id.clone(),
                issuer: device.issuer.clone(),
                managed: device.managed,
            }),
            token: self.token.as_ref().map(token).transpose()?,
            grant: self.grant.as_ref().map(grant).transpose()?,
        })
    }
}

fn email(who: &str) -> String {
    who.strip_prefix("user:").unwrap_or(who).to_lowercase()
}

fn moment(text: &str) -> Result<Timestamp, NotUnderstood> {
    text.parse().map_err(|_not_a_time| {
        NotUnderstood(format!(
            "`{text}` is no time with its zone: write \"2026-11-24T10:00:00+01:00\""
        ))
    })
}

fn method(word: &str) -> Result<Method, NotUnderstood> {
    word.parse().map_err(|_unknown| {
        NotUnderstood(format!(
            "`{word}` is no way to sign in: password, totp or recovery-code"
        ))
    })
}
