//! "Who is it?": credentials, sessions, sign-in and the people who may sign in.
//!
//! This module never decides what a person may do; that is `authz`.

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod device;
pub(crate) mod enrolment;
pub(crate) mod event;
pub(crate) mod factor;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod handover;
pub(crate) mod lockout;
pub(crate) mod principal;
pub(crate) mod return_to;
pub(crate) mod rules;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod vault;
pub(crate) mod waiting;

pub(crate) use principal::{Authn, BadCredential, Method, Principal, SessionFacts};
