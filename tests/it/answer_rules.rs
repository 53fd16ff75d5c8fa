//! What a route changes in the answers of its upstream, and who besides its own pages may read them.

use crate::harness::client::{collect, content, request, request_h2};
use crate::harness::command::run_in;
use crate::harness::scripted::keeps;
use crate::harness::{Answer, Browser, Person, Scripted, Site, Upstream};

const ELSEWHERE: &str = "https://pages.example";
const CORS: &str = "cors = { origins = [\"https://pages.example\"], methods = [\"PUT\"], headers = [\"X-Token\"], credentials = true }";

/// One request over HTTP/1.1 and the same over HTTP/2; both answers.
async fn both(
    site: &Site,
    method: &str,
    name: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> [Answer; 2] {
    let host = format!("{name}.test");
    let mut h1 = request(site, method, name, path);
    let mut h2 = request_h2(site, method, name, path);
    for (field, value) in headers {
        h1 = h1.header(*field, *value);
        h2 = h2.header(*field, *value);
    }
    let mut old = site.client().h1(&host).await;
    let mut new = site.client().h2(&host).await;
    [
        collect(
            old.send_request(h1.body(content("")).unwrap())
                .await
                .unwrap(),
        )
        .await,
        collect(
            new.send_request(h2.body(content("")).unwrap())
                .await
                .unwrap(),
        )
        .await,
    ]
}

fn cookies(answer: &Answer) -> Vec<&str> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn security_headers_follow_the_route_and_our_own_pages_keep_theirs() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("plain", &upstream, "public = true")
        .route(
            "strict",
            &upstream,
            "public = true\nheaders = { default = { \"X-Frame-Options\" = \"DENY\" }, \
             set = { \"Referrer-Policy\" = \"same-origin\" }, remove = [\"X-Content-Type-Options\"] }",
        )
        .start()
        .await;
    for answer in both(&site, "GET", "plain", "/", &[]).await {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(
            answer.header("referrer-policy"),
            Some("strict-origin-when-cross-origin")
        );
        assert_eq!(answer.header("x-frame-options"), None);
    }
    for answer in both(&site, "GET", "strict", "/", &[]).await {
        assert_eq!(answer.header("x-content-type-options"), None);
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
    let hits = upstream.hits();
    for answer in both(&site, "GET", "strict", "/a/../b", &[]).await {
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_neither_set_clear_nor_imitate_our_cookies() {
    let hostile = "HTTP/1.1 200 OK\r\n\
        Set-Cookie: __Host-portcullis=1; Path=/; Secure\r\nSet-Cookie: \t__host-Portcullis =1; Path=/\r\n\
        Set-Cookie: __Host-portcullis\r\nSet-Cookie: =__Host-portcullis=1\r\nSet-Cookie: = __HOST-PORTCULLIS\r\n\
        Set-Cookie: __Host-portcullis_csrf=1\r\nSet-Cookie: __Host-portcullis-theme=; Max-Age=0\r\n\
        Set-Cookie: __Secure-portcullis=1; Domain=test\r\nSet-Cookie: __host-http-portcullis=1\r\n\
        Set-Cookie2: __Host-portcullis=1\r\n\
        Set-Cookie: app=1; Domain=.test; Path=/\r\nSet-Cookie: __Host-portcullisx=1; Path=/; Secure\r\n\
        Clear-Site-Data: \"cookies\", \"cache\"\r\nClear-Site-Data: \"clientHints\"\r\nContent-Length: 0\r\n\r\n";
    let all = "HTTP/1.1 200 OK\r\nClear-Site-Data: \"*\"\r\nContent-Length: 0\r\n\r\n";
    let upstream =
        Scripted::start(vec![keeps(hostile), keeps(hostile), keeps(all), keeps(all)]).await;
    let site = Site::plan()
        .toml(&format!(
            "[route.app]\nhost = \"app.test\"\nto = \"{}\"\npublic = true\n",
            upstream.url()
        ))
        .start()
        .await;
    for answer in both(&site, "GET", "app", "/", &[]).await {
        assert_eq!(
            cookies(&answer),
            [
                "app=1; Path=/; Secure",
                "__Host-portcullisx=1; Path=/; Secure"
            ]
        );
        assert_eq!(answer.header("set-cookie2"), None);
        assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    }
    for answer in both(&site, "GET", "app", "/", &[]).await {
        assert_eq!(
            answer.header("clear-site-data"),
            Some("\"cache\", \"storage\", \"executionContexts\"")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_stays_signed_in_whatever_the_app_clears() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &[]);
    let site = Site::plan()
        .route("app", &upstream, "allow = [\"everyone\"]")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    assert_eq!(
        browser.sign_in(&site.url("app", "/"), &ada).await.status(),
        200
    );
    let hostile = browser.visit(&site.url("app", "/hostile")).await;
    let cleared = hostile.answer.header("clear-site-data").unwrap();
    assert!(
        !cleared.contains("cookies") && !cleared.contains('*'),
        "{cleared}"
    );
    assert_eq!(browser.visit(&site.url("app", "/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_knows_no_proxy_leads_to_the_app_and_nowhere_else() {
    let upstream = Upstream::start("app").await;
    let keys = "public = true\npreserve_host = false";
    let site = Site::plan()
        .route("app", &upstream, &format!("{keys}\nrewrite = true"))
        .route("kept", &upstream, keys)
        .start()
        .await;
    let own = format!("http://{}/next?a=b", upstream.address);
    for answer in both(&site, "GET", "app", "/self/next?a=b", &[]).await {
        let here = site.url("app", "/next");
        assert_eq!(answer.header("location"), Some(here.as_str()));
        assert_eq!(
            answer.header("refresh"),
            Some(format!("0; url={here}").as_str())
        );
        assert_eq!(
            answer.header("content-location"),
            Some("https://elsewhere.example/kept")
        );
        assert_eq!(
            cookies(&answer),
            ["sid=1; Path=/; Secure", "wide=1; SameSite=None; Secure"]
        );
    }
    for answer in both(&site, "GET", "kept", "/self/next", &[]).await {
        assert_eq!(
            answer.header("location"),
            Some(own.trim_end_matches("?a=b"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_request_is_answered_for_listed_origins_without_session_and_upstream() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route(
            "app",
            &upstream,
            &format!("allow = [\"everyone\"]\nmethods = [\"GET\", \"PUT\"]\n{CORS}"),
        )
        .route(
            "secret",
            &upstream,
            &format!("allow = [\"everyone\"]\nhidden = true\n{CORS}"),
        )
        .route("left", &upstream, "public = true")
        .start()
        .await;
    let asks = |origin| {
        [
            ("origin", origin),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-token"),
        ]
    };
    for answer in both(&site, "OPTIONS", "app", "/a", &asks(ELSEWHERE)).await {
        assert_eq!(answer.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", ELSEWHERE),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-token"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert!(answer.header("strict-transport-security").is_some());
    }
    for (name, origin, status, reason) in [
        ("app", "https://evil.example", 403, "origin-refused"),
        ("app", "null", 403, "origin-refused"),
        ("secret", "https://evil.example", 404, "no-route"),
    ] {
        for answer in both(&site, "OPTIONS", name, "/a", &asks(origin)).await {
            assert_eq!(
                (answer.status, answer.json()["reason"].as_str()),
                (status, Some(reason))
            );
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    // A listed page may read why it is refused, but not that a hidden app is there.
    for (name, read) in [("app", Some(ELSEWHERE)), ("secret", None)] {
        for answer in both(&site, "GET", name, "/a", &[("origin", ELSEWHERE)]).await {
            assert_eq!(answer.header("access-control-allow-origin"), read, "{name}");
        }
    }
    for answer in both(&site, "OPTIONS", "app", "/a%2e%2e/b", &asks(ELSEWHERE)).await {
        assert_eq!(answer.status, 400);
    }
    assert_eq!(upstream.hits(), 0);
    for answer in both(&site, "OPTIONS", "left", "/a", &asks(ELSEWHERE)).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.hits(), 2);
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    let told = |reason: &str| {
        let mut found = entries.iter();
        let same = found
            .by_ref()
            .filter(|entry| entry["portcullis.reason"] == reason);
        same.count()
    };
    assert_eq!((told("cors-preflight"), told("origin-refused")), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_route_alone_says_who_may_read_its_answers() {
    let answer = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n\
        Vary: Accept\r\nContent-Length: 2\r\n\r\nok";
    let upstream = Scripted::start(vec![keeps(answer)]).await;
    let site = Site::plan()
        .toml(&format!(
            "[route.app]\nhost = \"app.test\"\nto = \"{0}\"\npublic = true\n{CORS}\n\
             [route.closed]\nhost = \"closed.test\"\nto = \"{0}\"\nallow = [\"everyone\"]\n{CORS}\n",
            upstream.url()
        ))
        .start()
        .await;
    for answer in both(&site, "GET", "app", "/", &[("origin", ELSEWHERE)]).await {
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ELSEWHERE)
        );
        assert_eq!(answer.headers.get_all("vary").iter().count(), 2);
    }
    for answer in both(&site, "GET", "closed", "/", &[("origin", ELSEWHERE)]).await {
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ELSEWHERE)
        );
        assert_eq!(answer.json()["reason"], "sign-in-required");
    }
    for name in ["app", "closed"] {
        let asked = [("origin", "https://evil.example")];
        for answer in both(&site, "GET", name, "/", &asked).await {
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    for origin in ["https://evil.example", "https://pages.example.evil.example"] {
        for answer in both(&site, "GET", "app", "/", &[("origin", origin)]).await {
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_paths_of_a_route_hold_on_both_protocols_and_for_upgrades() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("read", &upstream, "public = true\nmethods = [\"GET\"]")
        .route("write", &upstream, "public = true\nmethods = [\"POST\"]")
        .route(
            "odd",
            &upstream,
            "public = true\npath_allows = [\"semicolon\"]",
        )
        .start()
        .await;
    for (method, name, path, status) in [
        ("GET", "read", "/", 200),
        ("HEAD", "read", "/", 405),
        ("POST", "read", "/", 405),
        ("OPTIONS", "read", "/", 405),
        ("POST", "write", "/", 200),
        ("GET", "write", "/", 405),
        ("GET", "odd", "/a;b", 200),
        ("GET", "odd", "/a%2Fb", 400),
        ("GET", "odd", "/a//b", 400),
        ("GET", "read", "/a;b", 400),
    ] {
        let hits = upstream.hits();
        for answer in both(&site, method, name, path, &[]).await {
            assert_eq!(answer.status, status, "{method} {name} {path}");
            assert_eq!(answer.header("allow").is_some(), status == 405);
        }
        assert_eq!(upstream.hits() - hits, if status == 200 { 2 } else { 0 });
    }
    for (name, path, status) in [
        ("read", "/socket", 101),
        ("write", "/socket", 405),
        ("odd", "/a;b", 101),
        ("odd", "/a%2Fb", 400),
        ("read", "/a;b", 400),
    ] {
        let hits = upstream.hits();
        let authority = format!("{name}.test:{}", site.port);
        let mut wire = site.client().wire(&format!("{name}.test")).await;
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: https://{authority}\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.answer().await.status, status, "{name} {path}");
        assert_eq!(upstream.hits() - hits, usize::from(status == 101));
    }
}

#[test]
fn answer_rules_that_would_undo_the_edge_are_refused_by_check() {
    let rows = [
        (
            "headers = { set = { \"Content-Length\" = \"0\" } }",
            "PC1430",
        ),
        (
            "headers = { default = { \"transfer-encoding\" = \"chunked\" } }",
            "PC1430",
        ),
        (
            "headers = { set = { \"Connection\" = \"close\" } }",
            "PC1430",
        ),
        ("headers = { set = { \"Upgrade\" = \"h2c\" } }", "PC1430"),
        (
            "headers = { set = { \"Strict-Transport-Security\" = \"max-age=0\" } }",
            "PC1430",
        ),
        (
            "headers = { remove = [\"strict-transport-security\"] }",
            "PC1430",
        ),
        ("headers = { remove = [\"Content-Length\"] }", "PC1430"),
        (
            "headers = { set = { \"X-Portcullis-User\" = \"root\" } }",
            "PC1430",
        ),
        ("headers = { set = { \"X-Request-Id\" = \"1\" } }", "PC1430"),
        ("headers = { set = { \"Set-Cookie\" = \"a=b\" } }", "PC1430"),
        (
            "headers = { set = { \"Clear-Site-Data\" = \"\\\"*\\\"\" } }",
            "PC1430",
        ),
        (
            "headers = { set = { \"Alt-Svc\" = \"h3=\\\":1\\\"\" } }",
            "PC1430",
        ),
        (
            "headers = { set = { \"X-A\" = \"1\", \"x-a\" = \"2\" } }",
            "PC1430",
        ),
        (
            "headers = { set = { \"Access-Control-Allow-Origin\" = \"*\" } }\ncors = { origins = [] }",
            "PC1430",
        ),
        (
            "headers = { set = { \"X-A\" = \"b\\r\\nSet-Cookie: c=d\" } }",
            "PC1113",
        ),
        ("headers = { set = { \"X-A\" = \" b\" } }", "PC1113"),
        ("headers = { set = { \"X-A\" = \"\u{e4}\" } }", "PC1113"),
        (
            "headers = { set = { \"X-Frame-Options\" = \"ALLOWALL\" } }",
            "PC1113",
        ),
        (
            "headers = { default = { \"Referrer-Policy\" = \"never\" } }",
            "PC1113",
        ),
        ("headers = { set = { \"X A\" = \"b\" } }", "PC1116"),
        (
            "headers = { set = { \"X-A\" = \"b\" }, remove = [\"X-A\"] }",
            "PC1413",
        ),
        (
            "headers = { default = { \"X-A\" = \"b\" }, remove = [\"X-A\"] }",
            "PC1413",
        ),
        ("cors = { origins = [\"*\"], credentials = true }", "PC1431"),
        (
            "cors = { origins = [\"https://a.example\"], headers = [\"*\"] }",
            "PC1431",
        ),
        ("cors = { origins = [\"https://a.example/\"] }", "PC1111"),
        ("cors = { origins = [\"null\"] }", "PC1111"),
        ("cors = { origins = [\"http://a.example\"] }", "PC1432"),
        ("cors = { methods = [\"PUT\"] }", "PC1107"),
        (
            "methods = [\"GET\"]\ncors = { origins = [\"https://a.example\"], methods = [\"PUT\"] }",
            "PC1413",
        ),
        ("cookies = { same_site = \"none\" }", "PC1109"),
        ("cookies = { domain = \"strip\" }", "PC1109"),
        ("rewrite_from = [\"http://a:81\"]", "PC1413"),
        (
            "rewrite = true\ncookies = { domain = \"refuse\" }",
            "PC1413",
        ),
    ];
    for (lines, code) in rows {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n[storage]\n\
             database = \"sqlite:data/portcullis.db\"\nmaster_key = {{ file = \"data/master.key\" }}\n\
             [route.app]\nhost = \"app.example\"\nto = \"http://127.0.0.1:1\"\nallow = [\"everyone\"]\n{lines}\n"
        );
        std::fs::write(folder.path().join("portcullis.toml"), text).unwrap();
        let said = run_in(folder.path(), &["check", "--deny", "warnings"]);
        assert_eq!(said.code, 1, "{lines}: {}", said.out);
        assert!(said.err.contains(code), "{lines}: {}", said.err);
    }
}
