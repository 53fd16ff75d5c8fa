//! How often may one address, one person or all together ask, and how much of one address is under way at once.
//!
//! Counting is per process and in memory; the memory has a hard bound. Limits decide on addresses and names alone and
//! never look at a message. A limit that a reload leaves unchanged keeps its counts.

mod bucket;
mod crowd;
mod keys;
mod quota;

pub(crate) use crowd::Guest;
pub(crate) use quota::{Caller, Limits, TooFast};
