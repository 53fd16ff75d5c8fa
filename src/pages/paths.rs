//! Addresses of Portcullis' own pages, written once.
//!
//! All but [`OWN`] and [`ASSETS`] exist on the portal host only; those two answer on every host.

/// Everything below it is ours on every host, and never forwarded.
pub(crate) const OWN: &str = "/.portcullis/";
/// Style sheets and the icon; names below it carry a hash of the content.
pub(crate) const ASSETS: &str = "/.portcullis/assets/";
/// Where an app host turns a hand-over code into its own cookie.
pub(crate) const CALLBACK: &str = "/.portcullis/callback";

/// The launcher.
pub(crate) const APPS: &str = "/";
pub(crate) const SIGN_IN: &str = "/sign-in";
pub(crate) const SECOND_FACTOR: &str = "/sign-in/second-factor";
/// Leaves a half-finished sign-in.
pub(crate) const RESTART: &str = "/sign-in/restart";
pub(crate) const SIGN_OUT: &str = "/sign-out";
pub(crate) const SIGNED_OUT: &str = "/signed-out";
/// Step-up: a fresh second factor for somebody who is signed in.
pub(crate) const CONFIRM: &str = "/confirm";
pub(crate) const SESSIONS: &str = "/account/sessions";
pub(crate) const END_SESSION: &str = "/account/sessions/end";
pub(crate) const END_ALL_SESSIONS: &str = "/account/sessions/end-all";
pub(crate) const RECOVERY_CODES: &str = "/account/recovery-codes";
/// The three-way light and dark switch.
pub(crate) const THEME: &str = "/theme";
/// Followed by the secret part of an enrolment link.
pub(crate) const ENROL: &str = "/enrol/";
