//! `portcullis health`: asks the operations listener, for containers and scripts. 0 yes, 1 no, 2 no usable file, 3 nobody
//! answers.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::args::{Format, Health};
use super::outcome::{Exit, chain};
use super::{Failure, Globals, Outcome, block_on};
use crate::base::Host;
use crate::config;
use crate::dial::{self, Endpoint};

const PATIENCE: Duration = Duration::from_secs(5);
/// Where it listens unless the file says otherwise; for files too broken to be read.
const USUAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9464));
/// The answer is some hundred bytes.
const LARGEST_ANSWER: u64 = 64 << 10;

pub(super) fn run(args: &Health, globals: &Globals) -> Result<Outcome, Failure> {
    let address = operations(globals)?;
    let path = if args.live { "/livez" } else { "/readyz" };
    let unreachable = |why: String| {
        Failure::new(
            Exit::Unreachable,
            format!("nothing answers on http://{address}{path}: {why}"),
        )
    };
    let host =
        Host::parse(&address.ip().to_string()).map_err(|error| unreachable(error.to_string()))?;
    let endpoint = Endpoint::Tcp {
        host,
        port: address.port(),
    };
    let answer = block_on(async { timeout(PATIENCE, get(&endpoint, path)).await })?;
    let answer = match answer {
        Ok(answer) => answer.map_err(unreachable)?,
        Err(_elapsed) => {
            return Err(Failure::new(
                Exit::TimedOut,
                format!("http://{address}{path} did not answer within 5 seconds"),
            ));
        }
    };
    let Some((good, body)) = understood(&answer) else {
        return Err(unreachable(
            "what answers there is not Portcullis".to_owned(),
        ));
    };
    match (globals.format, good) {
        (Format::Text, true) => {}
        (Format::Text, false) => globals.out.note(troubles(&body)),
        (format, _) => globals.out.print_json(format, &body)?,
    }
    Ok(Outcome::yes(good))
}

/// Where the operations listener is. The problems of a broken file do not hide the server that runs with the one before.
fn operations(globals: &Globals) -> Result<SocketAddr, Failure> {
    let path = globals.locate()?;
    match config::load(&path) {
        Ok(loaded) => Ok(loaded.config.telemetry.operations.value),
        Err(problems) => {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            written(&text).ok_or_else(|| globals.refused(&problems))
        }
    }
}

/// The address in a file that as a whole cannot be used.
fn written(text: &str) -> Option<SocketAddr> {
    let table: toml::Table = text.parse().ok()?;
    match table.get("telemetry").and_then(|of| of.get("operations")) {
        Some(address) => address.as_str()?.parse().ok(),
        None => Some(USUAL),
    }
}

async fn get(endpoint: &Endpoint, path: &str) -> Result<Vec<u8>, String> {
    let connected = dial::connect(endpoint, None, PATIENCE)
        .await
        .map_err(|error| chain(&error))?;
    let mut stream = connected.stream;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchanged = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await
    };
    exchanged.await.map_err(|error| error.to_string())?;
    Ok(answer)
}

/// Whether the status is 200, and the body.
fn understood(answer: &[u8]) -> Option<(bool, serde_json::Value)> {
    let text = str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?;
    let body = serde_json::from_str(body).ok()?;
    match status {
        "200" => Some((true, body)),
        "503" => Some((false, body)),
        _ => None,
    }
}

/// `audit: no space left`, one line for each part in trouble.
fn troubles(body: &serde_json::Value) -> String {
    let parts = body
        .get("components")
        .and_then(serde_json::Value::as_object);
    let parts = parts
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != "ok");
    let lines =
        parts.map(|(part, state)| format!("{part}: {}", state.as_str().unwrap_or("in trouble")));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{USUAL, troubles, understood, written};

    #[test]
    fn a_broken_file_still_says_where_to_ask() {
        assert_eq!(written("[server]\nnonsense = 1\n"), Some(USUAL));
        let named = "alow = 1\n[telemetry]\noperations = \"127.0.0.1:9500\"\n";
        assert_eq!(written(named), Some("127.0.0.1:9500".parse().unwrap()));
        for unreadable in ["[server", "[telemetry]\noperations = 1\n"] {
            assert_eq!(written(unreadable), None, "{unreadable}");
        }
    }

    #[test]
    fn the_status_decides_and_the_body_says_which_part_is_in_trouble() {
        let body =
            r#"{"status":"unavailable","components":{"audit":"no space left","store":"ok"}}"#;
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n{body}\n"
        );
        let (good, body) = understood(answer.as_bytes()).unwrap();
        assert!(!good);
        assert_eq!(troubles(&body), "audit: no space left");
        assert!(understood(b"HTTP/1.1 200 OK\r\n\r\n{}").unwrap().0);
    }

    #[test]
    fn another_server_is_not_taken_for_ours() {
        for answer in [
            "HTTP/1.1 404 Not Found\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "SSH-2.0-x\r\n",
        ] {
            assert!(understood(answer.as_bytes()).is_none(), "{answer}");
        }
    }
}
