//! Servers of other people behind the edge, which tell how they read a request's path (`tests/readers`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::eventually;
use super::site::free_port;

/// A server that answers with the target it got and the path it understands, and notes every target.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    port: u16,
    folder: TempDir,
    process: Child,
}

/// What a reader understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The target as it arrived.
    pub(crate) target: String,
    /// The path that the reader would serve.
    pub(crate) path: String,
}

impl Reading {
    /// From a reader's answer.
    pub(crate) fn of(answer: &str) -> Self {
        let (target, path) = answer.split_once('\n').expect("a reader's answer");
        Self {
            target: target.to_owned(),
            path: path.to_owned(),
        }
    }
}

impl Reader {
    pub(crate) async fn nginx() -> Self {
        Self::start("nginx", |port, folder| {
            let text = fs::read_to_string(script("nginx.conf")).unwrap();
            let text = text
                .replace("PORT", &port.to_string())
                .replace("FOLDER", &folder.display().to_string());
            fs::write(folder.join("nginx.conf"), text).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-e", "log", "-c", "nginx.conf", "-p"]);
            command.arg(folder);
            command
        })
        .await
    }

    /// Node's `http` and its `URL`.
    pub(crate) async fn node() -> Self {
        Self::start("node", |port, folder| {
            let mut command = Command::new("node");
            command.arg(script("reader.js")).arg(port.to_string());
            command.arg(folder.join("seen"));
            command
        })
        .await
    }

    /// Python's `http.server` and `urllib.parse`.
    pub(crate) async fn python() -> Self {
        Self::start("python", |port, folder| {
            let mut command = Command::new("python3");
            command.arg(script("reader.py")).arg(port.to_string());
            command.arg(folder.join("seen"));
            command
        })
        .await
    }

    async fn start(name: &'static str, command: impl FnOnce(u16, &Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = command(port, folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("scripts/install-test-tools installs the readers");
        let started = Self {
            name,
            port,
            folder,
            process,
        };
        eventually(name, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        started
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every target that has arrived, oldest first.
    pub(crate) fn seen(&self) -> Vec<String> {
        let noted = fs::read(self.folder.path().join("seen")).unwrap_or_default();
        let noted = String::from_utf8_lossy(&noted).into_owned();
        noted.lines().map(str::to_owned).collect()
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/readers")
        .join(name)
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
