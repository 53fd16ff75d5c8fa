//! Addresses of Portcullis' own pages, written once.
//!
//! What does not lie below [`OWN`] or [`WELL_KNOWN`] exists on the portal's host only.

/// Everything below it is ours on every host, and never forwarded.
pub(crate) const OWN: &str = "/.portcullis/";
/// Documents for programs, on every host; never forwarded.
pub(crate) const WELL_KNOWN: &str = "/.well-known/portcullis/";
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
/// The codes that were just made, until they are stored.
pub(crate) const NEW_RECOVERY_CODES: &str = "/account/recovery-codes/new";
/// The same as a plain-text file.
pub(crate) const RECOVERY_CODES_TEXT: &str = "/account/recovery-codes/new.txt";
/// The steps after the link; no token of a link has these forms.
pub(crate) const ENROL_PASSWORD: &str = "/enrol/password";
pub(crate) const ENROL_FACTOR: &str = "/enrol/second-factor";
/// On an app's host: leads to the portal, where one signs out.
pub(crate) const APP_SIGN_OUT: &str = "/.portcullis/sign-out";
/// Public keys of the identity assertion (RFC 7517).
pub(crate) const KEY_SET: &str = "/.well-known/portcullis/jwks.json";
/// What upstreams have to know to verify an assertion.
pub(crate) const DISCOVERY: &str = "/.well-known/portcullis/configuration";
