//! `kill -9` under load: what the upstream saw and what the log says agree exactly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

use crate::harness::{Browser, Client, Person, Site, Upstream, eventually};

const CONNECTIONS: usize = 8;
const BEFORE_THE_KILL: usize = 300;

/// Sends requests one after the other on one connection until the server is gone; counts answers.
async fn load(client: Client, authority: String, cookie: String, answered: Arc<AtomicUsize>) {
    let Ok(stream) = client.connect("notes.test", &[b"http/1.1"]).await else {
        return;
    };
    let Ok((mut sender, connection)) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await
    else {
        return;
    };
    tokio::spawn(async move { drop(connection.await) });
    loop {
        let request = Request::get("/load")
            .header("host", &authority)
            .header("cookie", &cookie);
        let Ok(response) = sender
            .send_request(request.body(Full::<Bytes>::default()).unwrap())
            .await
        else {
            return;
        };
        assert_eq!(response.status(), 200);
        if response.into_body().collect().await.is_err() {
            return;
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

fn ids_at(upstream: &Upstream) -> BTreeSet<String> {
    upstream
        .seen()
        .iter()
        .map(|seen| seen.header("x-request-id").unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_reached_the_upstream_is_missing_after_kill_9() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &["staff"]);
    let mut site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    let cookie = browser.cookie_header("notes.test");

    for round in 1..=3 {
        let answered = Arc::new(AtomicUsize::new(0));
        let authority = format!("notes.test:{}", site.port);
        let loads: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                tokio::spawn(load(
                    site.client(),
                    authority.clone(),
                    cookie.clone(),
                    Arc::clone(&answered),
                ))
            })
            .collect();
        eventually("enough load", async || {
            (answered.load(Ordering::SeqCst) > BEFORE_THE_KILL).then_some(())
        })
        .await;
        site.kill();
        for load in loads {
            load.await.unwrap();
        }

        site.run().await;
        let entries = site.entries();
        let forwarded: Vec<&str> = entries
            .iter()
            .filter(|entry| {
                entry["event.name"] == "http.request" && entry["portcullis.decision"] == "allow"
            })
            .filter_map(|entry| entry["portcullis.request.id"].as_str())
            .collect();
        let recorded: BTreeSet<String> = forwarded.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(
            recorded.len(),
            forwarded.len(),
            "round {round}: an entry was written twice"
        );
        let reached = ids_at(&upstream);
        let missing: Vec<_> = reached.difference(&recorded).collect();
        assert!(
            missing.is_empty(),
            "round {round}: reached the upstream without an entry: {missing:?}"
        );
        // An admission that died between the journal and the socket has an entry and no hit; it says `interrupted`.
        for id in recorded.difference(&reached) {
            let entry = entries
                .iter()
                .find(|entry| entry["portcullis.request.id"] == id.as_str())
                .unwrap();
            assert_eq!(entry["portcullis.reason"], "interrupted", "{entry}");
        }
        let said = site.command(&["audit", "verify"]).ok();
        assert!(said.out.contains("VERIFIED"), "round {round}: {}", said.out);
    }
}
