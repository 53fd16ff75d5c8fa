//! Temporary.
pub(crate) mod body;
pub(crate) mod hop;
pub(crate) mod identity;
pub(crate) use body::{Body, BodyError};
