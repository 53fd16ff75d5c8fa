//! HTTP towards the authority: https only, over `dial`, one connection per request, small answers, one deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use super::AcmeError;
use crate::base::Authority;
use crate::dial::{self, Endpoint};
use crate::message::Body;
use crate::message::body::read_at_most;
use crate::tasks::Tasks;
use crate::tls::UpstreamTls;
use crate::tls::client::Offer;

/// For one request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A directory, an order or a chain has a few KiB.
const LARGEST_ANSWER: usize = 256 * 1024;

/// Sends requests to one authority.
#[derive(Debug, Clone)]
pub(super) struct Client {
    tls: Arc<UpstreamTls>,
    tasks: Tasks,
}

impl Client {
    pub(super) fn new(tls: UpstreamTls, tasks: Tasks) -> Self {
        Self {
            tls: Arc::new(tls),
            tasks,
        }
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AcmeError> {
        let sending = self.exchange(request);
        tokio::time::timeout(PATIENCE, sending)
            .await
            .map_err(|_elapsed| AcmeError::Timeout)?
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, AcmeError> {
        let (endpoint, authority) = place(request.uri())?;
        let Endpoint::Tcp { host, .. } = &endpoint else {
            return Err(AcmeError::Directory);
        };
        let name = self.tls.name_for(host)?;
        let tls = Some((&*self.tls, name, Offer::H1));
        let connected = dial::connect(&endpoint, tls, PATIENCE)
            .await
            .map_err(AcmeError::Dial)?;
        let broken = |_error: hyper::Error| AcmeError::Answer("the connection broke");
        let (mut sender, connection) = http1::handshake(TokioIo::new(connected.stream))
            .await
            .map_err(broken)?;
        self.tasks.spawn("acme-http", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a certificate authority ended");
            }
        });
        let request = in_origin_form(request, &authority)?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (parts, body) = answer.into_parts();
        let body = read_at_most(Body::from(body), LARGEST_ANSWER)
            .await
            .map_err(|_error| AcmeError::Answer("it is broken or too large"))?;
        Ok(Response::from_parts(parts, Full::new(body)).into())
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let sending = self.clone().send(request);
        Box::pin(async move {
            sending
                .await
                .map_err(|error| instant_acme::Error::Other(Box::new(error)))
        })
    }
}

/// Where an address leads; https alone, without a user (RFC 8555 section 6.1).
fn place(uri: &Uri) -> Result<(Endpoint, Authority), AcmeError> {
    let authority = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("https"))
        .and_then(|authority| Authority::parse(authority.as_str()).ok())
        .ok_or(AcmeError::Directory)?;
    let endpoint = Endpoint::Tcp {
        host: authority.host.clone(),
        port: authority.port.unwrap_or(443),
    };
    Ok((endpoint, authority))
}

/// RFC 9112 section 3.2.1: path and query in the start line, the authority in `Host`.
fn in_origin_form(
    mut request: Request<BodyWrapper<Bytes>>,
    authority: &Authority,
) -> Result<Request<BodyWrapper<Bytes>>, AcmeError> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let uri = target.parse().map_err(|_invalid| AcmeError::Directory)?;
    let host =
        HeaderValue::try_from(authority.to_string()).map_err(|_invalid| AcmeError::Directory)?;
    *request.uri_mut() = uri;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn only_https_addresses_without_a_user_are_asked() {
        assert!(place(&"https://acme.test:14000/dir".parse().unwrap()).is_ok());
        for refused in [
            "http://acme.test/dir",
            "/dir",
            "https://u@acme.test/dir",
            "ftp://acme.test/",
        ] {
            assert!(place(&refused.parse().unwrap()).is_err(), "{refused}");
        }
    }
}
