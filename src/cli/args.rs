//! The command line as clap reads it. Help, completions and man pages come from these texts alone.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One door in front of your internal apps: sign-in with a second factor, a rule per route, a record of every request.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Configuration file; otherwise ./portcullis.toml, then /etc/portcullis/portcullis.toml
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "PORTCULLIS_CONFIG"
    )]
    pub(crate) config: Option<PathBuf>,

    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Colour in messages
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,

    /// Answer yes to every question
    #[arg(long, global = true)]
    pub(crate) yes: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Try it: two example apps, one link, nothing to install
    Demo(Demo),
    /// Write a starting folder: configuration, policies, tests
    Init(Init),
    /// Serve, in the foreground
    Run,
    /// Check configuration, policies, policy tests and certificates exactly as start-up does
    Check(Check),
    /// Let the running server take the configuration on disk
    Reload,
    /// Ask the running server how it is: 0 when it serves
    Health(Health),
    /// Test and explain policies
    #[command(subcommand)]
    Policy(Policy),
    /// People who may sign in
    #[command(subcommand)]
    User(User),
    /// Sessions in force
    #[command(subcommand)]
    Session(Session),
    /// Certificates in force
    #[command(subcommand)]
    Cert(Cert),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// What configuration keys and message codes mean
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Find out from this machine why something does not work, or grade a TLS listener
    Doctor(Doctor),
    /// Print a completion script for a shell
    Completions {
        /// The shell to write for
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write all of them
    Man {
        /// Write one file per command into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep everything in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Throw the kept folder's data away first
    #[arg(long, requires = "keep")]
    pub(crate) reset: bool,
    /// Port to listen on
    #[arg(long, default_value_t = 8443)]
    pub(crate) port: u16,
    /// Print the demo's configuration and exit
    #[arg(long)]
    pub(crate) print_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Folder to write into
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Host name of the sign-in page and the app launcher
    #[arg(long, value_name = "HOST")]
    pub(crate) portal: String,
    /// An app: its host name and where it runs, such as grafana.example.com=https://grafana-1.internal:3000
    #[arg(long = "app", value_name = "HOST=URL")]
    pub(crate) apps: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files to check instead of the usual one
    pub(crate) files: Vec<PathBuf>,
    /// Treat these findings as errors
    #[arg(long, value_name = "KIND", value_parser = ["warnings"])]
    pub(crate) deny: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Ask whether the process lives instead of whether it serves
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Grade this TLS listener, anybody's, as SSL Labs' guide does: what costs points, and how to mend it
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) tls: Option<String>,
    /// Connect there instead, such as an address that the name does not lead to yet
    #[arg(long, value_name = "HOST[:PORT]", requires = "tls")]
    pub(crate) at: Option<String>,
    /// PEM file of the authorities to trust, instead of the machine's own
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Run the policy tests
    Test {
        /// Only cases whose name contains this
        filter: Option<String>,
        /// List policies that no test decides
        #[arg(long)]
        coverage: bool,
    },
    /// Show how a request would be decided and why
    Explain(Explain),
    /// List policies, those made from `allow` included
    List,
    /// Print one policy
    Show {
        /// The policy's id
        id: String,
    },
    /// Print the Cedar schema that policies are checked against
    Schema,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// user:NAME, or `anonymous`
    pub(crate) who: String,
    /// Method and address, such as "GET https://billing.example.com/reports/q3"
    pub(crate) request: String,
    /// Decide as if it were this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Decide as if the request came from this address
    #[arg(long, value_name = "IP")]
    pub(crate) from: Option<std::net::IpAddr>,
    /// Decide as if the second factor had been confirmed this long ago
    #[arg(long, value_name = "AGO")]
    pub(crate) verified: Option<String>,
    /// Decide as if the person were in this group, instead of the groups on record
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// List the policies that do not apply, too
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a person and print their enrolment link
    Add(UserAdd),
    /// List people
    List,
    /// Show one person
    Show {
        /// Login name or e-mail address
        name: String,
    },
    /// Stop a person from signing in and end their sessions
    Disable {
        /// Login name or e-mail address
        name: String,
    },
    /// Let a disabled person sign in again
    Enable {
        /// Login name or e-mail address
        name: String,
    },
    /// Remove a person and what is kept about them outside the audit log
    Remove {
        /// Login name or e-mail address
        name: String,
        /// Also make their entries in the audit log unreadable for ever; the log still verifies
        #[arg(long)]
        erase: bool,
    },
    /// Print a fresh one-use enrolment link
    Enrol {
        /// Login name or e-mail address
        name: String,
    },
    /// Import people from JSON lines (name, email, groups, password or PHC hash, totp_secret); `-` reads standard input
    Import {
        /// The file
        file: PathBuf,
    },
    /// Second factors
    #[command(name = "2fa", subcommand)]
    TwoFactor(TwoFactor),
    /// Groups of a person
    #[command(subcommand)]
    Group(UserGroup),
}

#[derive(Debug, Args)]
pub(crate) struct UserAdd {
    /// Login name, or an e-mail address that serves as one
    pub(crate) name: String,
    /// E-mail address; the login name when that is one
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// Display name
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Add to this group; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// May administer Portcullis (group `admins`)
    #[arg(long)]
    pub(crate) admin: bool,
    /// The company this person belongs to
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// Works here on contract; policies may ask for it
    #[arg(long)]
    pub(crate) contractor: bool,
    /// Print no enrolment link
    #[arg(long)]
    pub(crate) no_invite: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TwoFactor {
    /// Remove a person's second factor and print a link to set up a new one
    Reset {
        /// Login name or e-mail address
        name: String,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserGroup {
    /// Add a person to a group
    Add {
        /// The group
        group: String,
        /// Login name or e-mail address
        name: String,
    },
    /// Take a person out of a group
    Remove {
        /// The group
        group: String,
        /// Login name or e-mail address
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List sessions
    List {
        /// Only this person's
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Show one session
    Show {
        /// The session's id
        id: String,
    },
    /// End sessions and every stream they hold open
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = false)]
pub(crate) struct Revoke {
    /// The session's id
    #[arg(group = "which")]
    pub(crate) id: Option<String>,
    /// All sessions of this person
    #[arg(long, value_name = "NAME", group = "which")]
    pub(crate) user: Option<String>,
    /// All sessions of everybody
    #[arg(long, group = "which")]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    /// List certificates, when they end, and what keeps them from being renewed
    Status,
    /// Renew now what is obtained by ACME, and wait for the outcome
    Renew {
        /// A name of the certificate; without it, all
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print entries as they are written
    Tail {
        /// How many of the newest entries to begin with
        #[arg(short = 'n', long, default_value_t = 10)]
        lines: usize,
        /// End after the newest entries instead of waiting for more
        #[arg(long)]
        no_follow: bool,
    },
    /// Find entries, newest first
    Search(AuditSearch),
    /// Print one entry by number or request id
    Show {
        /// Entry number or request id
        id: String,
    },
    /// Prove that nobody changed the log
    Verify(AuditVerify),
}

#[derive(Debug, Args)]
pub(crate) struct AuditSearch {
    /// Terms such as user:kim decision:deny route:wiki since:7d
    pub(crate) terms: Vec<String>,
    /// From this time on: RFC 3339, or an age such as 24h
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Up to this time
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Login name, e-mail address or id of a person
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Name of a route
    #[arg(long)]
    pub(crate) route: Option<String>,
    /// allow, deny or none
    #[arg(long)]
    pub(crate) decision: Option<String>,
    /// Id of a policy that decided
    #[arg(long)]
    pub(crate) policy: Option<String>,
    /// Event name, such as http.request or sign_in.failed
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// Client address
    #[arg(long)]
    pub(crate) ip: Option<std::net::IpAddr>,
    /// Text anywhere in the entry
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// Most entries to print
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Exit with 1 when nothing was found
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// The log's folder; otherwise the configured one
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The log's public key as a verifier line; otherwise the one stored beside the log
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// A checkpoint kept elsewhere that the log has to contain
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Explain a message code or a configuration key
    Explain {
        /// Such as PC1104 or session.idle
        what: String,
    },
    /// Print the reference of every key
    Reference,
}
