//! Which route a request belongs to, decided by host and path alone; everything else is told that there is nothing.

use crate::harness::browser::Url;
use crate::harness::client::{content, request, request_h2};
use crate::harness::raw_h2::{Fate, RawH2};
use crate::harness::{Browser, Person, Site, Upstream};
use http::Method;

fn route(name: &str, host: &str, path: &str, upstream: &Upstream) -> String {
    format!(
        "[route.{name}]\nhost = \"{host}\"\npath = \"{path}\"\nto = \"{}\"\npublic = true\n",
        upstream.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_route_serves_a_request() {
    let [root, api, deep, wild, exact] = [
        Upstream::start("root").await,
        Upstream::start("api").await,
        Upstream::start("deep").await,
        Upstream::start("wild").await,
        Upstream::start("exact").await,
    ];
    let site = Site::plan()
        .toml(&route("root", "app.test", "/", &root))
        .toml(&route("api", "app.test", "/api", &api))
        .toml(&route("deep", "app.test", "/api/v1/admin", &deep))
        .toml(&route("wild", "*.wild.test", "/", &wild))
        .toml(&route("exact", "one.wild.test", "/", &exact))
        .start()
        .await;
    let rows = [
        ("app", "/", "root"),
        ("app", "/apix", "root"),
        ("app", "/ap", "root"),
        ("app", "/API", "root"),
        ("app", "/?next=/api/v1/admin", "root"),
        ("app", "/api", "api"),
        ("app", "/api/", "api"),
        ("app", "/api?x=/api/v1/admin", "api"),
        ("app", "/api/v1/administrator", "api"),
        ("app", "/api/v1/admin", "deep"),
        ("app", "/api/v1/admin/users", "deep"),
        ("two.wild", "/", "wild"),
        ("one.wild", "/", "exact"),
    ];
    for (host, target, expected) in rows {
        let asked = request(&site, "GET", host, target)
            .body(Default::default())
            .unwrap();
        let answer = site.client().send(&format!("{host}.test"), asked).await;
        let path = target.split('?').next().unwrap();
        assert_eq!(
            (answer.status, answer.text()),
            (200, format!("upstream {expected} {path}")),
            "{host} {target}"
        );
    }
    let exact_twin = request(&site, "GET", "APP", "/api")
        .body(Default::default())
        .unwrap();
    assert_eq!(
        site.client().send("app.test", exact_twin).await.text(),
        "upstream api /api"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_or_path_that_no_route_has_is_not_found_and_reaches_nothing() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .toml(&route("app", "app.test", "/api", &upstream))
        .toml(&route("wild", "*.wild.test", "/", &upstream))
        .start()
        .await;
    for (server_name, host, target) in [
        ("app.test", "app", "/"),
        ("app.test", "app", "/apix"),
        ("app.test", "app", "/api2/api"),
    ] {
        let asked = request(&site, "GET", host, target)
            .body(Default::default())
            .unwrap();
        let answer = site.client().send(server_name, asked).await;
        assert_eq!(answer.status, 404, "{host} {target}");
        assert_eq!(answer.json()["reason"], "no-route");
    }
    let page = request(&site, "GET", "app", "/")
        .header("accept", "text/html")
        .body(Default::default())
        .unwrap();
    let answer = site.client().send("app.test", page).await;
    assert_eq!(answer.status, 404);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_route_gets_no_certificate() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    for name in ["other.test", "sub.app.test", "localhost"] {
        assert!(
            site.client().connect(name, &[b"http/1.1"]).await.is_err(),
            "{name}"
        );
    }
    assert!(
        site.client()
            .connect("app.test", &[b"http/1.1"])
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_than_the_tls_name_is_misdirected_in_http1_and_http2() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .route("secret", &upstream, "public = true")
        .start()
        .await;
    let client = site.client();
    for host in ["secret", "unknown", "login"] {
        let h1 = request(&site, "GET", host, "/")
            .body(Default::default())
            .unwrap();
        assert_eq!(client.send("app.test", h1).await.status, 421, "{host}");
        let h2 = request_h2(&site, "GET", host, "/")
            .body(Default::default())
            .unwrap();
        assert_eq!(client.send_h2("app.test", h2).await.status, 421, "{host}");
    }
    let other_port = http::Request::get("/")
        .header("host", "app.test:1")
        .body(Default::default())
        .unwrap();
    assert_eq!(client.send("app.test", other_port).await.status, 421);
    assert_eq!(upstream.hits(), 0);

    let same = request_h2(&site, "GET", "app", "/")
        .body(Default::default())
        .unwrap();
    assert_eq!(client.send_h2("app.test", same).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_a_route_does_not_carry_are_refused_with_those_it_does() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route(
            "app",
            &upstream,
            "public = true\nmethods = [\"GET\", \"HEAD\"]",
        )
        .start()
        .await;
    let mut sender = site.client().h1("app.test").await;
    let asked = request(&site, "POST", "app", "/")
        .body(content("x"))
        .unwrap();
    let answer = crate::harness::client::collect(sender.send_request(asked).await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(upstream.hits(), 0);
    let asked = request(&site, "GET", "app", "/")
        .body(Default::default())
        .unwrap();
    assert_eq!(site.client().send("app.test", asked).await.status, 200);
}

/// What is wrong, method, path, body, header fields.
type Row<'a> = (&'a str, Method, &'a str, &'a str, &'a [(&'a str, &'a str)]);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_carries_is_told_only_to_those_whom_the_policies_let_in() {
    let upstream = Upstream::start("app").await;
    let (ada, kim) = (Person::new("ada", &["staff"]), Person::new("kim", &[]));
    let rules =
        "allow = [\"group:staff\"]\nmethods = [\"GET\"]\nwebsocket = true\nbody_bytes = \"1KiB\"";
    let site = Site::plan()
        .route("app", &upstream, rules)
        .route("quiet", &upstream, &format!("{rules}\nhidden = true"))
        .person(&ada)
        .person(&kim)
        .start()
        .await;
    let [mut hers, mut his] = [Browser::new(&site), Browser::new(&site)];
    for (browser, person) in [(&mut hers, &ada), (&mut his, &kim)] {
        browser.sign_in(&site.url("app", "/"), person).await;
        browser.open(&site.url("quiet", "/")).await;
    }
    let hits = upstream.hits();
    let long = "x".repeat(2000);
    let foreign = [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("origin", "https://evil.example"),
    ];
    let rows: [Row<'_>; 4] = [
        ("a method", Method::PUT, "/", "x", &[]),
        ("a long body", Method::GET, "/", &long, &[]),
        ("a foreign socket", Method::GET, "/", "", &foreign),
        ("an odd path", Method::GET, "/a%2Fb", "", &[]),
    ];
    let told = [405, 413, 403, 400];
    for ((what, method, path, body, headers), told) in rows.into_iter().zip(told) {
        let hidden_path = if path == "/" { told } else { 404 };
        let refused = if path == "/" { 403 } else { 400 };
        for (is_hers, route, status) in [
            (true, "app", told),
            (true, "quiet", hidden_path),
            (false, "app", refused),
            (false, "quiet", 404),
        ] {
            let browser = if is_hers { &mut hers } else { &mut his };
            let url = Url::parse(&site.url(route, path));
            let body = Some(body).filter(|body| !body.is_empty());
            let answer = browser.request(method.clone(), url, body, headers).await;
            assert_eq!(answer.status(), status, "{what} on {route}");
        }
    }
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_trace_and_unknown_methods_are_refused() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let rows = [
        ("TRACE", "/", 405),
        ("CONNECT", "app.test:443", 400),
        ("CONNECT", "169.254.169.254:80", 400),
        ("get", "/", 501),
        ("TRACK", "/", 501),
        ("FOO", "/", 501),
        ("PROPFIND", "/", 200),
        ("QUERY", "/", 200),
    ];
    for (method, target, expected) in rows {
        let mut wire = site.client().wire("app.test").await;
        wire.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: app.test:{}\r\n\r\n",
            site.port
        ))
        .await;
        let status = wire.answer().await.status;
        // CONNECT has no path; whether that or the method is named first is not a matter of safety.
        let fits = status == expected || (method == "CONNECT" && status == 405);
        assert!(fits, "{method} {target}: {status}");
    }
    assert_eq!(upstream.hits(), 2);
    let mut h2 = RawH2::connect(&site.client(), "app.test").await;
    let stream = h2
        .send(
            &[(":method", "CONNECT"), (":authority", "10.0.0.1:22")],
            None,
        )
        .await
        .unwrap();
    assert!(!matches!(h2.fate(stream).await, Fate::Answered(200)));
    assert_eq!(upstream.hits(), 2);
}
