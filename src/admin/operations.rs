//! The operations listener: metrics and health for the machine's own monitoring, in clear, on loopback.
//!
//! It never serves anything about a person and never changes anything.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// One part of the process and what keeps it from serving, if anything does.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `None` when the part works; otherwise one sentence for operators.
    pub(crate) trouble: Option<String>,
}

/// Asks every part how it is; called for each request to `/readyz`.
pub(crate) type Examine = dyn Fn() -> Vec<Part> + Send + Sync;

/// Answers until the process drains.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    examine: Arc<Examine>,
    tasks: Tasks,
) {
    loop {
        let accepted = tokio::select! {
            () = tasks.draining().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, usually; the metrics of the gate itself tell why.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let (metrics, examine) = (Arc::clone(&metrics), Arc::clone(&examine));
        let service = service_fn(move |request: Request<Incoming>| {
            let response = answer(request.method(), request.uri().path(), &metrics, &*examine);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(std::time::Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        tasks.spawn("operations", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the operations listener lost a connection");
            }
        });
    }
}

fn answer(
    method: &Method,
    path: &str,
    metrics: &Metrics,
    examine: &Examine,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return with(
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
            ALLOW,
            "GET, HEAD",
        );
    }
    match path {
        "/metrics" => {
            let response = text(StatusCode::OK, &metrics.expose());
            with(
                response,
                CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )
        }
        "/livez" => health(&[]),
        "/readyz" => health(&examine()),
        _ => text(
            StatusCode::NOT_FOUND,
            "here are /metrics, /livez and /readyz\n",
        ),
    }
}

fn health(parts: &[Part]) -> Response<Full<Bytes>> {
    let ready = parts.iter().all(|part| part.trouble.is_none());
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let components: serde_json::Map<String, serde_json::Value> = parts
        .iter()
        .map(|part| {
            (
                part.name.to_owned(),
                part.trouble.as_deref().unwrap_or("ok").into(),
            )
        })
        .collect();
    let body = serde_json::json!({ "status": if ready { "ok" } else { "unavailable" }, "components": components });
    with(
        text(status, &format!("{body}\n")),
        CONTENT_TYPE,
        "application/json",
    )
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    let response = with(response, CONTENT_TYPE, "text/plain; charset=utf-8");
    with(response, CACHE_CONTROL, "no-store")
}

fn with(
    mut response: Response<Full<Bytes>>,
    name: HeaderName,
    value: &'static str,
) -> Response<Full<Bytes>> {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{Part, answer};
    use crate::telemetry::Metrics;

    fn broken() -> Vec<Part> {
        vec![
            Part {
                name: "store",
                trouble: None,
            },
            Part {
                name: "audit",
                trouble: Some("no space left".to_owned()),
            },
        ]
    }

    #[test]
    fn a_part_in_trouble_makes_the_process_unready_but_not_dead() {
        let metrics = Metrics::new();
        assert_eq!(
            answer(&Method::GET, "/readyz", &metrics, &broken).status(),
            503
        );
        assert_eq!(
            answer(&Method::GET, "/readyz", &metrics, &Vec::new).status(),
            200
        );
        assert_eq!(
            answer(&Method::GET, "/livez", &metrics, &broken).status(),
            200
        );
    }

    #[test]
    fn nothing_can_be_changed_here() {
        let metrics = Metrics::new();
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            assert_eq!(answer(&method, "/metrics", &metrics, &broken).status(), 405);
        }
        assert_eq!(
            answer(&Method::GET, "/debug", &metrics, &broken).status(),
            404
        );
    }
}
