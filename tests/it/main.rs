//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod docs;
mod gate;
mod harness;
mod tree;
