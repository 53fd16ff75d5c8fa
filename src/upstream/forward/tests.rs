//! Forwarding against real sockets: reuse, failover, retries, trailers, truncation, upgrades.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio_util::sync::CancellationToken;

use crate::base::Reason;
use crate::message::body::read_at_most;
use crate::message::{Body, BodyError};
use crate::tasks::Tasks;
use crate::tls::testing::{BOTH, H1, H2, TestPki};
use crate::upstream::testing::{
    HELLO, Pieces, Scripted, Step, asking, get, group, plain_target, secure_group, send, serve,
};
use crate::upstream::{Group, Pools, UpstreamRequest};

/// The beginning of an answer.
const PART: &str = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello";

async fn text(body: Body) -> Result<Bytes, BodyError> {
    read_at_most(body, 1 << 20).await
}

fn unused_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn post(group: &Arc<Group>, body: Body) -> UpstreamRequest {
    let mut request = asking(group, &[], body);
    request.head.method = Method::POST;
    request
}

#[tokio::test]
async fn requests_share_one_kept_connection() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO); 3]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    for turn in 0..3 {
        let forwarded = send(&pools, get(&group)).await.unwrap();
        assert_eq!(forwarded.response.status(), StatusCode::OK);
        assert_eq!(forwarded.report.connect.is_some(), turn == 0);
        assert_eq!(text(forwarded.response.into_body()).await.unwrap(), "hello");
        assert_eq!(forwarded.report.meter.down(), 5);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(
        upstream.heads()[0],
        "GET /a?b=c HTTP/1.1\r\nhost: app.example\r\n\
         forwarded: for=192.0.2.1;host=\"app.example\";proto=https;by=_portcullis\r\n\
         x-forwarded-host: app.example\r\nx-forwarded-for: 192.0.2.1\r\nx-real-ip: 192.0.2.1\r\n\
         x-forwarded-proto: https\r\nx-forwarded-port: 443\r\nvia: 1.1 portcullis"
    );
    assert_eq!(group.targets[0].running(), 0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_drain() {
    let (tasks, servers) = (Tasks::new(), Tasks::new());
    let upstream = Scripted::start(&servers, vec![vec![Step::Send(HELLO); 2]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks.clone());
    let forwarded = send(&pools, get(&group)).await.unwrap();
    assert_eq!(text(forwarded.response.into_body()).await.unwrap(), "hello");
    assert_eq!(pools.idle(), (1, 0));
    assert_eq!(tasks.drain(Duration::from_secs(10)).await, 0);
    assert_eq!(pools.idle(), (0, 0));
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_costs_its_connection() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(PART)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    let forwarded = send(&pools, get(&group)).await.unwrap();
    assert_eq!(group.targets[0].running(), 1);
    drop(forwarded.response);
    assert_eq!(pools.idle(), (0, 0));
    assert_eq!(group.targets[0].running(), 0);
}

#[tokio::test]
async fn an_answer_that_came_at_once_frees_its_connection_before_it_is_passed_on() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    let forwarded = send(&pools, get(&group)).await.unwrap();
    assert_eq!((pools.idle(), group.targets[0].running()), ((1, 0), 0));
    drop(forwarded.response);
    assert_eq!(pools.idle(), (1, 0));
}

#[tokio::test]
async fn another_target_is_tried_when_the_first_refuses() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO); 3]]).await;
    let dead = plain_target(unused_address());
    let group = Arc::new(group(vec![dead, upstream.target()]));
    let pools = Pools::new(tasks);
    for _ in 0..3 {
        let forwarded = send(&pools, get(&group)).await.unwrap();
        assert_eq!(forwarded.report.target, group.targets[1].label);
        text(forwarded.response.into_body()).await.unwrap();
    }
    assert!(group.targets[0].is_resting());
}

#[tokio::test]
async fn an_upstream_that_nobody_serves_is_unreachable() {
    let group = Arc::new(group(vec![plain_target(unused_address())]));
    let refused = send(&Pools::new(Tasks::new()), get(&group))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Reason::UpstreamUnreachable);
    assert_eq!(refused.proxy_status(), "connection_refused");
    assert_eq!(refused.target, Some(Arc::clone(&group.targets[0].label)));
}

#[tokio::test]
async fn a_kept_connection_that_closed_unseen_costs_a_get_one_more_try() {
    let tasks = Tasks::new();
    let script = vec![
        vec![Step::Send(HELLO), Step::SendAndClose("")],
        vec![Step::Send(HELLO)],
    ];
    let upstream = Scripted::start(&tasks, script).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    for _ in 0..2 {
        let forwarded = send(&pools, get(&group)).await.unwrap();
        assert_eq!(text(forwarded.response.into_body()).await.unwrap(), "hello");
    }
    assert_eq!((upstream.connections(), upstream.heads().len()), (2, 3));
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_never_sent_twice() {
    let tasks = Tasks::new();
    let script = vec![
        vec![Step::Send(HELLO), Step::SendAndClose("")],
        vec![Step::Send(HELLO)],
    ];
    let upstream = Scripted::start(&tasks, script).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    let first = send(&pools, get(&group)).await.unwrap();
    text(first.response.into_body()).await.unwrap();
    let lost = send(&pools, post(&group, Body::Empty)).await.unwrap_err();
    assert_eq!(lost.reason(), Reason::UpstreamProtocol);
    assert_eq!((upstream.connections(), upstream.heads().len()), (1, 2));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_presented_as_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let tasks = Tasks::new();
        let upstream = Scripted::start(&tasks, vec![vec![Step::SendAndClose(answer)]]).await;
        let group = Arc::new(group(vec![upstream.target()]));
        let pools = Pools::new(tasks);
        let forwarded = send(&pools, get(&group)).await.unwrap();
        assert!(
            text(forwarded.response.into_body()).await.is_err(),
            "{answer}"
        );
        assert_eq!(pools.idle(), (0, 0));
    }
}

#[tokio::test]
async fn answers_that_break_http_are_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 600 Strange\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header: x\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ] {
        let tasks = Tasks::new();
        let upstream = Scripted::start(&tasks, vec![vec![Step::SendAndClose(answer)]]).await;
        let group = Arc::new(group(vec![upstream.target()]));
        let refused = send(&Pools::new(tasks), get(&group)).await;
        let reason = refused
            .map(|answer| answer.response)
            .map_err(|error| error.reason());
        assert_eq!(reason.unwrap_err(), Reason::UpstreamProtocol, "{answer}");
    }
}

/// A body that is never complete, and whose owner sees when it is gone.
struct Endless {
    _held: Arc<()>,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn an_upload_ends_with_its_answer() {
    for (answer, held) in [(PART, 2), (HELLO, 1)] {
        let tasks = Tasks::new();
        let upstream = Scripted::start(&tasks, vec![vec![Step::Send(answer)]]).await;
        let group = Arc::new(group(vec![upstream.target()]));
        let pools = Pools::new(tasks);
        let here = Arc::new(());
        let upload = Body::wrap(Endless {
            _held: Arc::clone(&here),
        });
        let forwarded = send(&pools, post(&group, upload)).await.unwrap();
        assert_eq!(
            Arc::strong_count(&here),
            held,
            "the upload goes on beside its answer, and no longer: {answer}"
        );
        drop(forwarded.response);
        assert_eq!(Arc::strong_count(&here), 1);
        assert_eq!(pools.idle(), (0, 0));
    }
}

#[tokio::test]
async fn an_upload_over_http2_ends_with_its_answer_too() {
    // Without content, with content that is read to its end, and with content that nobody takes any more.
    for (content, read) in [("", true), ("pong", true), ("pong", false)] {
        let pki = TestPki::new();
        let tasks = Tasks::new();
        // A server that neither reads the request nor gives it up.
        let (keep, _kept) = tokio::sync::mpsc::unbounded_channel();
        let address = serve(&tasks, &pki, H2, move |request| {
            keep.send(request).unwrap();
            async move {
                Response::new(match content {
                    "" => Body::Empty,
                    content => Body::from(content),
                })
            }
        })
        .await;
        let group = secure_group(&pki, address, H2);
        let here = Arc::new(());
        let upload = Body::wrap(Endless {
            _held: Arc::clone(&here),
        });
        let pools = Pools::new(tasks);
        let forwarded = send(&pools, post(&group, upload)).await.unwrap();
        let body = forwarded.response.into_body();
        if read {
            assert_eq!(text(body).await.unwrap(), content);
        } else {
            drop(body);
        }
        let given_up = async {
            while Arc::strong_count(&here) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), given_up).await;
        assert!(in_time.is_ok(), "{content:?} {read}");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_given_up() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Hang]]).await;
    let mut group = group(vec![upstream.target()]);
    group.timeouts.first_byte = Duration::from_millis(50);
    let late = send(&Pools::new(tasks), get(&Arc::new(group)))
        .await
        .unwrap_err();
    assert_eq!(late.reason(), Reason::UpstreamTimeout);
    assert_eq!(upstream.heads().len(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_or_outlives_its_session_is_ended() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello";
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(answer)]]).await;
    let mut group = group(vec![upstream.target()]);
    group.timeouts.idle = Duration::from_millis(50);
    let stalling = Arc::new(group);
    let pools = Pools::new(tasks);
    let forwarded = send(&pools, get(&stalling)).await.unwrap();
    let ended = text(forwarded.response.into_body()).await;
    assert!(matches!(ended, Err(BodyError::Stalled { .. })));

    let session = CancellationToken::new();
    let mut request = get(&stalling);
    request.ended = Some(session.clone());
    let forwarded = send(&pools, request).await.unwrap();
    session.cancel();
    let ended = text(forwarded.response.into_body()).await;
    assert!(matches!(ended, Err(BodyError::Cancelled)));
}

#[tokio::test]
async fn a_request_whose_session_has_ended_is_not_sent() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let mut request = get(&group);
    let session = CancellationToken::new();
    session.cancel();
    request.ended = Some(session);
    let refused = send(&Pools::new(tasks), request).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::SessionEnded);
    assert!(upstream.heads().is_empty());
}

#[tokio::test]
async fn an_answer_in_one_piece_is_kept_back_when_its_session_ends_meanwhile() {
    for protocols in [H1, H2] {
        let pki = TestPki::new();
        let tasks = Tasks::new();
        let session = CancellationToken::new();
        let ending = session.clone();
        let address = serve(&tasks, &pki, protocols, move |_request| {
            ending.cancel();
            async { Response::new(Body::from("for whom?")) }
        })
        .await;
        let group = secure_group(&pki, address, protocols);
        let mut request = get(&group);
        request.ended = Some(session);
        let forwarded = send(&Pools::new(tasks), request).await.unwrap();
        let ended = text(forwarded.response.into_body()).await;
        assert!(matches!(ended, Err(BodyError::Cancelled)), "{protocols:?}");
    }
}

#[tokio::test]
async fn a_request_body_is_streamed_and_its_failure_is_the_clients() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    let pieces = Pieces::new(vec![
        Ok(Frame::data("abc".into())),
        Err(BodyError::LengthDiffers),
    ]);
    let outcome = send(&pools, post(&group, Body::wrap(pieces))).await;
    // The upstream may answer before the body fails; then the connection is given up all the same.
    match outcome {
        Err(error) => assert_eq!(error.reason(), Reason::MalformedRequest),
        Ok(forwarded) => drop(text(forwarded.response.into_body()).await),
    }
    assert_eq!(pools.idle(), (0, 0));
}

#[tokio::test]
async fn trailers_pass_in_both_directions_over_either_version() {
    for protocols in [H1, H2] {
        let pki = TestPki::new();
        let tasks = Tasks::new();
        let address = serve(&tasks, &pki, protocols, |request| async move {
            let (parts, mut body) = request.into_parts();
            let mut seen = HeaderMap::new();
            while let Some(frame) = next(&mut body).await {
                if let Ok(trailers) = frame.unwrap().into_trailers() {
                    seen = trailers;
                }
            }
            assert_eq!(seen["x-sum"], "up");
            assert_eq!(parts.headers["te"], "trailers");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let frames = vec![
                Ok(Frame::data("pong".into())),
                Ok(Frame::trailers(trailers)),
            ];
            Response::builder()
                .header("trailer", "grpc-status")
                .body(Body::wrap(Pieces::new(frames)))
                .unwrap()
        })
        .await;
        let group = secure_group(&pki, address, protocols);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("up"));
        let frames = vec![
            Ok(Frame::data("ping".into())),
            Ok(Frame::trailers(trailers)),
        ];
        let told = [("trailer", "x-sum"), ("te", "trailers")];
        let mut request = asking(&group, &told, Body::wrap(Pieces::new(frames)));
        request.head.method = Method::POST;
        let forwarded = send(&Pools::new(tasks), request).await.unwrap();
        let mut body = forwarded.response.into_body();
        let mut seen = HeaderMap::new();
        while let Some(frame) = next(&mut body).await {
            if let Ok(trailers) = frame.unwrap().into_trailers() {
                seen = trailers;
            }
        }
        assert_eq!(seen["grpc-status"], "0", "{protocols:?}");
        assert_eq!(forwarded.report.meter.up(), 4);
    }
}

async fn next<B>(body: &mut B) -> Option<Result<Frame<Bytes>, B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

#[tokio::test]
async fn http2_shares_one_connection_and_names_the_host_once() {
    let pki = TestPki::new();
    let tasks = Tasks::new();
    let address = serve(&tasks, &pki, BOTH, |request| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.uri(), "https://app.example/a?b=c");
        assert!(!request.headers().contains_key("host"));
        Response::new(Body::from("over h2"))
    })
    .await;
    let group = secure_group(&pki, address, BOTH);
    let pools = Pools::new(tasks);
    let first = send(&pools, get(&group)).await.unwrap();
    let second = send(&pools, get(&group)).await.unwrap();
    assert!(second.report.connect.is_none());
    for forwarded in [first, second] {
        assert_eq!(
            text(forwarded.response.into_body()).await.unwrap(),
            "over h2"
        );
    }
    assert_eq!(pools.idle(), (0, 1));
}

#[tokio::test]
async fn an_upstream_whose_certificate_does_not_verify_gets_no_request() {
    let (trusted, stranger) = (TestPki::new(), TestPki::new());
    let tasks = Tasks::new();
    let hits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&hits);
    let address = serve(&tasks, &stranger, BOTH, move |_request| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { Response::new(Body::Empty) }
    })
    .await;
    let group = secure_group(&trusted, address, BOTH);
    let refused = send(&Pools::new(tasks), get(&group)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::UpstreamUntrusted);
    assert_eq!(refused.proxy_status(), "tls_certificate_error");
    assert_eq!(hits.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_empty_answer_frees_its_connection_at_once() {
    for (method, answer) in [
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n",
        ),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 50\r\n\r\n",
        ),
    ] {
        let tasks = Tasks::new();
        let upstream = Scripted::start(&tasks, vec![vec![Step::Send(answer)]]).await;
        let group = Arc::new(group(vec![upstream.target()]));
        let pools = Pools::new(tasks);
        let mut request = get(&group);
        request.head.method = method;
        let forwarded = send(&pools, request).await.unwrap();
        assert!(forwarded.response.body().is_end_stream());
        assert_eq!(pools.idle(), (1, 0), "{answer}");
    }
}
