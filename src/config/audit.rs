//! `[audit]` and `[telemetry]`: what is recorded for others and for operators.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::source::Spanned;
use super::table::table;
use super::types::Bytes;
use super::words::words;

table! {
    /// The tamper-evident record of every request.
    Audit ["audit"] {
        /// Folder of the log; `audit` in the data folder when absent.
        folder: Option<Spanned<PathBuf>> = none, restart;
        /// What an admitted request survives before it is forwarded.
        durability: Durability = "process", restart;
        /// What happens to requests while the log cannot be written.
        on_failure: OnFailure = "deny", restart;
        /// Longest time until what was written is flushed to disk.
        flush: Duration = "100ms", restart;
        /// Time between signed checkpoints while entries arrive.
        checkpoint: Duration = "1s", restart;
        /// Time between the entries of a long stream.
        stream_interval: Duration = "5m", restart;
        /// Free space below which requests are refused.
        min_free: Bytes = "256MiB", reload;
        /// Free space below which a warning is logged.
        warn_free: Bytes = "2GiB", reload;
        /// Size at which a new file is begun.
        segment_bytes: Bytes = "256MiB", restart;
        /// Entries that may wait for the writer; requests are refused beyond.
        queue: usize = 65536, restart;
    }
}

words! {
    /// What an admitted request survives before it is forwarded.
    Durability {
        /// The death of the process.
        Process = "process",
        /// The loss of power: the disk confirms before the request goes on.
        Power = "power",
    }
}

words! {
    /// What happens to requests while the log cannot be written.
    OnFailure {
        /// They are refused with 503.
        Deny = "deny",
    }
}

table! {
    /// The operational log, metrics and health.
    Telemetry ["telemetry"] {
        /// Least severity that is logged.
        level: Level = "info", reload;
        /// Form of the log.
        format: Format = "auto", restart;
        /// Loopback address for `/metrics`, `/livez` and `/readyz`.
        operations: Spanned<SocketAddr> = "127.0.0.1:9464", restart;
    }
}

words! {
    /// Least severity that is logged.
    Level {
        /// What needs somebody now.
        Error = "error",
        /// What will need somebody.
        Warn = "warn",
        /// What an operator wants to know.
        Info = "info",
        /// What a developer wants to know.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

words! {
    /// Form of the log.
    Format {
        /// Text on a terminal, JSON otherwise.
        Auto = "auto",
        /// Lines for people.
        Text = "text",
        /// One object per line.
        Json = "json",
    }
}
