//! Portcullis' own pages: what a person sees, drawn from plain values.
//!
//! One struct per page; its template has the same name. Nothing here reads a request, a store or a clock,
//! and no template holds a script, a style attribute or an unescaped value, so the policy of [`csp`] can be strict.

mod accent;
mod account;
mod apps;
pub(crate) mod assets;
pub(crate) mod csp;
mod denied;
mod enrol;
mod frame;
mod linked;
mod mishap;
pub(crate) mod paths;
mod problem;
mod qr;
mod sign_in;
mod style;
pub(crate) mod words;

pub(crate) use account::{RecoveryCodes, SessionRow, Sessions};
pub(crate) use apps::{Access, Apps, Tile};
pub(crate) use denied::{Cause, Denied, Details, Remedy};
pub(crate) use enrol::{
    CodesPage, EnrolPassword, EnrolTotp, EnrolWelcome, LinkState, LinkUnusable, Progress, Purpose,
    Step, codes_as_text,
};
pub(crate) use frame::{Brand, Form, FormError, Frame, Moment, Theme, Visitor};
pub(crate) use mishap::Mishap;
pub(crate) use problem::{CONTENT_TYPE as PROBLEM_JSON, Problem};
pub(crate) use qr::Qr;
pub(crate) use sign_in::{
    Confirm, Confirmed, CookieRefused, Failed, FormExpired, Method, SecondFactor, SignIn, SignOut,
    SignedOut,
};
pub(crate) use style::Style;

pub(crate) const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// A page that can be sent.
pub(crate) trait Page {
    /// The whole document.
    fn html(&self) -> String;
}

impl<T: askama::Template> Page for T {
    /// Never fails: writing into a String cannot, and no value in a template has a `Display` that does.
    /// Should that ever change, the reader gets a sentence instead of a half-drawn page.
    fn html(&self) -> String {
        self.render().unwrap_or_else(|_impossible| {
            String::from(
                "<!doctype html><html lang=\"en\"><title>Portcullis</title>\
                 <h1>This page could not be drawn</h1><p>Reload it, or tell your help desk.</p></html>",
            )
        })
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
