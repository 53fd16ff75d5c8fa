//! An authority that suggests when to renew (ARI, RFC 9773), which Debian's Pebble does not: it stands in front of Pebble,
//! adds `renewalInfo` to the directory, answers there itself, and reflects `replaces` in orders as section 5 asks.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::Client;
use super::pebble::Pebble;

/// What is answered to whoever asks about a certificate, by how many certificates were asked about before it.
pub(crate) type Suggest = fn(usize) -> (u16, String);

/// What was asked.
#[derive(Default)]
struct Seen {
    /// Identifiers of certificates, one for each question.
    asked: Vec<String>,
    /// `replaces` of every order.
    orders: Vec<Option<String>>,
}

pub(crate) struct Suggesting {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

struct Front {
    port: u16,
    behind: Client,
    suggest: Suggest,
    seen: Arc<Mutex<Seen>>,
}

impl Suggesting {
    pub(crate) async fn start(pebble: &Pebble, suggest: Suggest) -> Self {
        let file = |name| std::fs::read(pebble.path(name)).unwrap();
        let chain = CertificateDer::from_pem_slice(&file("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(&file("key.pem")).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::default());
        let front = Arc::new(Front {
            port,
            behind: Client::new(pebble.address(), &file("ca.pem")),
            suggest,
            seen: Arc::clone(&seen),
        });
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, front) = (acceptor.clone(), Arc::clone(&front));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let serve = service_fn(|request| front.answer(request));
                    // A client that goes away is no failure.
                    drop(
                        http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), serve)
                            .await,
                    );
                });
            }
        });
        Self {
            port,
            seen,
            serving,
        }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen.lock().asked.clone()
    }

    pub(crate) fn orders(&self) -> Vec<Option<String>> {
        self.seen.lock().orders.clone()
    }
}

impl Drop for Suggesting {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Front {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if let Some(id) = request.uri().path().strip_prefix("/renewal/") {
            return Ok(self.suggestion(id));
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let directory = parts.uri.path() == "/dir";
        let order = order(&body);
        let request = Request::from_parts(parts, Full::new(body));
        let answer = self.behind.send("localhost", request).await;
        let mut content = answer.body.clone();
        if directory {
            let url = format!("https://localhost:{}/renewal", self.port);
            content = with(&content, "renewalInfo", url);
        }
        if let Some(replaces) = order {
            if let (Some(id), 201) = (&replaces, answer.status) {
                content = with(&content, "replaces", id.clone());
            }
            self.seen.lock().orders.push(replaces);
        }
        let mut response = Response::new(Full::new(content));
        *response.status_mut() = answer.status.try_into().unwrap();
        *response.headers_mut() = answer.headers;
        response.headers_mut().remove("content-length");
        Ok(response)
    }

    fn suggestion(&self, id: &str) -> Response<Full<Bytes>> {
        let mut seen = self.seen.lock();
        let mut before = seen.asked.clone();
        before.sort();
        before.dedup();
        before.retain(|asked| asked != id);
        seen.asked.push(id.to_owned());
        let (status, text) = (self.suggest)(before.len());
        Response::builder()
            .status(status)
            .header("retry-after", "21600")
            .header("content-type", "application/json")
            .body(Full::new(text.into()))
            .unwrap()
    }
}

/// `replaces` of a new order; `None` for every other request.
fn order(body: &[u8]) -> Option<Option<String>> {
    let signed: Value = serde_json::from_slice(body).ok()?;
    let payload = BASE64URL_NOPAD
        .decode(signed["payload"].as_str()?.as_bytes())
        .ok()?;
    let payload: Value = serde_json::from_slice(&payload).ok()?;
    payload.get("identifiers")?;
    Some(payload["replaces"].as_str().map(str::to_owned))
}

fn with(json: &[u8], key: &str, value: String) -> Bytes {
    let mut object: Value = serde_json::from_slice(json).unwrap();
    object[key] = value.into();
    object.to_string().into()
}
