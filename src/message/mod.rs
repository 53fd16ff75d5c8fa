//! The rules of HTTP messages, whoever sends them: what is admitted, what is removed, what is added.
//!
//! A raw request becomes a [`CleanRequest`] or an [`AdmitError`]; nothing else in the program reads raw requests.
//! On the way to an upstream [`onward`] strips and rebuilds headers; on the way back [`security::finish`] does.
//! This module never asks who is calling or whether they may.

pub(crate) mod admit;
pub(crate) mod body;
pub(crate) mod cookie;
pub(crate) mod error;
pub(crate) mod extended;
pub(crate) mod forwarded;
pub(crate) mod frames;
pub(crate) mod framing;
pub(crate) mod hop;
pub(crate) mod identity;
pub(crate) mod method;
pub(crate) mod navigation;
pub(crate) mod onward;
pub(crate) mod response;
pub(crate) mod rules;
pub(crate) mod security;
pub(crate) mod target;
pub(crate) mod upgrade;
pub(crate) mod watch;
pub(crate) mod wire;

pub(crate) use admit::CleanRequest;
pub(crate) use body::{Body, BodyError};
pub(crate) use error::AdmitError;
pub(crate) use rules::Rules;
pub(crate) use target::{Oddities, Target};
