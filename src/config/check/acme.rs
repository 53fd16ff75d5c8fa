//! Whether what `[tls.acme]` says can work: every name must be provable by the challenge, and by somebody.

use std::os::unix::fs::PermissionsExt as _;

use super::place;
use crate::base::Authority;
use crate::config::problem::Problems;
use crate::config::tls::{Acme, Certificates, Challenge, DnsHook};
use crate::config::tree::Node;
use crate::config::{Config, HostPattern};

pub(super) fn check(config: &Config, root: &Node, problems: &mut Problems) {
    let Some(acme) = config.tls.obtained() else {
        return;
    };
    if config.tls.certificates.value == Certificates::Internal {
        problems
            .error("PC1413")
            .message("`certificates` in [tls] is \"internal\", and [tls.acme] is there")
            .at(config.tls.certificates.at())
            .help("remove one of them");
    }
    directory(acme, problems);
    wildcards(config, acme, problems);
    match acme.challenge.value {
        Challenge::TlsAlpn01 => {}
        Challenge::Http01 if config.server.http_redirect.is_empty() => {
            problems
                .error("PC3202")
                .message("`challenge` in [tls.acme] is \"http-01\", and nothing listens for http")
                .at(acme.challenge.at())
                .help("listen: http_redirect = [\"[::]:80\"] in [server]")
                .help("or prove names over https: challenge = \"tls-alpn-01\"");
        }
        Challenge::Http01 => {}
        Challenge::Dns01 if acme.dns.is_none() => {
            problems
                .error("PC3202")
                .message("`challenge` in [tls.acme] is \"dns-01\", and no program changes DNS")
                .at(acme.challenge.at())
                .help("name one: dns = { exec = \"/etc/portcullis/dns-hook\" }");
        }
        Challenge::Dns01 => {}
    }
    match &acme.dns {
        Some(hook) if acme.challenge.value == Challenge::Dns01 => program(hook, problems),
        Some(_) => {
            problems
                .warning("PC1413")
                .message("`dns` in [tls.acme] has no effect with this `challenge`")
                .at(&place(root, &["tls", "acme", "dns"]))
                .help("to use it: challenge = \"dns-01\"");
        }
        None => {}
    }
}

fn directory(acme: &Acme, problems: &mut Problems) {
    let text = &acme.directory.value;
    let authority = text
        .strip_prefix("https://")
        .and_then(|rest| rest.split('/').next());
    if authority.is_none_or(|authority| Authority::parse(authority).is_err()) {
        problems
            .error("PC1111")
            .message("`directory` in [tls.acme] is no https address")
            .at(acme.directory.at())
            .help("such as \"https://acme-v02.api.letsencrypt.org/directory\"");
    }
    if let Some(email) = &acme.email {
        let plain = email
            .value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',');
        if !plain || !email.value.contains('@') {
            problems
                .error("PC1113")
                .message("`email` in [tls.acme] is no e-mail address")
                .at(email.at());
        }
    }
}

fn wildcards(config: &Config, acme: &Acme, problems: &mut Problems) {
    if acme.challenge.value == Challenge::Dns01 {
        return;
    }
    for route in config.routes.values() {
        let HostPattern::Wildcard(suffix) = &route.host.value else {
            continue;
        };
        // A file may have it; which names files carry is known when they are loaded.
        if !config.tls.files.is_empty() {
            continue;
        }
        problems
            .error("PC3201")
            .message(format!(
                "a certificate for *.{suffix} cannot be obtained by {}",
                acme.challenge.value
            ))
            .at(route.host.at())
            .help("prove names in DNS: challenge = \"dns-01\" and dns = { exec = \"PROGRAM\" } in [tls.acme]")
            .help("or bring a certificate: files = [{ cert = \"FILE\", key = { file = \"FILE\" } }] in [tls]");
    }
}

/// The program runs with our rights: whoever can change it has them.
fn program(hook: &DnsHook, problems: &mut Problems) {
    let path = hook.exec.display();
    let Ok(metadata) = std::fs::metadata(&hook.exec.value) else {
        problems
            .warning("PC3203")
            .message(format!("the program {path} is not there"))
            .at(hook.exec.at());
        return;
    };
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & 0o111 == 0 {
        problems
            .warning("PC3203")
            .message(format!("{path} is no program that can be run"))
            .at(hook.exec.at())
            .help(format!("run: chmod 755 {path}"));
    } else if mode & 0o022 != 0 {
        problems
            .error("PC3203")
            .message(format!(
                "the program {path} can be changed by others than its owner"
            ))
            .at(hook.exec.at())
            .help(format!("run: chmod 755 {path}"));
    }
}
