//! What servers of other people believe a path to be is what the policies judged; what they disagree about reaches none.

use std::fmt::Write as _;

use crate::harness::raw_h2::{Fate, RawH2};
use crate::harness::reader::{Reader, Reading};
use crate::harness::site::Plan;
use crate::harness::{Site, Wire, eventually};

/// Targets that pass everywhere.
const CARRIED: &[&str] = &[
    "/",
    "/a",
    "/a/b/",
    "/A/b",
    "/index.html",
    "/a.b/...",
    "/..a/a..",
    "/.well-known/x",
    "/a~b-c_d",
    "/a%20b",
    "/%20",
    "/a%20/%20b/",
    "/a+b",
    "/a,b=c@d:e!$&'()*",
    "/caf%C3%A9",
    "/caf%c3%a9",
    "/%E2%82%AC/%F0%9F%94%91",
    "/a%25",
    "/a%25b",
    "/a%3Fb",
    "/a%3Fb?c",
    "/a%23b",
    "/a%22%3C%3E%60%7B%7D",
    "/[a]|^",
    "/a?",
    "/a??",
    "/a?b=c&d=e",
    "/a?next=/b/../c",
    "/a?b=%2e%2e/..//;%00\\&c={}",
    "/a?https://other.test/b",
    "/a/b?c=/d%2Fe;f",
];

/// Targets that pass where a route admits their class, and that readers need not agree about.
const ADMITTED: &[&str] = &[
    "/a%2Fb",
    "/a%2fb/c",
    "/a;b=c",
    "/a;b/c;d",
    "/a%3Bb",
    "/a//b",
    "/a///b//",
    "//a/b",
    "//a//b;c%2Fd?e=//f;g%2F",
];

/// Targets that readers disagree about.
const REFUSED: &[&str] = &[
    "/.",
    "/..",
    "/./a",
    "/a/.",
    "/a/..",
    "/a/../admin",
    "/a/./admin",
    "/../admin",
    "/%2e/admin",
    "/%2E%2E/admin",
    "/a/%2e%2e/admin",
    "/a/.%2e/admin",
    "/a/%2e./admin",
    "/a/..%2fadmin",
    "/a/%2e%2e%2fadmin",
    "/a/..%5cadmin",
    "/a/..;/admin",
    "/a/..;b=c/admin",
    "/a/.;/admin",
    "/a/%2e%2e%3b/admin",
    "/a%2fb",
    "/a%2Fb",
    "/%2Fa",
    "/a%5cb",
    "/a%5Cb",
    "/a\\b",
    "/\\other.test/a",
    "//a",
    "//other.test/a",
    "/a//b",
    "/a//",
    "/a;b",
    "/a;b=c/d",
    "/;/a",
    "/a%3bb",
    "/a%00",
    "/a%00.html",
    "/%00",
    "/a%0ab",
    "/a%0d%0aHost:%20other.test",
    "/a%09b",
    "/a%7f",
    "/a%",
    "/a%2",
    "/a%zz",
    "/a%u002f",
    "/a%%32e",
    "/a%252e%252e/admin",
    "/a%252fb",
    "/%61dmin",
    "/a%2db",
    "/a%ff",
    "/a%c0%af",
    "/a%c0%ae%c0%ae/admin",
    "/a%e0%80%af",
    "/a%ed%a0%80",
    "/a#b",
    "/a#",
    "/#/../admin",
    "/a?b#c",
];

/// Targets in another form than the origin form.
const OTHER_FORMS: &[&str] = &[
    "https://other.test/a",
    "https://other.test:PORT/a",
    "http://NAME.test:PORT/a",
    "https://me@NAME.test:PORT/a",
    "https://NAME.test:PORT/a/../admin",
    "https://NAME.test:PORT//a",
    "https://NAME.test:PORT/a#b",
    "ftp://NAME.test:PORT/a",
    "NAME.test:PORT",
    "*",
    "a",
    "",
    "?a",
    "#",
];

async fn readers() -> [Reader; 3] {
    [
        Reader::nginx().await,
        Reader::node().await,
        Reader::python().await,
    ]
}

/// A site with a route to each reader, with `keys` of its own.
fn plan(readers: &[Reader], keys: &str) -> Plan {
    let mut routes = String::new();
    for reader in readers {
        let (name, url) = (reader.name, reader.url());
        writeln!(
            routes,
            "[route.{name}]\nhost = \"{name}.test\"\nto = \"{url}\"\npublic = true\n{keys}\n"
        )
        .unwrap();
    }
    Site::plan().toml(&routes)
}

/// Asks over HTTP/1.1 on a kept connection; gives what the reader understood, and the request's id.
async fn ask(wire: &mut Wire, site: &Site, name: &str, target: &str) -> (Reading, String) {
    let host = format!("{name}.test:{}", site.port);
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 200, "{name} {target}");
    let id = answer.field("x-request-id").unwrap().to_owned();
    (Reading::of(&answer.text()), id)
}

/// The one reading that escapes have (RFC 3986 section 2.1).
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let (byte, next) = if *first == b'%' {
            let digits = std::str::from_utf8(&more[..2]).unwrap();
            (u8::from_str_radix(digits, 16).unwrap(), &more[2..])
        } else {
            (*first, more)
        };
        bytes.push(byte);
        rest = next;
    }
    String::from_utf8(bytes).unwrap()
}

/// The entries of `count` requests, which are written when their answers have ended.
async fn entries(site: &Site, count: usize) -> Vec<serde_json::Value> {
    eventually("every request's entry", async || {
        let mut entries = site.entries();
        entries.retain(|entry| entry["event.name"] == "http.request");
        (entries.len() == count).then_some(entries)
    })
    .await
}

/// The path that was judged in the request with this id.
fn judged<'a>(entries: &'a [serde_json::Value], id: &str) -> &'a str {
    let mut own = entries
        .iter()
        .filter(|entry| entry["portcullis.request.id"] == id);
    let entry = own.next().unwrap();
    assert!(own.next().is_none(), "two entries: {id}");
    assert_eq!(entry["portcullis.reason"], "public-route", "{entry}");
    entry["url.path"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_readers_understand_the_path_that_was_judged() {
    let readers = readers().await;
    let site = plan(&readers, "").start().await;
    let long = format!("/{}", "segment%20/".repeat(300));
    let mut targets = CARRIED.to_vec();
    targets.push(&long);
    let mut asked = Vec::new();
    for reader in &readers {
        let mut wire = site.client().wire(&format!("{}.test", reader.name)).await;
        for target in &targets {
            let (reading, id) = ask(&mut wire, &site, reader.name, target).await;
            assert_eq!(reading.target, *target, "{}", reader.name);
            asked.push((reader.name, *target, reading, id));
        }
        assert_eq!(reader.seen(), targets, "{}", reader.name);
    }
    let entries = entries(&site, asked.len()).await;
    for (name, target, reading, id) in asked {
        let judged = judged(&entries, &id);
        assert_eq!(judged, target.split('?').next().unwrap(), "{name}");
        assert_eq!(reading.path, decoded(judged), "{name} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_admits_arrives_as_it_was_sent_and_judged() {
    let readers = readers().await;
    let classes = "path_allows = [\"encoded-slash\", \"semicolon\", \"double-slash\"]";
    let site = plan(&readers, classes).start().await;
    let mut asked = Vec::new();
    for reader in &readers {
        let mut wire = site.client().wire(&format!("{}.test", reader.name)).await;
        for target in ADMITTED {
            let (reading, id) = ask(&mut wire, &site, reader.name, target).await;
            assert_eq!(reading.target, *target, "{}", reader.name);
            asked.push((*target, id));
        }
        assert_eq!(reader.seen(), ADMITTED, "{}", reader.name);
    }
    let entries = entries(&site, asked.len()).await;
    for (target, id) in asked {
        assert_eq!(judged(&entries, &id), target.split('?').next().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_readers_disagree_about_reaches_none_of_them() {
    let readers = readers().await;
    let site = plan(&readers, "").start().await;
    let client = site.client();
    for reader in &readers {
        let name = format!("{}.test", reader.name);
        let host = format!("{name}:{}", site.port);
        for target in REFUSED.iter().chain(OTHER_FORMS) {
            let target = target
                .replace("NAME", reader.name)
                .replace("PORT", &site.port.to_string());
            let mut wire = client.wire(&name).await;
            wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                .await;
            let status = wire.answer().await.status;
            assert!(matches!(status, 400 | 421), "{name} {target:?}: {status}");
        }
        for target in REFUSED.iter().filter(|target| !target.contains('#')) {
            let mut h2 = RawH2::connect(&client, &name).await;
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", host.as_str()),
                (":path", target),
            ];
            let stream = h2.send(&fields, None).await.unwrap();
            // The library refuses some of them before we do (RFC 9113 section 8.1.1).
            let fate = h2.fate(stream).await;
            let refused = matches!(
                fate,
                Fate::Answered(400) | Fate::Reset(1) | Fate::GoneAway(1)
            );
            assert!(refused, "{name} {target:?}: {fate:?}");
        }
        // One that passes is noted, so that nothing noted before it means that nothing came.
        let mut wire = client.wire(&name).await;
        ask(&mut wire, &site, reader.name, "/passes").await;
        assert_eq!(reader.seen(), ["/passes"], "{name}");
    }
}

/// HTTP's own types hold no fragment: over HTTP/2 it is gone before there is a request, for the policies and for readers.
#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_fragment_is_part_of_nothing_that_is_judged_or_carried() {
    let readers = readers().await;
    let site = plan(&readers, "").start().await;
    let rows = [
        ("/a#b", "/a", "/a"),
        ("/a/b#/../../c", "/a/b", "/a/b"),
        ("/#/admin", "/", "/"),
        ("/a?b#c", "/a?b", "/a"),
    ];
    for reader in &readers {
        let name = format!("{}.test", reader.name);
        let host = format!("{name}:{}", site.port);
        let mut h2 = RawH2::connect(&site.client(), &name).await;
        for (target, ..) in rows {
            let fields = [
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", host.as_str()),
                (":path", target),
            ];
            let stream = h2.send(&fields, None).await.unwrap();
            assert_eq!(h2.fate(stream).await, Fate::Answered(200), "{target}");
            assert_eq!(h2.ended(stream).await, None, "{target}");
        }
        let carried = rows.map(|(_, carried, _)| carried);
        assert_eq!(reader.seen(), carried, "{}", reader.name);
        let judged = eventually("the entries of all rows", async || {
            let mut entries = site.entries();
            entries.retain(|entry| entry["http.route"] == reader.name);
            (entries.len() == rows.len()).then_some(entries)
        })
        .await;
        let judged: Vec<_> = judged
            .iter()
            .map(|entry| entry["url.path"].clone())
            .collect();
        assert_eq!(judged, rows.map(|(.., judged)| judged), "{}", reader.name);
    }
}
