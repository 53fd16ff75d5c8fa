//! The service behind the proxies, nginx's auth service, and load that wrk and h2load cannot make.
//!
//! Every load subcommand prints one JSON object on its last line. Nothing here judges a certificate or keeps a secret: it
//! talks to programs of the same measurement on loopback.

mod authservice;
mod backend;
mod bulk;
mod client;
mod handshakes;
mod http;
mod idle;
mod rate;
mod websocket;

use std::error::Error;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};

/// Why a measurement could not be made.
type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Load for benches/versus, and the services around the proxies")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The service behind: 1 KiB for a GET, /bytes/N, bodies counted, WebSocket frames echoed.
    Backend {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Answers nginx's auth_request: verifies the session token, asks the path rule, names the user.
    Authservice {
        #[arg(long)]
        listen: SocketAddr,
        /// The HS256 key.
        #[arg(long)]
        secret: String,
    },
    /// S3: a new TLS connection for every request.
    Handshakes {
        #[command(flatten)]
        to: client::To,
        #[arg(long, default_value_t = 16)]
        connections: u64,
        #[arg(long)]
        seconds: u64,
        /// Resume by ticket where the server gives one.
        #[arg(long)]
        resume: bool,
    },
    /// S4: every connection moves this many bytes once.
    Bulk {
        #[command(flatten)]
        to: client::To,
        #[arg(long, default_value_t = 4)]
        connections: u64,
        #[arg(long)]
        bytes: u64,
        #[arg(long)]
        upload: bool,
    },
    /// S5: requests at a fixed rate whether or not answers come; latency from the intended time of sending.
    Rate {
        #[command(flatten)]
        to: client::To,
        #[arg(long, default_value_t = 32)]
        connections: u32,
        #[arg(long)]
        seconds: u64,
        /// Requests per second over all connections.
        #[arg(long)]
        rate: u32,
    },
    /// S6: opens connections, makes one request on each, and holds them until its input ends.
    Idle {
        #[command(flatten)]
        to: client::To,
        #[arg(long)]
        connections: u64,
    },
    /// S7: WebSocket messages of 64 bytes, the next when the last came back.
    Websocket {
        #[command(flatten)]
        to: client::To,
        #[arg(long, default_value_t = 64)]
        connections: u64,
        #[arg(long)]
        seconds: u64,
    },
}

fn main() -> Result<(), Failure> {
    match Arguments::parse().command {
        Command::Backend { listen } => backend::run(listen),
        Command::Authservice { listen, secret } => authservice::run(listen, &secret),
        Command::Handshakes {
            to,
            connections,
            seconds,
            resume,
        } => handshakes::run(to, connections, seconds, resume),
        Command::Bulk {
            to,
            connections,
            bytes,
            upload,
        } => bulk::run(&to, connections, bytes, upload),
        Command::Rate {
            to,
            connections,
            seconds,
            rate,
        } => rate::run(&to, connections, seconds, rate),
        Command::Idle { to, connections } => idle::run(to, connections),
        Command::Websocket {
            to,
            connections,
            seconds,
        } => websocket::run(to, connections, seconds),
    }
}
