//! What a person sees and changes of their own account.

use askama::Template;

use super::frame::{Form, Frame, Moment};

/// One live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    /// Names the session in the form; opens nothing.
    pub(crate) id: String,
    /// The one that asks for this page.
    pub(crate) current: bool,
    /// Browser and system in words.
    pub(crate) browser: String,
    pub(crate) address: String,
    pub(crate) signed_in: Moment,
    pub(crate) last_seen: Moment,
    /// Such as `password and code`.
    pub(crate) methods: String,
    /// When it ends at the latest.
    pub(crate) ends: Moment,
}

/// My sessions. `form.csrf` and `form.kept` serve every form on the page.
#[derive(Debug, Clone, Template)]
#[template(path = "sessions.html")]
pub(crate) struct Sessions {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    /// The present one first, then the one used last.
    pub(crate) sessions: Vec<SessionRow>,
    /// What the last action did.
    pub(crate) notice: Option<String>,
}

/// Recovery codes: how many are left, and making new ones. The form needs a fresh second factor.
#[derive(Debug, Clone, Template)]
#[template(path = "recovery_codes.html")]
pub(crate) struct RecoveryCodes {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) left: usize,
    pub(crate) of: usize,
    pub(crate) made: Option<Moment>,
}
