//! The first `portcullis.toml` of somebody who has none.

use super::types::{HostPattern, TargetUrl};
use crate::base::Authority;

/// A commented file for `portal` and `apps` (host and server of each). [`super::load()`] accepts it as it is.
pub(crate) fn starter(portal: &Authority, apps: &[(HostPattern, TargetUrl)]) -> String {
    let listening = listening(portal);
    let mut text = format!("{TOP}portal = \"{portal}\"\n{listening}{SOCKET}{NEXT}");
    let mut names: Vec<String> = Vec::new();
    for (host, target) in apps {
        let name = name_for(host, &names);
        text.push_str(&app(&name, host, target));
        names.push(name);
    }
    if apps.is_empty() {
        text.push_str(EXAMPLE);
    }
    text
}

const TOP: &str = "\
# Portcullis. Every key, its default and what it takes: docs/configuration.md
# After a change:  portcullis check && portcullis reload

[server]
# Sign-in page and app launcher.
";

const SOCKET: &str = "\
# Through which `portcullis user`, `session` and `reload` talk to the running server.
admin_socket = \"data/admin.sock\"
";

const NEXT: &str = "
[tls]
# \"intermediate\" is TLS 1.2 and 1.3, \"modern\" is TLS 1.3 alone.
profile = \"intermediate\"
# Certificates made by an own authority, which no browser trusts. For real ones:
#   certificates = \"files\"
#   files = [{ cert = \"tls/example.crt\", key = { file = \"tls/example.key\" } }]
certificates = \"internal\"

[storage]
# The folder of this file holds everything that Portcullis keeps.
database   = \"sqlite:data/portcullis.db\"
# Made on first start. Keep a copy elsewhere: without it, sealed data is lost.
master_key = { file = \"data/master.key\" }

[policy]
# Rules beyond `allow`, in Cedar. Test them: portcullis policy test
dir = \"policies\"
";

const EXAMPLE: &str = "
# One table for each app:
#
# [route.grafana]
# host  = \"grafana.example.com\"
# to    = \"https://grafana-1.internal:3000\"
# allow = [\"group:engineering\"]
";

/// Who names a port means to listen there, and has no use for the redirect from port 80.
fn listening(portal: &Authority) -> String {
    portal
        .port
        .filter(|port| *port != 443)
        .map(|port| format!("listen        = [\"[::]:{port}\"]\nhttp_redirect = []\n"))
        .unwrap_or_default()
}

fn app(name: &str, host: &HostPattern, target: &TargetUrl) -> String {
    let mut text = format!("\n[route.{name}]\nhost  = \"{host}\"\n");
    if target.is_exposed() {
        text.push_str(&format!("upstream = \"{name}\"\n"));
    } else {
        text.push_str(&format!("to    = \"{target}\"\n"));
    }
    text.push_str("# \"everyone\" is everyone who signed in. Groups: allow = [\"group:engineering\"]\nallow = [\"everyone\"]\n");
    if target.is_exposed() {
        text.push_str(&format!("\n[upstream.{name}]\ntargets   = [\"{target}\"]\n# http to another machine: whoever stands between can read and change it. Better: https.\ncleartext = true\n"));
    }
    text
}

/// The first part of the host, made different from the names in use.
fn name_for(host: &HostPattern, used: &[String]) -> String {
    let (HostPattern::Exact(host) | HostPattern::Wildcard(host)) = host;
    let whole = host.as_str().replace([':', '.'], "-");
    let first = match host.as_ip() {
        None => host.as_str().split('.').next().unwrap_or("app"),
        Some(_) => whole.as_str(),
    };
    let mut name = first.to_owned();
    let mut count = 1_u32;
    while used.contains(&name) {
        count = count.saturating_add(1);
        name = format!("{first}-{count}");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::starter;
    use crate::base::Authority;
    use crate::config::Source;
    use crate::config::load::compile;
    use crate::config::{HostPattern, Problems, TargetUrl};

    fn accepted(apps: &[(&str, &str)]) -> String {
        let apps: Vec<_> = apps
            .iter()
            .map(|(host, to)| {
                (
                    HostPattern::parse(host).unwrap(),
                    TargetUrl::parse(to).unwrap(),
                )
            })
            .collect();
        let text = starter(&Authority::parse("login.example.com").unwrap(), &apps);
        let mut problems = Problems::new();
        let config = compile(
            Source::new("portcullis.toml", &text),
            Path::new("/nonexistent"),
            &mut problems,
        );
        assert!(problems.is_empty(), "{}", problems.render(false));
        assert_eq!(config.unwrap().routes.len(), apps.len());
        text
    }

    #[test]
    fn a_first_file_has_no_problems() {
        accepted(&[]);
        accepted(&[("grafana.example.com", "https://grafana-1.internal:3000")]);
        accepted(&[
            ("a.example.com", "http://127.0.0.1:3000"),
            ("a.example.net", "http://10.0.0.7"),
        ]);
    }

    #[test]
    fn a_portal_with_a_port_is_served_on_that_port_alone() {
        let text = |portal: &str| starter(&Authority::parse(portal).unwrap(), &[]);
        let here = text("login.example.com:8443");
        assert!(here.contains("listen        = [\"[::]:8443\"]\nhttp_redirect = []\n"));
        assert!(!text("login.example.com").contains("listen "));
        assert!(!text("login.example.com:443").contains("listen "));
    }

    #[test]
    fn http_to_another_machine_is_said_aloud() {
        assert!(accepted(&[("a.example.com", "http://10.0.0.7")]).contains("cleartext = true"));
        assert!(!accepted(&[("a.example.com", "http://localhost:80")]).contains("cleartext"));
    }
}
