//! Sockets that the service manager opened: taken over where the configuration has their address, refused elsewhere.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use tokio::net::TcpStream;

use crate::harness::site::wait_for_exit;
use crate::harness::{Site, Upstream};

/// A command that becomes `portcullis` with two sockets as descriptors 3 and 4, as systemd passes them.
fn passing(sockets: [&TcpListener; 2], process: &str) -> Command {
    let [first, second] = sockets.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    let script = format!(
        "export LISTEN_FDS=2 LISTEN_PID={process} LISTEN_FDNAMES=public:further\n\
         exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_portcullis")])
        .env_remove("PORTCULLIS_CONFIG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second));
    command
}

fn socket() -> (TcpListener, String) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

fn prepare(upstream: &Upstream, sockets: &[&str]) -> Site {
    let mut site = Site::plan()
        .route("app", upstream, "public = true")
        .prepare();
    let before = format!("listen = [\"127.0.0.1:{}\"]", site.port);
    let list: Vec<_> = sockets
        .iter()
        .map(|address| format!("\"{address}\""))
        .collect();
    let after = format!("listen = [{}]", list.join(", "));
    site.edit_config(|text| text.replace(&before, &after));
    site
}

async fn serves(site: &Site, address: &str) -> bool {
    let client = crate::harness::Client::new(address.parse().unwrap(), &site.ca());
    let port = client.address.port();
    let asked = http::Request::get("/").header("host", format!("app.test:{port}"));
    let answer = client
        .send("app.test", asked.body(Default::default()).unwrap())
        .await;
    answer.text() == "upstream app /"
}

#[tokio::test(flavor = "multi_thread")]
async fn passed_sockets_are_served_by_every_worker_and_survive_reloads() {
    let upstream = Upstream::start("app").await;
    let ((first, one), (second, two)) = (socket(), socket());
    let mut site = prepare(&upstream, &[&one, &two]);
    // Clients may come before the program does: the socket is there already.
    let early = TcpStream::connect(&one).await.unwrap();
    site.run_with(passing([&first, &second], "$$")).await;
    drop(early);
    for _ in 0..8 {
        assert!(serves(&site, &one).await && serves(&site, &two).await);
    }
    let both = format!("listen = [\"{one}\", \"{two}\"]");
    let single = format!("listen = [\"{one}\"]");
    site.edit_config(|text| text.replace(&both, &single));
    site.command(&["reload"]).ok();
    assert!(serves(&site, &one).await);
    site.edit_config(|text| text.replace(&single, &both));
    site.command(&["reload"]).ok();
    assert!(serves(&site, &two).await);
    assert_eq!(site.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_the_configuration_does_not_have_keeps_the_program_from_starting() {
    let upstream = Upstream::start("app").await;
    let ((first, one), (second, two)) = (socket(), socket());
    let site = prepare(&upstream, &[&one]);
    let mut child = passing([&first, &second], "$$")
        .arg("run")
        .current_dir(site.folder())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(wait_for_exit(&mut child), 2);
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(said.contains(&two) && said.contains("`further`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_meant_for_another_process_are_left_alone() {
    let upstream = Upstream::start("app").await;
    let ((first, one), (second, _two)) = (socket(), socket());
    let site = prepare(&upstream, &[&one]);
    let mut child = passing([&first, &second], "1")
        .arg("run")
        .current_dir(site.folder())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It opens its own, and finds the address held by whoever the socket is.
    assert_eq!(wait_for_exit(&mut child), 2);
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(said.contains("taken"), "{said}");
}
