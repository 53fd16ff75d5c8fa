//! Whoever floods the edge loses its own connection; everybody else is served all the while, and memory stays.

use crate::harness::bystander;
use crate::harness::client::{collect, content, request_h2};
use crate::harness::flood::Farewell;
use crate::harness::raw_h2::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, RawH2, SETTINGS, block, frame,
};
use crate::harness::{Bystander, Site, Upstream, Wire, eventually};

const CONTINUATION: u8 = 9;
const WINDOW_UPDATE: u8 = 8;
const PRIORITY: u8 = 2;
const PING: u8 = 6;
const PADDED: u8 = 8;

/// KiB that a flood may make the process grow by.
const GROWTH: u64 = 64 * 1024;

/// Pieces of about a hundred frames each; far more than any budget.
const PIECES: u32 = 2000;

/// Bounds that a slow machine oversteps too.
const LIMITS: &str = "h2_max_streams = 50\nh2_reset_budget = 50";

/// Requests of one offender that may have been let through before it was stopped: the streams that may be open at once,
/// and the resets that are forgiven in the seconds at both sides of a tick.
const FORGIVEN: usize = 50 + 2 * 50;

/// What a row does, the kinds under which it may be recorded (none: as no flood), and its frames.
type Row = (&'static str, &'static [&'static str], Pieces);

/// Makes the next piece; gets its number.
type Pieces = Box<dyn FnMut(u32) -> Vec<u8> + Send>;

fn get(site: &Site, path: &str) -> Vec<u8> {
    let authority = format!("app.test:{}", site.port);
    block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", path),
    ])
}

fn post(site: &Site, path: &str) -> Vec<u8> {
    let authority = format!("app.test:{}", site.port);
    block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", path),
    ])
}

/// A hundred times what `frames` gives for the id of a stream that is new each time.
fn hundred(round: u32, frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..100)
        .flat_map(|n| frames((round * 100 + n) * 2 + 1))
        .collect()
}

/// `first` once, then `again` a hundred times per piece.
fn after(first: Vec<u8>, again: &[u8]) -> Pieces {
    let again = again.repeat(100);
    Box::new(move |round| {
        if round == 0 {
            first.clone()
        } else {
            again.clone()
        }
    })
}

/// An entry for the table of fields that fills it, and a block that names it over and over.
fn header_bomb(site: &Site) -> Pieces {
    let mut plant = get(site, "/");
    // A literal that is remembered (RFC 7541 section 6.2.1), with a value of 3000 bytes.
    plant.extend_from_slice(&[0x40, 3]);
    plant.extend_from_slice(b"x-a");
    plant.extend_from_slice(&[0x7f, 0xb9, 0x16]);
    plant.resize(plant.len() + 3000, b'y');
    let first = frame(HEADERS, END_HEADERS | END_STREAM, 1, &plant);
    let mut bomb = get(site, "/");
    bomb.resize(bomb.len() + 16_000, 0xbe);
    Box::new(move |round| match round {
        0 => first.clone(),
        round => frame(HEADERS, END_HEADERS | END_STREAM, round * 2 + 1, &bomb),
    })
}

fn frame_floods(site: &Site) -> Vec<Row> {
    let (slow, body) = (get(site, "/slow"), post(site, "/slow"));
    let opened = frame(HEADERS, END_HEADERS, 1, &body);
    let made = body;
    let later = slow.clone();
    vec![
        (
            "streams opened and reset",
            &["reset", "protocol"],
            Box::new(move |round| {
                hundred(round, |id| {
                    let mut both = frame(HEADERS, END_HEADERS | END_STREAM, id, &slow);
                    both.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
                    both
                })
            }),
        ),
        (
            "streams that the server is made to reset",
            &["protocol"],
            Box::new(move |round| {
                hundred(round, |id| {
                    let mut both = frame(HEADERS, END_HEADERS, id, &made);
                    // More than a window can be is an error of the stream (RFC 9113 section 6.9.1).
                    both.extend(frame(WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff]));
                    both
                })
            }),
        ),
        (
            "CONTINUATION without end",
            &["protocol"],
            after(
                frame(HEADERS, END_STREAM, 1, &get(site, "/")),
                &frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")])),
            ),
        ),
        (
            "empty CONTINUATION without end",
            &["protocol"],
            after(
                frame(HEADERS, END_STREAM, 1, &get(site, "/")),
                &frame(CONTINUATION, 0, 1, &[]),
            ),
        ),
        (
            "a small block that stands for many fields",
            &["protocol"],
            header_bomb(site),
        ),
        (
            "content beyond the window",
            &[],
            after(opened.clone(), &frame(DATA, 0, 1, &[b'x'; 16_000])),
        ),
        (
            "streams opened, and reset a moment later",
            &["reset", "protocol"],
            Box::new(move |round| {
                let id = round / 2 * 2 + 1;
                if round % 2 == 0 {
                    frame(HEADERS, END_HEADERS | END_STREAM, id, &later)
                } else {
                    frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())
                }
            }),
        ),
        (
            "PING",
            &["ping"],
            after(Vec::new(), &frame(PING, 0, 0, &[0; 8])),
        ),
        (
            "answers to pings that nobody sent",
            &["ping"],
            after(Vec::new(), &frame(PING, ACK, 0, &[0; 8])),
        ),
        (
            "SETTINGS",
            &["settings"],
            after(Vec::new(), &frame(SETTINGS, 0, 0, &[])),
        ),
        (
            "SETTINGS that move the window of all streams",
            &["settings"],
            after(
                opened.clone(),
                &[
                    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]),
                    frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
                ]
                .concat(),
            ),
        ),
        (
            "empty DATA",
            &["empty-data", "protocol"],
            after(opened.clone(), &frame(DATA, 0, 1, &[])),
        ),
        (
            "DATA of padding alone",
            &["empty-data", "protocol"],
            after(opened.clone(), &frame(DATA, PADDED, 1, &[3, 0, 0, 0])),
        ),
        (
            "windows opened byte by byte",
            &["window-update"],
            after(Vec::new(), &frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ),
        (
            "the window of a stream opened byte by byte",
            &["window-update"],
            after(opened, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ),
        (
            "priorities",
            &["other-frames"],
            after(Vec::new(), &frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ),
        (
            "frames that nobody knows",
            &["other-frames"],
            after(Vec::new(), &frame(0xfa, 0, 0, &[0; 40])),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_frames_ends_its_connection_and_no_other_and_is_recorded_once() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits(LIMITS)
        // The bystander asks as fast as it is answered, for as long as all rows take.
        .limits("address_rate = \"100000/1s\"\naddress_burst = 100000")
        .start()
        .await;
    let mut recorded = 0;
    for (what, kinds, pieces) in frame_floods(&site) {
        let before = offences(&upstream);
        let bystander = Bystander::start(&site).await;
        let offender = RawH2::connect(&site.client(), "app.test").await;
        let farewell = offender.flood(PIECES, pieces).await;
        assert_ne!(farewell, Farewell::None, "{what}");
        let grown = bystander.stop().await;
        assert!(grown < GROWTH, "{what}: {grown} KiB");
        let through = offences(&upstream) - before;
        assert!(through <= FORGIVEN, "{what}: {through} requests");
        if kinds.is_empty() {
            continue;
        }
        recorded += 1;
        let floods = eventually(what, async || {
            let floods = floods(&site);
            (floods.len() >= recorded).then_some(floods)
        })
        .await;
        assert_eq!(floods.len(), recorded, "{what}");
        let last = &floods[recorded - 1];
        let kind = last["portcullis.flood"].as_str().unwrap();
        assert!(kinds.contains(&kind), "{what}: {last}");
        assert_eq!(last["client.address"], "127.0.0.1", "{what}");
        let counted = format!("portcullis_connections_cut_total{{kind=\"{kind}\"}}");
        assert!(site.metrics().await.contains(&counted), "{what}");
    }
}

/// What the log holds about floods, oldest first.
fn floods(site: &Site) -> Vec<serde_json::Value> {
    let mut entries = site.entries();
    entries.retain(|entry| entry["event.name"] == "connection.flooded");
    entries
}

/// A client that is quick, and no offender: its frames are earned by what it asks for and is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_fast_transfer_is_no_flood() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("h2_window_update_budget = 3\nh2_ping_budget = 3")
        .start()
        .await;
    let mut h2 = site.client().h2("app.test").await;
    for _ in 0..3 {
        let asked = request_h2(&site, "GET", "app", "/sized/8000000")
            .body(content(""))
            .unwrap();
        let answer = collect(h2.send_request(asked).await.unwrap()).await;
        assert_eq!((answer.status, answer.body.len()), (200, 8_000_000));
    }
    assert!(floods(&site).is_empty());
}

/// Requests of others than the bystander.
fn offences(upstream: &Upstream) -> usize {
    let seen = upstream.seen();
    seen.iter()
        .filter(|seen| seen.target != bystander::PATH)
        .count()
}

/// What each of many slow clients sends before it says nothing more.
enum Slow {
    /// Nothing of TLS but this.
    Handshake(&'static [u8]),
    /// This, through TLS.
    Request(String),
    /// A request over HTTP/2 whose answer has no window to leave by.
    NoWindow,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hoard_of_slow_clients_is_closed_and_everybody_else_is_served() {
    // An answer that is not taken holds its pieces on their way until its deadline, and one row asks for a hundred each.
    const MANY: usize = 30;
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("handshake_timeout = \"2s\"\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"")
        .limits("idle_timeout = \"1s\"\nsend_timeout = \"1s\"")
        // The bystander asks as fast as it is answered, for as long as all rows take.
        .limits("address_rate = \"100000/1s\"\naddress_burst = 100000")
        .start()
        .await;
    let head = format!(" HTTP/1.1\r\nHost: app.test:{}\r\n", site.port);
    let rows = [
        ("a silent handshake", Slow::Handshake(b""), "slow-handshake"),
        (
            "half a hello",
            Slow::Handshake(b"\x16\x03\x01\x02\x00\x01\x00"),
            "slow-handshake",
        ),
        ("noise", Slow::Handshake(b"GET / HTTP/1.1\r\n\r\n"), NO_TLS),
        ("a silent connection", Slow::Request(String::new()), "idle"),
        (
            "half a head",
            Slow::Request(format!("GET /{head}X-A: b")),
            "slow-head",
        ),
        (
            "half a body",
            Slow::Request(format!("POST /echo{head}Content-Length: 9\r\n\r\nhalf")),
            "slow-body",
        ),
        (
            "half a chunk",
            Slow::Request(format!(
                "POST /echo{head}Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"
            )),
            "slow-body",
        ),
        (
            "an answer that is not taken",
            Slow::Request(format!("GET /flood{head}\r\n")),
            "slow-read",
        ),
        ("an answer without a window", Slow::NoWindow, "slow-read"),
        (
            "a kept connection",
            Slow::Request(format!("GET /{head}\r\n")),
            "idle",
        ),
    ];
    for (what, slow, kind) in rows {
        let before = trips(&site, kind).await;
        let bystander = Bystander::start(&site).await;
        let mut held: Vec<Held> = Vec::new();
        for _ in 0..MANY {
            held.push(hold(&site, &slow).await);
        }
        bystander.is_served().await;
        // Only the bystander's connection and that of the operators' listener remain.
        eventually(what, async || (site.connections().await <= 1).then_some(())).await;
        drop(held);
        let grown = bystander.stop().await;
        assert!(grown < GROWTH, "{what}: {grown} KiB");
        let expected = Trips {
            counted: before.counted + MANY,
            recorded: before.recorded + if RECORDED.contains(&kind) { MANY } else { 0 },
        };
        eventually(what, async || {
            (trips(&site, kind).await == expected).then_some(())
        })
        .await;
    }
    assert!(upstream.seen().iter().all(|seen| seen.body.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_is_closed_and_everybody_else_is_served() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("h2_ping_interval = \"500ms\"\nh2_ping_timeout = \"500ms\"")
        // The bystander asks as fast as it is answered.
        .limits("address_rate = \"100000/1s\"\naddress_burst = 100000")
        .start()
        .await;
    let bystander = Bystander::start(&site).await;
    // It waits for an answer, so that it is not idle.
    let mut deaf = RawH2::connect(&site.client(), "app.test").await;
    let asked = frame(HEADERS, END_HEADERS | END_STREAM, 1, &get(&site, "/slow"));
    deaf.write(&asked).await.unwrap();
    // A laptop that sleeps is everyday; the request that it had under way has its entry.
    let once = Trips {
        counted: 1,
        recorded: 0,
    };
    eventually("the trip", async || {
        (trips(&site, "unresponsive").await == once).then_some(())
    })
    .await;
    eventually("its end", async || {
        (site.connections().await <= 1).then_some(())
    })
    .await;
    bystander.is_served().await;
    bystander.stop().await;
}

/// What is no handshake is counted as one that failed.
const NO_TLS: &str = "no-tls";

/// Kinds that have an entry each. The others are everyday: a browser that leaves, and a port that somebody scans.
const RECORDED: [&str; 4] = ["slow-handshake", "slow-head", "slow-body", "slow-read"];

/// How often one kind of trip is in the metrics, and in the audit log.
#[derive(Debug, PartialEq)]
struct Trips {
    counted: usize,
    recorded: usize,
}

async fn trips(site: &Site, kind: &str) -> Trips {
    let name = match kind {
        NO_TLS => "portcullis_handshake_failures_total ".to_owned(),
        kind => format!("portcullis_connections_cut_total{{kind=\"{kind}\"}} "),
    };
    let metrics = site.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    let late = |parsed: bool| {
        let entries = site.search(&["request-timeout"]);
        let is = |entry: &&serde_json::Value| entry["http.route"].is_null() != parsed;
        entries.iter().filter(is).count()
    };
    let recorded = match kind {
        "slow-head" => late(false),
        "slow-body" => late(true),
        kind => cuts(site, kind).len(),
    };
    Trips {
        counted: line.map_or(0, |count| count.parse().unwrap()),
        recorded,
    }
}

/// Events of one kind that no request's entry tells.
fn cuts(site: &Site, kind: &str) -> Vec<serde_json::Value> {
    let mut cuts = site.search(&["event:connection.cut"]);
    cuts.retain(|entry| entry["portcullis.kind"] == kind);
    for entry in &cuts {
        assert_eq!(entry["client.address"], "127.0.0.1", "{entry}");
    }
    cuts
}

/// A connection that is kept open and not read.
enum Held {
    Wire { _wire: Wire },
    H2 { _h2: Box<RawH2> },
}

async fn hold(site: &Site, slow: &Slow) -> Held {
    match slow {
        Slow::Handshake(bytes) => {
            let mut wire = Wire::new(site.client().dial().await.unwrap());
            wire.send(bytes).await;
            Held::Wire { _wire: wire }
        }
        Slow::Request(text) => {
            let mut wire = site.client().wire("app.test").await;
            wire.send(text).await;
            Held::Wire { _wire: wire }
        }
        Slow::NoWindow => {
            let mut h2 = RawH2::connect(&site.client(), "app.test").await;
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
            let none = [0, 4, 0, 0, 0, 0];
            let mut bytes = frame(SETTINGS, 0, 0, &none);
            bytes.extend(hundred(0, |id| {
                frame(HEADERS, END_HEADERS | END_STREAM, id, &get(site, "/flood"))
            }));
            h2.write(&bytes).await.unwrap();
            Held::H2 { _h2: Box::new(h2) }
        }
    }
}

/// Handshakes are what costs a server more than its client. Those of one address are served, and those of nobody wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_handshakes_keeps_nobody_waiting_and_leaves_nothing_behind() {
    const AT_ONCE: usize = 20;
    const ROUNDS: usize = 30;
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .limits("address_rate = \"100000/1s\"\naddress_burst = 100000")
        .start()
        .await;
    let bystander = Bystander::start(&site).await;
    for _ in 0..ROUNDS {
        // Each whole, with a key exchange of its own, and given up at once.
        let client = site.client();
        let shaking = (0..AT_ONCE).map(|_| client.connect("app.test", &[b"h2"]));
        for shaken in futures_util::future::join_all(shaking).await {
            drop(shaken.unwrap());
        }
        bystander.is_served().await;
    }
    eventually("the connections to be gone", async || {
        (site.connections().await <= 1).then_some(())
    })
    .await;
    let grown = bystander.stop().await;
    assert!(grown < GROWTH, "{grown} KiB");
    assert_eq!(offences(&upstream), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_leave_room_for_all_others() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .server("max_connections_per_address = 40\nworkers = 1")
        .start()
        .await;
    let bystander = Bystander::start(&site).await;
    let mut held = Vec::new();
    for _ in 0..400 {
        // The system completes connections on its own; the server then closes what is too many.
        held.push(site.client().dial().await.unwrap());
    }
    eventually("the cap to hold", async || {
        (site.connections().await == 41).then_some(())
    })
    .await;
    let refused = site.client().connect("app.test", &[b"h2"]).await;
    assert!(refused.is_err());
    let grown = bystander.stop().await;
    assert!(grown < GROWTH, "{grown} KiB");
    assert_eq!(offences(&upstream), 0);
    eventually("every refused connection to be counted", async || {
        let metrics = site.metrics().await;
        metrics
            .contains("portcullis_connections_refused_total 361\n")
            .then_some(())
    })
    .await;
    // Told once for all of them by each worker.
    let told = eventually("the cap in the log", async || {
        let told = cuts(&site, "address-full").len();
        (told > 0).then_some(told)
    })
    .await;
    assert_eq!(told, 1);
    drop(held);
}
