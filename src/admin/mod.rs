//! The faces for operators: the operations listener and the control socket.

pub(crate) mod operations;
