//! Runs the commands of a page in one fresh folder, in order, and compares what they print.
//!
//! A line of the page's output has to appear as a line of the real one, in the same order; `…` stands for anything
//! within a line, and alone on a line for any lines. Pages speak of the usual ports and of names that exist nowhere:
//! before the server starts, its configuration gets free ports on loopback, and curl reads where these are.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::blocks::{Block, Kind};
use crate::harness::eventually;
use crate::harness::site::free_port;

/// The port that `portcullis demo` takes when nobody says another.
const DEMO_PORT: &str = "8443";

/// One page's folder, ports and running programs.
struct Terminal {
    folder: TempDir,
    port: u16,
    running: Vec<Running>,
}

struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A program that has ended already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A command and the lines that the page shows below it.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// Runs the console blocks of one page; gives how many commands ran.
pub(crate) async fn run(blocks: &[Block]) -> usize {
    let mut terminal = Terminal {
        folder: tempfile::Builder::new().prefix("pc").tempdir().unwrap(),
        port: free_port(),
        running: Vec::new(),
    };
    let mut ran = 0;
    for block in blocks {
        let steps = steps(block);
        let last = steps.len() - 1;
        for (number, step) in steps.iter().enumerate() {
            if block.kind == Kind::ConsoleBackground {
                terminal.start(step, block).await;
            } else {
                let code = if number == last { block.exit } else { 0 };
                terminal.command(step, code, block);
            }
            ran += 1;
        }
    }
    ran
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                shown: Vec::new(),
            });
        } else {
            let step = steps.last_mut();
            let step = step.unwrap_or_else(|| panic!("{}: output before a command", block.place()));
            step.shown.push(line.trim_end().to_owned());
        }
    }
    assert!(!steps.is_empty(), "{}: no command", block.place());
    steps
}

impl Terminal {
    fn shell(&self, command: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_portcullis"))
            .parent()
            .unwrap()
            .to_owned();
        let mut path = vec![programs];
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("PORTCULLIS_CONFIG")
            .stdin(Stdio::null());
        shell
    }

    /// The demo's usual port may be taken on this machine.
    fn moved(&self, text: &str) -> String {
        text.replace(DEMO_PORT, &self.port.to_string())
    }

    fn command(&self, step: &Step, code: i32, block: &Block) {
        let output = self.shell(&self.moved(&step.command)).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        );
        let place = format!("{}: $ {}", block.place(), step.command);
        assert_eq!(output.status.code(), Some(code), "{place}\n{said}");
        if let Err(missing) = self.compare(step, &said) {
            panic!(
                "{place}\nthe page shows a line that was not printed: {missing}\nprinted:\n{said}"
            );
        }
    }

    fn compare(&self, step: &Step, said: &str) -> Result<(), String> {
        let mut printed = said.lines().map(str::trim_end);
        for line in step
            .shown
            .iter()
            .filter(|line| !line.is_empty() && line.trim() != "…")
        {
            let line = self.moved(line);
            if !printed.any(|real| matches(&line, real)) {
                return Err(line);
            }
        }
        Ok(())
    }

    /// Starts a program that goes on, and waits until it has printed all that the page shows.
    async fn start(&mut self, step: &Step, block: &Block) {
        self.localise();
        let mut command = self.moved(&step.command);
        if command.starts_with("portcullis demo") {
            command = format!("{command} --port {}", self.port);
        }
        let mut child = self
            .shell(&format!("exec {command}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), &said);
        collect(child.stderr.take().unwrap(), &said);
        self.running.push(Running {
            child,
            said: Arc::clone(&said),
        });
        let place = block.place();
        eventually(&format!("{place}: what `{command}` prints"), async || {
            let running = self.running.last_mut().unwrap();
            let ended = running.child.try_wait().unwrap();
            let text = running.said.lock().clone();
            let compared = self.compare(step, &text);
            assert!(
                ended.is_none(),
                "{place}: `{command}` ended: {compared:?}\n{text}"
            );
            compared.ok()
        })
        .await;
    }

    /// Gives the configuration in the folder free ports on loopback, and tells curl about them.
    fn localise(&self) {
        let path = self.folder.path().join("portcullis.toml");
        let Ok(text) = fs::read_to_string(&path) else {
            return;
        };
        if text.contains("operations =") {
            return;
        }
        let listen = format!(
            "[server]\nlisten = [\"127.0.0.1:{}\"]\nhttp_redirect = []\n",
            self.port
        );
        let operations = format!(
            "\n[telemetry]\noperations = \"127.0.0.1:{}\"\n",
            free_port()
        );
        let socket = if text.contains("admin_socket") {
            ""
        } else {
            "admin_socket = \"data/admin.sock\"\n"
        };
        let server = listen + socket;
        fs::write(&path, text.replacen("[server]\n", &server, 1) + &operations).unwrap();
        let curl = format!("connect-to = \"::127.0.0.1:{}\"\nsilent\n", self.port);
        fs::write(self.folder.path().join(".curlrc"), curl).unwrap();
    }
}

fn collect(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut said = said.lock();
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// `…` stands for anything, and spaces for any number of spaces.
fn matches(shown: &str, real: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, real) = (words(shown), words(real));
    let mut pieces = shown.split('…');
    let first = pieces.next().unwrap_or_default().trim_end();
    let Some(mut rest) = real.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for piece in pieces {
        open = true;
        let piece = piece.trim();
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty() || (open && shown.ends_with('…'))
}

#[test]
fn a_shown_line_means_what_it_says() {
    assert!(matches(
        "ok: 1 app, … (… ms)",
        "ok: 1 app, 3 policies, 4 tests passed (12 ms)"
    ));
    assert!(matches("a   b", "a b"));
    assert!(matches("anything …", "anything goes"));
    assert!(!matches("a b", "a b c"));
    assert!(!matches("… c", "a b"));
}
