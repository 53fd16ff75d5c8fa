//! The ways to prove something: what a right answer looks like, nothing about who may try or how often.

pub(crate) mod recovery_code;
pub(crate) mod totp;
