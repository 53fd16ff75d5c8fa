//! Can we prove that it happened? One entry per request and per security event, in a log nobody can quietly change.
//!
//! A request reserves a [`Slot`] first, is admitted (one small record leaves the process, with those of all requests
//! of that turn) before its upstream is contacted, and hands over its entry when it has ended. One writer thread seals
//! personal fields, appends lines, hashes them into a Merkle tree and signs checkpoints. `docs/audit-format.md` describes every byte.
//!
//! This module never drops an entry, never signs what contradicts an earlier signature, and decides nothing
//! about requests. Reading order: `entry` and `event` (what), `log` and `slot` (how callers see it), `journal`, `render`,
//! `engine` and `recover` (how it survives), `tree` and `checkpoint` (how it is proven), `verify` and `search` (readers).

mod admitted;
mod batch;
pub(crate) mod checkpoint;
pub(crate) mod disk;
mod engine;
pub(crate) mod entry;
pub(crate) mod event;
mod group_sync;
mod headroom;
mod journal;
mod keyring;
mod ledger;
mod line;
pub(crate) mod log;
mod queue;
mod record;
mod recover;
mod render;
pub(crate) mod report;
pub(crate) mod search;
pub(crate) mod seal;
mod segment;
mod slot;
mod tiles;
pub(crate) mod tree;
pub(crate) mod verify;
mod writer;

pub(crate) use entry::{
    Admission, AnsweredBy, Person, Probe, RequestEntry, Revision, Told, Verdict, Who,
};
pub(crate) use event::{Action, Actor, SecurityEvent};
pub(crate) use keyring::StoredKeyring;
pub(crate) use log::{AuditLog, Durability, OnFailure, Options};
pub(crate) use queue::Unavailable;
pub(crate) use record::Record;
pub(crate) use recover::OpenError;
pub(crate) use render::Renderer;
pub(crate) use seal::{KeyringError, Sealer};
pub(crate) use slot::{Receipt, Slot};

#[cfg(test)]
mod tests;
