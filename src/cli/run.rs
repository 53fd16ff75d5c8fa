//! `portcullis run`: serve in the foreground.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::outcome::{Exit, Failure, Outcome, chain};
use super::{Globals, ground, shown};
use crate::base::{Clock, Timestamp};
use crate::config::{At, Config, Format, Level, Problems};
use crate::confine;
use crate::server::core::OpenCoreError;
use crate::server::inherited::Inherited;
use crate::server::listeners::OpenError;
use crate::server::{Server, StartError};
use crate::telemetry::logging;

pub(super) fn run(globals: &Globals) -> Result<Outcome, Failure> {
    let inherited =
        Inherited::from_environment().map_err(|error| Failure::cannot(chain(&error)))?;
    let path = globals.locate()?;
    let begun = Clock::System.now();
    let server = open(path, inherited, globals)?;
    if server.confined().is_root() {
        tracing::warn!(
            "this process is root: whoever takes it over has the machine. Name an account: `user` in [process], or User= in the unit"
        );
    }
    let lines = Lines::of(&server);
    let terminal = std::io::stderr().is_terminal();
    server
        .run(CancellationToken::new(), || {
            let took = Clock::System.now().since(begun).as_millis();
            if terminal {
                globals.out.say(&lines.text());
                globals.out.note(format_args!("ready in {took} ms"));
            }
            tracing::info!(
                "event.name" = "portcullis.ready",
                took_ms = u64::try_from(took).unwrap_or(u64::MAX),
                https = lines.https,
                redirect = lines.redirect,
                operations = lines.operations,
                config = lines.config,
                policies = lines.policies,
                process = lines.process,
                "requests are served"
            );
        })
        .map_err(|error| Failure::caused("the server stopped", &error))?;
    Ok(Outcome::Done)
}

/// Opens everything, with logging as the configuration wants it; warnings are printed.
pub(super) fn open(
    path: PathBuf,
    inherited: Inherited,
    globals: &Globals,
) -> Result<Server, Failure> {
    // Before the configuration is read there is only one safe choice; the file's own is taken as soon as it is known.
    let written = crate::config::load(&path).map(|loaded| loaded.config);
    let (level, format) = written
        .as_ref()
        .map_or((Level::Info, Format::Auto), |config| {
            (config.telemetry.level, config.telemetry.format)
        });
    logging::start(level, format);
    // What cannot be read is reported below.
    if let Ok(config) = &written {
        confine::settle(config).map_err(|error| Failure::cannot(chain(&error)))?;
    }
    let server =
        Server::open(path, inherited, Clock::System).map_err(|error| refused(&error, globals))?;
    if !server.warnings().is_empty() {
        globals
            .out
            .say(&server.warnings().render(globals.out.colors_errors()));
    }
    Ok(server)
}

/// [`OpenCoreError::MasterKeyGone`] as `check` tells it.
pub(super) fn key_is_gone(path: &Path, at: &At, globals: &Globals) -> Failure {
    let mut problems = Problems::new();
    ground::key_is_gone(path, at, &mut problems);
    globals.refused(&problems)
}

/// What kept the server from starting, with the exit code that tells systemd whether trying again makes sense.
fn refused(error: &StartError, globals: &Globals) -> Failure {
    match error {
        StartError::Config(problems) => globals.refused(problems),
        StartError::Core(OpenCoreError::Audit(cause)) => {
            let text = format!(
                "the audit log cannot be written, and without it nothing is served: {}",
                chain(cause)
            );
            Failure::new(Exit::AuditUnwritable, text)
        }
        StartError::Core(OpenCoreError::MasterKeyGone { path, at }) => {
            key_is_gone(path, at, globals)
        }
        StartError::Core(OpenCoreError::Store(_)) => Failure::new(Exit::Unreachable, chain(error)),
        StartError::Listen(OpenError::Inherited(_)) => {
            let help = "pass sockets for the addresses in the configuration and for no others";
            Failure::cannot(format!("{}. To go on: {help}", chain(error)))
        }
        StartError::Listen(OpenError::Listen(problem)) => {
            let help = problem.help();
            Failure::cannot(format!("{}. To go on: {help}", chain(error)))
        }
        StartError::Core(_)
        | StartError::Listen(OpenError::Tls(_))
        | StartError::Tls(_)
        | StartError::Socket(_)
        | StartError::Certificates(_)
        | StartError::Confine(_)
        | StartError::Process(_) => Failure::cannot(chain(error)),
    }
}

/// What start-up tells, as in the log and on the terminal.
struct Lines {
    config: String,
    database: String,
    audit: String,
    policies: String,
    tls: String,
    process: String,
    https: String,
    redirect: String,
    operations: String,
    admin: String,
}

impl Lines {
    fn of(server: &Server) -> Self {
        let core = server.core();
        let plan = core.plan.load();
        let config: &Config = &plan.config;
        let addresses = server.addresses();
        let list = |addresses: &[std::net::SocketAddr]| {
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let all = plan.policies.rules().count();
        let generated = plan
            .policies
            .rules()
            .filter(|rule| rule.at().is_none())
            .count();
        Self {
            config: format!("{} (sha256 {}…)", shown(&config.path), plan.revision.config),
            database: format!("sqlite {}", shown(&config.storage.database.value)),
            audit: audit(core),
            policies: format!(
                "{all} policies ({} written, {generated} from `allow` and `public`), {} tests passed",
                all.saturating_sub(generated),
                plan.tested.passed
            ),
            tls: tls(server, core.ledger.clock.now()),
            process: server.confined().to_string(),
            https: list(&addresses.secure),
            redirect: list(&addresses.plain),
            operations: addresses
                .operations
                .map_or_else(String::new, |address| address.to_string()),
            admin: format!("unix:{}", shown(&config.server.admin_socket)),
        }
    }

    fn text(&self) -> String {
        let listening = [
            ("https", &self.https),
            ("redirect", &self.redirect),
            ("operations", &self.operations),
            ("admin", &self.admin),
        ];
        let listening: Vec<String> = listening
            .iter()
            .filter(|(_, where_to)| !where_to.is_empty())
            .map(|(what, where_to)| format!("{what} {where_to}"))
            .collect();
        format!(
            "portcullis {}  config {}\ndatabase   {}\naudit      {}\npolicies   {}\ntls        {}\nprocess    {}\nlistening  {}\n",
            env!("CARGO_PKG_VERSION"),
            self.config,
            self.database,
            self.audit,
            self.policies,
            self.tls,
            self.process,
            listening.join("   ")
        )
    }
}

fn audit(core: &crate::server::core::Core) -> String {
    let (entries, recovered) = (
        core.audit.stats().entries,
        core.audit.recovery().interrupted,
    );
    let mut text = format!(
        "log continues at entry {entries}, key {}",
        core.audit.verifier_key().vkey()
    );
    if recovered > 0 {
        text.push_str(&format!("; {recovered} interrupted requests were closed"));
    }
    text
}

fn tls(server: &Server, now: Timestamp) -> String {
    let plan = server.core().plan.load();
    let list = server.certificates().list();
    let first = list.first().map_or_else(
        || "no certificate".to_owned(),
        |certificate| {
            let names: Vec<String> = certificate
                .names
                .iter()
                .take(3)
                .map(ToString::to_string)
                .collect();
            let days = certificate.not_after.since(now).as_secs() / 86_400;
            let until: String = certificate.not_after.to_string().chars().take(10).collect();
            format!("{} until {until} ({days} days)", names.join(", "))
        },
    );
    let more = list.len().saturating_sub(1);
    let more = if more > 0 {
        format!("; {more} more")
    } else {
        String::new()
    };
    format!("{}; {first}{more}", plan.config.tls.profile.value)
}
