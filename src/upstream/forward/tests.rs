use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body::Body as _;

use crate::base::Reason;
use crate::message::body::read_at_most;
use crate::message::{Body, BodyError};
use crate::tasks::Tasks;
use crate::upstream::Pools;
use crate::upstream::testing::{HELLO, Scripted, Step, get, group, plain_target};

async fn text(body: Body) -> Result<Bytes, BodyError> {
    read_at_most(body, 1 << 20).await
}

fn unused_address() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn requests_share_one_kept_connection() {
    let tasks = Tasks::new();
    let upstream = Scripted::start(&tasks, vec![vec![Step::Send(HELLO); 3]]).await;
    let group = Arc::new(group(vec![upstream.target()]));
    let pools = Pools::new(tasks);
    for turn in 0..3 {
        let forwarded = pools.forward(get(&group)).await.unwrap();
        assert_eq!(forwarded.response.status(), StatusCode::OK);
        assert_eq!(forwarded.report.connect.is_some(), turn == 0);
        assert_eq!(text(forwarded.response.into_body()).await.unwrap(), "hello");
        assert_eq!(forwarded.report.meter.down(), 5);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(
        upstream.heads()[0],
        "GET /a?b=c HTTP/1.1\r\nhost: app.example.com"
    );
    assert_eq!(group.targets[0].running(), 0);
}
