//! Addresses, names and servers, as they look from this machine.

use std::time::Duration;

use super::Examined;
use crate::cli::outcome::chain;
use crate::config::Config;
use crate::dial::{self, DialError, Endpoint};
use crate::plan::Plan;
use crate::server::listen::{ListenError, listen};
use crate::tls::client::Offer;
use crate::upstream::Target;

/// For each connection and each name.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn examine(config: &Config, plan: Option<&Plan>, found: &mut Vec<Examined>) {
    let running = running(config).await;
    found.push(if running {
        Examined::good("server", format!("a Portcullis answers on {}", config.server.admin_socket.display()))
    } else {
        Examined::good("server", format!("none runs here ({} does not answer)", config.server.admin_socket.display()))
    });
    listeners(config, running, found);
    found.push(portal(config).await);
    let Some(plan) = plan else { return };
    for group in plan.upstreams() {
        for target in &group.targets {
            found.push(upstream(&group.name, target).await);
        }
    }
}

async fn running(config: &Config) -> bool {
    let socket = Endpoint::Unix(config.server.admin_socket.clone());
    dial::connect(&socket, None, PATIENCE).await.is_ok()
}

fn listeners(config: &Config, running: bool, found: &mut Vec<Examined>) {
    let server = &config.server;
    let operations = config.telemetry.operations.value;
    for address in server.listen.iter().chain(&server.http_redirect).chain(std::iter::once(&operations)) {
        // The sockets are closed again at once.
        found.push(match listen(*address, 1).map(drop) {
            Ok(()) => Examined::good("address", format!("{address} is free")),
            Err(ListenError::Taken { holder, .. }) if running && holder.as_ref().is_none_or(|holder| holder.name.starts_with("portcullis")) => {
                Examined::good("address", format!("{address} is held by the Portcullis that runs"))
            }
            Err(error) => {
                let command = remedy(&error);
                Examined::bad("address", chain(&error), command)
            }
        });
    }
}

fn remedy(error: &ListenError) -> String {
    match error {
        ListenError::Taken { holder: Some(holder), .. } => format!("kill {}", holder.pid),
        ListenError::Taken { address, holder: None } => format!("sudo ss -ltnp 'sport = :{}'", address.port()),
        ListenError::NotPermitted { .. } => "sudo setcap cap_net_bind_service=+ep \"$(command -v portcullis)\"".to_owned(),
        ListenError::NotHere { .. } => "ip address".to_owned(),
        ListenError::Other { address, .. } => format!("sudo ss -ltnp 'sport = :{}'", address.port()),
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
        [] => Examined::bad("portal", format!("{host} does not resolve from here"), format!("getent ahosts {host}")),
        [first, ..] => Examined::good("portal", format!("{host} resolves to {first}")),
    }
}

async fn upstream(name: &str, target: &Target) -> Examined {
    let tls = target.tls.as_ref().map(|(tls, name)| (tls, name.clone(), Offer::All));
    let verified = if tls.is_some() { ", its certificate is verified" } else { "" };
    match dial::connect(&target.endpoint, tls, PATIENCE).await {
        Ok(_connected) => Examined::good("upstream", format!("{name}: {} answers{verified}", target.label)),
        Err(error) => Examined::bad("upstream", format!("{name}: {}: {}", target.label, chain(&error)), advice(&error, target)),
    }
}

fn advice(error: &DialError, target: &Target) -> String {
    match error {
        DialError::Resolve { host, .. } => format!("getent ahosts {host}"),
        DialError::Untrusted(_) | DialError::Tls(_) => format!("openssl s_client -connect {} -showcerts </dev/null", target.endpoint),
        DialError::Forbidden(_) => "portcullis config explain upstream.targets".to_owned(),
        DialError::Refused(_) | DialError::Connect(_) | DialError::Timeout => format!("curl -v {}", target.label),
    }
}
