//! Style sheets and the icon, on every host.

use http::StatusCode;

use super::answer::{Answer, Outcome};
use super::visit::Visit;
use crate::pages::{Mishap, assets};

/// Names carry a hash of the content, so what was sent once never changes.
pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let asset = assets::find(visit.path(), &visit.plan().brand).ok_or(Mishap::NoPage)?;
    let answer = Answer::of(StatusCode::OK, asset.content_type, asset.bytes);
    Ok(answer.cached(assets::CACHE_CONTROL))
}
