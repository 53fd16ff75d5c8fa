//! Addresses, names and servers, as they look from this machine.

use std::time::Duration;

use super::Examined;
use crate::cli::outcome::chain;
use crate::cli::shown;
use crate::config::{Config, Mechanism};
use crate::confine;
use crate::dial::{self, DialError, Endpoint};
use crate::plan::Plan;
use crate::server::listen::{ListenError, Place, listen};
use crate::server::listeners::wanted;
use crate::tls::client::Offer;
use crate::upstream::Target;

/// For each connection and each name.
const PATIENCE: Duration = Duration::from_secs(5);
/// Which process has the data folder.
const LOCK_FILE: &str = "lock";

pub(super) async fn examine(config: &Config, plan: Option<&Plan>, found: &mut Vec<Examined>) {
    found.push(server(config).await);
    found.push(process(config));
    listeners(config, found);
    found.push(portal(config).await);
    let Some(plan) = plan else { return };
    for group in plan.upstreams() {
        for target in &group.targets {
            found.push(upstream(&group.name, target).await);
        }
    }
}

async fn server(config: &Config) -> Examined {
    let socket = config.server.admin_socket.clone();
    let path = shown(&socket);
    let Some(pid) = lock_holder(config) else {
        return Examined::good(
            "server",
            format!("none runs on {}", shown(config.data_folder())),
        );
    };
    match dial::connect(&Endpoint::Unix(socket), None, PATIENCE).await {
        Ok(_connected) => Examined::good("server", format!("process {pid} answers on {path}")),
        Err(error) => {
            let text = format!(
                "process {pid} runs and does not answer on {path}: {}",
                chain(&error)
            );
            Examined::bad("server", text, format!("ls -l {path}"))
        }
    }
}

/// What the server that runs has given up, or what this machine's kernel could take from it.
fn process(config: &Config) -> Examined {
    let Some(pid) = lock_holder(config) else {
        return offered(config);
    };
    let Some(status) = confine::status_of(pid) else {
        let text = format!("process {pid} cannot be looked at");
        return Examined::bad(
            "process",
            text,
            format!("grep -E 'Uid|Seccomp|NoNew' /proc/{pid}/status"),
        );
    };
    let wanted = config.process.seccomp != Mechanism::Off;
    if status.uid == 0 {
        let text = format!("process {pid} is root: whoever takes it over has the machine");
        return Examined::bad("process", text, "portcullis config explain process.user");
    }
    if !status.no_new_privileges || (wanted && !status.filtered) {
        let text = format!("process {pid} has not given up new privileges and system calls");
        return Examined::bad("process", text, "portcullis config explain process.seccomp");
    }
    let calls = if status.filtered {
        "its system calls are filtered"
    } else {
        "its system calls are not filtered"
    };
    Examined::good(
        "process",
        format!(
            "process {pid} is uid {}, gains no privileges, {calls}",
            status.uid
        ),
    )
}

fn offered(config: &Config) -> Examined {
    let offered = confine::offered();
    let has = [
        ("landlock", offered.landlock, config.process.landlock),
        ("seccomp", offered.seccomp, config.process.seccomp),
    ];
    if let Some((name, ..)) = has
        .iter()
        .find(|(_, there, wanted)| !there && *wanted == Mechanism::Required)
    {
        let text = format!("this kernel has no {name}, which [process] requires");
        return Examined::bad(
            "process",
            text,
            format!("portcullis config explain process.{name}"),
        );
    }
    let told = has.map(|(name, there, _wanted)| {
        format!("{name} {}", if there { "is there" } else { "is not there" })
    });
    Examined::good(
        "process",
        format!("of this kernel's mechanisms {}", told.join(", ")),
    )
}

/// The process that calls the data folder its own, by the number it left in the lock file.
fn lock_holder(config: &Config) -> Option<u32> {
    let text = std::fs::read_to_string(config.data_folder().join(LOCK_FILE)).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    // The number stays in the file after the process: another one may bear it by now.
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    name.starts_with("portcullis").then_some(pid)
}

/// The process that opens sockets for services before it starts them.
const SERVICE_MANAGER: u32 = 1;

fn listeners(config: &Config, found: &mut Vec<Examined>) {
    let ours = lock_holder(config);
    let operations = Place::alone(config.telemetry.operations.value);
    let places = wanted(config).into_iter().map(|one| one.place);
    for place in places.chain(std::iter::once(operations)) {
        let address = place.address;
        // The sockets are closed again at once.
        found.push(match listen(place, 1, false).map(drop) {
            Ok(()) => Examined::good("address", format!("{address} is free")),
            Err(ListenError::Taken {
                holder: Some(holder),
                ..
            }) if ours == Some(holder.pid) => Examined::good(
                "address",
                format!("{address} is held by the Portcullis that runs"),
            ),
            Err(ListenError::Taken {
                holder: Some(holder),
                ..
            }) if holder.pid == SERVICE_MANAGER => Examined::good(
                "address",
                format!("{address} is held by {}, which passes it on", holder.name),
            ),
            // Who is not root cannot see what a process without core dumps holds.
            Err(ListenError::Taken { holder: None, .. }) if ours.is_some() => Examined::good(
                "address",
                format!("{address} is taken, and Portcullis runs"),
            ),
            Err(error) => {
                let command = remedy(&error);
                Examined::bad("address", chain(&error), command)
            }
        });
    }
}

fn remedy(error: &ListenError) -> String {
    match error {
        ListenError::Taken {
            holder: Some(holder),
            ..
        } => format!("kill {}", holder.pid),
        ListenError::Taken {
            address,
            holder: None,
        } => format!("sudo ss -ltnp 'sport = :{}'", address.port()),
        ListenError::NotPermitted { .. } => {
            "sudo setcap cap_net_bind_service=+ep \"$(command -v portcullis)\"".to_owned()
        }
        ListenError::NotHere { .. } => "ip address".to_owned(),
        ListenError::Other { address, .. } => {
            format!("sudo ss -ltnp 'sport = :{}'", address.port())
        }
    }
}

/// Whether people who use this machine's resolver would find the portal.
async fn portal(config: &Config) -> Examined {
    let host = config.server.portal.host.as_str();
    let port = config.server.portal.port.unwrap_or(443);
    let looked_up = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<String> = match looked_up {
        Ok(Ok(addresses)) => addresses.map(|address| address.ip().to_string()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    match addresses.as_slice() {
        [] => Examined::bad(
            "portal",
            format!("{host} does not resolve from here"),
            format!("getent ahosts {host}"),
        ),
        [first, ..] => Examined::good("portal", format!("{host} resolves to {first}")),
    }
}

async fn upstream(name: &str, target: &Target) -> Examined {
    let tls = target
        .tls
        .as_ref()
        .map(|(tls, name)| (tls, name.clone(), Offer::All));
    let verified = if tls.is_some() {
        ", its certificate is verified"
    } else {
        ""
    };
    match dial::connect(&target.endpoint, tls, PATIENCE).await {
        Ok(_connected) => Examined::good(
            "upstream",
            format!("{name}: {} answers{verified}", target.label),
        ),
        Err(error) => Examined::bad(
            "upstream",
            format!("{name}: {}: {}", target.label, chain(&error)),
            advice(&error, target),
        ),
    }
}

fn advice(error: &DialError, target: &Target) -> String {
    match error {
        DialError::Resolve { host, .. } => format!("getent ahosts {host}"),
        DialError::Untrusted(_) | DialError::Tls(_) => format!(
            "openssl s_client -connect {} -showcerts </dev/null",
            target.endpoint
        ),
        DialError::Forbidden(_) => "portcullis config explain upstream.targets".to_owned(),
        DialError::Refused(_) | DialError::Connect(_) | DialError::Timeout => {
            match &target.endpoint {
                Endpoint::Tcp { .. } => format!("curl -v {}", target.label),
                Endpoint::Unix(path) => format!("ls -l {}", shown(path)),
            }
        }
    }
}
