//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod crash;
mod gate;
mod harness;
mod tls;
mod tree;
