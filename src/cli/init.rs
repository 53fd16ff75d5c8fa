//! `portcullis init`: a folder to begin with, which `portcullis check` accepts as it is.
//!
//! Asks nothing, replaces nothing, and makes no key: those come with the first start.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::args::{Format, Init};
use super::{Failure, Globals, Outcome, outcome, shown};
use crate::authz::starter::POLICIES;
use crate::base::Authority;
use crate::config::{self, HostPattern, TargetUrl};

/// The starter policy that asks nothing of the configuration, such as a label.
const POLICY: &str = "20-step-up.cedar";

const POLICY_PREFACE: &str = "\
// Rules beyond `allow`, in Cedar. Every file in this folder that ends in .cedar is read.
// Nothing is open by default: a route's `allow` is a permit, and a `forbid` wins over every permit.
//
//   portcullis policy list       every rule, those made from `allow` included
//   portcullis policy test       the cases in tests/
//   portcullis policy explain user:NAME \"GET https://HOST/PATH\"
//   portcullis policy schema     the types and actions that rules can name

";

const TESTS_PREFACE: &str = "\
# What the rules are meant to say. A reload that breaks one of these cases is refused.
# Times are fixed, so that cases do not rot.
[given]
time = \"2026-11-24T10:00:00+01:00\"

[[case]]
name    = \"nobody reads the audit log unless a rule says so\"
who     = \"user:somebody@example.com\"
request = \"audit.read\"
expect  = \"deny\"
";

const IGNORED: &str = "\
# Keys, database and audit log do not belong in version control.
/data/
";

pub(super) fn run(args: &Init, globals: &Globals) -> Result<Outcome, Failure> {
    let portal = Authority::parse(&args.portal).map_err(|error| {
        Failure::cannot(format!(
            "--portal {}: {}",
            args.portal,
            outcome::chain(&error)
        ))
    })?;
    let apps = apps(args, &portal)?;
    let files = [
        ("portcullis.toml", config::starter(&portal, &apps)),
        ("policies/20-step-up.cedar", policy()),
        ("policies/tests/first.toml", tests(&apps)),
        (".gitignore", IGNORED.to_owned()),
    ];
    let taken: Vec<String> = files
        .iter()
        .map(|(name, _)| args.folder.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| format!("  {}", shown(&path)))
        .collect();
    if !taken.is_empty() {
        return Err(Failure::cannot(format!(
            "nothing was written, because these exist already:\n{}\nName another folder: portcullis init DIR --portal {portal}",
            taken.join("\n")
        )));
    }
    let mut written = Vec::new();
    for (name, text) in &files {
        let path = args.folder.join(name);
        write(&path, text)
            .map_err(|error| Failure::caused(&format!("cannot write {}", shown(&path)), &error))?;
        written.push(path);
    }
    tell(args, &portal, &written, globals)
}

/// Host and server of every `--app`.
fn apps(args: &Init, portal: &Authority) -> Result<Vec<(HostPattern, TargetUrl)>, Failure> {
    let mut apps: Vec<(HostPattern, TargetUrl)> = Vec::new();
    for text in &args.apps {
        let wrong = |why: String| {
            Failure::cannot(format!(
                "--app {text}: {why}. It is HOST=URL, such as grafana.example.com=https://grafana-1.internal:3000"
            ))
        };
        let (host, url) = text
            .split_once('=')
            .ok_or_else(|| wrong("the `=` is missing".to_owned()))?;
        let host = HostPattern::parse(host).map_err(|error| wrong(outcome::chain(&error)))?;
        let url = TargetUrl::parse(url).map_err(|error| wrong(outcome::chain(&error)))?;
        if apps.iter().any(|(other, _)| *other == host) {
            return Err(wrong(format!("{host} is named twice")));
        }
        if host == HostPattern::Exact(portal.host.clone()) {
            return Err(wrong(format!(
                "{host} is the portal; an app has a host of its own"
            )));
        }
        apps.push((host, url));
    }
    Ok(apps)
}

fn policy() -> String {
    let text = POLICIES
        .iter()
        .find(|(name, _)| *name == POLICY)
        .map(|(_, text)| *text);
    format!("{POLICY_PREFACE}{}", text.unwrap_or_default())
}

fn tests(apps: &[(HostPattern, TargetUrl)]) -> String {
    let mut text = TESTS_PREFACE.to_owned();
    for (pattern, _) in apps {
        let host = match pattern {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Wildcard(suffix) => format!("any.{suffix}"),
        };
        text.push_str(&format!(
            "\n[[case]]\nname    = \"{host}: everyone who signed in\"\nwho     = \"user:somebody@example.com\"\nrequest = \"GET https://{host}/\"\nexpect  = \"allow\"\n\
             \n[[case]]\nname    = \"{host}: nobody else\"\nwho     = \"anonymous\"\nrequest = \"GET https://{host}/\"\nexpect  = \"sign-in\"\n\
             \n[[case]]\nname    = \"{host}: deleting asks for a fresh second factor\"\nwho     = \"user:somebody@example.com\"\nsession = {{ verified = \"6m ago\" }}\nrequest = \"POST https://{host}/delete\"\nexpect  = \"step-up\"\nbecause = [\"step-up.deleting\"]\n"
        ));
    }
    text
}

/// A new file that only its owner can read, in folders of the same kind.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// What was written, and the commands that come next.
fn tell(
    args: &Init,
    portal: &Authority,
    written: &[PathBuf],
    globals: &Globals,
) -> Result<Outcome, Failure> {
    let here = args.folder.as_os_str() == ".";
    let named = if here {
        String::new()
    } else {
        format!(" -c {}", shown(&args.folder.join("portcullis.toml")))
    };
    let domain = match portal.host.as_str().split_once('.') {
        Some((_, domain)) if domain.contains('.') => domain,
        _ => portal.host.as_str(),
    };
    let next = [
        format!("portcullis{named} check"),
        format!("portcullis{named} user add you@{domain} --admin"),
        format!("portcullis{named} run"),
    ];
    match globals.format {
        Format::Text => {
            let files: Vec<String> = written
                .iter()
                .map(|path| format!("  {}\n", shown(path)))
                .collect();
            let commands: Vec<String> = next
                .iter()
                .map(|command| format!("  {command}\n"))
                .collect();
            globals.out.print(format_args!(
                "Written\n{}\nNext\n{}",
                files.concat(),
                commands.concat()
            ))?;
        }
        format => {
            let value = serde_json::json!({ "written": written, "next": next });
            globals.out.print_json(format, &value)?;
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::{POLICIES, POLICY, policy};

    #[test]
    fn the_starting_policy_is_one_of_the_starters() {
        assert!(POLICIES.iter().any(|(name, _)| *name == POLICY));
        assert!(policy().contains("@id(\"step-up.deleting\")"));
    }
}
