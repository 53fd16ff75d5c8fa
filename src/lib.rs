//! Portcullis: one door in front of a company's services.
//!
//! Read the modules in the order below. Each may use those above it, never those below;
//! `tests/it/tree.rs` fails otherwise. The path of one request is `gateway::respond`.
#![forbid(unsafe_code)]

// Words.
mod base;
mod config;

// Mechanisms: they know nothing of requests being allowed or not.
mod telemetry;
mod tasks;
mod confine;
mod message;
mod keys;
mod store;
mod tls;
mod dial;

// Rules: each compiles its configuration and answers one question.
mod route;
mod limit;
mod audit;
mod authn;
mod authz;

// Carriage: only with a permit.
mod upstream;

// What people see, drawn from plain values.
mod pages;

// The whole, compiled.
mod plan;

// Errands: what the process does on its own account.
mod fetch;
mod acme;
mod staple;

// Faces.
mod portal;
mod admin;
mod gateway;

// Process.
mod server;
pub mod cli;

#[doc(hidden)]
pub mod fuzzing;

#[doc(hidden)]
pub mod benching;
