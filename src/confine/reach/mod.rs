//! Which files, ports and programs the process can reach after its start, by Landlock.
//!
//! A file that the configuration names is reached by its folder, because editors and renewals put new files in the place
//! of old ones; where a name is a link, also by the folder that it leads to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};

use crate::config::{At, Config, Mechanism, Problems};

/// The rights that are spoken of. A kernel that knows fewer is asked for those it knows.
const RIGHTS: ABI = ABI::V6;

/// What any program reads: names and addresses, certificates of authorities, time zones, shared libraries, and how many
/// processors there are. What is secret there is closed to the account.
const SYSTEM: [&str; 7] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system",
];
const DEVICES: [&str; 3] = ["/dev/null", "/dev/random", "/dev/urandom"];
/// From where programs may be run, besides their own folder.
const PROGRAMS: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];
/// It is replaced while we run, and often a link to a folder of the service that writes it.
const RESOLVER: &str = "/etc/resolv.conf";
/// Names are asked for by TCP too.
const DNS: u16 = 53;

/// What may be reached.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    run: BTreeSet<PathBuf>,
    /// Empty: every port.
    ports: BTreeSet<u16>,
    /// Ports have to be bounded, or nothing starts.
    strict: bool,
}

impl Reach {
    pub(super) fn of(config: &Config) -> Self {
        let written = &config.process;
        let mut reach = Self {
            ports: written.connect_ports.iter().copied().collect(),
            strict: written.landlock == Mechanism::Required,
            ..Self::default()
        };
        reach.read.extend(SYSTEM.iter().map(PathBuf::from));
        reach.read.extend(
            Path::new(RESOLVER)
                .canonicalize()
                .iter()
                .flat_map(|path| around(path)),
        );
        // The names by which whoever verifies certificates is told where authorities are.
        let authorities = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
            .into_iter()
            .filter_map(std::env::var_os);
        for list in authorities {
            let paths = std::env::split_paths(&list);
            reach.read.extend(paths.flat_map(|path| around(&path)));
        }
        let named = files(config).flat_map(|(path, _at)| around(path));
        reach.read.extend(named);
        // The folder above one that is not there is another one.
        let further = written.readable.iter().filter(|path| path.exists());
        reach.read.extend(further.map(|path| real(path)));
        let folders = self::written(config);
        reach.write.extend(folders.iter().map(|path| real(path)));
        if let Some(program) = program(config) {
            reach.run.extend(PROGRAMS.iter().map(PathBuf::from));
            reach.run.extend(around(program));
        }
        reach
    }

    /// Whether programs may be run.
    pub(super) fn programs(&self) -> bool {
        !self.run.is_empty()
    }

    /// Gives everything else up; says in a few words what is left. `None` when the kernel has no Landlock.
    pub(super) fn enforce(&self) -> Result<Option<String>, RulesetError> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::from_all(RIGHTS)
            & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(RIGHTS))?
            .scope(scope())?;
        if !self.ports.is_empty() {
            let level = if self.strict {
                CompatLevel::HardRequirement
            } else {
                CompatLevel::BestEffort
            };
            ruleset = ruleset
                .set_compatibility(level)
                .handle_access(AccessNet::ConnectTcp)?
                .set_compatibility(CompatLevel::BestEffort);
        }
        let mut created = ruleset
            .create()?
            .add_rules(beneath(&self.read, read))?
            .add_rules(beneath(&self.write, write))?
            .add_rules(beneath(&self.run, read | AccessFs::Execute))?
            .add_rules(beneath(
                &DEVICES.map(PathBuf::from).into(),
                AccessFs::ReadFile | AccessFs::WriteFile,
            ))?;
        if !self.ports.is_empty() {
            let ports = self.ports.iter().copied().chain([DNS]);
            created =
                created.add_rules(ports.map(|port| {
                    Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp))
                }))?;
        }
        let done = created.restrict_self()?;
        let LandlockStatus::Available { effective_abi, .. } = done.landlock else {
            return Ok(None);
        };
        if done.ruleset == RulesetStatus::NotEnforced {
            return Ok(None);
        }
        Ok(Some(self.told(effective_abi)))
    }

    fn told(&self, abi: ABI) -> String {
        let (read, write) = (self.read.len(), self.write.len());
        let ports = match self.ports.len() {
            0 => String::new(),
            _ if abi < ABI::V4 => {
                tracing::warn!(
                    "`connect_ports` in [process] is not in force: this kernel cannot bound ports"
                );
                ", this kernel cannot bound ports".to_owned()
            }
            count => format!(", connects to {count} ports and that of DNS"),
        };
        format!("ABI {abi}, reads below {read} folders, writes below {write}{ports}")
    }

    /// Files of `config` that cannot be read any more.
    pub(super) fn lacks_files(&self, config: &Config, problems: &mut Problems) {
        for (path, at) in files(config) {
            if around(path).iter().all(|place| self.covers(place)) {
                continue;
            }
            problems
                .error("PC1442")
                .message(format!("{} is out of this process' reach", path.display()))
                .at(at)
                .label("no folder that the configuration named when the process started")
                .help("restart Portcullis to take it in: systemctl restart portcullis");
        }
    }

    fn covers(&self, place: &Path) -> bool {
        let roots = self.read.iter().chain(&self.write);
        roots
            .filter_map(|root| root.canonicalize().ok())
            .any(|root| place.starts_with(root))
    }

    /// Ports of `config` that cannot be connected to any more.
    pub(super) fn lacks_ports(&self, config: &Config, problems: &mut Problems) {
        if self.ports.is_empty() {
            return;
        }
        for (port, at) in config.ports() {
            if !self.ports.contains(&port) {
                problems
                    .error("PC1442")
                    .message(format!("port {port} is out of this process' reach"))
                    .at(&at)
                    .label("`connect_ports` in [process] did not have it when the process started")
                    .help("restart Portcullis to take it in: systemctl restart portcullis");
            }
        }
    }

    /// A program of `config`, when running any was given up.
    pub(super) fn lacks_programs(&self, config: &Config, problems: &mut Problems) {
        let Some(hook) = config.tls.obtained().and_then(|acme| acme.dns.as_ref()) else {
            return;
        };
        let known = around(&hook.exec)
            .iter()
            .all(|place| self.run.iter().any(|root| place.starts_with(root)));
        if !known {
            problems
                .error("PC1442")
                .message(format!(
                    "{} is out of this process' reach",
                    hook.exec.display()
                ))
                .at(hook.exec.at())
                .label("running it was given up when the process started")
                .help("restart Portcullis to take it in: systemctl restart portcullis");
        }
    }
}

/// The folders that are written; what is missing is made at the start.
pub(super) fn written(config: &Config) -> Vec<PathBuf> {
    let key = &config.storage.master_key;
    // Made beside its place and moved there, at the first start only.
    let key = (!key.exists()).then(|| folder_of(key).to_path_buf());
    let mut folders = vec![
        config.data_folder().to_path_buf(),
        config.audit_folder(),
        folder_of(&config.server.admin_socket).to_path_buf(),
    ];
    folders.extend(key);
    folders.extend(config.process.writable.iter().cloned());
    folders
}

/// Every file that is read again while the process lives, with the place that names it.
fn files(config: &Config) -> impl Iterator<Item = (&Path, &At)> {
    static NOWHERE: LazyLock<At> = LazyLock::new(At::nowhere);
    let process = &config.process;
    let named = config.named.iter().filter(|path| {
        let further = [&process.readable, &process.writable];
        !further.iter().any(|list| list.contains(&path.value))
    });
    let named = named.map(|path| (path.value.as_path(), path.at()));
    let sources = config.sources.iter();
    let sources = sources.map(|source| (source.path(), &*NOWHERE));
    let rules = (config.policy.dir.value.as_path(), config.policy.dir.at());
    let key = &config.storage.master_key;
    let keys = ((**key).as_ref(), key.at());
    named.chain(sources).chain([rules, keys])
}

fn program(config: &Config) -> Option<&Path> {
    let hook = config.tls.obtained()?.dns.as_ref()?;
    Some(&hook.exec.value)
}

/// The folder itself, or the folder of a file; where links lead, too. Without links in them.
fn around(path: &Path) -> Vec<PathBuf> {
    let place = |path: &Path| {
        if path.is_dir() {
            path.to_path_buf()
        } else {
            folder_of(path).to_path_buf()
        }
    };
    let mut places = vec![real(&place(path))];
    if let Ok(led) = path.canonicalize() {
        places.push(place(&led));
    }
    places.dedup();
    // A file at the very top would open everything.
    places
        .iter_mut()
        .filter(|place| place.parent().is_none())
        .for_each(|place| *place = path.to_path_buf());
    places
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut there = path;
    loop {
        if let Ok(found) = there.canonicalize() {
            return missing
                .iter()
                .rev()
                .fold(found, |path, name| path.join(name));
        }
        match (there.parent(), there.file_name()) {
            (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => {
                missing.push(name);
                there = parent;
            }
            _ => return path.to_path_buf(),
        }
    }
}

/// Rights below each of `places` that exists; what does not exist opens nothing.
fn beneath(
    places: &BTreeSet<PathBuf>,
    rights: BitFlags<AccessFs>,
) -> impl Iterator<Item = Result<PathBeneath<PathFd>, RulesetError>> {
    let open = places.iter().filter_map(move |place| {
        let folder = place.is_dir();
        let rights = if folder {
            rights
        } else {
            rights & AccessFs::from_file(RIGHTS)
        };
        Some(Ok(PathBeneath::new(PathFd::new(place).ok()?, rights)))
    });
    open.collect::<Vec<_>>().into_iter()
}

/// Signals to other programs, and sockets without a file unless the service manager listens on one.
fn scope() -> BitFlags<Scope> {
    let abstract_manager = std::env::var_os("NOTIFY_SOCKET")
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"@"));
    if abstract_manager {
        Scope::Signal.into()
    } else {
        Scope::Signal | Scope::AbstractUnixSocket
    }
}

#[cfg(test)]
mod tests;
