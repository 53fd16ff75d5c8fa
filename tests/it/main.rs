//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod access_matrix;
mod audit_log;
mod browser;
mod check;
mod commands;
mod crash;
mod docs;
mod endpoint_coverage;
mod gate;
mod harness;
mod init;
mod policies_shipped;
mod tls;
mod tls_grades;
mod tree;
