//! How often may one address, one person or all together ask.
//!
//! Counting is per process and in memory; the memory has a hard bound. Limits decide on addresses and names alone and
//! never look at a message. A limit that a reload leaves unchanged keeps its counts.

mod bucket;
mod keys;
mod quota;

pub(crate) use quota::{Caller, Limits, TooFast};
