//! Several listeners: each serves its own apps in its own way, and a reload opens and closes them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::client::{collect, content, request};
use crate::harness::site::free_port;
use crate::harness::{Answer, Browser, Client, Person, Site, Upstream, eventually};

fn at(site: &Site, address: &str) -> Client {
    Client::new(address.parse().unwrap(), &site.ca())
}

fn local(site: &Site, port: u16) -> Client {
    at(site, &format!("127.0.0.1:{port}"))
}

async fn get(client: &Client, name: &str, path: &str) -> Answer {
    let host = format!("{name}.test:{}", client.address.port());
    let asked = http::Request::get(path).header("host", host);
    client
        .send(
            &format!("{name}.test"),
            asked.body(Default::default()).unwrap(),
        )
        .await
}

/// `None` when the connection went to a socket that is being given up.
async fn try_get(client: &Client) -> Option<Answer> {
    let stream = client.connect("app.test", &[b"http/1.1"]).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(async move { drop(connection.await) });
    let host = format!("app.test:{}", client.address.port());
    let asked = http::Request::get("/").header("host", host);
    let response = sender.send_request(asked.body(content("")).unwrap()).await;
    Some(collect(response.ok()?).await)
}

async fn is_unknown(client: &Client, name: &str) -> bool {
    match client
        .connect(&format!("{name}.test"), &[b"http/1.1"])
        .await
    {
        Ok(_connected) => false,
        Err(error) => {
            error.to_string().contains("UnrecognizedName")
                || error.to_string().contains("UnrecognisedName")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_listener_serves_its_apps_and_knows_nothing_of_the_others() {
    let [main, inner, both, partner] = [
        Upstream::start("main").await,
        Upstream::start("inner").await,
        Upstream::start("both").await,
        Upstream::start("partner").await,
    ];
    let ada = Person::new("ada", &["staff"]);
    let port = free_port();
    let site = Site::plan()
        .route("main", &main, "public = true")
        .route("inner", &inner, "public = true\nlisteners = [\"inner\"]")
        .route("both", &both, "public = true\nlisteners = [\"default\", \"inner\"]")
        .route("partner", &partner, "allow = [\"everyone\"]\nlabels = [\"partner\"]")
        .toml(&format!(
            "[route.deep]\nhost = \"both.test\"\npath = \"/admin\"\nto = \"{}\"\npublic = true\nlisteners = [\"inner\"]\n",
            inner.url()
        ))
        .toml(&format!(
            "[listener.inner]\nlisten = [\"127.0.0.1:{port}\"]\nlabels = [\"partner\"]\n"
        ))
        .person(&ada)
        .start()
        .await;
    let (outside, inside) = (site.client(), local(&site, port));

    assert_eq!(get(&outside, "main", "/").await.text(), "upstream main /");
    assert_eq!(get(&inside, "inner", "/").await.text(), "upstream inner /");
    for client in [&outside, &inside] {
        assert_eq!(get(client, "both", "/").await.text(), "upstream both /");
        assert_eq!(get(client, "partner", "/").await.status, 401);
    }
    assert_eq!(
        get(&inside, "both", "/admin/x").await.text(),
        "upstream inner /admin/x"
    );
    let reached = [&main, &inner, &both, &partner].map(Upstream::hits);
    assert_eq!(reached, [1, 2, 2, 0]);

    for (client, name) in [
        (&outside, "inner"),
        (&inside, "main"),
        (&inside, "login"),
        (&outside, "nobody"),
    ] {
        assert!(is_unknown(client, name).await, "{name}");
    }
    // Not passed over for the shorter route, which would open it.
    let refused = get(&outside, "both", "/admin/x").await;
    assert_eq!(
        (refused.status, refused.json()["reason"].as_str()),
        (404, Some("no-route"))
    );
    // A name that is good here does not lead to an app of another listener.
    let asked = http::Request::get("/").header("host", format!("inner.test:{}", site.port));
    let crossed = outside
        .send("both.test", asked.body(Default::default()).unwrap())
        .await;
    assert_eq!(crossed.status, 421);
    assert_eq!(
        [&main, &inner, &both, &partner].map(Upstream::hits),
        reached
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_names_the_port_of_an_app_that_is_elsewhere() {
    let upstream = Upstream::start("inner").await;
    let ada = Person::new("ada", &["staff"]);
    let port = free_port();
    let site = Site::plan()
        .route(
            "inner",
            &upstream,
            "allow = [\"everyone\"]\nlisteners = [\"inner\"]",
        )
        .toml(&format!(
            "[listener.inner]\nlisten = [\"127.0.0.1:{port}\"]\n"
        ))
        .person(&ada)
        .start()
        .await;
    let inside = local(&site, port);
    let asked = http::Request::get("/x")
        .header("host", format!("inner.test:{port}"))
        .header("accept", "text/html")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document");
    let sent = inside
        .send("inner.test", asked.body(Default::default()).unwrap())
        .await;
    assert_eq!(sent.status, 303);
    assert!(
        sent.location().starts_with(&site.portal("/")),
        "{}",
        sent.location()
    );

    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&site.portal("/"), &ada).await;
    let link = format!("https://inner.test:{port}/");
    assert!(page.text().contains(&link), "{}", page.text());
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_has_its_own_tls_profile() {
    let upstream = Upstream::start("app").await;
    let port = free_port();
    let mut site = Site::plan()
        .route(
            "app",
            &upstream,
            "public = true\nlisteners = [\"default\", \"strict\"]",
        )
        .toml(&format!(
            "[listener.strict]\nlisten = [\"127.0.0.1:{port}\"]\nprofile = \"modern\"\n"
        ))
        .start()
        .await;
    let old = async |site: &Site, port: u16| {
        let client = site.client();
        let provider = Arc::clone(client.tls_config(&[]).crypto_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(client.roots())
            .with_no_client_auth();
        let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("app.test").unwrap();
        let connected = TlsConnector::from(Arc::new(config))
            .connect(name, socket)
            .await;
        connected.is_ok()
    };
    assert!(old(&site, site.port).await && !old(&site, port).await);
    assert_eq!(get(&local(&site, port), "app", "/").await.status, 200);
    site.edit_config(|text| text.replace("profile = \"modern\"", "profile = \"intermediate\""));
    site.command(&["reload"]).ok();
    assert!(old(&site, port).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_opens_and_closes_addresses_and_touches_no_other() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let (port, before) = (
        free_port(),
        format!("listen = [\"127.0.0.1:{}\"]", site.port),
    );
    let both = format!(
        "listen = [\"127.0.0.1:{}\", \"127.0.0.1:{port}\"]",
        site.port
    );
    let mut kept = site.client().wire("app.test").await;
    let ask = format!("GET / HTTP/1.1\r\nHost: app.test:{}\r\n\r\n", site.port);
    kept.send(&ask).await;
    assert_eq!(kept.answer().await.status, 200);

    site.edit_config(|text| text.replace(&before, &both));
    let said = site.command(&["reload"]).ok();
    assert!(
        !said.out.contains("restart") && !said.err.contains("restart"),
        "{said:?}"
    );
    let second = local(&site, port);
    assert_eq!(get(&second, "app", "/").await.status, 200);

    let mut idle = second.wire("app.test").await;
    let mut sender = second.h1("app.test").await;
    let running = request(&site, "GET", "app", "/gated")
        .body(content(""))
        .unwrap();
    let mut response = sender.send_request(running).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first");
    site.edit_config(|text| text.replace(&both, &before));
    site.command(&["reload"]).ok();
    idle.closed().await;
    eventually("the address to be closed", async || {
        TcpStream::connect(second.address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    upstream.release();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "last"
    );

    kept.send(&ask).await;
    assert_eq!(kept.answer().await.status, 200);
    assert_eq!(get(&site.client(), "app", "/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_to_an_address_that_is_taken_is_refused_and_changes_nothing() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .start()
        .await;
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, free) = (holder.local_addr().unwrap(), free_port());
    let before = format!("listen = [\"127.0.0.1:{}\"]", site.port);
    let after = format!("listen = [\"127.0.0.1:{free}\", \"{taken}\"]");
    site.edit_config(|text| {
        text.replace(&before, &after)
            .replace("public = true", "public = false")
    });
    let said = site.command(&["reload"]);
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("PC1422") && said.err.contains(&taken.to_string()),
        "{said:?}"
    );
    assert_eq!(get(&site.client(), "app", "/").await.status, 200);
    assert!(TcpStream::connect(("127.0.0.1", free)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv4_and_ipv6_are_served_together_or_apart_as_written() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("app", &upstream, "public = true")
        .prepare();
    let port = site.port;
    let mut written = format!("listen = [\"127.0.0.1:{port}\"]");
    let mut listen = |site: &mut Site, addresses: &[&str]| {
        let list: Vec<_> = addresses
            .iter()
            .map(|ip| format!("\"{ip}:{port}\""))
            .collect();
        let wanted = format!("listen = [{}]", list.join(", "));
        site.edit_config(|text| text.replace(&written, &wanted));
        written = wanted;
    };
    listen(&mut site, &["[::]"]);
    site.run().await;
    let rows: [(&[&str], bool, bool); 5] = [
        (&["[::]"], true, true),
        (&["0.0.0.0", "[::]"], true, true),
        (&["[::1]"], false, true),
        (&["127.0.0.1"], true, false),
        (&["[::]"], true, true),
    ];
    for (addresses, four, six) in rows {
        listen(&mut site, addresses);
        site.command(&["reload"]).ok();
        for (ip, wanted) in [("127.0.0.1", four), ("::1", six)] {
            let address = SocketAddr::new(ip.parse().unwrap(), port);
            // A socket that was given up goes a moment after the reload.
            eventually("the address to be as written", async || {
                (TcpStream::connect(address).await.is_ok() == wanted).then_some(())
            })
            .await;
            if wanted {
                let client = Client::new(address, &site.ca());
                let answer = eventually("an answer", async || try_get(&client).await).await;
                assert_eq!(answer.status, 200, "{addresses:?} {ip}");
                assert_eq!(upstream.last().header("x-forwarded-for"), Some(ip));
            }
        }
    }
}
