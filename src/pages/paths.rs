//! Addresses of Portcullis' own pages, written once.
//!
//! What lies below [`OWN`] and [`JWKS`] answers on every host; everything else on the portal's host only.

/// Everything below it is ours on every host, and never forwarded.
pub(crate) const OWN: &str = "/.portcullis/";
/// Style sheets and the icon; names below it carry a hash of the content.
pub(crate) const ASSETS: &str = "/.portcullis/assets/";
/// Where an app host turns a hand-over code into its own cookie.
pub(crate) const CALLBACK: &str = "/.portcullis/callback";

/// Leads to [`SIGN_OUT`] on the portal, so that apps can link to it.
pub(crate) const SIGN_OUT_HERE: &str = "/.portcullis/sign-out";
/// The keys that upstreams check identity assertions with.
pub(crate) const JWKS: &str = "/.well-known/portcullis/jwks.json";

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
pub(crate) const CODES_STORED: &str = "/account/recovery-codes/stored";
/// The three-way light and dark switch.
pub(crate) const THEME: &str = "/theme";
/// Followed by the secret part of an enrolment link.
pub(crate) const ENROL: &str = "/enrol/";
/// The step at which this browser's enrolment stands.
pub(crate) const ENROL_STEP: &str = "/enrol";
pub(crate) const ENROL_PASSWORD: &str = "/enrol/step/password";
pub(crate) const ENROL_CODE: &str = "/enrol/step/code";
