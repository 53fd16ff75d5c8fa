//! "May they?": the policies, compiled once per plan, and the one function that asks them.
//!
//! [`Policies::compile`] turns files and routes into slices, one per route; [`Policies::decide`] answers one
//! [`AccessRequest`]. Only a decision makes a [`Permit`], and doubt denies: an evaluation error of any policy that
//! could apply is a refusal. This module never learns who somebody is and never talks to anyone.
#![deny(clippy::wildcard_enum_match_arm)]

pub(crate) mod cases;
mod context;
mod decide;
pub(crate) mod described;
mod entities;
pub(crate) mod explain;
#[cfg(test)]
mod fixture;
pub(crate) mod groups;
pub(crate) mod lint;
pub(crate) mod listing;
pub(crate) mod load;
mod memory;
mod parallel;
mod pattern;
pub(crate) mod permit;
pub(crate) mod policies;
pub(crate) mod reads;
pub(crate) mod request;
pub(crate) mod routes;
pub(crate) mod rule;
pub(crate) mod schema;
mod slices;
pub(crate) mod starter;
mod study;

pub(crate) use groups::Groups;
pub(crate) use permit::{Decision, Denial, Permit, Remedy};
pub(crate) use policies::{Inputs, Policies};
pub(crate) use request::{AccessRequest, Action, Caller, Circumstances, Target};
pub(crate) use routes::RouteFacts;
