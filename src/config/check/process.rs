//! Whether what the process gives up leaves it what the rest of the file needs.

use crate::config::Config;
use crate::config::problem::Problems;

/// Adds the findings about `[process]`.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let process = &config.process;
    match (&process.user, &process.group) {
        (Some(user), _) if matches!(user.as_str(), "root" | "0" | "") => {
            problems
                .error("PC1440")
                .message(format!(
                    "`user` in [process] is `{}`, which gives up nothing",
                    user.value
                ))
                .at(user.at())
                .help("make an account: useradd --system portcullis");
        }
        (None, Some(group)) => {
            problems
                .error("PC1440")
                .message("`group` in [process] stands without `user`")
                .at(group.at())
                .help("add user = \"portcullis\"");
        }
        _ => {}
    }
    if process.connect_ports.is_empty() {
        return;
    }
    for (port, at) in config.ports() {
        if !process.connect_ports.contains(&port) {
            problems
                .error("PC1441")
                .message(format!("`connect_ports` in [process] does not have {port}"))
                .at(&at)
                .label("needs it")
                .help(format!("add {port} to `connect_ports`"));
        }
    }
}
