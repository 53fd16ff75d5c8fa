//! The operations listener: what the machine's own monitoring reads, and that nothing else is there.

use crate::harness::{Browser, Person, Site, Upstream, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_happened_and_name_nobody() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &["staff"]);
    let plan = Site::plan().route("notes", &upstream, r#"allow = ["everyone"]"#);
    let site = plan.person(&ada).start().await;
    let mut browser = Browser::new(&site);
    browser
        .sign_in(&site.url("notes", "/secret-path"), &ada)
        .await;

    let served = r#"http_route="notes",http_response_status_code="200",decision="allow",reason="permitted",answered_by="upstream"} 1"#;
    let text = eventually("the request in the metrics", async || {
        let text = site.metrics().await;
        text.contains(served).then_some(text)
    })
    .await;
    for wanted in [
        "portcullis_sign_in_attempts_total",
        "http_server_request_duration_seconds_bucket",
        "portcullis_build_info",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing:\n{text}");
    }
    for secret in ["ada", "secret-path", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} stands in the metrics");
    }
    eventually("counters of sessions and the log", async || {
        let text = site.metrics().await;
        let live = text.contains("portcullis_session_active 1")
            && !text.contains("portcullis_audit_entries_total 0");
        live.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_and_nothing_else_is_served() {
    let site = Site::plan().start().await;
    assert_eq!(site.operations_get("/livez").await.0, 200);
    let (status, body) = site.operations_get("/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["components"]["audit"],
        "ok"
    );
    for path in ["/", "/debug/pprof", "/sign-in", "/metrics/../livez"] {
        assert_eq!(site.operations_get(path).await.0, 404, "{path}");
    }
}
