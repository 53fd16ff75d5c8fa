//! Signing in, proving a second factor again, signing out, and what can go wrong on the way.

use askama::Template;

use super::Mishap;
use super::frame::{Form, Frame, Moment};
use super::mishap::Told;
use crate::base::RequestId;

/// First step: name and password.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    /// Title of the app that is waiting; `None` for the launcher.
    pub(crate) app: Option<String>,
    /// What was typed before, or the name kept on this device.
    pub(crate) name: String,
    /// State of the box "Keep my name"; `None` when it is not offered.
    pub(crate) keep_name: Option<bool>,
}

/// How the second factor is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Method {
    #[default]
    Totp,
    RecoveryCode,
}

impl Method {
    /// Value of the form field `method`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery-code",
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        [Self::Totp, Self::RecoveryCode]
            .into_iter()
            .find(|method| method.code() == code)
    }

    pub(super) const fn is_totp(self) -> bool {
        matches!(self, Self::Totp)
    }
}

/// Second step: a code. The form sends `method` and either `code` or `recovery_code`.
#[derive(Debug, Clone, Template)]
#[template(path = "second_factor.html")]
pub(crate) struct SecondFactor {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) app: Option<String>,
    /// The name that the first step was passed with.
    pub(crate) login: String,
    pub(crate) method: Method,
}

/// Step-up: a policy wants a fresh second factor before the app gets this request.
#[derive(Debug, Clone, Template)]
#[template(path = "confirm.html")]
pub(crate) struct Confirm {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) login: String,
    pub(crate) method: Method,
    /// Title of the app, or of the page of ours that asks.
    pub(crate) app: String,
    /// Method and path that were asked for, such as `POST /notes/delete`.
    pub(crate) request: String,
    /// The policy's `@reason`, when it may be told.
    pub(crate) why: Option<String>,
    /// `false` when the request carried a body: it is not kept, so the person presses again afterwards.
    pub(crate) returns: bool,
    /// Where to go without confirming.
    pub(crate) cancel: String,
}

/// After a step-up for a request that is not repeated by us.
#[derive(Debug, Clone, Template)]
#[template(path = "confirmed.html")]
pub(crate) struct Confirmed {
    pub(crate) frame: Frame,
    pub(crate) app: String,
    pub(crate) request: String,
    /// The app's start page.
    pub(crate) open: String,
    /// Until when the confirmation counts.
    pub(crate) until: Moment,
}

/// Asks before it signs out: the goal of links from apps and from refusals, since no link may end a session by itself.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_out.html")]
pub(crate) struct SignOut {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) login: String,
    /// Where to go without signing out.
    pub(crate) cancel: String,
}

/// The end of a session, by the person's own wish.
#[derive(Debug, Clone, Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOut {
    pub(crate) frame: Frame,
    /// `true` when every session of the person was ended.
    pub(crate) everywhere: bool,
}

/// The browser sent no cookie back; going on would be a loop of redirects.
#[derive(Debug, Clone, Template)]
#[template(path = "cookie_refused.html")]
pub(crate) struct CookieRefused {
    pub(crate) frame: Frame,
    /// Host whose cookie was refused.
    pub(crate) host: String,
    /// Starts over.
    pub(crate) again: String,
    pub(crate) request_id: RequestId,
}

/// A form whose token is no longer good and whose entries cannot be shown again.
#[derive(Debug, Clone, Template)]
#[template(path = "form_expired.html")]
pub(crate) struct FormExpired {
    pub(crate) frame: Frame,
    /// The page with the form.
    pub(crate) again: String,
    pub(crate) request_id: RequestId,
}

/// The app's answer did not come: an error page of ours.
#[derive(Debug, Clone, Template)]
#[template(path = "failed.html")]
pub(crate) struct Failed {
    pub(crate) frame: Frame,
    pub(crate) mishap: Mishap,
    pub(crate) request_id: RequestId,
    pub(crate) at: Moment,
}

impl Failed {
    fn told(&self) -> Told {
        self.mishap.told()
    }
}
