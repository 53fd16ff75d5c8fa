//! The switch between light and dark.

use super::Fields;
use super::answer::{Answer, Outcome};
use super::destination::RETURN_TO;
use super::visit::{THEME, Visit};
use crate::authn::return_to::ReturnTo;
use crate::message::cookie::Keep;
use crate::pages::{Mishap, Theme, paths};

const KEPT: u32 = 365 * 24 * 3600;

/// Keeps the choice and goes back to the page it was made on.
pub(super) fn take(visit: &Visit<'_>, fields: &Fields) -> Outcome {
    let theme = Theme::from_code(fields.text("theme")).ok_or(Mishap::Malformed)?;
    let back = ReturnTo::of(visit.authority(), fields.text(RETURN_TO));
    let keep = if theme == Theme::Auto {
        Keep::Never
    } else {
        Keep::Seconds(KEPT)
    };
    let value = if theme == Theme::Auto {
        ""
    } else {
        theme.code()
    };
    let to = back.map_or_else(
        || paths::APPS.to_owned(),
        |to| to.path_and_query().to_owned(),
    );
    Ok(Answer::to(&to).cookie(visit.set_cookie(THEME, value, keep)))
}
