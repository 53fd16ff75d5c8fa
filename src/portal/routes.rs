//! Every page of our own: method, path, who may call it. Dispatch reads this table and nothing else does the checking.

use super::{
    Fields, Visit, apps, assets, confirm, enrol, handover, recovery_codes, second_factor, sessions,
};
use super::{answer::Outcome, sign_in, sign_out, theme, wellknown};
use crate::pages::paths;

/// How an endpoint is asked. GET stands for HEAD as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

/// On which hosts an endpoint exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Portal,
    /// The portal's host and every host that a route has.
    Every,
    /// Every host but the portal's.
    Apps,
}

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    /// A password was right; the second factor is due.
    HalfWay,
    SignedIn,
    /// Signed in, with a second factor that is not older than the step-up age.
    Fresh,
}

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Page {
    Apps,
    SignIn,
    GivePassword,
    SecondFactor,
    GiveSecondFactor,
    Restart,
    Confirm,
    GiveConfirmation,
    AskSignOut,
    SignOut,
    SignedOut,
    Sessions,
    EndSession,
    EndAllSessions,
    RecoveryCodes,
    MakeRecoveryCodes,
    NewRecoveryCodes,
    StoredRecoveryCodes,
    RecoveryCodesText,
    Theme,
    Enrol,
    BeginEnrol,
    EnrolPassword,
    GiveEnrolPassword,
    EnrolFactor,
    GiveEnrolFactor,
    Callback,
    SignOutElsewhere,
    Asset,
    KeySet,
    Discovery,
}

/// One row of [`ROUTES`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    pub(super) verb: Verb,
    pub(super) place: Place,
    /// Exact; below it when it ends with a slash and is not `/`.
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) page: Page,
}

const fn row(verb: Verb, place: Place, path: &'static str, who: Who, page: Page) -> Endpoint {
    Endpoint {
        verb,
        place,
        path,
        who,
        page,
    }
}

/// Exact paths stand before those that cover everything below them.
pub(super) const ROUTES: &[Endpoint] = {
    use Place::{Apps, Every, Portal};
    use Verb::{Get, Post};
    use Who::{Anyone, Fresh, HalfWay, SignedIn};
    &[
        row(Get, Portal, paths::APPS, SignedIn, Page::Apps),
        row(Get, Portal, paths::SIGN_IN, Anyone, Page::SignIn),
        row(Post, Portal, paths::SIGN_IN, Anyone, Page::GivePassword),
        row(
            Get,
            Portal,
            paths::SECOND_FACTOR,
            HalfWay,
            Page::SecondFactor,
        ),
        row(
            Post,
            Portal,
            paths::SECOND_FACTOR,
            HalfWay,
            Page::GiveSecondFactor,
        ),
        row(Post, Portal, paths::RESTART, Anyone, Page::Restart),
        row(Get, Portal, paths::CONFIRM, SignedIn, Page::Confirm),
        row(
            Post,
            Portal,
            paths::CONFIRM,
            SignedIn,
            Page::GiveConfirmation,
        ),
        row(Get, Portal, paths::SIGN_OUT, SignedIn, Page::AskSignOut),
        row(Post, Portal, paths::SIGN_OUT, Anyone, Page::SignOut),
        row(Get, Portal, paths::SIGNED_OUT, Anyone, Page::SignedOut),
        row(Get, Portal, paths::SESSIONS, SignedIn, Page::Sessions),
        row(Post, Portal, paths::END_SESSION, SignedIn, Page::EndSession),
        row(
            Post,
            Portal,
            paths::END_ALL_SESSIONS,
            SignedIn,
            Page::EndAllSessions,
        ),
        row(
            Get,
            Portal,
            paths::RECOVERY_CODES,
            SignedIn,
            Page::RecoveryCodes,
        ),
        row(
            Post,
            Portal,
            paths::RECOVERY_CODES,
            Fresh,
            Page::MakeRecoveryCodes,
        ),
        row(
            Get,
            Portal,
            paths::NEW_CODES,
            SignedIn,
            Page::NewRecoveryCodes,
        ),
        row(
            Post,
            Portal,
            paths::NEW_CODES,
            SignedIn,
            Page::StoredRecoveryCodes,
        ),
        row(
            Get,
            Portal,
            paths::NEW_CODES_FILE,
            SignedIn,
            Page::RecoveryCodesText,
        ),
        row(Post, Portal, paths::THEME, Anyone, Page::Theme),
        row(
            Get,
            Portal,
            paths::ENROL_PASSWORD,
            Anyone,
            Page::EnrolPassword,
        ),
        row(
            Post,
            Portal,
            paths::ENROL_PASSWORD,
            Anyone,
            Page::GiveEnrolPassword,
        ),
        row(Get, Portal, paths::ENROL_FACTOR, Anyone, Page::EnrolFactor),
        row(
            Post,
            Portal,
            paths::ENROL_FACTOR,
            Anyone,
            Page::GiveEnrolFactor,
        ),
        row(Get, Portal, paths::ENROL, Anyone, Page::Enrol),
        row(Post, Portal, paths::ENROL, Anyone, Page::BeginEnrol),
        row(Get, Apps, paths::CALLBACK, Anyone, Page::Callback),
        row(
            Get,
            Apps,
            paths::SIGN_OUT_HERE,
            Anyone,
            Page::SignOutElsewhere,
        ),
        row(Get, Every, paths::ASSETS, Anyone, Page::Asset),
        row(Get, Every, paths::JWKS, Anyone, Page::KeySet),
        row(Get, Every, paths::DISCOVERY, Anyone, Page::Discovery),
    ]
};

impl Endpoint {
    fn is_at(&self, path: &str, on_portal: bool) -> bool {
        let here = match self.place {
            Place::Portal => on_portal,
            Place::Apps => !on_portal,
            Place::Every => true,
        };
        let below = self.path.len() > 1 && self.path.ends_with('/');
        here && if below {
            path.len() > self.path.len() && path.starts_with(self.path)
        } else {
            path == self.path
        }
    }

    /// The part of `path` below an endpoint that covers more than one.
    pub(super) fn rest<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.path).unwrap_or_default()
    }
}

/// What a method and a path mean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Page(&'static Endpoint),
    /// The path is ours, with these methods only.
    Method(&'static str),
    Nothing,
}

/// Is there a page at this path, whatever the method?
pub(super) fn exists(path: &str, on_portal: bool) -> bool {
    ROUTES
        .iter()
        .any(|endpoint| endpoint.is_at(path, on_portal))
}

pub(super) fn find(method: &http::Method, path: &str, on_portal: bool) -> Found {
    let Some(first) = ROUTES
        .iter()
        .find(|endpoint| endpoint.is_at(path, on_portal))
    else {
        return Found::Nothing;
    };
    let same = || ROUTES.iter().filter(|endpoint| endpoint.path == first.path);
    let verb = match method.as_str() {
        "GET" | "HEAD" => Some(Verb::Get),
        "POST" => Some(Verb::Post),
        _ => None,
    };
    if let Some(endpoint) = same().find(|endpoint| Some(endpoint.verb) == verb) {
        return Found::Page(endpoint);
    }
    let has = |verb| same().any(|endpoint| endpoint.verb == verb);
    Found::Method(match (has(Verb::Get), has(Verb::Post)) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        (false, _) => "POST",
    })
}

/// Calls what answers. Everything that [`ROUTES`] asks for has been checked.
pub(super) async fn call(endpoint: &Endpoint, visit: &Visit<'_>, form: &Fields) -> Outcome {
    match endpoint.page {
        Page::Apps => apps::show(visit),
        Page::SignIn => sign_in::show(visit),
        Page::GivePassword => sign_in::take(visit, form).await,
        Page::SecondFactor => second_factor::show(visit),
        Page::GiveSecondFactor => second_factor::take(visit, form).await,
        Page::Restart => Ok(second_factor::restart(visit, form)),
        Page::Confirm => confirm::show(visit),
        Page::GiveConfirmation => confirm::take(visit, form).await,
        Page::AskSignOut => sign_out::ask(visit),
        Page::SignOut => sign_out::take(visit).await,
        Page::SignedOut => Ok(sign_out::show(visit)),
        Page::Sessions => sessions::show(visit),
        Page::EndSession => sessions::end(visit, form).await,
        Page::EndAllSessions => sessions::end_all(visit, form).await,
        Page::RecoveryCodes => recovery_codes::show(visit),
        Page::MakeRecoveryCodes => recovery_codes::make(visit).await,
        Page::NewRecoveryCodes => recovery_codes::new(visit),
        Page::StoredRecoveryCodes => recovery_codes::stored(visit, form),
        Page::RecoveryCodesText => recovery_codes::text(visit),
        Page::Theme => theme::take(visit, form),
        Page::Enrol => enrol::welcome(visit, endpoint.rest(visit.path())),
        Page::BeginEnrol => enrol::begin(visit, endpoint.rest(visit.path())),
        Page::EnrolPassword => enrol::password::show(visit),
        Page::GiveEnrolPassword => enrol::password::take(visit, form).await,
        Page::EnrolFactor => enrol::factor::show(visit),
        Page::GiveEnrolFactor => enrol::factor::take(visit, form).await,
        Page::Callback => handover::arrive(visit).await,
        Page::SignOutElsewhere => Ok(sign_out::elsewhere(visit)),
        Page::Asset => assets::show(visit),
        Page::KeySet => wellknown::key_set(visit),
        Page::Discovery => wellknown::discovery(visit),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::Method;

    use super::{Found, Page, Place, ROUTES, Verb, Who, exists, find};

    fn found(method: &Method, path: &str, on_portal: bool) -> Option<Page> {
        match find(method, path, on_portal) {
            Found::Page(endpoint) => Some(endpoint.page),
            Found::Method(_) | Found::Nothing => None,
        }
    }

    #[test]
    fn every_row_is_found_by_its_own_path_and_answers_once() {
        let mut pages = HashSet::new();
        for row in ROUTES {
            assert!(pages.insert(row.page), "{:?} stands twice", row.page);
            let path = if row.path.len() > 1 && row.path.ends_with('/') {
                format!("{}x", row.path)
            } else {
                row.path.to_owned()
            };
            let method = if row.verb == Verb::Get {
                Method::GET
            } else {
                Method::POST
            };
            for on_portal in [true, false] {
                let here = row.place == Place::Every || (row.place == Place::Portal) == on_portal;
                assert_eq!(
                    found(&method, &path, on_portal) == Some(row.page),
                    here,
                    "{path} {on_portal}"
                );
            }
        }
    }

    #[test]
    fn whoever_is_not_signed_in_reaches_a_closed_list_of_pages() {
        let open: Vec<&str> = ROUTES
            .iter()
            .filter(|row| row.who == Who::Anyone)
            .map(|row| row.path)
            .collect();
        let expected = [
            "/sign-in",
            "/sign-in",
            "/sign-in/restart",
            "/sign-out",
            "/signed-out",
            "/theme",
            "/enrol/password",
            "/enrol/password",
            "/enrol/second-factor",
            "/enrol/second-factor",
            "/enrol/",
            "/enrol/",
            "/.portcullis/callback",
            "/.portcullis/sign-out",
            "/.portcullis/assets/",
            "/.well-known/portcullis/jwks.json",
            "/.well-known/portcullis/configuration",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn another_method_is_told_which_ones_are_served() {
        for (method, path, allowed) in [
            (Method::GET, "/theme", "POST"),
            (Method::DELETE, "/sign-in", "GET, HEAD, POST"),
            (Method::POST, "/", "GET, HEAD"),
            (Method::PUT, "/enrol/abc", "GET, HEAD, POST"),
        ] {
            let Found::Method(told) = find(&method, path, true) else {
                panic!("{method} {path}")
            };
            assert_eq!(told, allowed, "{method} {path}");
        }
        assert_eq!(found(&Method::HEAD, "/sign-in", true), Some(Page::SignIn));
    }

    #[test]
    fn near_misses_are_no_pages() {
        for path in [
            "/sign-in/",
            "/Sign-in",
            "/enrol",
            "/enrol/",
            "/.portcullis/",
            "/.portcullis/assets/",
            "/account",
            "//",
        ] {
            assert!(!exists(path, true), "{path}");
        }
        assert!(!exists("/sign-in", false));
    }
}
