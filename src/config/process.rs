//! `[process]`: what the process takes from itself at its start, so that a flaw in it is worth little.

use std::path::PathBuf;

use super::source::Spanned;
use super::table::table;
use super::words::words;

table! {
    /// What the process takes from itself at its start, so that a flaw in it is worth little. The line `process` of the start, and `portcullis doctor`, say what is in force.
    Process ["process"] {
        /// The account to become when started as root, by name or number. The right to open ports below 1024 is kept, and nothing else.
        user: Option<Spanned<String>> = none, restart;
        /// The group to become, by name or number; the account's own when absent. Further groups of the account are kept.
        group: Option<Spanned<String>> = none, restart;
        /// Landlock: of all files only those are reachable that the configuration names, with the folders they are in, and what every program reads (`/etc`, `/usr`, `/lib`, `/proc`).
        landlock: Mechanism = "when-available", restart;
        /// Seccomp: system calls that a server never needs are refused, such as those that run programs, change accounts, mount, trace, or load code into the kernel.
        seccomp: Mechanism = "when-available", restart;
        /// Further files and folders that may be read, for the program of `[tls.acme.dns]`.
        readable: Vec<PathBuf> = [], restart;
        /// Further folders that may be written, likewise.
        writable: Vec<PathBuf> = [], restart;
        /// The only TCP ports that may be connected to, besides 53 for names; an empty list sets no bound. Every upstream's port has to be among them. Needs Linux 6.7.
        connect_ports: Vec<u16> = [], restart;
        /// Lets the kernel write the memory of a crashed process, with every key and password in it, to the disk, and lets a debugger of the same account look in.
        core_dumps: bool = false, restart;
    }
}

words! {
    /// Whether a mechanism of the kernel has to be there.
    Mechanism {
        /// Without it nothing starts.
        Required = "required",
        /// Taken where the kernel has it; the start tells when it has not.
        WhenAvailable = "when-available",
        /// Not asked for.
        Off = "off",
    }
}
