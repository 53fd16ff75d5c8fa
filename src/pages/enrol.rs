//! From a one-use link to an account with a password, a second factor and recovery codes.

use std::fmt::Write as _;

use askama::Template;

use super::frame::{Form, Frame, Moment};
use super::{Method, Qr, words};
use crate::base::RequestId;

/// One numbered step of an enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Welcome,
    Password,
    SecondFactor,
    RecoveryCodes,
}

impl Step {
    const fn title(self) -> &'static str {
        match self {
            Self::Welcome => "This is you",
            Self::Password => "Password",
            Self::SecondFactor => "Second factor",
            Self::RecoveryCodes => "Recovery codes",
        }
    }
}

/// Where the person stands. Steps that do not apply are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) steps: Vec<Step>,
    pub(crate) now: Step,
}

impl Progress {
    /// The four steps of a new account, and of a new second factor for an old one.
    pub(crate) fn full(now: Step) -> Self {
        Self {
            steps: vec![
                Step::Welcome,
                Step::Password,
                Step::SecondFactor,
                Step::RecoveryCodes,
            ],
            now,
        }
    }

    /// Only the password is renewed; the second factor stays as it is.
    pub(crate) fn password_only(now: Step) -> Self {
        Self {
            steps: vec![Step::Welcome, Step::Password],
            now,
        }
    }

    fn number(&self) -> usize {
        let place = self.steps.iter().position(|step| *step == self.now);
        place.map_or(1, |place| place + 1)
    }

    fn is_past(&self, step: &Step) -> bool {
        self.steps
            .iter()
            .take(self.number().saturating_sub(1))
            .any(|past| past == step)
    }
}

/// What the link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Join,
    NewFactor,
    NewPassword,
}

/// Step 1: who the link is for.
#[derive(Debug, Clone, Template)]
#[template(path = "enrol_welcome.html")]
pub(crate) struct EnrolWelcome {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) progress: Progress,
    pub(crate) purpose: Purpose,
    pub(crate) name: String,
    pub(crate) login: String,
    /// Who made the link; `None` when it was made on the server's command line.
    pub(crate) invited_by: Option<String>,
    pub(crate) until: Moment,
}

/// Step 2: a password. A new one is sent twice, as `password` and `repeat`; the one in force once, as `password`.
/// With [`Purpose::NewPassword`] the second factor is asked for too, with the fields of [`super::SecondFactor`].
#[derive(Debug, Clone, Template)]
#[template(path = "enrol_password.html")]
pub(crate) struct EnrolPassword {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) progress: Progress,
    pub(crate) purpose: Purpose,
    pub(crate) login: String,
    pub(crate) min_length: usize,
    /// How the second factor was given, where it is asked for.
    pub(crate) method: Method,
}

/// Step 3: an authenticator app. The form sends `code`; nothing is saved before one fits.
#[derive(Debug, Clone, Template)]
#[template(path = "enrol_totp.html")]
pub(crate) struct EnrolTotp {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    pub(crate) progress: Progress,
    pub(crate) login: String,
    /// Base 32 without padding.
    pub(crate) secret: String,
    /// The `otpauth:` address that the QR code holds.
    pub(crate) otpauth: String,
    /// `None` when the address is too long to draw; the text secret always works.
    pub(crate) qr: Option<Qr>,
}

impl EnrolTotp {
    fn grouped_secret(&self) -> String {
        words::in_groups(&self.secret)
    }
}

/// Step 4, and the account page after new codes were made. The form sends `stored`.
#[derive(Debug, Clone, Template)]
#[template(path = "codes.html")]
pub(crate) struct CodesPage {
    pub(crate) frame: Frame,
    pub(crate) form: Form,
    /// `None` outside enrolment.
    pub(crate) progress: Option<Progress>,
    pub(crate) login: String,
    pub(crate) codes: Vec<String>,
    /// Address of the plain-text file.
    pub(crate) download: String,
    pub(crate) made: Moment,
}

/// Why a link opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Used, expired, replaced or never issued: these are not told apart.
    Gone,
    /// Another browser has begun with it.
    Elsewhere,
}

/// The link was used, is too old, was replaced, or never was.
#[derive(Debug, Clone, Template)]
#[template(path = "link_unusable.html")]
pub(crate) struct LinkUnusable {
    pub(crate) frame: Frame,
    pub(crate) state: LinkState,
    pub(crate) request_id: RequestId,
}

/// The recovery codes as a plain-text file, lines ended for every editor (CR LF).
pub(crate) fn codes_as_text(page: &CodesPage, portal: &str) -> String {
    let mut text = format!(
        "Recovery codes for {} at {portal}\r\nMade {}. Each code works once.\r\n\r\n",
        page.login, page.made.text
    );
    for (place, code) in page.codes.iter().enumerate() {
        // Writing to a String cannot fail.
        if write!(text, "{:>2}. {code}\r\n", place + 1).is_err() {
            break;
        }
    }
    text.push_str("\r\nKeep this file where only you can read it, and not on the phone that makes your codes.\r\n");
    text
}
