//! "Who is it?": credentials, sessions, sign-in and the people who may sign in.
//!
//! This module never decides what a person may do; that is `authz`.

pub(crate) mod principal;

pub(crate) use principal::{Authn, BadCredential, Method, Principal, SessionFacts};
