//! The integration tests: one binary, one module per capability, the real program behind real sockets.

mod apps;
mod browser;
mod check;
mod commands;
mod crash;
mod docs;
mod enrolment;
mod gate;
mod hand_over;
mod harness;
mod init;
mod own_pages;
mod people;
mod request_smuggling;
mod routing;
mod sessions;
mod sessions_cli;
mod sign_in;
mod step_up;
mod tls;
mod tls_grades;
mod body_limits;
mod header_hygiene;
mod streaming;
mod websockets;
mod tree;
