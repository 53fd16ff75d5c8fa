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

/// Leads to [`SIGN_OUT`] on the portal, so that apps can link to it.
pub(crate) const SIGN_OUT_HERE: &str = "/.portcullis/sign-out";
/// The keys that upstreams check identity assertions with.
pub(crate) const JWKS: &str = "/.well-known/portcullis/jwks.json";
/// What else upstreams have to know to verify an assertion.
pub(crate) const DISCOVERY: &str = "/.well-known/portcullis/configuration";

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
/// Fresh codes, shown until the person says that they are stored.
pub(crate) const NEW_CODES: &str = "/account/recovery-codes/new";
pub(crate) const NEW_CODES_FILE: &str = "/account/recovery-codes/new.txt";
/// The three-way light and dark switch.
pub(crate) const THEME: &str = "/theme";
/// Followed by the secret part of an enrolment link.
pub(crate) const ENROL: &str = "/enrol/";
/// The steps after the link; no token of a link has these forms.
pub(crate) const ENROL_PASSWORD: &str = "/enrol/password";
pub(crate) const ENROL_FACTOR: &str = "/enrol/second-factor";
