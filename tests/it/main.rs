//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod check;
mod commands;
mod crash;
mod docs;
mod gate;
mod harness;
mod init;
mod request_smuggling;
mod routing;
mod tls;
mod tree;
