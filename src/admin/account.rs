//! Operating-system accounts: who is at the command line or at the other end of the control socket.

use crate::audit::Actor;

const ACCOUNTS: &str = "/etc/passwd";
const ROOT: u32 = 0;

/// The account that this process runs as.
pub(crate) fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether `account` may administer a server that runs as `server`.
pub(crate) const fn may_administer(account: u32, server: u32) -> bool {
    account == ROOT || account == server
}

/// The account as the audit log names it.
pub(crate) fn operator(account: u32) -> Actor {
    Actor::Operator(name(account))
}

/// The account's name, or its number when it has none.
pub(crate) fn name(account: u32) -> String {
    let accounts = std::fs::read_to_string(ACCOUNTS).unwrap_or_default();
    name_in(&accounts, account).unwrap_or_else(|| account.to_string())
}

/// Reads passwd(5): `name:password:uid:…`.
fn name_in(accounts: &str, account: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == account).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{may_administer, name_in};

    const ACCOUNTS: &str =
        "root:x:0:0:root:/root:/bin/sh\n\n# a comment\nportcullis:x:987:987::/:/usr/sbin/nologin\n";

    #[test]
    fn accounts_are_found_by_number() {
        assert_eq!(name_in(ACCOUNTS, 0).as_deref(), Some("root"));
        assert_eq!(name_in(ACCOUNTS, 987).as_deref(), Some("portcullis"));
        assert_eq!(name_in(ACCOUNTS, 98), None);
    }

    #[test]
    fn only_root_and_the_servers_own_account_may_administer() {
        assert!(may_administer(0, 987) && may_administer(987, 987));
        assert!(!may_administer(1000, 987) && !may_administer(987, 0));
    }
}
