//! HTTP towards the authority: https only, small answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use super::AcmeError;
use crate::fetch::fetch;
use crate::tasks::Tasks;
use crate::tls::UpstreamTls;

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
        let answer = fetch(request, Some(&self.tls), LARGEST_ANSWER, &self.tasks).await?;
        let (parts, body) = answer.into_parts();
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
