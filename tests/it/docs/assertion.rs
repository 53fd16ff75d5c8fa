//! The verifiers of docs/how-to/verify-the-assertion.md, each against real assertions and against forgeries.
//!
//! A forgery that a verifier accepts is a hole in every service that copied the page.

use std::fs;
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::root;
use crate::harness::browser::Url;
use crate::harness::site::{PORTAL, free_port};
use crate::harness::{Browser, Person, Site, Upstream, eventually};

#[path = "../../../docs/how-to/examples/verify_assertion.rs"]
mod verify_assertion;

use verify_assertion::Verifier;

/// Long enough for a test on a busy machine, short enough to see one expire.
const LIFE: &str = "12s";

/// A site whose portal is `localhost`, so that programs which know no test names find it.
struct Stage {
    site: Site,
    browser: Browser,
    issuer: String,
    jwks: String,
}

impl Stage {
    async fn set(mut site: Site, person: &Person) -> Self {
        site.edit_config(|text| {
            let text = text.replace(PORTAL, "localhost");
            text.replace(
                "[auth]\n",
                &format!("[auth]\nassertion_life = \"{LIFE}\"\n"),
            )
        });
        site.run().await;
        let issuer = format!("https://localhost:{}", site.port);
        let mut browser = Browser::new(&site);
        let keys = browser
            .visit(&format!("{issuer}/.well-known/portcullis/jwks.json"))
            .await;
        assert_eq!(keys.status(), 200);
        let page = browser.sign_in(&site.url("grafana", "/"), person).await;
        assert_eq!(page.status(), 200, "{}", page.text());
        Self {
            jwks: keys.text(),
            site,
            browser,
            issuer,
        }
    }

    /// An assertion that really reached the upstream of `route`.
    async fn assertion(&mut self, route: &str, upstream: &Upstream) -> String {
        let page = self.browser.open(&self.site.url(route, "/")).await;
        assert_eq!(page.status(), 200, "{}", page.text());
        upstream
            .last()
            .header("x-portcullis-assertion")
            .unwrap()
            .to_owned()
    }
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

fn encoded(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

/// Forgeries of a good assertion: what they are, and the token.
fn forgeries(good: &str) -> Vec<(&'static str, String)> {
    let (header, claims) = (part(good, 0), part(good, 1));
    let signature = good.split('.').nth(2).unwrap();
    let mut greedy = claims.clone();
    greedy["groups"] = json!(["admins"]);
    let mut unsigned = header.clone();
    unsigned["alg"] = json!("none");
    let mut symmetric = header.clone();
    symmetric["alg"] = json!("HS256");
    let mut retyped = header.clone();
    retyped["typ"] = json!("portcullis-access+jwt");
    let mut unnamed = header.clone();
    unnamed["kid"] = json!("another-key");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let own = jsonwebtoken::EncodingKey::from_ec_der(&pair.serialize_der());
    let sign = |header: &Value, claims: &Value| {
        let header = serde_json::from_value(header.clone()).unwrap();
        jsonwebtoken::encode(&header, claims, &own).unwrap()
    };
    vec![
        (
            "tampered claims",
            format!("{}.{}.{signature}", encoded(&header), encoded(&greedy)),
        ),
        (
            "algorithm none",
            format!("{}.{}.", encoded(&unsigned), encoded(&claims)),
        ),
        (
            "algorithm none, old signature",
            format!("{}.{}.{signature}", encoded(&unsigned), encoded(&claims)),
        ),
        (
            "symmetric algorithm",
            format!("{}.{}.{signature}", encoded(&symmetric), encoded(&claims)),
        ),
        (
            "another type",
            format!("{}.{}.{signature}", encoded(&retyped), encoded(&claims)),
        ),
        ("another key under the same name", sign(&header, &claims)),
        ("another key under another name", sign(&unnamed, &claims)),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned()),
        ("no token", "garbage".to_owned()),
        ("nothing", String::new()),
    ]
}

fn plan(ada: &Person, grafana: &Upstream, wiki: &Upstream) -> Site {
    Site::plan()
        .route("grafana", grafana, r#"allow = ["everyone"]"#)
        .route("wiki", wiki, r#"allow = ["everyone"]"#)
        .person(ada)
        .prepare()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_verifier_accepts_the_real_assertion_and_no_forgery() {
    let (grafana, wiki) = (
        Upstream::start("grafana").await,
        Upstream::start("wiki").await,
    );
    let ada = Person::new("ada", &["staff"]);
    let mut stage = Stage::set(plan(&ada, &grafana, &wiki), &ada).await;
    let verifier = Verifier::new(&stage.jwks, &stage.issuer, "grafana").unwrap();

    let good = stage.assertion("grafana", &grafana).await;
    let caller = verifier.verify(&good).expect("a real assertion");
    assert_eq!(
        (caller.email.as_str(), caller.groups.as_slice()),
        ("ada@example.com", ["staff".to_owned()].as_slice())
    );
    assert_eq!(caller.sub, part(&good, 1)["sub"]);

    let elsewhere = stage.assertion("wiki", &wiki).await;
    assert!(
        verifier.verify(&elsewhere).is_none(),
        "an assertion for another route"
    );
    let stranger = Verifier::new(&stage.jwks, "https://login.example.com", "grafana").unwrap();
    assert!(
        stranger.verify(&good).is_none(),
        "an assertion of another portal"
    );
    for (what, token) in forgeries(&good) {
        assert!(verifier.verify(&token).is_none(), "accepted: {what}");
    }
    eventually("the assertion to expire", async || {
        verifier.verify(&good).is_none().then_some(())
    })
    .await;
}

/// A program of this test, ended with it.
struct Program(Child);

impl Program {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that has ended already is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the Python verifier for `stage`; gives it and its port.
async fn python(stage: &Stage) -> (Program, u16) {
    let python = root().join("target/test-tools/bin/python3");
    assert!(
        python.exists(),
        "scripts/install-test-tools puts Python's packages into target/test-tools"
    );
    let port = free_port();
    let program = Program::start(
        Command::new(python)
            .arg(root().join("docs/how-to/examples/verify_assertion.py"))
            .args(["--portal", &stage.issuer, "--audience", "grafana"])
            .arg("--ca")
            .arg(stage.site.path("data/ca/root.crt"))
            .args(["--listen", &format!("127.0.0.1:{port}")]),
    );
    listening(port).await;
    (program, port)
}

async fn listening(port: u16) {
    eventually("a program to listen", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok()
            .map(drop)
    })
    .await;
}

/// Asks a plain server with this assertion; gives status and the header `X-Verified-User`.
async fn ask(port: u16, assertion: &str) -> (u16, Option<String>) {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let stream = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get("/page")
        .header("host", "grafana.test")
        .header("x-portcullis-assertion", assertion)
        .header("x-verified-user", "mallory@example.com");
    let answer = sender
        .send_request(request.body(Full::<bytes::Bytes>::default()).unwrap())
        .await
        .unwrap();
    let user = answer
        .headers()
        .get("x-verified-user")
        .map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), user)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_verifier_accepts_the_real_assertion_and_no_forgery() {
    let (grafana, wiki) = (
        Upstream::start("grafana").await,
        Upstream::start("wiki").await,
    );
    let ada = Person::new("ada", &["staff"]);
    let mut stage = Stage::set(plan(&ada, &grafana, &wiki), &ada).await;
    let (_program, port) = python(&stage).await;

    let good = stage.assertion("grafana", &grafana).await;
    assert_eq!(
        ask(port, &good).await,
        (204, Some("ada@example.com".to_owned()))
    );

    let elsewhere = stage.assertion("wiki", &wiki).await;
    assert_eq!(
        ask(port, &elsewhere).await.0,
        401,
        "an assertion for another route"
    );
    for (what, token) in forgeries(&good) {
        assert_eq!(ask(port, &token).await, (401, None), "accepted: {what}");
    }
    eventually("the assertion to expire", async || {
        (ask(port, &good).await.0 == 401).then_some(())
    })
    .await;
}

/// Starts the page's nginx between `port` and `app`; every address on the page stands there exactly once.
async fn nginx(folder: &std::path::Path, verifier: u16, app: &Upstream) -> (Program, u16) {
    let port = free_port();
    let mut text = fs::read_to_string(root().join("docs/how-to/examples/nginx.conf")).unwrap();
    for (shown, real) in [
        ("127.0.0.1:8080", format!("127.0.0.1:{port}")),
        ("127.0.0.1:9180", format!("127.0.0.1:{verifier}")),
        ("127.0.0.1:3000", app.address.to_string()),
    ] {
        assert_eq!(text.matches(shown).count(), 1, "{shown}");
        text = text.replace(shown, &real);
    }
    fs::write(folder.join("nginx.conf"), text).unwrap();
    let place = |name: &str| folder.join(name).display().to_string();
    // Where nginx keeps its own files on this machine is no matter of the page. One process, so that none is left behind.
    let files = format!(
        "daemon off; master_process off; pid {}; error_log {} info;",
        place("nginx.pid"),
        place("error.log")
    );
    let program = Program::start(
        Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .arg("-e")
            .arg(folder.join("error.log"))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .args(["-g", &files]),
    );
    listening(port).await;
    (program, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_passes_the_real_assertion_and_no_forgery() {
    let (app, wiki) = (Upstream::start("app").await, Upstream::start("wiki").await);
    let ada = Person::new("ada", &["staff"]);
    let mut stage = Stage::set(plan(&ada, &app, &wiki), &ada).await;
    let (_python, verifier) = python(&stage).await;
    let folder = tempfile::tempdir().unwrap();
    let (_nginx, port) = nginx(folder.path(), verifier, &app).await;

    let good = stage.assertion("grafana", &app).await;
    assert_eq!(ask(port, &good).await.0, 200);
    let seen = app.last();
    assert_eq!(seen.target, "/page");
    assert_eq!(
        seen.header("x-verified-user"),
        Some("ada@example.com"),
        "what the client claims is replaced"
    );

    let hits = app.hits();
    let elsewhere = stage.assertion("wiki", &wiki).await;
    assert_eq!(
        ask(port, &elsewhere).await.0,
        401,
        "an assertion for another route"
    );
    for (what, token) in forgeries(&good) {
        assert_eq!(ask(port, &token).await.0, 401, "passed: {what}");
    }
    assert_eq!(app.hits(), hits, "nothing that was refused reached the app");
}

/// Portcullis, nginx with its verifier, the app: a person's request goes through all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_reaches_an_app_that_trusts_only_the_assertion() {
    let (app, wiki) = (Upstream::start("app").await, Upstream::start("wiki").await);
    let ada = Person::new("ada", &["staff"]);
    let mut stage = Stage::set(plan(&ada, &app, &wiki), &ada).await;
    let (_python, verifier) = python(&stage).await;
    let folder = tempfile::tempdir().unwrap();
    let (_nginx, port) = nginx(folder.path(), verifier, &app).await;

    stage
        .site
        .edit_config(|text| text.replace(&app.url(), &format!("http://127.0.0.1:{port}")));
    stage.site.command(&["reload"]).ok();
    let url = Url::parse(&stage.site.url("grafana", "/dashboards"));
    let lie = [
        ("x-portcullis-assertion", "a.b.c"),
        ("x-verified-user", "mallory@example.com"),
    ];
    let page = stage.browser.request(Method::GET, url, None, &lie).await;
    assert_eq!(
        (page.status(), page.text().as_str()),
        (200, "upstream app /dashboards")
    );
    assert_eq!(
        app.last().header("x-verified-user"),
        Some("ada@example.com")
    );
}
