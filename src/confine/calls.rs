//! System calls that serving never needs, refused with EPERM.
//!
//! A list of what is refused, not of what is allowed: a C library or kernel that does its work by another call tomorrow
//! must not stop the service. So it names what would serve an intruder: programs, accounts, namespaces, mounts, tracing,
//! kernel code, keys of others, memory that is written and then run.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Refused always.
const NEVER: &[i64] = &[
    // Other processes and their memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    // Namespaces, mounts, the root folder.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_personality,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys that the kernel keeps.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The machine's name and clock.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_vhangup,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[i64] = &[];

/// Refused unless the configuration names a program to run.
const FOR_PROGRAMS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// Where the numbers of the x32 ABI begin, by which most calls could be made a second time.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Calls with numbers of their own there: execve, ptrace, `kexec_load`, `process_vm_readv`, `process_vm_writev`, execveat.
#[cfg(target_arch = "x86_64")]
const X32_OWN: &[i64] = &[520, 521, 528, 539, 540, 545];

/// Puts the filter in force for every thread; says in a few words what it is. `None` when the kernel has no such filter.
pub(super) fn refuse(programs: bool) -> Result<Option<String>, Error> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(None);
    };
    let rules = rules(programs)?;
    let count = rules.len();
    let refusals = compile(rules, SeccompAction::Errno(errno(libc::EPERM)), arch)?;
    // A C library without clone3 takes clone, whose flags can be looked at.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let without = compile(clone3, SeccompAction::Errno(errno(libc::ENOSYS)), arch)?;
    for filter in [&without, &refusals] {
        match seccompiler::apply_filter_all_threads(filter) {
            Ok(()) => {}
            Err(Error::Seccomp(error)) if absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let also = if programs { ", programs may run" } else { "" };
    Ok(Some(format!("{count} kinds of calls refused{also}")))
}

/// What a kernel without filters answers, and a filter around this process that has not heard of them.
fn absent(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)
    )
}

const fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

fn compile(rules: Rules, action: SeccompAction, arch: TargetArch) -> Result<BpfProgram, Error> {
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?;
    Ok(filter.try_into()?)
}

/// A call without rules is refused whatever its arguments; of one with rules, each refuses by itself.
fn rules(programs: bool) -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let plain = NEVER.iter().chain(NEVER_HERE);
    let further: &[i64] = if programs { &[] } else { FOR_PROGRAMS };
    rules.extend(plain.chain(further).map(|call| (*call, Vec::new())));
    rules.insert(libc::SYS_clone, namespaces()?);
    rules.insert(libc::SYS_socket, vec![families()?]);
    if !programs {
        let (run, write) = (protection(libc::PROT_EXEC), protection(libc::PROT_WRITE));
        rules.insert(libc::SYS_mmap, vec![all_of(2, run | write)?]);
        for call in [libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
            rules.insert(call, vec![all_of(2, run)?]);
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        let twice: Vec<i64> = rules
            .keys()
            .copied()
            .chain(X32_OWN.iter().copied())
            .collect();
        rules.extend(twice.into_iter().map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}

const fn protection(bits: i32) -> u64 {
    bits.unsigned_abs() as u64
}

/// A process in namespaces of its own is root in them.
fn namespaces() -> Result<Vec<SeccompRule>, BackendError> {
    [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ]
    .into_iter()
    .map(|flag| all_of(0, protection(flag)))
    .collect()
}

/// Sockets of other families than the internet's, this machine's, and the one by which the C library asks for addresses.
fn families() -> Result<SeccompRule, BackendError> {
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let other = known
        .into_iter()
        .map(|family| condition(0, SeccompCmpOp::Ne, protection(family)))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(other)
}

/// Matches when all of `bits` are set in the argument.
fn all_of(argument: u8, bits: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition(
        argument,
        SeccompCmpOp::MaskedEq(bits),
        bits,
    )?])
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn programs_and_accounts_are_refused_unless_a_program_is_named() {
        let (closed, open) = (rules(false).unwrap(), rules(true).unwrap());
        for call in [libc::SYS_execve, libc::SYS_execveat, libc::SYS_setuid] {
            assert!(closed.contains_key(&call) && !open.contains_key(&call));
        }
        for call in [
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_kexec_load,
        ] {
            assert!(closed.contains_key(&call) && open.contains_key(&call));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn no_call_is_refused_in_one_abi_only() {
        let rules = rules(false).unwrap();
        for call in rules.keys().filter(|call| **call < super::X32) {
            assert!(rules[&(call | super::X32)].is_empty(), "{call}");
        }
    }

    /// In a thread of its own: what is refused stays refused.
    #[test]
    fn a_thread_under_the_filter_is_refused_what_it_names_and_nothing_else() {
        use seccompiler::{SeccompAction, TargetArch};
        let under = std::thread::spawn(|| {
            let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
            let action = SeccompAction::Errno(super::errno(libc::EPERM));
            let filter = super::compile(rules(false).unwrap(), action, arch).unwrap();
            seccompiler::apply_filter(&filter).unwrap();
            let socket = |family| rustix::net::socket(family, rustix::net::SocketType::DGRAM, None);
            let run = std::process::Command::new("/bin/true").status();
            (
                run.unwrap_err().raw_os_error(),
                socket(rustix::net::AddressFamily::VSOCK).unwrap_err(),
                socket(rustix::net::AddressFamily::INET).is_ok(),
            )
        });
        let (run, vsock, inet) = under.join().unwrap();
        assert_eq!(run, Some(libc::EPERM));
        assert_eq!(vsock, rustix::io::Errno::PERM);
        assert!(inet);
    }
}
