//! The files of a demo: they are the tutorial, so every line says why it is there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::authz::starter;

pub(super) const CONFIG: &str = "portcullis.toml";
/// What a demo writes into its folder; a reset removes these and nothing else.
const OURS: [&str; 3] = [CONFIG, "policies", "data"];
/// Tells a demo's folder from an installation that somebody works with.
const MARK: &str = ".portcullis-demo";
/// The longest path that a Unix socket can have (`sun_path`, with the closing NUL).
const SOCKET_PATH: usize = 108;

/// The folder of a demo.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Removes the folder when dropped, unless it is to be kept.
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    /// `keep`, or a temporary folder that goes with the demo.
    pub(super) fn open(keep: Option<&Path>) -> io::Result<Self> {
        let Some(keep) = keep else {
            let temporary = tempfile::Builder::new()
                .prefix("portcullis-demo-")
                .tempdir()?;
            return Ok(Self {
                path: temporary.path().to_path_buf(),
                _temporary: Some(temporary),
            });
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(keep)?;
        let path = fs::canonicalize(keep)?;
        claim(&path)?;
        Ok(Self {
            path,
            _temporary: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The socket of an example app; `None` when the folder's path is too long to hold one.
    pub(super) fn socket(&self, app: &str) -> Option<PathBuf> {
        let path = self.path.join("data").join(format!("{app}.sock"));
        (path.as_os_str().len() < SOCKET_PATH).then_some(path)
    }

    /// Removes what an earlier demo left here.
    pub(super) fn reset(&self) -> io::Result<()> {
        for name in OURS {
            let path = self.path.join(name);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes what is not there yet; files that somebody has edited stay as they are.
    pub(super) fn fill(&self, config: &str) -> io::Result<()> {
        let builder = |folder: &str| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(self.path.join(folder))
        };
        builder("policies/tests")?;
        builder("data")?;
        write_new(&self.config(), config)?;
        for (name, text) in starter::POLICIES {
            write_new(&self.path.join("policies").join(name), text)?;
        }
        write_new(
            &self.path.join("policies/tests/demo.toml"),
            starter::DEMO_TESTS,
        )
    }
}

/// Marks an empty folder as a demo's. One that holds anything else is left alone: it may be an installation.
fn claim(folder: &Path) -> io::Result<()> {
    let mark = folder.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    if fs::read_dir(folder)?.next().is_some() {
        let why = format!(
            "{} holds files that no demo wrote; name an empty or a new folder",
            folder.display()
        );
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    write_new(
        &mark,
        "A demo of Portcullis keeps its files here; `demo --reset` removes them.\n",
    )
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match file {
        Ok(mut file) => io::Write::write_all(&mut file, text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The configuration of a demo in `folder` that listens on `port`.
pub(super) fn config(folder: &Path, port: u16) -> String {
    let data = folder.join("data");
    let data = data.display();
    format!(
        r#"# The configuration of `portcullis demo`. Change something, then: portcullis reload -c {folder}/{CONFIG}

[server]
portal        = "localhost:{port}"      # sign-in page and launcher; the apps below share this host for the demo only
listen        = ["127.0.0.1:{port}"]    # loopback: nobody else can reach this
http_redirect = []                      # port 80 stays closed
admin_socket  = "{data}/admin.sock"     # through which `portcullis user`, `session` and `reload` talk to it
workers       = 2

[server.branding]
name   = "Portcullis demo"
notice = "Everything here is thrown away when the demo ends, unless it was started with --keep."

[process]
landlock = "off"                        # which would keep the demo from removing its folder when it ends

[tls]
certificates = "internal"               # an authority made for this folder; no browser trusts it

[storage]
database   = "sqlite:{data}/portcullis.db"
master_key = {{ file = "{data}/master.key" }}

[audit]
min_free  = "16MiB"                     # below this much free space requests are refused: no record, no access
warn_free = "64MiB"

[telemetry]
level      = "warn"
operations = "127.0.0.1:{operations}"       # /metrics, /livez, /readyz

[upstream.notes]
targets = ["unix:{data}/notes.sock"]

[route.notes]
host        = "localhost"
path        = "/notes"
title       = "Notes"
description = "Read and write notes. Deleting asks for a fresh code."
upstream    = "notes"
allow       = ["everyone"]              # everyone who has signed in; becomes the policy route.notes.allow
identity    = {{ headers = true }}        # the example app shows who Portcullis says you are

[upstream.payroll]
targets = ["unix:{data}/payroll.sock"]

[route.payroll]
host         = "localhost"
path         = "/payroll"
title        = "Payroll"
description  = "Restricted: you are not in the group."
labels       = ["restricted"]           # policies/10-restricted.cedar is about this label
upstream     = "payroll"
allow        = ["group:payroll"]        # let yourself in: portcullis user group add payroll admin@localhost
explain_deny = "full"                   # the refusal names the policies
"#,
        folder = folder.display(),
        operations = operations_port(port),
    )
}

/// A port of its own for metrics and health, next to the demo's.
const fn operations_port(port: u16) -> u16 {
    if port == u16::MAX { port - 1 } else { port + 1 }
}

#[cfg(test)]
mod tests {
    use super::{Folder, config};
    use crate::plan::Plan;

    #[test]
    fn the_demo_files_compile_and_pass_their_tests() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(temporary.path())).unwrap();
        folder.fill(&config(folder.path(), 8443)).unwrap();
        let compiled = Plan::load(&folder.config(), None)
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(compiled.plan.tested.passed >= 4);
        assert!(
            compiled.warnings.is_empty(),
            "{}",
            compiled.warnings.render(false)
        );
    }

    #[test]
    fn edited_files_stay_and_a_reset_removes_only_ours() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(temporary.path())).unwrap();
        std::fs::write(temporary.path().join("mine.txt"), "mine").unwrap();
        folder.fill("edited").unwrap();
        folder.fill("other").unwrap();
        assert_eq!(std::fs::read_to_string(folder.config()).unwrap(), "edited");
        folder.reset().unwrap();
        assert!(!folder.config().exists());
        assert!(temporary.path().join("mine.txt").exists());
    }

    #[test]
    fn a_folder_that_no_demo_made_is_neither_filled_nor_reset() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(super::CONFIG);
        std::fs::write(&config, "somebody's").unwrap();
        let refused = Folder::open(Some(folder.path())).unwrap_err();
        assert!(refused.to_string().contains("no demo wrote"), "{refused}");
        assert_eq!(std::fs::read(&config).unwrap(), b"somebody's");
    }

    #[test]
    fn a_demos_own_folder_is_opened_again_and_reset() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Folder::open(Some(folder.path())).unwrap();
        open().fill("demo").unwrap();
        open().reset().unwrap();
        assert!(!open().config().exists());
    }
}
