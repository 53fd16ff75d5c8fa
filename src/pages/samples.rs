//! One or more filled examples of every page, for the golden files and for hostile text.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{
    Access, Apps, Brand, Cause, CodesPage, Confirm, Confirmed, CookieRefused, Denied, Details,
    EnrolPassword, EnrolTotp, EnrolWelcome, Failed, Form, FormError, FormExpired, Frame, LinkState,
    LinkUnusable, Method, Mishap, Moment, Page, Progress, Purpose, Qr, RecoveryCodes, Remedy,
    SecondFactor, SessionRow, Sessions, SignIn, SignOut, SignedOut, Step, Theme, Tile, Visitor,
    paths, words,
};
use crate::base::{RequestId, Timestamp};

/// Turns the text of an example into the text to show.
pub(super) type Fill = fn(&str) -> String;
pub(super) type Sample = (&'static str, String);

const CODES: [&str; 10] = [
    "4qk7-m2xd-9trb",
    "h6wp-0c3v-jn8y",
    "5e1a-7kzt-q4gd",
    "x8vm-2r6s-w0pb",
    "c9jn-3h5f-t7ky",
    "0dza-6e1q-m4xv",
    "g2wb-8p9r-s3nc",
    "k7th-5j0y-f6de",
    "v1qx-4m8a-z2gw",
    "r3pn-9c6b-h0sk",
];

/// Every page, named after its golden file.
pub(super) fn all(fill: Fill) -> Vec<Sample> {
    let book = Book { fill };
    [
        book.signing_in(),
        book.stepping_up(),
        book.enrolment(),
        book.enrolment_end(),
        book.portal(),
        book.account(),
        book.refusals(),
        book.mishaps(),
    ]
    .concat()
}

struct Book {
    fill: Fill,
}

impl Book {
    fn text(&self, text: &str) -> String {
        (self.fill)(text)
    }

    fn some(&self, text: &str) -> Option<String> {
        Some(self.text(text))
    }

    fn brand(&self) -> Arc<Brand> {
        Arc::new(Brand {
            name: self.text("Example Ltd"),
            support: self.some("IT help desk, ext. 4242, help@example.com"),
            privacy: self.some("https://example.com/privacy"),
            notice: self.some("Company use only. Activity is recorded."),
            sheet: None,
        })
    }

    fn frame(&self) -> Frame {
        Frame {
            csrf: self.some("csrf-token"),
            here: self.text(paths::SIGN_IN),
            ..Frame::bare(self.brand(), "")
        }
    }

    fn signed_in(&self, here: &str) -> Frame {
        Frame {
            visitor: Some(Visitor {
                name: self.text("Ana Lima"),
                login: self.text("ana@example.com"),
            }),
            here: self.text(here),
            ..self.frame()
        }
    }

    fn on_app(&self) -> Frame {
        Frame::bare(self.brand(), self.text("https://login.example.com"))
    }

    fn form(&self, action: &str) -> Form {
        Form {
            kept: vec![(
                "return_to",
                self.text("https://grafana.example.com/d/1?a=b&c=d"),
            )],
            ..Form::new(self.text(action), self.text("csrf-token"))
        }
    }

    fn wrong(&self, action: &str, errors: &[(Option<&'static str>, &str)]) -> Form {
        let errors = errors.iter().map(|(field, text)| FormError {
            field: *field,
            text: self.text(text),
        });
        Form {
            errors: errors.collect(),
            ..self.form(action)
        }
    }

    fn moment(&self, minutes: u64) -> Moment {
        let plain = Moment::day(
            at().plus(Duration::from_secs(60 * minutes)),
            &TimeZone::get("Europe/Berlin").unwrap(),
        );
        Moment {
            text: self.text(&plain.text),
            iso: self.text(&plain.iso),
        }
    }

    fn signing_in(&self) -> Vec<Sample> {
        let sign_in = SignIn {
            frame: self.frame(),
            form: self.form(paths::SIGN_IN),
            app: self.some("Grafana"),
            name: self.text("ana@example.com"),
            keep_name: Some(true),
        };
        let sign_in_plain = SignIn {
            frame: Frame {
                theme: Theme::Dark,
                ..self.frame()
            },
            app: None,
            name: String::new(),
            keep_name: None,
            ..sign_in.clone()
        };
        let sign_in_wrong = SignIn {
            form: self.wrong(paths::SIGN_IN, &[(None, words::NO_MATCH)]),
            ..sign_in.clone()
        };
        let second = SecondFactor {
            frame: self.frame(),
            form: self.form(paths::SECOND_FACTOR),
            app: self.some("Grafana"),
            login: self.text("ana@example.com"),
            method: Method::Totp,
        };
        let second_wrong = SecondFactor {
            form: self.wrong(
                paths::SECOND_FACTOR,
                &[(Some("code"), &words::code_wrong("09:14:20 CET"))],
            ),
            ..second.clone()
        };
        let recovery = SecondFactor {
            method: Method::RecoveryCode,
            ..second.clone()
        };
        let signed_out = SignedOut {
            frame: self.frame(),
            everywhere: false,
        };
        let everywhere = SignedOut {
            everywhere: true,
            ..signed_out.clone()
        };
        vec![
            ("sign-in", sign_in.html()),
            ("sign-in-plain", sign_in_plain.html()),
            ("sign-in-wrong", sign_in_wrong.html()),
            ("second-factor", second.html()),
            ("second-factor-wrong", second_wrong.html()),
            ("second-factor-recovery", recovery.html()),
            ("signed-out", signed_out.html()),
            ("signed-out-everywhere", everywhere.html()),
        ]
    }

    fn stepping_up(&self) -> Vec<Sample> {
        let confirm = Confirm {
            frame: self.signed_in(paths::CONFIRM),
            form: self.form(paths::CONFIRM),
            login: self.text("ana@example.com"),
            method: Method::Totp,
            app: self.text("Notes"),
            request: self.text("POST /notes/delete"),
            why: self.some("This action needs a second-factor check made in the last 5 minutes."),
            returns: false,
            cancel: self.text("https://notes.example.com/"),
        };
        let confirm_get = Confirm {
            request: self.text("GET /notes/delete"),
            why: None,
            returns: true,
            ..confirm.clone()
        };
        let confirmed = Confirmed {
            frame: self.signed_in(paths::CONFIRM),
            app: self.text("Notes"),
            request: self.text("POST /notes/delete"),
            open: self.text("https://notes.example.com/"),
            until: self.moment(5),
        };
        let cookie = CookieRefused {
            frame: self.on_app(),
            host: self.text("grafana.example.com"),
            again: self.text("https://grafana.example.com/"),
            request_id: id(),
        };
        let expired = FormExpired {
            frame: self.frame(),
            again: self.text(paths::SIGN_IN),
            request_id: id(),
        };
        let sign_out = SignOut {
            frame: self.signed_in(paths::SIGN_OUT),
            form: self.form(paths::SIGN_OUT),
            login: self.text("ana@example.com"),
            cancel: self.text("https://notes.example.com/"),
        };
        vec![
            ("sign-out", sign_out.html()),
            ("confirm", confirm.html()),
            ("confirm-get", confirm_get.html()),
            ("confirmed", confirmed.html()),
            ("cookie-refused", cookie.html()),
            ("form-expired", expired.html()),
        ]
    }

    fn enrolment(&self) -> Vec<Sample> {
        let action = "/enrol/4qk7m2xd";
        let welcome = EnrolWelcome {
            frame: self.frame(),
            form: self.form(action),
            progress: Progress::full(Step::Welcome),
            purpose: Purpose::Join,
            name: self.text("Ana Lima"),
            login: self.text("ana@example.com"),
            invited_by: self.some("Kim Berg"),
            until: self.moment(60),
        };
        let again = EnrolWelcome {
            purpose: Purpose::NewFactor,
            invited_by: None,
            ..welcome.clone()
        };
        let password = EnrolPassword {
            frame: self.frame(),
            form: self.form(action),
            progress: Progress::full(Step::Password),
            purpose: Purpose::Join,
            login: self.text("ana@example.com"),
            min_length: 12,
            method: Method::Totp,
        };
        let password_wrong = EnrolPassword {
            form: self.wrong(
                action,
                &[
                    (Some("password"), words::PASSWORD_COMMON),
                    (Some("repeat"), words::PASSWORD_DIFFERS),
                ],
            ),
            ..password.clone()
        };
        let in_force = EnrolPassword {
            purpose: Purpose::NewFactor,
            ..password.clone()
        };
        let renewed = EnrolPassword {
            purpose: Purpose::NewPassword,
            progress: Progress::password_only(Step::Password),
            ..password.clone()
        };
        vec![
            ("enrol-1-welcome", welcome.html()),
            ("enrol-1-again", again.html()),
            ("enrol-2-password", password.html()),
            ("enrol-2-password-wrong", password_wrong.html()),
            ("enrol-2-password-in-force", in_force.html()),
            ("enrol-2-password-renewed", renewed.html()),
        ]
    }

    fn enrolment_end(&self) -> Vec<Sample> {
        let action = "/enrol/4qk7m2xd";
        let otpauth = "otpauth://totp/Example%20Ltd:ana%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Example%20Ltd";
        let totp = EnrolTotp {
            frame: self.frame(),
            form: self.form(action),
            progress: Progress::full(Step::SecondFactor),
            login: self.text("ana@example.com"),
            secret: self.text("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"),
            otpauth: self.text(otpauth),
            qr: Qr::of(otpauth),
        };
        let totp_wrong = EnrolTotp {
            form: self.wrong(action, &[(Some("code"), words::ENROL_CODE_WRONG)]),
            qr: None,
            ..totp.clone()
        };
        let codes = self.codes(Some(Progress::full(Step::RecoveryCodes)));
        let codes_wrong = CodesPage {
            form: self.wrong(action, &[(Some("stored"), words::CODES_NOT_STORED)]),
            ..codes.clone()
        };
        let link = |state| LinkUnusable {
            frame: self.frame(),
            state,
            request_id: id(),
        };
        vec![
            ("enrol-3-code", totp.html()),
            ("enrol-3-code-wrong", totp_wrong.html()),
            ("enrol-4-codes", codes.html()),
            ("enrol-4-codes-wrong", codes_wrong.html()),
            ("link-gone", link(LinkState::Gone).html()),
            ("link-elsewhere", link(LinkState::Elsewhere).html()),
        ]
    }

    pub(super) fn codes(&self, progress: Option<Progress>) -> CodesPage {
        CodesPage {
            frame: self.frame(),
            form: self.form("/enrol/4qk7m2xd"),
            progress,
            login: self.text("ana@example.com"),
            codes: CODES.iter().map(|code| self.text(code)).collect(),
            download: self.text("/enrol/4qk7m2xd/codes.txt"),
            made: self.moment(0),
        }
    }

    fn portal(&self) -> Vec<Sample> {
        let tile = |title: &str, description: &str, access| Tile {
            title: self.text(title),
            description: self.text(description),
            address: self.text(&format!("{}.example.com", title.to_lowercase())),
            href: self.text(&format!("https://{}.example.com/", title.to_lowercase())),
            access,
        };
        let locked = Access::Locked {
            why: self.text("This app opens only on a company-managed device."),
        };
        let tiles = vec![
            tile("Grafana", "Dashboards for every service", Access::Open),
            tile("Billing", "Reports and rates", Access::NeedsConfirm),
            tile("Wiki", "", Access::Open),
            tile(
                "Notes",
                "What was said and decided, by team and by week",
                Access::Open,
            ),
            tile("Payroll", "Salaries and time sheets", locked),
        ];
        let apps = Apps {
            frame: self.signed_in(paths::APPS),
            greeting: self.text("Good morning, Ana"),
            query: String::new(),
            total: tiles.len(),
            tiles,
            groups: vec![self.text("staff"), self.text("engineering")],
            notice: None,
        };
        let search = Apps {
            query: self.text("gra"),
            tiles: apps.tiles.iter().take(1).cloned().collect(),
            notice: self.some(&words::recovery_codes_left(3)),
            ..apps.clone()
        };
        let empty = Apps {
            tiles: Vec::new(),
            total: 0,
            ..apps.clone()
        };
        vec![
            ("apps", apps.html()),
            ("apps-search", search.html()),
            ("apps-empty", empty.html()),
        ]
    }

    fn account(&self) -> Vec<Sample> {
        let row = |id: &str, current, browser: &str| SessionRow {
            id: self.text(id),
            current,
            browser: self.text(browser),
            address: self.text("2001:db8:40::17"),
            signed_in: self.moment(0),
            last_seen: self.moment(42),
            methods: self.text("password and code"),
            ends: self.moment(720),
        };
        let sessions = Sessions {
            frame: self.signed_in(paths::SESSIONS),
            form: self.form(paths::SESSIONS),
            sessions: vec![
                row("s-1", true, "Firefox on Linux"),
                row("s-2", false, "Safari on iPhone"),
            ],
            notice: self.some(words::SESSION_ENDED),
        };
        let recovery = RecoveryCodes {
            frame: self.signed_in(paths::RECOVERY_CODES),
            form: self.form(paths::RECOVERY_CODES),
            left: 7,
            of: 10,
            made: Some(self.moment(0)),
        };
        let renewed = CodesPage {
            frame: self.signed_in(paths::RECOVERY_CODES),
            ..self.codes(None)
        };
        vec![
            ("sessions", sessions.html()),
            ("recovery-codes", recovery.html()),
            ("recovery-codes-new", renewed.html()),
        ]
    }

    fn refusals(&self) -> Vec<Sample> {
        let rule = Denied {
            frame: self.on_app(),
            status: 403,
            cause: Cause::Rule,
            app: self.text("Billing administration"),
            because: vec![
                self.text("The billing administration area is limited to finance leads."),
            ],
            remedies: vec![
                Remedy::Advice(self.text("Come back on a weekday from 07:00 to 19:00, or write to mailto:finance@example.com.")),
            ],
            details: Some(Details {
                policies: vec![(self.text("billing.admin-path"), self.text("limits"))],
                request: self.text("POST /admin/rates"),
            }),
            request_id: id(),
            at: self.moment(0),
            login: self.some("fin@example.com"),
            switch: self.some("https://login.example.com/sign-in?switch=1"),
        };
        let step_up = Denied {
            cause: Cause::StepUp,
            app: self.text("Notes"),
            because: Vec::new(),
            remedies: vec![Remedy::Confirm {
                url: self.text("https://login.example.com/confirm?for=abc"),
            }],
            details: None,
            switch: None,
            ..rule.clone()
        };
        let plain = |cause| Denied {
            cause,
            because: Vec::new(),
            remedies: Vec::new(),
            details: None,
            app: self.text("Payroll"),
            ..rule.clone()
        };
        vec![
            ("denied", rule.html()),
            ("denied-step-up", step_up.html()),
            ("denied-rule-untold", plain(Cause::Rule).html()),
            ("denied-no-permit", plain(Cause::NoPermit).html()),
            ("denied-policy-error", plain(Cause::PolicyError).html()),
        ]
    }

    fn mishaps(&self) -> Vec<Sample> {
        mishaps(&self.text("Grafana"))
            .into_iter()
            .map(|(name, mishap)| {
                let page = Failed {
                    frame: self.on_app(),
                    mishap,
                    request_id: id(),
                    at: self.moment(0),
                };
                (name, page.html())
            })
            .collect()
    }
}

/// Every mishap with the name of its golden file, which starts with the status.
pub(super) fn mishaps(app: &str) -> Vec<(&'static str, Mishap)> {
    let app = || app.to_owned();
    vec![
        ("400-malformed", Mishap::Malformed),
        ("400-ambiguous", Mishap::AmbiguousTarget),
        ("400-two-credentials", Mishap::ConflictingCredentials),
        ("401-sign-in", Mishap::SignInRequired),
        ("401-credential", Mishap::CredentialRejected),
        ("403-cross-site", Mishap::CrossSite),
        ("403-origin", Mishap::OriginRefused),
        ("403-upgrade", Mishap::UpgradeRefused),
        ("404-no-app", Mishap::NoRoute),
        ("404-no-page", Mishap::NoPage),
        ("405-method", Mishap::Method),
        ("408-slow", Mishap::RequestTimeout),
        ("413-body", Mishap::BodyTooLarge { limit: 1 << 30 }),
        ("421-misdirected", Mishap::Misdirected),
        (
            "429-rate",
            Mishap::RateLimited {
                wait: Duration::from_secs(12),
            },
        ),
        ("431-head", Mishap::HeadTooLarge { limit: 32 << 10 }),
        ("500-defect", Mishap::Defect),
        ("502-unreachable", Mishap::Unreachable { app: app() }),
        ("502-untrusted", Mishap::Untrusted { app: app() }),
        ("502-answer", Mishap::BadAnswer { app: app() }),
        ("503-audit", Mishap::AuditUnavailable),
        ("503-store", Mishap::StoreUnavailable),
        ("503-signer", Mishap::SignerUnavailable),
        ("503-overloaded", Mishap::Overloaded),
        (
            "504-timeout",
            Mishap::NoAnswer {
                app: app(),
                after: Duration::from_secs(3),
            },
        ),
    ]
}

/// The recovery codes page alone, for the text file.
pub(super) fn codes_page() -> CodesPage {
    Book {
        fill: str::to_owned,
    }
    .codes(None)
}

fn at() -> Timestamp {
    Timestamp::from_secs(1_795_335_243)
}

fn id() -> RequestId {
    RequestId::new(at(), 0x1234_5678_9abc)
}
