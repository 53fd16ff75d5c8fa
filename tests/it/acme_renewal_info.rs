//! Renewal when the authority suggests it (ARI, RFC 9773): the window decides, `replaces` tells what is replaced, and an
//! authority that talks nonsense is as one that suggests nothing.

use data_encoding::BASE64URL_NOPAD;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::harness::ari::{Suggest, Suggesting};
use crate::harness::pebble::{Manner, Pebble};
use crate::harness::site::free_port;
use crate::harness::{Client, Site, Upstream, eventually};

fn window(start: &str, end: &str) -> (u16, String) {
    let text = format!("{{\"suggestedWindow\":{{\"start\":\"{start}\",\"end\":\"{end}\"}}}}");
    (200, text)
}

/// A site with one certificate for all names, at an authority that suggests.
async fn prepare(upstream: &Upstream, suggest: Suggest) -> (Site, Client, Pebble, Suggesting) {
    let mut site = Site::plan()
        .route("app", upstream, "public = true")
        .prepare();
    let pebble = Pebble::start(Manner::default(), site.port, free_port()).await;
    let front = Suggesting::start(&pebble, suggest).await;
    pebble.serves_through(front.port, &mut site, "bundle = true");
    site.run().await;
    let client = Client::new(site.address(), &pebble.root());
    (site, client, pebble, front)
}

async fn leaf(client: &Client) -> Option<Vec<u8>> {
    let stream = client.connect("app.test", &[b"http/1.1"]).await.ok()?;
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    Some(leaf.to_vec())
}

/// RFC 9773 section 4.1: the authority's key identifier and the serial number.
fn identifier(leaf: &[u8]) -> String {
    let (_, leaf) = X509Certificate::from_der(leaf).unwrap();
    let key = leaf
        .extensions()
        .iter()
        .find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref(),
            _ => None,
        });
    let key = BASE64URL_NOPAD.encode(key.unwrap().0);
    format!("{key}.{}", BASE64URL_NOPAD.encode(leaf.raw_serial()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_the_suggested_window_and_says_what_it_replaces() {
    let upstream = Upstream::start("app").await;
    // The first certificate should go at once, the next one has time.
    let suggest: Suggest = |before| match before {
        0 => window("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        _ => window("2100-01-01T00:00:00Z", "2100-01-02T00:00:00Z"),
    };
    let (site, client, _pebble, front) = prepare(&upstream, suggest).await;
    site.entry("the renewal", |entry| {
        entry["event.name"] == "certificate.renewed"
    })
    .await;
    let second = eventually("the next one to be asked about", async || {
        let second = leaf(&client).await?;
        (front.asked().len() == 2).then_some(second)
    })
    .await;
    let asked = front.asked();
    assert_eq!(asked[1], identifier(&second));
    assert_ne!(asked[0], asked[1]);
    assert_eq!(front.orders(), [None, Some(asked[0].clone())]);

    // Asked for by hand, it is replaced as well; nothing is asked twice before `Retry-After`.
    site.command(&["cert", "renew"]).ok();
    assert_eq!(front.orders()[2], Some(asked[1].clone()));
    eventually("the third to be asked about", async || {
        (front.asked().len() == 3).then_some(())
    })
    .await;
    assert_eq!(front.asked()[..2], asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suggestion_that_makes_no_sense_renews_nothing_and_takes_nothing_away() {
    let upstream = Upstream::start("app").await;
    let rows: [Suggest; 4] = [
        |_| window("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        |_| window("soon", "later"),
        |_| (500, "{}".to_owned()),
        |_| (200, "no JSON".to_owned()),
    ];
    for suggest in rows {
        let (site, client, _pebble, front) = prepare(&upstream, suggest).await;
        eventually("the question", async || {
            (!front.asked().is_empty()).then_some(())
        })
        .await;
        let first = leaf(&client).await.unwrap();
        // The order that follows says nothing of what it replaces: the authority would not know it.
        site.command(&["cert", "renew"]).ok();
        assert_ne!(leaf(&client).await.unwrap(), first);
        assert_eq!(front.orders(), [None, None]);
    }
}
