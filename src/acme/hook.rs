//! Runs the operator's program that changes DNS for DNS-01.
//!
//! The program is run by its path, without a shell and without our environment, and is ended when its time is over.
//! What it gets: `present|cleanup`, the record's name, the record's value. None of them is a secret.

use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::AcmeError;
use crate::base::Host;
use crate::config::DnsHook;

/// How much of what a failed program says is told.
const SAID: u64 = 500;

/// A TXT record that proves a name (RFC 8555 section 8.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) value: String,
}

impl Record {
    pub(super) fn new(host: &Host, value: String) -> Self {
        Self {
            name: format!("_acme-challenge.{host}"),
            value,
        }
    }
}

/// Runs the program once: `verb` is `present` or `cleanup`.
///
/// # Errors
/// [`AcmeError::Hook`] with the program's own words when it cannot be run, fails, or takes too long.
pub(super) async fn run(hook: &DnsHook, verb: &str, record: &Record) -> Result<(), AcmeError> {
    let program = hook.exec.value.display();
    let failed = |why: String| AcmeError::Hook(format!("{program} {verb} {}: {why}", record.name));
    let mut child = Command::new(&hook.exec.value)
        .args([verb, &record.name, &record.value])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut said = Vec::new();
    let stderr = child.stderr.take();
    let running = async {
        if let Some(mut stderr) = stderr {
            (&mut stderr).take(SAID).read_to_end(&mut said).await?;
            // A pipe that nobody reads would stop the program.
            tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        }
        child.wait().await
    };
    let status = tokio::time::timeout(hook.timeout, running)
        .await
        .map_err(|_elapsed| failed("it took too long".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let words = std::str::from_utf8(&said).unwrap_or_default().trim();
    Err(failed(format!("{status} {words}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Duration;

    use super::{Record, run};
    use crate::base::Host;
    use crate::config::{At, DnsHook, Spanned};

    fn hook(folder: &Path, script: &str, timeout: Duration) -> DnsHook {
        let path = folder.join("hook");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        DnsHook {
            exec: Spanned::new(path, At::nowhere()),
            timeout,
            wait: Duration::ZERO,
        }
    }

    fn record() -> Record {
        Record::new(&Host::parse("a.test").unwrap(), "v; rm -rf".to_owned())
    }

    #[tokio::test]
    async fn the_program_gets_its_three_words_and_no_environment() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo \"$1|$2|$3|$HOME$CARGO$USER\" > \"${0%/*}/seen\"";
        let hook = hook(folder.path(), script, Duration::from_secs(20));
        run(&hook, "present", &record()).await.unwrap();
        let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
        assert_eq!(seen, "present|_acme-challenge.a.test|v; rm -rf|\n");
    }

    #[tokio::test]
    async fn a_program_that_fails_hangs_or_is_missing_is_told_in_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_secs(20);
        let failing = hook(folder.path(), "echo no such zone >&2; exit 3", patience);
        let text = run(&failing, "present", &record())
            .await
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("no such zone") && text.contains('3'),
            "{text}"
        );
        let hanging = hook(
            folder.path(),
            "exec /bin/sleep 60",
            Duration::from_millis(50),
        );
        let text = run(&hanging, "present", &record())
            .await
            .unwrap_err()
            .to_string();
        assert!(text.contains("too long"), "{text}");
        std::fs::remove_file(folder.path().join("hook")).unwrap();
        assert!(run(&failing, "cleanup", &record()).await.is_err());
    }
}
