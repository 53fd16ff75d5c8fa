//! The integration tests: one binary, one module per capability, the real program behind real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that meets what it does not expect has failed, and says where"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bans keep the program's layers apart; the harness is a peer of the program, not a part of it"
)]
#![expect(
    clippy::print_stderr,
    reason = "what a failing test has to show stands in its output"
)]
#![expect(
    clippy::too_many_lines,
    reason = "tables of cases grow by a line each, in the test that reads them"
)]

mod access_matrix;
mod acme;
mod acme_renewal_info;
mod answer_rules;
mod apps;
mod audit_log;
mod audit_reading;
mod balancers;
mod body_limits;
mod browser;
mod check;
mod chromium_tls;
mod commands;
mod confinement;
mod crash;
mod docs;
mod doctor_tls;
mod endpoint_coverage;
mod enrolment;
mod erasure;
mod floods;
mod gate;
mod hand_over;
mod harness;
mod header_hygiene;
mod hello_in_pieces;
mod http2;
mod init;
mod listener_certificates;
mod listeners;
mod long_answers;
mod ocsp;
mod operations;
mod own_pages;
mod people;
mod plain_listener;
mod policies_shipped;
mod rate_limits;
mod readers;
mod reload_and_drain;
mod request_smuggling;
mod routing;
mod sessions;
mod sessions_cli;
mod sign_in;
mod slow_clients;
mod socket_activation;
mod step_up;
mod streaming;
mod streams;
mod targets;
mod ticket_keys;
mod timeouts;
mod tls;
mod tls_grades;
mod tree;
mod upstream_failures;
mod websockets;
mod websockets_h2;
