//! What surrounds every page: the company's name and notice, the theme, who is signed in.
//!
//! Nothing here is specific to one page, and nothing is read from a request.

use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::assets::{self, Asset};
use super::linked::{self, Piece};
use super::{accent, paths};
use crate::base::Timestamp;

/// The operator's words and colour, made ready once per plan.
#[derive(Debug, Clone)]
pub(crate) struct Brand {
    /// The company's name; `Portcullis` when none is configured.
    pub(crate) name: String,
    /// Whom to turn to, as written by the operator.
    pub(crate) support: Option<String>,
    /// `https:` or `mailto:` address of the privacy notice.
    pub(crate) privacy: Option<String>,
    /// One sentence under every form.
    pub(crate) notice: Option<String>,
    /// The generated style sheet that carries the accent colour.
    pub(crate) sheet: Option<Asset>,
}

/// A branding value that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrandError {
    #[error("a colour is written as # and six hexadecimal digits, such as #2f5d8a")]
    Accent,
    #[error("the address of a privacy notice starts with https:// or mailto:")]
    Privacy,
}

impl Default for Brand {
    fn default() -> Self {
        Self {
            name: String::from("Portcullis"),
            support: None,
            privacy: None,
            notice: None,
            sheet: None,
        }
    }
}

impl Brand {
    /// Sets the privacy address; anything but `https:` and `mailto:` would let a link run code or leave unprotected.
    pub(crate) fn with_privacy(mut self, address: &str) -> Result<Self, BrandError> {
        if !address.starts_with("https://") && !address.starts_with("mailto:") {
            return Err(BrandError::Privacy);
        }
        self.privacy = Some(address.to_owned());
        Ok(self)
    }

    /// Generates the style sheet of the accent colour (`#rrggbb`), toned until text in it is readable.
    pub(crate) fn with_accent(mut self, colour: &str) -> Result<Self, BrandError> {
        let sheet = accent::sheet(colour).ok_or(BrandError::Accent)?;
        self.sheet = Some(Asset::hashed(
            "brand",
            "css",
            "text/css; charset=utf-8",
            Bytes::from(sheet),
        ));
        Ok(self)
    }
}

/// The person's choice of colours; `Auto` follows the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    #[default]
    Auto,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// Value of the cookie, the form field and the `data-theme` attribute.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads [`Theme::code`]; anything else is `None`.
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.code() == code)
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

/// The signed-in person, as the page's head shows them.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) name: String,
    pub(crate) login: String,
}

/// The surroundings of one page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) brand: Arc<Brand>,
    pub(crate) theme: Theme,
    /// Empty on the portal, its origin (`https://login.example.com`) on an app's host.
    pub(crate) portal: String,
    /// `None` until both factors are given.
    pub(crate) visitor: Option<Visitor>,
    /// Token for the frame's own forms (theme, sign out); without it they are not shown.
    pub(crate) csrf: Option<String>,
    /// Path and query of this page on the portal, where the theme switch returns to.
    pub(crate) here: String,
}

impl Frame {
    /// A frame without visitor and forms, as error pages use it.
    pub(crate) fn bare(brand: Arc<Brand>, portal: impl Into<String>) -> Self {
        Self {
            brand,
            theme: Theme::Auto,
            portal: portal.into(),
            visitor: None,
            csrf: None,
            here: String::from(paths::APPS),
        }
    }

    pub(super) fn style_sheet(&self) -> &'static str {
        assets::fixed().style.path()
    }

    pub(super) fn icon(&self) -> &'static str {
        assets::fixed().icon.path()
    }

    pub(super) fn brand_sheet(&self) -> Option<&str> {
        self.brand.sheet.as_ref().map(Asset::path)
    }

    /// An operator's sentence with its permitted links.
    pub(super) fn linked<'a>(&self, text: &'a str) -> Vec<Piece<'a>> {
        linked::pieces(text, &self.portal)
    }

    pub(super) fn on_portal(&self) -> bool {
        self.portal.is_empty()
    }

    pub(super) fn is_at(&self, path: &str) -> bool {
        self.on_portal() && self.here.split('?').next() == Some(path)
    }
}

/// A moment in the reader's zone, with the exact one for machines beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) text: String,
    /// RFC 3339 in UTC.
    pub(crate) iso: String,
}

impl Moment {
    /// `22 Nov 2026, 09:14:03 CET`.
    pub(crate) fn exact(at: Timestamp, zone: &TimeZone) -> Self {
        Self::formatted(at, zone, "%-d %b %Y, %H:%M:%S %Z")
    }

    /// `22 Nov 2026, 09:14 CET`.
    pub(crate) fn day(at: Timestamp, zone: &TimeZone) -> Self {
        Self::formatted(at, zone, "%-d %b %Y, %H:%M %Z")
    }

    fn formatted(at: Timestamp, zone: &TimeZone, format: &str) -> Self {
        Self {
            text: at
                .to_jiff()
                .to_zoned(zone.clone())
                .strftime(format)
                .to_string(),
            iso: at.to_string(),
        }
    }
}

/// Where a form goes and what came back from its last submission.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    /// Path that the form is posted to.
    pub(crate) action: String,
    pub(crate) csrf: String,
    /// Hidden fields that travel along, such as where the person wanted to go, already checked.
    pub(crate) kept: Vec<(&'static str, String)>,
    /// What was wrong, in the order of the fields.
    pub(crate) errors: Vec<FormError>,
}

/// One sentence about a submitted form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormError {
    /// The `id` of the field to mend; `None` when the whole form is meant.
    pub(crate) field: Option<&'static str>,
    pub(crate) text: String,
}

impl FormError {
    pub(crate) fn at(field: &'static str, text: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            text: text.into(),
        }
    }

    pub(crate) fn whole(text: impl Into<String>) -> Self {
        Self {
            field: None,
            text: text.into(),
        }
    }
}

impl Form {
    pub(crate) fn new(action: impl Into<String>, csrf: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            csrf: csrf.into(),
            ..Self::default()
        }
    }

    /// What is wrong with the field of this id, if anything.
    pub(super) fn error_at(&self, field: &str) -> Option<&str> {
        self.errors
            .iter()
            .find(|error| error.field == Some(field))
            .map(|error| error.text.as_str())
    }

    /// Ids of what explains a field. A single complaint stands in the summary only; several stand at their fields too.
    pub(super) fn described_by(&self, field: &str, has_hint: &bool) -> Option<String> {
        let complaint = self.error_at(field).map(|_text| match self.errors.len() {
            1 => String::from("errors"),
            _ => format!("{field}-error"),
        });
        let hint = has_hint.then(|| format!("{field}-hint"));
        match (complaint, hint) {
            (Some(complaint), Some(hint)) => Some(format!("{complaint} {hint}")),
            (complaint, hint) => complaint.or(hint),
        }
    }

    /// A form without complaints puts the cursor into its first field; one with them, onto the summary.
    pub(super) fn is_fresh(&self) -> bool {
        self.errors.is_empty()
    }
}
