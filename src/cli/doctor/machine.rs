//! The files, the clock and the disk of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::Examined;
use crate::base::Timestamp;
use crate::cli::output::counted;
use crate::cli::{ground, open, shown};
use crate::config::{self, Config, Problems};

/// A file from the future by more than this says that the clock is behind.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

pub(super) fn examine(config: &Config, now: Timestamp, found: &mut Vec<Examined>) {
    found.push(clock(config, now));
    let mut problems = Problems::new();
    ground::storage(config, &mut problems);
    let key = shown(&config.storage.master_key);
    if problems.is_empty() {
        let made = config.storage.master_key.exists();
        let text = if made {
            format!("{key}, closed to others")
        } else {
            format!("{key} will be made by the first start")
        };
        found.push(Examined::good("master key", text));
    } else {
        found.extend(problems.iter().map(|problem| from_problem("keys", problem)));
    }
    found.push(data_folder(config));
    found.push(database(config));
    found.push(headroom(config));
    certificates(config, now, found);
    found.extend(obtained(config));
}

/// Whether certificates can be obtained, as far as this machine can tell: nobody outside is asked.
fn obtained(config: &Config) -> Option<Examined> {
    let acme = config.tls.obtained()?;
    let challenge = acme.challenge.value;
    let (port, addresses) = match challenge {
        config::Challenge::TlsAlpn01 => (443, &config.server.listen),
        config::Challenge::Http01 => (80, &config.server.http_redirect),
        config::Challenge::Dns01 => return Some(dns_program(acme)),
    };
    let here = addresses.iter().any(|address| address.port() == port);
    let text = match (here, addresses.first()) {
        (true, _) | (false, None) => {
            format!("{challenge}: the authority has to reach port {port} of every host")
        }
        (false, Some(address)) => format!(
            "{challenge}: the authority has to reach port {port} of every host, and that has to be forwarded to {address}"
        ),
    };
    Some(Examined::good("obtaining", text))
}

fn dns_program(acme: &config::Acme) -> Examined {
    let Some(hook) = &acme.dns else {
        let command = "portcullis config explain PC3202";
        return Examined::bad("obtaining", "dns-01: no program changes DNS", command);
    };
    let path = shown(&hook.exec);
    match access(&*hook.exec.value, Access::EXEC_OK) {
        Ok(()) => Examined::good("obtaining", format!("dns-01: {path} changes DNS")),
        Err(error) => Examined::bad(
            "obtaining",
            format!("dns-01: {path} cannot be run by this user: {error}"),
            format!("chmod 755 {path}"),
        ),
    }
}

fn from_problem(what: &'static str, problem: &config::Problem) -> Examined {
    let command = problem
        .help
        .first()
        .map(|help| help.strip_prefix("run: ").unwrap_or(help).to_owned());
    let explained = || format!("portcullis config explain {}", problem.code);
    Examined::bad(
        what,
        problem.message.clone(),
        command.unwrap_or_else(explained),
    )
}

/// Nothing here was written in the future, unless the clock is wrong. Nobody outside is asked.
fn clock(config: &Config, now: Timestamp) -> Examined {
    let newest = config
        .sources
        .iter()
        .filter_map(|source| std::fs::metadata(source.path()).ok()?.modified().ok())
        .filter_map(|time| jiff::Timestamp::try_from(time).ok())
        .map(Timestamp::from)
        .max();
    match newest {
        Some(newest) if newest > now.plus(CLOCK_TOLERANCE) => {
            let behind = newest.since(now).as_secs();
            let text = format!(
                "the clock says {now}, and a configuration file was written {behind} s later. Codes from authenticator apps are refused above 30 s"
            );
            Examined::bad("clock", text, "timedatectl set-ntp true")
        }
        _ => Examined::good("clock", format!("{now}, no file is from the future")),
    }
}

/// The folder, or the nearest one above it that exists.
fn nearest_existing(path: &Path) -> PathBuf {
    let mut path = path;
    loop {
        if path.as_os_str().is_empty() {
            return PathBuf::from(".");
        }
        if path.exists() {
            return path.to_path_buf();
        }
        match path.parent() {
            Some(parent) => path = parent,
            None => return PathBuf::from("/"),
        }
    }
}

fn data_folder(config: &Config) -> Examined {
    let folder = config.data_folder();
    let there = nearest_existing(folder);
    if access(&there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let text = format!("{} cannot be written by this user", shown(&there));
        return Examined::bad(
            "data folder",
            text,
            format!("install -d -m 700 -o portcullis {}", shown(folder)),
        );
    }
    if there == folder || folder.exists() {
        Examined::good("data folder", format!("{} can be written", shown(folder)))
    } else {
        Examined::good(
            "data folder",
            format!("{} will be made by the first start", shown(folder)),
        )
    }
}

fn database(config: &Config) -> Examined {
    let path = shown(&config.storage.database.value);
    match open::store(config).and_then(|store| match store {
        Some(store) => store
            .users
            .list()
            .map(Some)
            .map_err(|error| error.to_string()),
        None => Ok(None),
    }) {
        Ok(None) => Examined::good(
            "database",
            format!("{path} will be made by the first start"),
        ),
        Ok(Some(people)) if people.is_empty() => Examined::bad(
            "database",
            format!("{path} has no people, so nobody can sign in"),
            "portcullis user add you@example.com --admin",
        ),
        Ok(Some(people)) => Examined::good(
            "database",
            format!("{path}, {}", counted(people.len(), "person")),
        ),
        Err(why) => Examined::bad(
            "database",
            format!("{path}: {why}"),
            format!("ls -l {}*", path),
        ),
    }
}

/// Free space where the audit log grows.
fn headroom(config: &Config) -> Examined {
    let folder = config.audit_folder();
    let there = nearest_existing(&folder);
    let free = match rustix::fs::statvfs(&there) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => {
            return Examined::bad(
                "audit disk",
                format!("{}: {error}", shown(&there)),
                format!("df -h {}", shown(&there)),
            );
        }
    };
    let (least, warn) = (config.audit.min_free, config.audit.warn_free);
    let shown_free = human(free);
    if free < least {
        let text = format!(
            "{shown_free} left in {}; below {} requests are refused",
            shown(&there),
            human(least)
        );
        return Examined::bad("audit disk", text, format!("df -h {}", shown(&there)));
    }
    if free < warn {
        let text = format!(
            "{shown_free} left in {}; a warning is due below {}, refusals below {}",
            shown(&there),
            human(warn),
            human(least)
        );
        return Examined::bad("audit disk", text, format!("df -h {}", shown(&there)));
    }
    Examined::good(
        "audit disk",
        format!("{shown_free} free in {}", shown(&there)),
    )
}

/// `2.1 GiB`, or whole MiB below one of them.
fn human(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 30;
    match tenths {
        0..10 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", tenths / 10, tenths % 10),
    }
}

fn certificates(config: &Config, now: Timestamp, found: &mut Vec<Examined>) {
    let mut problems = Problems::new();
    let loaded = ground::certificates(config, now, &mut problems);
    found.extend(
        problems
            .iter()
            .map(|problem| from_problem("certificates", problem)),
    );
    match loaded {
        Some(certificates) => {
            let earliest = certificates.list().iter().map(|one| one.not_after).min();
            if let Some(until) = earliest {
                let days = until.since(now).as_secs() / 86_400;
                found.push(Examined::good(
                    "certificates",
                    format!("the earliest ends {until} ({days} days)"),
                ));
            }
        }
        None if problems.is_empty() => {
            found.push(Examined::good(
                "certificates",
                "the internal authority will be made by the first start; no browser trusts it",
            ));
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{human, nearest_existing};

    #[test]
    fn sizes_are_given_in_a_unit_that_people_read() {
        assert_eq!(human(256 << 20), "256 MiB");
        assert_eq!(human((2 << 30) + (100 << 20)), "2.0 GiB");
        assert_eq!(human((2 << 30) + (110 << 20)), "2.1 GiB");
    }

    #[test]
    fn a_folder_to_come_is_judged_by_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            nearest_existing(&folder.path().join("a/b/c")),
            folder.path()
        );
        assert_eq!(
            nearest_existing(std::path::Path::new("no-such-folder/x")),
            std::path::Path::new(".")
        );
    }
}
