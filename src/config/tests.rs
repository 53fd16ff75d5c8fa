//! Whole files through `load`: golden cases, includes, speed, and what defaults are.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::load::compile;
use super::{Config, HostPattern, PasswordCost, Problems, Source, TargetUrl, load};

/// Fails when `path` does not hold `text`; with `PORTCULLIS_BLESS=1` writes it instead.
pub(super) fn compare_or_bless(path: &Path, text: &str) {
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == text,
        "{} differs; look at the difference after PORTCULLIS_BLESS=1 cargo test --lib config::\n{text}",
        path.display()
    );
}

fn compiled(text: &str) -> (Option<Config>, Problems) {
    let mut problems = Problems::new();
    let config = compile(
        Source::new("portcullis.toml", text),
        Path::new("/nonexistent"),
        &mut problems,
    );
    problems.settle();
    (config, problems)
}

fn accepted(text: &str) -> Config {
    let (config, problems) = compiled(text);
    assert!(problems.is_empty(), "{}", problems.render(false));
    config.unwrap()
}

fn codes(text: &str) -> Vec<&'static str> {
    compiled(text)
        .1
        .iter()
        .map(|problem| problem.code)
        .collect()
}

const MINIMAL: &str = r#"
[server]
portal = "login.example.com"

[route.grafana]
host  = "grafana.example.com"
to    = "https://grafana-1.internal:3000"
allow = ["group:engineering"]
"#;

#[test]
fn golden_files_give_the_expected_problems() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    cases.sort();
    assert!(cases.len() >= 8, "{cases:?}");
    for case in cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        let mut problems = Problems::new();
        let text = fs::read_to_string(&case).unwrap();
        compile(Source::new(name, text), &folder, &mut problems);
        problems.settle();
        let summary = problems.summary();
        let shown = problems
            .render(false)
            .replace(&format!("{}/", folder.display()), "");
        let shown = if shown.is_empty() {
            "no problems\n".to_owned()
        } else {
            shown + &summary + "\n"
        };
        compare_or_bless(&case.with_extension("expected"), &shown);
    }
}

#[test]
fn every_finding_has_an_explanation() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            for code in codes(&fs::read_to_string(&path).unwrap()) {
                assert!(super::codes::find(code).is_some(), "{code}");
            }
        }
    }
}

#[test]
fn what_is_not_said_has_a_safe_default() {
    let config = accepted(MINIMAL);
    assert_eq!(config.session.lifetime, Duration::from_hours(12));
    assert_eq!(config.session.idle, Duration::from_mins(30));
    assert_eq!(config.session.cookie.as_str(), "__Host-portcullis");
    assert_eq!(config.server.listen, ["[::]:443".parse().unwrap()]);
    assert!(config.server.trusted_proxies.is_empty());
    assert_eq!(config.server.limits.header_bytes, 32 << 10);
    assert_eq!(
        config.audit_folder(),
        Path::new("/var/lib/portcullis/audit")
    );
    assert_eq!(
        config.policy_tests(),
        Path::new("/nonexistent/policies/tests")
    );
    assert!(config.tenants.contains_key(super::DEFAULT_TENANT));
    let route = config.routes.values().next().unwrap();
    assert!(!route.public && route.identity.assertion && !route.identity.headers);
    assert_eq!(route.upgrades.len(), 1);
    assert_eq!(route.upgrades[0].value, "websocket");
    assert_eq!(route.title(), "grafana");
}

#[test]
fn passwords_cost_what_is_written_and_never_less_than_owasp_asks_for() {
    let with = |keys: &str| format!("{MINIMAL}\n[auth.password]\n{keys}\n");
    let cost = |keys: &str| accepted(&with(keys)).auth.password.cost();
    let usual = PasswordCost {
        memory: 65_536,
        passes: 3,
        lanes: 4,
    };
    assert_eq!(cost(""), usual);
    let least = PasswordCost {
        memory: 19_456,
        passes: 2,
        lanes: 1,
    };
    assert_eq!(cost("memory = \"19456KiB\"\npasses = 2\nlanes = 1"), least);
    accepted(&with("memory = \"46MiB\"\npasses = 1"));
    for below in [
        "memory = \"18MiB\"\npasses = 2",
        "memory = \"45MiB\"\npasses = 1",
        "memory = \"6MiB\"\npasses = 16",
        "memory = \"1KiB\"",
    ] {
        assert_eq!(codes(&with(below)), ["PC4101"], "{below}");
    }
    for beyond in [
        "memory = \"257MiB\"",
        "memory = \"8TiB\"",
        "passes = 17",
        "lanes = 17",
        "passes = 0",
        "lanes = 0",
        "max_length = 63",
        "max_length = 1025",
    ] {
        assert_eq!(codes(&with(beyond)), ["PC1113"], "{beyond}");
    }
}

#[test]
fn keys_that_wait_for_a_restart_are_named_and_others_are_not() {
    let old = accepted(MINIMAL);
    assert!(
        old.awaiting_restart(&accepted(&format!("\n\n{MINIMAL}")))
            .is_empty()
    );
    let text = format!(
        "{MINIMAL}[session]\nidle = \"9m\"\ncookie = \"__Host-door\"\n[server.limits]\nh2_max_streams = 9\n"
    );
    let expected = [
        "`h2_max_streams` in [server.limits]",
        "`cookie` in [session]",
    ];
    assert_eq!(old.awaiting_restart(&accepted(&text)), expected);
}

#[test]
fn to_makes_an_upstream_with_the_routes_name() {
    let config = accepted(MINIMAL);
    let route = config.routes.values().next().unwrap();
    assert_eq!(route.upstream.value, "grafana");
    let target = config.upstreams["grafana"].targets[0].value.clone();
    assert_eq!(
        target.url,
        TargetUrl::parse("https://grafana-1.internal:3000").unwrap()
    );
    assert!(
        matches!(&route.host.value, HostPattern::Exact(host) if host.as_str() == "grafana.example.com")
    );
}

#[test]
fn an_app_on_the_portals_host_is_warned_of_except_in_trials() {
    let beside = MINIMAL.replace(
        "host  = \"grafana.example.com\"",
        "host = \"login.example.com\"\npath = \"/app\"",
    );
    assert_eq!(codes(&beside), ["PC1415"]);
    let listening =
        |listen: &str| beside.replace("[server]", &format!("[server]\nlisten = {listen}"));
    assert_eq!(
        codes(&listening(r#"["127.0.0.1:8443", "[::1]:8443"]"#)),
        [""; 0]
    );
    assert_eq!(
        codes(&listening(r#"["127.0.0.1:8443", "192.0.2.1:443"]"#)),
        ["PC1415"]
    );
}

#[test]
fn what_follows_from_an_earlier_finding_is_hidden() {
    let broken_target = MINIMAL.replace("https://grafana", "ftp://grafana");
    assert_eq!(codes(&broken_target), ["PC1111"]);
    let broken_upstream = format!(
        "{}[upstream.g]\ntargets = 3\n",
        MINIMAL.replace(
            "to    = \"https://grafana-1.internal:3000\"",
            "upstream = \"g\""
        )
    );
    assert_eq!(codes(&broken_upstream), ["PC1106"]);
    assert_eq!(codes("[server]\nportal = 3\n"), ["PC1106"]);
    assert_eq!(codes("a = = 3\n[server]\n"), ["PC1002"]);
}

#[test]
fn a_missing_portal_does_not_hide_findings_elsewhere() {
    let text = MINIMAL
        .replace("portal = \"login.example.com\"", "")
        .replace("to ", "upstream ");
    let found = codes(&text);
    assert!(
        found.contains(&"PC1107") && found.contains(&"PC1404"),
        "{found:?}"
    );
}

#[test]
fn included_files_are_merged_and_a_key_set_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("conf.d")).unwrap();
    let first = folder.path().join("portcullis.toml");
    file(
        "portcullis.toml",
        &format!("include = [\"conf.d/*.toml\"]\n{MINIMAL}"),
    );
    file("conf.d/10-sessions.toml", "[session]\nidle = \"20m\"\n");
    file("conf.d/notes.txt", "not = = toml");
    let loaded = load(&first).unwrap();
    assert_eq!(loaded.config.session.idle, Duration::from_mins(20));
    assert_eq!(loaded.config.sources.len(), 2);

    file(
        "conf.d/20-more.toml",
        "[session]\nidle = \"10m\"\n[route.grafana]\nhidden = true\n",
    );
    let problems = load(&first).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(found, ["PC1003"]);
}

#[test]
fn an_include_that_leads_nowhere_is_refused() {
    assert_eq!(
        codes(&format!("include = [\"other.toml\"]\n{MINIMAL}")),
        ["PC1005"]
    );
    assert!(codes(&format!("include = [\"conf.d/*.toml\"]\n{MINIMAL}")).is_empty());
}

#[test]
fn a_key_file_open_to_others_is_refused_and_a_closed_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("master.key");
    fs::write(&key, "secret").unwrap();
    let text = format!(
        "{MINIMAL}[storage]\nmaster_key = {{ file = \"{}\" }}\n",
        key.display()
    );
    for (mode, found) in [
        (0o644, vec!["PC1302"]),
        (0o660, vec!["PC1302"]),
        (0o640, vec![]),
        (0o600, vec![]),
    ] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(codes(&text), found, "{mode:o}");
    }
}

#[test]
fn a_secret_in_clear_is_refused_and_not_repeated() {
    let text = format!("{MINIMAL}[storage]\nmaster_key = \"correct horse battery\"\n");
    let (_, problems) = compiled(&text);
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.code, "PC1301");
    assert!(
        !serde_json::to_string(problem)
            .unwrap()
            .contains("correct horse")
    );
    let shown = problems.render(false);
    assert!(!shown.contains("correct horse"), "{shown}");
}

#[test]
fn problems_are_sorted_by_file_and_place_and_have_a_json_form() {
    let (_, problems) = compiled(
        "[server]\nportal = \"login.example.com\"\nlistn = []\nhttp = 1\n[tls]\nprofile = \"old\"\n",
    );
    let json = problems.to_json();
    let lines: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 6]);
    assert_eq!(json[0]["code"], "PC1104");
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["file"], "portcullis.toml");
    assert_eq!(json[0]["help"][0], "a similar key exists: `listen`");
    assert_eq!(problems.summary(), "3 errors");
}

#[test]
fn two_thousand_routes_load_in_a_moment() {
    let mut text = MINIMAL.to_owned();
    for number in 0..2000 {
        text.push_str(&format!("[route.app-{number}]\nhost = \"app-{number}.example.com\"\nto = \"https://10.0.0.1:8443\"\nlabels = [\"internal\"]\nallow = [\"group:a\"]\n"));
    }
    let started = crate::base::Clock::System.now();
    assert_eq!(accepted(&text).routes.len(), 2001);
    let took = crate::base::Clock::System.now().since(started);
    assert!(
        took < Duration::from_secs(10),
        "{took:?} in an unoptimised build"
    );
}

/// Any bytes give a configuration or problems, and both can be shown.
fn read_and_show(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut problems = Problems::new();
    let source = Source::new("any.toml", text);
    let config = compile(source, Path::new("/nonexistent"), &mut problems);
    problems.settle();
    let shown = (problems.render(false), problems.to_json());
    assert!(
        config.is_some() || !shown.0.is_empty(),
        "a refusal says why"
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<Vec<u8>>()) {
        read_and_show(&text);
    }

    #[test]
    fn no_change_to_a_good_file_makes_it_panic(at in 0..MINIMAL.len(), with in any::<String>()) {
        let mut text = MINIMAL.to_owned();
        text.insert_str(at, &with);
        read_and_show(text.as_bytes());
    }
}

#[test]
fn of_very_many_problems_errors_are_shown_first_and_the_rest_is_counted() {
    let source = Source::new("a.toml", "x = 1\n".repeat(2000));
    let mut problems = Problems::new();
    for line in 0..1000 {
        let at = source.at(line * 6..line * 6 + 1);
        let problem = if line < 990 {
            problems.warning("PC1413")
        } else {
            problems.error("PC1104")
        };
        problem.message(format!("finding {line}")).at(&at);
    }
    let shown = problems.render(false);
    assert_eq!(shown.matches("error[").count(), 10);
    assert_eq!(shown.matches("warning[").count(), 240);
    assert!(shown.contains("and 750 warnings more; --format json has all of them"));
    assert_eq!(problems.to_json().as_array().unwrap().len(), 1000);
}
