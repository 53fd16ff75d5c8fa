//! Sessions: wip

pub(crate) mod live;
pub(crate) mod rules;
