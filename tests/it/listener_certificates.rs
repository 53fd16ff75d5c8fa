//! A listener's own certificates are served there and nowhere else; what it has none for comes from all listeners'.

use crate::harness::pki::{Kind, Leaf, Pki};
use crate::harness::site::free_port;
use crate::harness::{Client, Site, Upstream, eventually};

fn put(site: &Site, name: &str, leaf: &Leaf) {
    site.write(&format!("tls/{name}.crt"), &leaf.cert);
    site.write(&format!("tls/{name}.key"), &leaf.key);
}

fn file(name: &str) -> String {
    format!("files = [{{ cert = \"tls/{name}.crt\", key = {{ file = \"tls/{name}.key\" }} }}]")
}

async fn leaf(client: &Client, name: &str) -> Option<Vec<u8>> {
    let stream = client.connect(name, &[b"http/1.1"]).await.ok()?;
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    Some(leaf.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listeners_own_certificate_is_served_there_and_nowhere_else() {
    let (pki, upstream, port) = (Pki::new(), Upstream::start("app").await, free_port());
    let all = pki.leaf(Kind::P256, &["both.test", "login.test"]);
    let own = pki.leaf(Kind::P256, &["both.test", "inner.test"]);
    let mut site = Site::plan()
        .route(
            "both",
            &upstream,
            "public = true\nlisteners = [\"default\", \"inside\"]",
        )
        .route(
            "inner",
            &upstream,
            "public = true\nlisteners = [\"inside\"]",
        )
        .toml(&format!(
            "[listener.inside]\nlisten = [\"127.0.0.1:{port}\"]\nportal = true\n{}\n",
            file("own")
        ))
        .prepare();
    put(&site, "all", &all);
    put(&site, "own", &own);
    let tls = format!("recheck = \"1s\"\n{}", file("all"));
    site.edit_config(|text| text.replace("certificates = \"internal\"", &tls));
    let checked = site.command(&["check"]);
    assert!(checked.err.is_empty() && checked.code == 0, "{checked:?}");
    site.run().await;

    let outside = Client::new(site.address(), pki.root());
    let inside = Client::new(([127, 0, 0, 1], port).into(), pki.root());
    assert_eq!(leaf(&outside, "both.test").await, Some(all.der.clone()));
    assert_eq!(leaf(&inside, "both.test").await, Some(own.der.clone()));
    assert_eq!(leaf(&inside, "inner.test").await, Some(own.der.clone()));
    assert_eq!(leaf(&inside, "login.test").await, Some(all.der.clone()));
    assert_eq!(leaf(&outside, "inner.test").await, None);

    // A changed file comes into force at its listener, and a broken one does not.
    let newer = pki.leaf(Kind::P256, &["both.test", "inner.test"]);
    put(&site, "own", &newer);
    eventually("the newer certificate", async || {
        (leaf(&inside, "both.test").await.as_ref() == Some(&newer.der)).then_some(())
    })
    .await;
    site.write("tls/own.crt", "not a certificate");
    let told = async || site.log_text().contains("PC3101").then_some(());
    eventually("the finding in the log", told).await;
    assert_eq!(leaf(&inside, "both.test").await, Some(newer.der));
    assert_eq!(leaf(&outside, "both.test").await, Some(all.der));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listeners_own_certificate_is_judged_by_the_profile_there() {
    let (pki, upstream, port) = (Pki::new(), Upstream::start("app").await, free_port());
    let mut site = Site::plan()
        .route(
            "both",
            &upstream,
            "public = true\nlisteners = [\"default\", \"inside\"]",
        )
        .toml(&format!(
            "[listener.inside]\nlisten = [\"127.0.0.1:{port}\"]\nprofile = \"modern\"\n{}\n",
            file("own")
        ))
        .prepare();
    put(
        &site,
        "all",
        &pki.leaf(Kind::P256, &["both.test", "login.test"]),
    );
    put(&site, "own", &pki.leaf(Kind::Rsa2048, &["both.test"]));
    site.edit_config(|text| text.replace("certificates = \"internal\"", &file("all")));
    let refused = site.command(&["check"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("PC3110"), "{refused:?}");
}
