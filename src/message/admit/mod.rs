//! Turns a raw request into a [`CleanRequest`], or says why not.
//!
//! After this step there is one reading of the request: one host, one path, one length, and no header in it that only
//! the edge may set. It is decided on exactly what is forwarded. Who asks, and for which route, is decided elsewhere.

use http::header::{self, HeaderMap};
use http::uri::Uri;
use http::{Method, Request, Version, request};
use http_body::Body as _;

use super::body::Bound;
use super::framing::{self, Survey};
use super::upgrade::{self, Site, UpgradeRefused, UpgradeRequest, WEBSOCKET, Way};
use super::{AdmitError, Body, Rules, Target, cookie, extended, hop, method, navigation};
use crate::base::{Authority, Host, Origin, Peer};

/// A request that has one reading. Only [`CleanRequest::admit`] makes one.
#[derive(Debug)]
pub(crate) struct CleanRequest {
    method: Method,
    target: Target,
    authority: Authority,
    version: Version,
    secure: bool,
    headers: HeaderMap,
    body: Body,
    upgrade: Option<UpgradeRequest>,
}

/// The pieces of a [`CleanRequest`], for the step that forwards it.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) authority: Authority,
    pub(crate) version: Version,
    pub(crate) secure: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) upgrade: Option<UpgradeRequest>,
}

impl CleanRequest {
    /// Judges a request on its own, without knowing its route.
    ///
    /// # Errors
    /// The first [`AdmitError`] found. Nothing of the request has been acted on then.
    pub(crate) fn admit<B: Into<Body>>(
        mut request: Request<B>,
        peer: &Peer,
        rules: &Rules,
    ) -> Result<Self, AdmitError> {
        check_version(request.version())?;
        let extended = extended::asks(&request)?;
        let method = extended::method(&request);
        method::check(&method)?;
        let target = read_target(&request, rules)?;
        let survey = framing::survey(request.headers(), request.version(), rules)?;
        let authority = read_authority(&request, peer, rules)?;
        check_nominations(request.headers(), survey)?;
        check_loop(request.headers(), survey, rules)?;
        let upgrade = read_upgrade(&mut request, extended)?;
        let (
            request::Parts {
                version,
                mut headers,
                ..
            },
            body,
        ) = request.into_parts();
        let body = check_body(body.into(), survey, upgrade.is_some())?;
        if survey.cookies > 1 {
            cookie::join(&mut headers);
        }
        if survey.reserved {
            rules.reserved.strip(&mut headers);
        }
        Ok(Self {
            method,
            target,
            authority,
            version,
            secure: peer.tls.is_some(),
            headers,
            body: body.into_bounded(rules.body, &rules.reserved),
            upgrade,
        })
    }

    pub(crate) const fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn path(&self) -> &str {
        self.target.path()
    }

    pub(crate) const fn host(&self) -> &Host {
        &self.authority.host
    }

    /// The request opens a WebSocket in HTTP/2: any 2xx answer to it would open the stream.
    pub(crate) fn is_extended_connect(&self) -> bool {
        self.upgrade
            .as_ref()
            .is_some_and(UpgradeRequest::is_extended_connect)
    }

    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    #[cfg(test)]
    /// `true` when the request came through TLS.
    pub(crate) const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Free of identity and forwarding headers; connection-specific ones are still there.
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Leaves an empty body behind: for pages of our own that read a form.
    pub(crate) fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    pub(crate) const fn upgrade(&self) -> Option<&UpgradeRequest> {
        self.upgrade.as_ref()
    }

    /// A refusal of this request should be a page.
    pub(crate) fn wants_page(&self) -> bool {
        navigation::wants_page(&self.headers)
    }

    /// Replaces the general bound of the body by the route's.
    ///
    /// # Errors
    /// [`AdmitError::BodyTooLarge`] when the declared length alone exceeds it.
    pub(crate) fn bound_body(&mut self, bound: Bound) -> Result<(), AdmitError> {
        if self.body.size_hint().lower() > bound.bytes {
            return Err(AdmitError::BodyTooLarge { limit: bound.bytes });
        }
        self.body = self.take_body().rebounded(bound);
        Ok(())
    }

    /// Keeps of the asked protocols those that the route carries, checking the origin of a WebSocket (D28).
    ///
    /// # Errors
    /// [`UpgradeRefused`] when a WebSocket is asked for and must not be opened.
    pub(crate) fn settle_upgrade(
        &mut self,
        carried: &[String],
        admitted: &[Origin],
    ) -> Result<(), UpgradeRefused> {
        let Some(mut asked) = self.upgrade.take() else {
            return Ok(());
        };
        let site = Site {
            headers: &self.headers,
            own: &self.authority,
            secure: self.secure,
            admitted,
        };
        asked.protocols = upgrade::settle(&asked.protocols, carried, &site)?;
        self.upgrade = (!asked.protocols.is_empty()).then_some(asked);
        Ok(())
    }

    pub(crate) fn into_parts(self) -> Parts {
        Parts {
            method: self.method,
            target: self.target,
            authority: self.authority,
            version: self.version,
            secure: self.secure,
            headers: self.headers,
            body: self.body,
            upgrade: self.upgrade,
        }
    }
}

/// The upgrade that a request asks for, in the way of its version.
fn read_upgrade<B>(
    request: &mut Request<B>,
    extended: bool,
) -> Result<Option<UpgradeRequest>, AdmitError> {
    let (protocols, way) = if extended {
        extended::settle(request.headers_mut())?;
        let keep = request.extensions_mut().remove();
        (vec![WEBSOCKET.to_owned()], Way::ExtendedConnect(keep))
    } else {
        let found = upgrade::detect(request.method(), request.version(), request.headers())?;
        (found, Way::Upgrade)
    };
    Ok((!protocols.is_empty()).then(|| UpgradeRequest {
        protocols,
        on_upgrade: hyper::upgrade::on(request),
        way,
    }))
}

const fn check_version(version: Version) -> Result<(), AdmitError> {
    match version {
        Version::HTTP_10 | Version::HTTP_11 | Version::HTTP_2 => Ok(()),
        _ => Err(AdmitError::Version),
    }
}

/// Origin form, absolute form without meaning of its own, or the asterisk of OPTIONS (RFC 9112 section 3.2).
fn read_target<B>(request: &Request<B>, rules: &Rules) -> Result<Target, AdmitError> {
    let uri = request.uri();
    let Some(text) = uri.path_and_query() else {
        return Err(AdmitError::TargetForm);
    };
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    if text.as_str().len() + authority > rules.target_bytes {
        return Err(AdmitError::TargetTooLong);
    }
    if text.as_str() == "*" {
        return if *request.method() == Method::OPTIONS {
            Ok(Target::asterisk())
        } else {
            Err(AdmitError::TargetForm)
        };
    }
    Target::check(text.clone())
}

/// The one authority of a request (RFC 9112 section 3.2, RFC 9113 section 8.3.1), checked against the connection.
fn read_authority<B>(
    request: &Request<B>,
    peer: &Peer,
    rules: &Rules,
) -> Result<Authority, AdmitError> {
    let uri = request.uri();
    check_scheme(uri, peer)?;
    let field = match request.headers().get(header::HOST) {
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_not_ascii| AdmitError::HostMalformed)?,
        ),
        None => None,
    };
    let text = match (uri.authority().map(http::uri::Authority::as_str), field) {
        (None, None) => return Err(AdmitError::HostMissing),
        (None, Some(field)) => field,
        // HTTP/1 requires the field also beside an absolute target (RFC 9112 section 3.2.2).
        (Some(_), None) if request.version() != Version::HTTP_2 => {
            return Err(AdmitError::HostMissing);
        }
        (Some(target), None) => target,
        (Some(target), Some(field)) if target.eq_ignore_ascii_case(field) => target,
        (Some(_), Some(_)) => return Err(AdmitError::HostDisagrees),
    };
    let expected = peer.tls.as_ref().map(|tls| &tls.server_name);
    let authority = parse_authority(text, expected)?;
    let usual = if expected.is_some() { 443 } else { 80 };
    let port = authority.port.unwrap_or(usual);
    let known_port = port == peer.local.port() || rules.ports.contains(&port);
    let known_host = expected.is_none_or(|expected| *expected == authority.host);
    if known_host && known_port {
        Ok(authority)
    } else {
        Err(AdmitError::Misdirected)
    }
}

/// A target that names a scheme must name that of the connection.
fn check_scheme(uri: &Uri, peer: &Peer) -> Result<(), AdmitError> {
    let actual = if peer.tls.is_some() { "https" } else { "http" };
    match uri.scheme_str() {
        Some(scheme) if scheme != actual => Err(AdmitError::TargetForm),
        _ => Ok(()),
    }
}

/// Reads an authority; the usual case, a host equal to the server name, allocates nothing.
fn parse_authority(text: &str, expected: Option<&Host>) -> Result<Authority, AdmitError> {
    if let Some(authority) = expected.and_then(|host| Authority::of(host, text)) {
        return Ok(authority);
    }
    Authority::parse(text).map_err(|_no_authority| AdmitError::HostMalformed)
}

fn check_nominations(headers: &HeaderMap, survey: Survey) -> Result<(), AdmitError> {
    if survey.has_connection && hop::options(headers).any(hop::is_end_to_end) {
        return Err(AdmitError::ConnectionNominates);
    }
    Ok(())
}

/// Our own name in `Via` means that an upstream leads back to us (RFC 9110 section 7.6.3).
fn check_loop(headers: &HeaderMap, survey: Survey, rules: &Rules) -> Result<(), AdmitError> {
    if !survey.has_via {
        return Ok(());
    }
    let own = rules.pseudonym.as_bytes();
    let passed = headers
        .get_all(header::VIA)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|hop| hop.trim_ascii().rsplit(|byte| *byte == b' ').next() == Some(own));
    if passed {
        Err(AdmitError::Loop)
    } else {
        Ok(())
    }
}

/// The declared length must be the body's own, and a request that changes the protocol has no body.
fn check_body(body: Body, survey: Survey, upgrades: bool) -> Result<Body, AdmitError> {
    let actual = body.size_hint().exact();
    if let (Some(declared), Some(actual)) = (survey.content_length, actual)
        && declared != actual
    {
        return Err(AdmitError::Framing);
    }
    if upgrades && (survey.chunked || survey.content_length.is_some_and(|length| length > 0)) {
        return Err(AdmitError::UpgradeMalformed);
    }
    Ok(body)
}

#[cfg(test)]
pub(crate) mod tests;
