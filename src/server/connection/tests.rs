//! Connections over real sockets: both HTTP versions, limits, panics, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{End, Rules, serve};
use crate::base::Peer;
use crate::config::Profile;
use crate::message::Body;
use crate::message::body::read_at_most;
use crate::message::frames::Tally;
use crate::server::accept::{Gate, Refusals, accept_loop};
use crate::server::door::{Door, Entrance};
use crate::tasks::Tasks;
use crate::tls::testing::{BOTH, TestPki};
use crate::upstream::testing::{HELLO, Scripted, Step, group, send, upgrade};
use crate::upstream::{Pools, TunnelEnd};

pub(super) const HOST: &str = "app.localhost";

fn rules() -> Rules {
    Rules {
        handshake_timeout: Duration::from_millis(300),
        header_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(800),
        send_timeout: Duration::from_millis(600),
        header_bytes: 8 * 1024,
        target_bytes: 4 * 1024,
        header_count: 100,
        h2_max_streams: 100,
        h2_reset_budget: 20,
        h2_frames: Tally::default(),
        h2_ping_interval: Duration::from_secs(20),
        h2_ping_timeout: Duration::from_secs(20),
        transport_security: HeaderValue::from_static("max-age=1"),
    }
}

/// A running server that records how its connections ended.
pub(super) struct Site {
    pub(super) pki: TestPki,
    pub(super) address: SocketAddr,
    pub(super) tasks: Tasks,
    pub(super) gate: Arc<Gate>,
    ends: Arc<Mutex<Vec<&'static str>>>,
}

impl Site {
    async fn start<S, F>(secure: bool, service: S) -> Self
    where
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::behind(&[], secure, service).await
    }

    /// Behind load balancers in these networks.
    pub(super) async fn behind<S, F>(balancers: &[IpNet], secure: bool, service: S) -> Self
    where
        S: Fn(Request<Incoming>, Arc<Peer>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let pki = TestPki::new();
        let tls = secure.then(|| Arc::new(pki.server(Profile::Intermediate, BOTH, &[HOST])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refusals = Refusals::new(Default::default(), drop);
        let (tasks, gate) = (Tasks::new(), Gate::new(100, 3, refusals));
        let door = Door {
            name: None,
            tls,
            balancers: balancers.to_vec(),
        };
        let entrance = Entrance::new(Arc::new(door), tasks.draining().child_token());
        let ends = Arc::<Mutex<Vec<_>>>::default();
        let (inner, log) = (tasks.clone(), Arc::clone(&ends));
        let handler = move |accepted| {
            let (tasks, log) = (inner.clone(), Arc::clone(&log));
            let service = service.clone();
            async move {
                let end = serve(accepted, |_name| true, &rules(), &tasks, service).await;
                log.lock().push(name(&end));
            }
        };
        let accepting = accept_loop(
            listener,
            entrance,
            Arc::clone(&gate),
            tasks.clone(),
            handler,
        );
        tasks.spawn("accept", accepting);
        Self {
            pki,
            address,
            tasks,
            gate,
            ends,
        }
    }

    async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        self.try_connect(alpn, HOST).await.unwrap()
    }

    async fn try_connect(&self, alpn: &str, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = client(self.address).await;
        let name = ServerName::try_from(host.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.pki.client(&[alpn])))
            .connect(name, socket)
            .await
    }

    pub(super) async fn ended(&self, expected: &[&str]) {
        for _ in 0..400 {
            if *self.ends.lock() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*self.ends.lock(), expected);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test is the client, whom egress rules do not concern"
)]
pub(super) async fn client(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

fn name(end: &End) -> &'static str {
    match end {
        End::Closed => "closed",
        End::Idle => "idle",
        End::Unannounced(_) => "unannounced",
        End::Crowded => "crowded",
        End::UnknownName => "unknown-name",
        End::Proved(_) => "proved",
        End::NothingToProve => "nothing-to-prove",
        End::Handshake(_) => "handshake",
        End::HandshakeTimeout(_) => "handshake-timeout",
        End::HeaderTimeout(_) => "header-timeout",
        End::Refused(..) => "refused",
        End::SendTimeout(_) => "send timeout",
        End::Unresponsive => "unresponsive",
        End::Malformed(_) => "malformed",
        End::HeadTooLarge(_) => "head-too-large",
        End::Flooded(..) => "flooded",
        End::Broken(_) => "broken",
        End::Gone(_) => "gone",
    }
}

async fn hello(_request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
    let tls = peer.tls.as_ref().map_or_else(String::new, |tls| {
        format!("{} {} {}", tls.server_name, tls.version, tls.cipher)
    });
    Response::new(tls.into())
}

pub(super) async fn text(response: Response<Incoming>) -> Bytes {
    read_at_most(response.into_body().into(), 1 << 20)
        .await
        .unwrap()
}

#[tokio::test]
async fn alpn_settles_the_version_and_the_service_learns_the_tls_facts() {
    let site = Site::start(true, hello).await;
    let facts = "app.localhost 1.3 TLS_AES_128_GCM_SHA256";

    let io = TokioIo::new(site.connect("http/1.1").await);
    let (mut h1, connection) = http1::handshake(io).await.unwrap();
    site.tasks.spawn("client", connection);
    let request = Request::get("/").header("host", HOST).body(Body::Empty);
    let answer = h1.send_request(request.unwrap()).await.unwrap();
    assert_eq!(text(answer).await, facts);

    let io = TokioIo::new(site.connect("h2").await);
    let (mut h2, connection) = http2::handshake(site.tasks.clone(), io).await.unwrap();
    site.tasks.spawn("client", connection);
    let request = Request::get("https://app.localhost/").body(Body::Empty);
    let answer = h2.send_request(request.unwrap()).await.unwrap();
    assert_eq!(text(answer).await, facts);
}

#[tokio::test]
async fn an_unknown_name_is_told_so_and_gets_no_certificate() {
    let site = Site::start(true, hello).await;
    let refused = site.try_connect("h2", "other.localhost").await.unwrap_err();
    assert!(
        refused.to_string().contains("UnrecognizedName")
            || refused.to_string().contains("UnrecognisedName"),
        "{refused}"
    );
    site.ended(&["unknown-name"]).await;
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_dropped() {
    let site = Site::start(true, hello).await;
    let _silent = client(site.address).await;
    site.ended(&["handshake-timeout"]).await;
    assert_eq!(site.gate.open(), 0);
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off_and_an_idle_connection_later() {
    let site = Site::start(false, hello).await;
    let mut slow = client(site.address).await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: a").await.unwrap();
    site.ended(&["header-timeout"]).await;

    let mut kept = client(site.address).await;
    kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        site.gate.open(),
        1,
        "an idle connection outlives the limit for heads"
    );
    site.ended(&["header-timeout", "idle"]).await;
}

#[tokio::test]
async fn a_connection_that_was_opened_ahead_of_need_is_closed_and_is_no_request() {
    let site = Site::start(true, hello).await;
    let _unused = site.connect("http/1.1").await;
    site.ended(&["idle"]).await;
    assert_eq!(site.gate.open(), 0);
}

/// Waits until this many own the witness.
async fn owned_by(witness: &Arc<()>, owners: usize) {
    for _ in 0..400 {
        if Arc::strong_count(witness) == owners {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(Arc::strong_count(witness), owners);
}

/// A site whose service owns the witness: once for the site, once per connection, once more per hyper on it.
async fn witnessed() -> (Site, Arc<()>) {
    let witness = Arc::new(());
    let owned = Arc::clone(&witness);
    let service = move |request, peer| {
        let _owned = &owned;
        hello(request, peer)
    };
    (Site::start(true, service).await, witness)
}

/// Reads this many answers of [`hello`].
async fn hellos<T: tokio::io::AsyncRead + Unpin>(client: &mut T, count: usize) {
    let mut read = Vec::new();
    while read.windows(7).filter(|part| part == b"_SHA256").count() < count {
        read.push(client.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_connection_at_rest_gives_its_buffers_back_and_serves_what_comes_next() {
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
    let (site, witness) = witnessed().await;
    let mut client = site.connect("http/1.1").await;
    owned_by(&witness, 3).await;
    client.write_all(GET).await.unwrap();
    hellos(&mut client, 1).await;
    owned_by(&witness, 3).await;

    let (begin, end) = GET.split_at(7);
    client.write_all(begin).await.unwrap();
    owned_by(&witness, 4).await;
    client.write_all(end).await.unwrap();
    hellos(&mut client, 1).await;
    owned_by(&witness, 3).await;

    client.write_all(&[GET, POST, GET].concat()).await.unwrap();
    hellos(&mut client, 3).await;
    owned_by(&witness, 3).await;

    client.shutdown().await.unwrap();
    site.ended(&["closed"]).await;
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_at_rest_refuses_what_it_always_refuses() {
    let (site, witness) = witnessed().await;
    let mut client = site.connect("http/1.1").await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    hellos(&mut client, 1).await;
    owned_by(&witness, 3).await;
    client
        .write_all(b"GET / HTTP/1.1\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    site.ended(&["refused"]).await;
}

#[tokio::test]
async fn a_connection_at_rest_is_told_of_a_drain_at_once() {
    let (site, witness) = witnessed().await;
    let mut client = site.connect("http/1.1").await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    hellos(&mut client, 1).await;
    owned_by(&witness, 3).await;
    assert_eq!(site.tasks.drain(Duration::from_secs(5)).await, 0);
    assert_eq!(*site.ends.lock(), ["closed"]);
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_stream_may_begin_on_a_connection_that_had_rested() {
    let (upgraded, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let witness = Arc::new(());
    let owned = Arc::clone(&witness);
    let service = move |mut request: Request<Incoming>, peer| {
        let _owned = &owned;
        let upgraded = upgraded.clone();
        async move {
            if request.uri().path() != "/ws" {
                return hello(request, peer).await;
            }
            upgraded.send(hyper::upgrade::on(&mut request)).unwrap();
            let mut answer = Response::new(Body::Empty);
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = answer.headers_mut();
            headers.insert("upgrade", HeaderValue::from_static("x"));
            headers.insert("connection", HeaderValue::from_static("upgrade"));
            answer
        }
    };
    let site = Site::start(true, service).await;
    let mut client = site.connect("http/1.1").await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    hellos(&mut client, 1).await;
    owned_by(&witness, 3).await;
    client
        .write_all(b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
        .await
        .unwrap();
    let stream = taken.recv().await.unwrap().await.unwrap();
    let mut stream = TokioIo::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    stream.write_all(b"down").await.unwrap();
    stream.flush().await.unwrap();
    client.write_all(b"up").await.unwrap();
    let (mut down, mut up) = ([0; 4], [0; 2]);
    client.read_exact(&mut down).await.unwrap();
    stream.read_exact(&mut up).await.unwrap();
    assert_eq!((&down, &up), (b"down", b"up"));
    assert_eq!(site.gate.open(), 1);
    drop(stream);
    site.ended(&["closed"]).await;
}

#[tokio::test]
async fn over_h2_many_large_answers_arrive_whole_and_a_drain_is_told_at_once() {
    const LARGE: usize = 300_000;
    let service = |request: Request<Incoming>, _peer| async move {
        let number = request.uri().path().trim_start_matches('/').parse::<u8>();
        Response::new(Body::from(vec![number.unwrap(); LARGE]))
    };
    let site = Site::start(true, service).await;
    let io = TokioIo::new(site.connect("h2").await);
    let (mut h2, connection) = http2::handshake(site.tasks.clone(), io).await.unwrap();
    let (ended, end) = tokio::sync::oneshot::channel();
    site.tasks.spawn("client", async move {
        ended.send(connection.await.is_ok()).unwrap();
    });
    let answers: Vec<_> = (0..5_u8)
        .map(|number| {
            let uri = format!("https://app.localhost/{number}");
            h2.send_request(Request::get(uri).body(Body::Empty).unwrap())
        })
        .collect();
    for (answer, number) in answers.into_iter().zip(0_u8..) {
        let body = answer.await.unwrap().into_body();
        let bytes = read_at_most(body.into(), 2 * LARGE).await.unwrap();
        assert!(bytes.len() == LARGE && bytes.iter().all(|byte| *byte == number));
    }
    // The client still holds the connection: it is the drain that ends it.
    assert_eq!(site.tasks.drain(Duration::from_secs(5)).await, 0);
    assert!(end.await.unwrap());
    drop(h2);
    // The client may close before it has taken our last word, which the system then reports to us.
    assert!(matches!(
        *site.ends.lock().as_slice(),
        ["closed" | "broken"]
    ));
}

#[tokio::test]
async fn what_cannot_be_parsed_is_answered_and_told() {
    let site = Site::start(false, hello).await;
    let mut answers = Vec::new();
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(9000)
    );
    for request in ["GET / HTTP/1.1\r\nbad header: x\r\n\r\n", &large] {
        let mut client = client(site.address).await;
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        answers.push(String::from_utf8(answer.to_vec()).unwrap());
    }
    assert_eq!(answers, ["HTTP/1.1 400", "HTTP/1.1 431"]);
    site.ended(&["refused", "refused"]).await;
}

#[tokio::test]
async fn a_panic_costs_one_connection_or_one_stream() {
    let service = |request: Request<Incoming>, peer| async move {
        assert!(request.uri().path() != "/panic", "on purpose");
        hello(request, peer).await
    };
    let site = Site::start(true, service).await;
    let io = TokioIo::new(site.connect("h2").await);
    let (mut h2, connection) = http2::handshake(site.tasks.clone(), io).await.unwrap();
    site.tasks.spawn("client", connection);
    let get = |path: &str| {
        let uri = format!("https://app.localhost{path}");
        Request::get(uri).body(Body::Empty).unwrap()
    };
    assert!(h2.send_request(get("/panic")).await.is_err());
    assert_eq!(
        h2.send_request(get("/")).await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(site.tasks.panics(), 1);
}

#[tokio::test]
async fn a_drain_lets_the_running_request_finish_and_ends_the_connection() {
    let service = |request: Request<Incoming>, peer| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        hello(request, peer).await
    };
    let site = Site::start(false, service).await;
    let mut client = client(site.address).await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(site.tasks.drain(Duration::from_secs(5)).await, 0);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close"));
}

#[tokio::test]
async fn a_websocket_is_carried_both_ways_and_ends_with_its_session() {
    let tasks = Tasks::new();
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi";
    let upstream = Scripted::start(&tasks, vec![vec![Step::SendAndEcho(switch)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let session = tokio_util::sync::CancellationToken::new();
    let ending = session.clone();
    let ends = Arc::<Mutex<Vec<TunnelEnd>>>::default();
    let log = Arc::clone(&ends);
    let service = move |mut request: Request<Incoming>, _peer| {
        let (pools, group, tasks) = (Pools::new(tasks.clone()), Arc::clone(&group), tasks.clone());
        let (session, log) = (session.clone(), Arc::clone(&log));
        async move {
            let outgoing = upgrade(&group, hyper::upgrade::on(&mut request), session);
            let forwarded = send(&pools, outgoing).await.unwrap();
            let tunnel = forwarded.tunnel.unwrap();
            tasks.spawn("tunnel", async move {
                let end = tunnel.run(Duration::from_secs(60)).await;
                log.lock().push(end);
            });
            forwarded.response
        }
    };
    let site = Site::start(false, service).await;
    let mut client = client(site.address).await;
    client
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket"),
        "{head}"
    );
    client.write_all(b" there").await.unwrap();
    let mut echoed = [0; 8];
    client.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hi there");
    assert_eq!(site.gate.open(), 1, "a tunnel counts as a connection");
    assert!(upstream.heads()[0].contains("upgrade: websocket"));

    ending.cancel();
    assert_eq!(client.read(&mut echoed).await.unwrap_or(0), 0);
    assert_eq!(*ends.lock(), [TunnelEnd::SessionEnded]);
    site.ended(&["closed"]).await;
    assert_eq!(site.gate.open(), 0);
}

#[tokio::test]
async fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO)]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let mut request = Request::new(Body::Empty);
    request
        .headers_mut()
        .insert("upgrade", HeaderValue::from_static("websocket"));
    let client = hyper::upgrade::on(&mut request);
    let outgoing = upgrade(&group, client, tokio_util::sync::CancellationToken::new());
    let forwarded = send(&Pools::new(tasks), outgoing).await.unwrap();
    assert!(forwarded.tunnel.is_none());
    assert_eq!(forwarded.response.status(), StatusCode::OK);
}
