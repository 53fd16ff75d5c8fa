//! Becoming the account that `[process]` names, with the one capability that serving may need.
//!
//! Accounts are those of passwd(5) and group(5); one that only a directory service knows is named by number. After the
//! change it is tried to go back, and a process that can does not start.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::config::Config;

const ACCOUNTS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// A reload may open an address with a port below 1024.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE;

/// What root without another account keeps besides: its folders may be somebody else's.
const KEPT_BY_ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER);

/// Why the account cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("`{key}` in [process] is `{name}`, which {file} does not have")]
    Unknown {
        key: &'static str,
        name: String,
        file: &'static str,
    },
    #[error(
        "`user` in [process] is `{name}`, and only root can become somebody else; this is uid {uid}"
    )]
    NotRoot { name: String, uid: u32 },
    #[error("the account cannot be changed: {step}")]
    Step {
        step: &'static str,
        source: io::Error,
    },
    #[error("after the change of account the way back to {0} is open")]
    WayBack(&'static str),
    #[error("the folder {folder} cannot be made for the account")]
    Folder { folder: String, source: io::Error },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Becomes the configured account, and gives up every capability but [`KEPT`].
pub(super) fn settle(config: &Config) -> Result<(), AccountError> {
    let Some(user) = &config.process.user else {
        let kept = if geteuid().is_root() {
            KEPT | KEPT_BY_ROOT
        } else {
            KEPT
        };
        return limit(kept);
    };
    let group = config
        .process
        .group
        .as_ref()
        .map(|group| group.value.as_str());
    let texts = (read(ACCOUNTS), read(GROUPS));
    let account = find(user, group, (&texts.0, &texts.1))?;
    if !geteuid().is_root() {
        if geteuid() == account.uid {
            return limit(KEPT);
        }
        let (name, uid) = (user.value.clone(), geteuid().as_raw());
        return Err(AccountError::NotRoot { name, uid });
    }
    make_folders(config, &account)?;
    change(&account)?;
    prove()
}

/// The account of this process, as people read it.
pub(super) fn told() -> String {
    let uid = geteuid();
    let number = uid.as_raw().to_string();
    let accounts = read(ACCOUNTS);
    let name = entries(&accounts).find(|fields| fields.get(2) == Some(&number.as_str()));
    let name = name.and_then(|fields| fields.first().copied());
    let name = name.unwrap_or(&number);
    if uid.is_root() {
        return format!("{name} (uid {number}) with capabilities for files and ports only");
    }
    format!("{name} (uid {number})")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(file).unwrap_or_default()
}

/// The fields of passwd(5) and group(5).
fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

fn find(
    user: &str,
    group: Option<&str>,
    (accounts, groups): (&str, &str),
) -> Result<Account, AccountError> {
    let unknown = |key, name: &str, file| AccountError::Unknown {
        key,
        name: name.to_owned(),
        file,
    };
    let number = |fields: &[&str], index: usize| fields.get(index)?.parse::<u32>().ok();
    let entry = entries(accounts)
        .find(|fields| fields.first() == Some(&user) || fields.get(2) == Some(&user));
    let by_number = || user.parse().ok();
    let uid = entry
        .as_ref()
        .map_or_else(by_number, |fields| number(fields, 2));
    let uid = uid.ok_or_else(|| unknown("user", user, ACCOUNTS))?;
    let named = |wanted: &str| {
        let found = entries(groups).find(|fields| fields.first() == Some(&wanted));
        found.map_or_else(|| wanted.parse().ok(), |fields| number(&fields, 2))
    };
    let gid = match group {
        Some(wanted) => named(wanted).ok_or_else(|| unknown("group", wanted, GROUPS))?,
        // A number without an entry: its group by the same number would be a guess.
        None => entry
            .as_ref()
            .and_then(|fields| number(fields, 3))
            .ok_or_else(|| unknown("user", user, ACCOUNTS))?,
    };
    let name = entry.as_ref().and_then(|fields| fields.first().copied());
    let member = |fields: &Vec<&str>| {
        let members = fields.get(3).copied().unwrap_or_default();
        name.is_some_and(|name| members.split(',').any(|member| member == name))
    };
    let further = entries(groups)
        .filter(member)
        .filter_map(|fields| number(&fields, 2));
    Ok(Account {
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(gid),
        groups: further.map(Gid::from_raw).collect(),
    })
}

/// Folders that are written and not there yet: the account could not make them where only root writes.
fn make_folders(config: &Config, account: &Account) -> Result<(), AccountError> {
    for folder in super::reach::written(config) {
        if folder.exists() {
            continue;
        }
        let mut missing = vec![folder.as_path()];
        missing.extend(
            folder
                .ancestors()
                .skip(1)
                .take_while(|above| !above.as_os_str().is_empty() && !above.exists()),
        );
        for path in missing.into_iter().rev() {
            let failed = |source| AccountError::Folder {
                folder: path.display().to_string(),
                source,
            };
            DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
            let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
            chown(path, Some(uid), Some(gid)).map_err(failed)?;
        }
    }
    Ok(())
}

fn change(account: &Account) -> Result<(), AccountError> {
    thread::set_keep_capabilities(true).map_err(step("keeping a capability"))?;
    bound(KEPT).map_err(step("bounding capabilities"))?;
    thread::set_thread_groups(&account.groups).map_err(step("its groups"))?;
    thread::set_thread_res_gid(account.gid, account.gid, account.gid).map_err(step("its group"))?;
    thread::set_thread_res_uid(account.uid, account.uid, account.uid).map_err(step("its user"))?;
    thread::set_keep_capabilities(false).map_err(step("keeping no more"))?;
    limit(KEPT)
}

/// Nothing that is not among `kept` can come back, not even to a program that is run.
fn bound(kept: CapabilitySet) -> rustix::io::Result<()> {
    for capability in CapabilitySet::all().difference(kept).iter() {
        // The kernel knows fewer than there are names, or more.
        if matches!(thread::capability_is_in_bounding_set(capability), Ok(true)) {
            thread::remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(())
}

/// Gives up every capability that is not among `kept`, and leaves none to programs that are run.
fn limit(kept: CapabilitySet) -> Result<(), AccountError> {
    let had = thread::capabilities(None).map_err(step("reading capabilities"))?;
    if had.effective.contains(CapabilitySet::SETPCAP) {
        bound(kept).map_err(step("bounding capabilities"))?;
    }
    thread::clear_ambient_capability_set().map_err(step("leaving none to programs"))?;
    // A service manager may have done it already, and have refused the call.
    if kept.contains(had.permitted) {
        return Ok(());
    }
    let permitted = had.permitted & kept;
    let sets = CapabilitySets {
        effective: permitted,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, sets).map_err(step("giving up capabilities"))
}

fn step(step: &'static str) -> impl Fn(rustix::io::Errno) -> AccountError {
    move |error| AccountError::Step {
        step,
        source: error.into(),
    }
}

/// Tries to go back.
fn prove() -> Result<(), AccountError> {
    if thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() {
        return Err(AccountError::WayBack("root"));
    }
    let gid = Gid::ROOT;
    if thread::set_thread_res_gid(gid, gid, gid).is_ok() && !rustix::process::getegid().is_root() {
        return Err(AccountError::WayBack("root's group"));
    }
    if thread::set_thread_groups(&[gid]).is_ok() {
        return Err(AccountError::WayBack("root's groups"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Gid, Uid};

    use super::{Account, find};

    const ACCOUNTS: &str =
        "root:x:0:0:root:/root:/bin/sh\n# a comment\nportcullis:x:987:986::/:/usr/sbin/nologin\n";
    const GROUPS: &str =
        "root:x:0:\nportcullis:x:986:\nssl-cert:x:110:ada,portcullis\nstaff:x:50:portcullis2\n";

    fn account(user: &str, group: Option<&str>) -> Option<Account> {
        find(user, group, (ACCOUNTS, GROUPS)).ok()
    }

    fn of(uid: u32, gid: u32, groups: &[u32]) -> Option<Account> {
        Some(Account {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups: groups.iter().copied().map(Gid::from_raw).collect(),
        })
    }

    #[test]
    fn an_account_has_its_own_group_and_those_that_list_it() {
        assert_eq!(account("portcullis", None), of(987, 986, &[110]));
        assert_eq!(account("987", None), of(987, 986, &[110]));
        assert_eq!(account("portcullis", Some("staff")), of(987, 50, &[110]));
        assert_eq!(account("4000", Some("4001")), of(4000, 4001, &[]));
    }

    #[test]
    fn an_account_that_is_not_there_is_never_guessed() {
        for (user, group) in [
            ("portculli", None),
            ("4000", None),
            ("portcullis", Some("nobody-has-it")),
            ("", None),
            ("-1", Some("staff")),
        ] {
            assert_eq!(account(user, group), None, "{user} {group:?}");
        }
    }
}
