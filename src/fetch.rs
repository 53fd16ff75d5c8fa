//! HTTP for errands: one connection per request over `dial`, a small answer, one deadline.
//!
//! Whoever asks decides what an answer is worth; redirects are not followed.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::base::Authority;
use crate::dial::{self, DialError, Endpoint};
use crate::message::Body;
use crate::message::body::read_at_most;
use crate::tasks::Tasks;
use crate::tls::UpstreamTls;
use crate::tls::client::{Offer, TrustError};

/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the address cannot be used")]
    Address,
    #[error("the certificate cannot be verified")]
    Trust(#[from] TrustError),
    #[error("it cannot be reached")]
    Dial(#[source] DialError),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("the answer is broken or too large")]
    Answer,
    #[error("no answer came in time")]
    Timeout,
}

/// Sends `request`, whose address is absolute: https when there is `tls`, and http when there is none. Gives an answer of
/// at most `largest` bytes, whatever its status.
///
/// # Errors
/// [`FetchError`].
pub(crate) async fn fetch<B>(
    request: Request<B>,
    tls: Option<&UpstreamTls>,
    largest: usize,
    tasks: &Tasks,
) -> Result<Response<Bytes>, FetchError>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let exchanging = exchange(request, tls, largest, tasks);
    tokio::time::timeout(PATIENCE, exchanging)
        .await
        .map_err(|_elapsed| FetchError::Timeout)?
}

/// An error and its causes, in one line for operators. A stranger wrote part of it.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(1000)
        .collect()
}

async fn exchange<B>(
    request: Request<B>,
    tls: Option<&UpstreamTls>,
    largest: usize,
    tasks: &Tasks,
) -> Result<Response<Bytes>, FetchError>
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let authority = place(request.uri(), tls.is_some())?;
    let usual = if tls.is_some() { 443 } else { 80 };
    let endpoint = Endpoint::Tcp {
        host: authority.host.clone(),
        port: authority.port.unwrap_or(usual),
    };
    let tls = match tls {
        Some(tls) => Some((tls, tls.name_for(&authority.host)?, Offer::H1)),
        None => None,
    };
    let connected = dial::connect(&endpoint, tls, PATIENCE)
        .await
        .map_err(FetchError::Dial)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(connected.stream))
        .await
        .map_err(FetchError::Broken)?;
    tasks.spawn("fetch", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection of an errand ended");
        }
    });
    let request = in_origin_form(request, &authority)?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(FetchError::Broken)?;
    let (parts, body) = answer.into_parts();
    let body = read_at_most(Body::from(body), largest)
        .await
        .map_err(|_error| FetchError::Answer)?;
    Ok(Response::from_parts(parts, body))
}

/// Whom an address names: of the one scheme that is meant, without a user.
fn place(uri: &Uri, secure: bool) -> Result<Authority, FetchError> {
    let scheme = if secure { "https" } else { "http" };
    uri.authority()
        .filter(|_| uri.scheme_str() == Some(scheme))
        .and_then(|authority| Authority::parse(authority.as_str()).ok())
        .ok_or(FetchError::Address)
}

/// RFC 9112 section 3.2.1: path and query in the start line, the authority in `Host`.
fn in_origin_form<B>(
    mut request: Request<B>,
    authority: &Authority,
) -> Result<Request<B>, FetchError> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let uri = target.parse().map_err(|_invalid| FetchError::Address)?;
    let host =
        HeaderValue::try_from(authority.to_string()).map_err(|_invalid| FetchError::Address)?;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn only_addresses_of_the_meant_scheme_and_without_a_user_are_asked() {
        let secure = |text: &str| place(&text.parse().unwrap(), true);
        let plain = |text: &str| place(&text.parse().unwrap(), false);
        assert!(secure("https://acme.test:14000/dir").is_ok());
        assert!(plain("http://ocsp.test/").is_ok());
        assert!(plain("https://ocsp.test/").is_err());
        for refused in [
            "http://acme.test/dir",
            "/dir",
            "https://u@acme.test/dir",
            "ftp://acme.test/",
        ] {
            assert!(secure(refused).is_err(), "{refused}");
        }
    }
}
