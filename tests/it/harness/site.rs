//! A running Portcullis with its own folder, ports, certificate authority and people.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::command::{Said, portcullis, run_in};
use super::{Client, PATIENCE, Person, Upstream, eventually};

pub(crate) const PORTAL: &str = "login.test";

/// Describes a site before it starts.
#[derive(Default)]
pub(crate) struct Plan {
    config: String,
    server: String,
    limits: String,
    audit: String,
    auth: String,
    policies: Vec<(String, String)>,
    people: Vec<String>,
}

impl Plan {
    /// Adds a route `name` on host `name.test` to `upstream`; `more` holds further keys of the route's table.
    pub(crate) fn route(mut self, name: &str, upstream: &Upstream, more: &str) -> Self {
        writeln!(
            self.config,
            "[route.{name}]\nhost = \"{name}.test\"\nto = \"{}\"\n{more}\n",
            upstream.url()
        )
        .unwrap();
        self
    }

    /// Adds TOML at the end of the file, such as whole tables.
    pub(crate) fn toml(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    pub(crate) fn server(mut self, keys: &str) -> Self {
        self.server.push_str(keys);
        self.server.push('\n');
        self
    }

    pub(crate) fn limits(mut self, keys: &str) -> Self {
        self.limits.push_str(keys);
        self.limits.push('\n');
        self
    }

    pub(crate) fn audit(mut self, keys: &str) -> Self {
        self.audit.push_str(keys);
        self.audit.push('\n');
        self
    }

    pub(crate) fn auth(mut self, keys: &str) -> Self {
        self.auth.push_str(keys);
        self.auth.push('\n');
        self
    }

    pub(crate) fn policy(mut self, file: &str, text: &str) -> Self {
        self.policies.push((file.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn person(mut self, person: &Person) -> Self {
        self.people.push(person.import_line());
        self
    }

    /// Writes the files, imports the people and starts the program.
    pub(crate) async fn start(self) -> Site {
        let site = self.prepare();
        let mut site = site;
        site.run().await;
        site
    }

    /// Writes the files and imports the people, without starting anything.
    pub(crate) fn prepare(self) -> Site {
        let folder = tempfile::Builder::new().prefix("pc").tempdir().unwrap();
        let port = free_port();
        let operations = free_port();
        let site = Site {
            folder,
            port,
            operations,
            process: None,
            log: Arc::default(),
            text: self.text(port, operations),
        };
        site.write("portcullis.toml", &site.text);
        for (file, text) in &self.policies {
            site.write(&format!("policies/{file}"), text);
        }
        if !self.people.is_empty() {
            site.write("people.jsonl", &self.people.join("\n"));
            site.command(&["user", "import", "people.jsonl"]).ok();
        }
        site
    }

    fn text(&self, port: u16, operations: u16) -> String {
        format!(
            "[server]\nportal = \"{PORTAL}:{port}\"\nlisten = [\"127.0.0.1:{port}\"]\nhttp_redirect = []\nadmin_socket = \"data/admin.sock\"\n{}\n\
             [server.limits]\n{}\n\
             [tls]\ncertificates = \"internal\"\n\n\
             [storage]\ndatabase = \"sqlite:data/portcullis.db\"\nmaster_key = {{ file = \"data/master.key\" }}\n\n\
             [telemetry]\noperations = \"127.0.0.1:{operations}\"\n\n\
             [audit]\nfolder = \"data/audit\"\n{}\n\
             [auth]\n{}\n{}",
            self.server, self.limits, self.audit, self.auth, self.config
        )
    }
}

/// A port that nobody listens on and that no other caller of this process was given, nor the one after it, which a demo
/// takes as well.
///
/// It lies below those that the system gives to outgoing connections: one of the thousands that other tests open could
/// take it before whoever it was meant for listens.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_240;
    const PAIRS: u16 = 10_240;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two runs at once begin at places of their own.
    let begin = std::process::id().wrapping_mul(997);
    loop {
        let pair = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % u32::from(PAIRS);
        let port = FIRST + 2 * u16::try_from(pair).unwrap();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 1) {
            return port;
        }
    }
}

/// A prepared, and usually running, Portcullis.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) operations: u16,
    process: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    text: String,
}

impl Site {
    pub(crate) fn plan() -> Plan {
        Plan::default()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Writes a file that only its owner may read.
    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Changes the configuration file; nothing is reloaded by this.
    pub(crate) fn edit_config(&mut self, edit: impl FnOnce(&str) -> String) {
        self.text = edit(&self.text);
        self.write("portcullis.toml", &self.text);
    }

    /// Runs a command of the program in the site's folder.
    pub(crate) fn command(&self, args: &[&str]) -> Said {
        run_in(self.folder(), args)
    }

    /// Starts the program and waits until it says that it is ready.
    pub(crate) async fn run(&mut self) {
        let mut program = portcullis();
        program.stdout(Stdio::null());
        self.run_with(program).await;
    }

    /// The same, by a command that becomes the program when `run` is added to it.
    pub(crate) async fn run_with(&mut self, mut program: Command) {
        assert!(self.process.is_none(), "the site runs already");
        self.log.lock().clear();
        let mut child = program
            .arg("run")
            .current_dir(self.folder())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                log.lock().push(line);
            }
        });
        self.process = Some(child);
        eventually("the ready line", async || {
            if self.ended().is_some() {
                panic!("portcullis ended before it was ready:\n{}", self.log_text());
            }
            self.log_text().contains("portcullis.ready").then_some(())
        })
        .await;
    }

    /// The exit code, when the program has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.process.as_mut()?.try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    pub(crate) fn log_text(&self) -> String {
        self.log.lock().join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the site does not run").id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the program at once, as a power cut would, without letting it write another byte.
    pub(crate) fn kill(&mut self) {
        let mut child = self.process.take().expect("the site does not run");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the program to stop and gives its exit code.
    pub(crate) async fn stop(&mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        let code = eventually("the program to stop", async || self.ended()).await;
        self.process = None;
        code
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The PEM of the site's own certificate authority.
    pub(crate) fn ca(&self) -> Vec<u8> {
        fs::read(self.path("data/ca/root.crt")).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address(), &self.ca())
    }

    /// `https://NAME.test:PORT/PATH`
    pub(crate) fn url(&self, route: &str, path: &str) -> String {
        format!("https://{route}.test:{}{path}", self.port)
    }

    /// An address on the portal host.
    pub(crate) fn portal(&self, path: &str) -> String {
        format!("https://{PORTAL}:{}{path}", self.port)
    }

    /// The audit log as `audit search` reads it, oldest first.
    pub(crate) fn entries(&self) -> Vec<serde_json::Value> {
        self.search(&[])
    }

    /// What `audit search` finds by these words, oldest first.
    pub(crate) fn search(&self, words: &[&str]) -> Vec<serde_json::Value> {
        let options = ["audit", "search", "--format", "jsonl", "--limit", "100000"];
        let said = self.command(&[&options, words].concat()).ok();
        let mut entries: Vec<serde_json::Value> = said
            .out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        entries.sort_by_key(|entry| entry["seq"].as_u64());
        entries
    }

    /// Waits until the log holds an entry that `wanted` accepts.
    pub(crate) async fn entry(
        &self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        eventually(what, async || {
            self.entries().into_iter().find(|entry| wanted(entry))
        })
        .await
    }

    pub(crate) async fn metrics(&self) -> String {
        self.operations_get("/metrics").await.1
    }

    /// Open client connections, as the metrics tell.
    pub(crate) async fn connections(&self) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("portcullis_connections "))
            .unwrap();
        line.parse().unwrap()
    }

    /// Asks the operations listener; gives status and body.
    pub(crate) async fn operations_get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.operations))
            .await
            .unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap_or_default();
        (status, body)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(mut child) = self.process.take() else {
            return;
        };
        // Ending it is all that matters here; a program that is gone already is fine.
        drop(child.kill());
        drop(child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of the site ---\n{}", self.log_text());
        }
    }
}

/// Fails when the process does not end within the harness' patience.
pub(crate) fn wait_for_exit(child: &mut Child) -> i32 {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the program did not end"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
