//! What a kernel offers, and what a process that runs has given up, for whoever asks how things stand.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
};

/// Mechanisms that this kernel has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered {
    pub(crate) landlock: bool,
    pub(crate) seccomp: bool,
}

pub(crate) fn offered() -> Offered {
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1));
    Offered {
        landlock: asked.and_then(Ruleset::create).is_ok(),
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
    }
}

/// Of proc_pid_status(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) uid: u32,
    /// It cannot gain rights by a program that it runs.
    pub(crate) no_new_privileges: bool,
    /// Its system calls are filtered.
    pub(crate) filtered: bool,
}

/// How the process `pid` stands; `None` when there is none, or it may not be looked at.
pub(crate) fn status_of(pid: u32) -> Option<Status> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse(text: &str) -> Option<Status> {
    let number = |name: &str| -> Option<u32> {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Status {
        uid: number("Uid")?,
        no_new_privileges: number("NoNewPrivs")? == 1,
        filtered: number("Seccomp")? == 2,
    })
}

#[cfg(test)]
mod tests {
    use super::{Status, parse, status_of};

    #[test]
    fn the_state_of_a_process_is_read_from_its_status() {
        let text = "Name:\tportcullis\nUid:\t987\t987\t987\t987\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n";
        let status = Status {
            uid: 987,
            no_new_privileges: true,
            filtered: true,
        };
        assert_eq!(parse(text), Some(status));
        assert_eq!(parse("Name:\tportcullis\n"), None);
        assert!(status_of(std::process::id()).is_some());
    }
}
