//! The faces for operators: the operations listener and the control socket.
//!
//! A command reaches the one [`desk::Desk`] of the process that holds the data folder: the server's, through
//! [`socket`], or that of the command itself when no server runs. What happens is the same either way, and recorded.

pub(crate) mod account;
pub(crate) mod call;
pub(crate) mod client;
pub(crate) mod desk;
pub(crate) mod operations;
pub(crate) mod socket;
