//! Portcullis: one door in front of a company's services.
//!
//! Read the modules in the order below. Each may use those above it, never those below;
//! `tests/it/tree.rs` fails otherwise. The path of one request is `gateway::respond`.
#![forbid(unsafe_code)]

// Words.
mod base;
mod config;
// Rules: each compiles its configuration and answers one question.
mod authn;
mod authz;
