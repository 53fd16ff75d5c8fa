//! What every black-box test stands on: the real program, recording upstreams, clients with cookie jars.
//!
//! Everything listens on loopback, lives in a temporary folder, and ends with the test that started it.

pub(crate) mod ari;
pub(crate) mod browser;
pub(crate) mod bystander;
pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod flood;
pub(crate) mod pebble;
pub(crate) mod people;
pub(crate) mod pki;
pub(crate) mod raw_h2;
pub(crate) mod reader;
pub(crate) mod relay;
pub(crate) mod responder;
pub(crate) mod scripted;
pub(crate) mod site;
pub(crate) mod upstream;
pub(crate) mod wire;

use std::time::Duration;

pub(crate) use browser::{Browser, Page};
pub(crate) use bystander::Bystander;
pub(crate) use client::{Answer, Client};
pub(crate) use people::Person;
pub(crate) use scripted::Scripted;
pub(crate) use site::Site;
pub(crate) use upstream::Upstream;
pub(crate) use wire::Wire;

/// How long anything may take before a test gives up; generous, because two cores are shared by everything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
