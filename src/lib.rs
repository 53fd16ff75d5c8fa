//! Portcullis: one door in front of a company's services.
//!
//! Read the modules in the order below. Each may use those above it, never those below;
//! `tests/it/tree.rs` fails otherwise. The path of one request is `gateway::respond`.
#![forbid(unsafe_code)]

// Words.
mod base;
mod config;

// Mechanisms.
mod tasks;
mod message;
mod tls;
mod dial;

// Rules.
mod route;
mod limit;

// Carriage.
mod upstream;

// Process.
mod server;

#[doc(hidden)]
pub mod fuzzing;
