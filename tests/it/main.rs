//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod audit_log;
mod browser;
mod check;
mod commands;
mod crash;
mod docs;
mod gate;
mod harness;
mod init;
mod tls;
mod tls_grades;
mod tree;
