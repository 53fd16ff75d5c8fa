//! Exchanges against sockets that say exactly what a test wants.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Connection;
use crate::base::Reason;
use crate::dial;
use crate::message::body::read_at_most;
use crate::message::{Body, BodyError};
use crate::tasks::Tasks;
use crate::upstream::testing::{HELLO, Pieces, asking, get, group, plain_target, send};
use crate::upstream::{Group, Pools, UpstreamRequest};

/// A listener on loopback and a group of it alone.
async fn listening() -> (TcpListener, Arc<Group>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let group = group(vec![plain_target(listener.local_addr().unwrap())]);
    (listener, Arc::new(group))
}

fn post(group: &Arc<Group>, path: &str, body: Body) -> UpstreamRequest {
    let mut request = asking(group, &[], body);
    request.head.method = Method::POST;
    request.head.target = path.parse().unwrap();
    request
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

async fn pair() -> (Connection, TcpStream) {
    let (listener, group) = listening().await;
    let endpoint = &group.targets[0].endpoint;
    let near = dial::connect(endpoint, None, Duration::from_secs(5)).await;
    let (far, _) = listener.accept().await.unwrap();
    (Connection::new(near.unwrap().stream), far)
}

#[tokio::test]
async fn a_connection_at_rest_is_spoilt_by_a_byte_or_its_end() {
    let (mut connection, mut far) = pair().await;
    assert!(connection.is_silent());
    far.write_all(b"H").await.unwrap();
    while connection.is_silent() {
        tokio::task::yield_now().await;
    }
    let (mut connection, far) = pair().await;
    assert!(connection.is_silent());
    drop(far);
    while connection.is_silent() {
        tokio::task::yield_now().await;
    }
}

/// A body that its owner feeds.
struct Fed(mpsc::UnboundedReceiver<&'static str>);

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.0.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

#[tokio::test]
async fn an_upload_goes_on_while_its_answer_is_read() {
    let tasks = Tasks::new();
    let (listener, group) = listening().await;
    let (feed, fed) = mpsc::unbounded_channel();
    tasks.spawn("upstream", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(
            head.contains("\r\ntransfer-encoding: chunked\r\n"),
            "{head}"
        );
        let early = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
        stream.write_all(early).await.unwrap();
        let mut upload = [0; 21];
        stream.read_exact(&mut upload).await.unwrap();
        stream.write_all(&upload[..8]).await.unwrap();
        // The next request comes on the same connection.
        read_head(&mut stream).await.unwrap();
        stream.write_all(HELLO.as_bytes()).await.unwrap();
    });
    let pools = Pools::new(tasks);
    let body = Body::wrap(Fed(fed));
    let forwarded = send(&pools, post(&group, "/", body)).await.unwrap();
    feed.send("one").unwrap();
    feed.send("two").unwrap();
    drop(feed);
    let answer = read_at_most(forwarded.response.into_body(), 100).await;
    assert_eq!(answer.unwrap(), "3\r\none\r\n");
    assert_eq!(forwarded.report.meter.up(), 6);
    assert_eq!(pools.idle(), (1, 0));
    let next = send(&pools, get(&group)).await.unwrap();
    assert!(next.report.connect.is_none());
}

#[tokio::test]
async fn what_an_upstream_said_before_it_stopped_reading_counts() {
    let tasks = Tasks::new();
    let (listener, group) = listening().await;
    tasks.spawn("upstream", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap();
        let refusal = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
        stream.write_all(refusal).await.unwrap();
        std::future::pending::<()>().await;
    });
    let pools = Pools::new(tasks);
    let large = Body::from(vec![0; 32 << 20]);
    let forwarded = send(&pools, post(&group, "/", large)).await.unwrap();
    assert_eq!(forwarded.response.status(), 413);
    assert_eq!(pools.idle(), (0, 0));
}

/// Everything that is sent on the listener's first connection.
async fn received(listener: TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let head = read_head(&mut stream).await.unwrap().into_bytes();
    let mut content = Vec::new();
    while !content.ends_with(b"\r\n\r\n") && !content.ends_with(b"the end") {
        stream.read_buf(&mut content).await.unwrap();
    }
    stream.write_all(HELLO.as_bytes()).await.unwrap();
    [head, content].concat()
}

#[tokio::test]
async fn a_body_is_framed_by_its_length_or_by_chunks_and_arrives_whole() {
    let large = Bytes::from(vec![b'x'; 3 << 20]);
    let tail = Bytes::from_static(b"the end");
    let (listener, group) = listening().await;
    let body = Body::from([&*large, &tail].concat());
    let (pools, server) = (Pools::new(Tasks::new()), received(listener));
    let (all, sent) = tokio::join!(server, send(&pools, post(&group, "/", body)));
    sent.unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, content) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("\r\ncontent-length: {}", large.len() + 7)));
    assert!(content.len() == large.len() + 7 && content.ends_with("xxthe end"));

    let (listener, group) = listening().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("1"));
    let frames = vec![
        Ok(Frame::data(large.clone())),
        Ok(Frame::data(Bytes::new())),
        Ok(Frame::data(tail)),
        Ok(Frame::trailers(trailers)),
    ];
    let server = received(listener);
    let body = Body::wrap(Pieces::new(frames));
    let (all, sent) = tokio::join!(server, send(&pools, post(&group, "/", body)));
    sent.unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, content) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("\r\ntransfer-encoding: chunked"));
    assert!(content.starts_with("300000\r\nxx"));
    assert!(content.ends_with("xx\r\n7\r\nthe end\r\n0\r\nx-sum: 1\r\n\r\n"));
}

#[tokio::test]
async fn a_body_of_another_length_than_it_declares_is_never_completed() {
    struct Wrong(Pieces);
    impl HttpBody for Wrong {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Pin::new(&mut self.0).poll_frame(cx)
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(4)
        }
    }
    for piece in ["too much", "few"] {
        let (_listener, group) = listening().await;
        let body = Body::wrap(Wrong(Pieces::new(vec![Ok(Frame::data(piece.into()))])));
        let pools = Pools::new(Tasks::new());
        let failed = send(&pools, post(&group, "/", body)).await.unwrap_err();
        assert_eq!(failed.reason(), Reason::MalformedRequest, "{piece}");
    }
}

/// Answers some requests of each connection and then closes it: at once, or when the next request has come.
async fn fickle(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>, tasks: Tasks) {
    let mut state = 7_u32;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (answers, takes_one_more) = (1 + (state >> 16) % 4, (state >> 24).is_multiple_of(2));
        let seen = Arc::clone(&seen);
        tasks.spawn("fickle", async move {
            for _ in 0..answers {
                let Some(head) = read_head(&mut stream).await else {
                    return;
                };
                seen.lock().push(head);
                stream.write_all(HELLO.as_bytes()).await.unwrap();
            }
            if takes_one_more && let Some(head) = read_head(&mut stream).await {
                seen.lock().push(head);
            }
        });
    }
}

#[tokio::test]
async fn an_upstream_that_closes_at_random_costs_no_answer_and_repeats_no_post() {
    let tasks = Tasks::new();
    let (listener, group) = listening().await;
    let seen = Arc::default();
    tasks.spawn(
        "upstream",
        fickle(listener, Arc::clone(&seen), tasks.clone()),
    );
    let pools = Pools::new(tasks);
    let mut lost = 0;
    for turn in 0..200 {
        if turn % 3 > 0 {
            let forwarded = send(&pools, get(&group)).await.unwrap();
            let answer = read_at_most(forwarded.response.into_body(), 100).await;
            assert_eq!(answer.unwrap(), "hello");
            continue;
        }
        let path = format!("/{turn}");
        match send(&pools, post(&group, &path, Body::Empty)).await {
            Ok(forwarded) => drop(forwarded),
            Err(error) => {
                assert_eq!(error.reason(), Reason::UpstreamProtocol);
                lost += 1;
            }
        }
    }
    let seen = seen.lock();
    let posts: Vec<_> = seen
        .iter()
        .filter(|head| head.starts_with("POST"))
        .collect();
    let different: BTreeSet<_> = posts.iter().collect();
    assert_eq!(posts.len(), different.len(), "no POST was sent twice");
    assert!(lost > 0 && lost < posts.len(), "{lost}");
}
