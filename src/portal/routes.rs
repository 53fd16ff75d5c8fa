//! The portal's pages as one table: which method and path, on which host, for whom.
//!
//! A request that is not in the table has no page. The table says who may call; what a page does stands in its own
//! file. Nothing that changes anything is reachable by GET.

use http::Method;

use crate::pages::paths;

/// Every page and action of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Page {
    Apps,
    SignInForm,
    SignIn,
    SecondFactorForm,
    SecondFactor,
    Restart,
    SignOutForm,
    SignOut,
    SignedOut,
    ConfirmForm,
    Confirm,
    Sessions,
    EndSession,
    EndAllSessions,
    RecoveryCodes,
    RenewRecoveryCodes,
    NewCodes,
    NewCodesFile,
    CodesStored,
    Theme,
    EnrolWelcome,
    EnrolBegin,
    EnrolStep,
    EnrolPassword,
    EnrolCode,
    Asset,
    Callback,
    SignOutHere,
    Jwks,
}

/// Who may call. Everything but [`Guard::Anyone`] that is posted needs a form token bound to the named cookie, and
/// every POST needs to come from our own origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// No cookie is looked at.
    Anyone,
    /// Whoever got the form from us: the token is bound to the sign-in cookie, or to the session's where there is one.
    Guest,
    /// The password was right a short while ago, told by the sign-in cookie.
    HalfWay,
    /// The enrolment cookie names a running enrolment.
    Enrolling,
    /// A live session. Without one a navigation is sent to sign in and everything else gets 401.
    SignedIn,
    /// A live session whose second factor is not older than `session.step_up`. Without that: to the confirmation.
    Confirmed,
}

/// On which hosts a page exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Portal,
    /// Hosts of apps only.
    App,
    Everywhere,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) method: Method,
    /// Ends with `/` when one more segment follows: the name of an asset, or the secret of a link.
    pub(crate) path: &'static str,
    pub(crate) place: Place,
    pub(crate) guard: Guard,
    pub(crate) page: Page,
}

const fn entry(
    method: Method,
    path: &'static str,
    place: Place,
    guard: Guard,
    page: Page,
) -> Entry {
    Entry {
        method,
        path,
        place,
        guard,
        page,
    }
}

/// All of them. HEAD is answered wherever GET is.
#[rustfmt::skip]
pub(crate) const ROUTES: &[Entry] = &[
    entry(Method::GET,  paths::APPS,             Place::Portal,     Guard::SignedIn,  Page::Apps),
    entry(Method::GET,  paths::SIGN_IN,          Place::Portal,     Guard::Anyone,    Page::SignInForm),
    entry(Method::POST, paths::SIGN_IN,          Place::Portal,     Guard::Guest,     Page::SignIn),
    entry(Method::GET,  paths::SECOND_FACTOR,    Place::Portal,     Guard::HalfWay,   Page::SecondFactorForm),
    entry(Method::POST, paths::SECOND_FACTOR,    Place::Portal,     Guard::HalfWay,   Page::SecondFactor),
    entry(Method::POST, paths::RESTART,          Place::Portal,     Guard::HalfWay,   Page::Restart),
    entry(Method::GET,  paths::SIGN_OUT,         Place::Portal,     Guard::SignedIn,  Page::SignOutForm),
    entry(Method::POST, paths::SIGN_OUT,         Place::Portal,     Guard::SignedIn,  Page::SignOut),
    entry(Method::GET,  paths::SIGNED_OUT,       Place::Portal,     Guard::Anyone,    Page::SignedOut),
    entry(Method::GET,  paths::CONFIRM,          Place::Portal,     Guard::SignedIn,  Page::ConfirmForm),
    entry(Method::POST, paths::CONFIRM,          Place::Portal,     Guard::SignedIn,  Page::Confirm),
    entry(Method::GET,  paths::SESSIONS,         Place::Portal,     Guard::SignedIn,  Page::Sessions),
    entry(Method::POST, paths::END_SESSION,      Place::Portal,     Guard::SignedIn,  Page::EndSession),
    entry(Method::POST, paths::END_ALL_SESSIONS, Place::Portal,     Guard::SignedIn,  Page::EndAllSessions),
    entry(Method::GET,  paths::RECOVERY_CODES,   Place::Portal,     Guard::SignedIn,  Page::RecoveryCodes),
    entry(Method::POST, paths::RECOVERY_CODES,   Place::Portal,     Guard::Confirmed, Page::RenewRecoveryCodes),
    entry(Method::GET,  paths::NEW_CODES,        Place::Portal,     Guard::Confirmed, Page::NewCodes),
    entry(Method::GET,  paths::NEW_CODES_FILE,   Place::Portal,     Guard::Confirmed, Page::NewCodesFile),
    entry(Method::POST, paths::CODES_STORED,     Place::Portal,     Guard::SignedIn,  Page::CodesStored),
    entry(Method::POST, paths::THEME,            Place::Portal,     Guard::Guest,     Page::Theme),
    entry(Method::GET,  paths::ENROL,            Place::Portal,     Guard::Anyone,    Page::EnrolWelcome),
    entry(Method::POST, paths::ENROL,            Place::Portal,     Guard::Guest,     Page::EnrolBegin),
    entry(Method::GET,  paths::ENROL_STEP,       Place::Portal,     Guard::Enrolling, Page::EnrolStep),
    entry(Method::POST, paths::ENROL_PASSWORD,   Place::Portal,     Guard::Enrolling, Page::EnrolPassword),
    entry(Method::POST, paths::ENROL_CODE,       Place::Portal,     Guard::Enrolling, Page::EnrolCode),
    entry(Method::GET,  paths::CALLBACK,         Place::App,        Guard::Anyone,    Page::Callback),
    entry(Method::GET,  paths::SIGN_OUT_HERE,    Place::App,        Guard::Anyone,    Page::SignOutHere),
    entry(Method::GET,  paths::ASSETS,           Place::Everywhere, Guard::Anyone,    Page::Asset),
    entry(Method::GET,  paths::JWKS,             Place::Everywhere, Guard::Anyone,    Page::Jwks),
];

/// What the table says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// The page, who may call it, and the last segment of paths that have one.
    Page(Page, Guard, Option<&'a str>),
    /// There is a page, but not for this method; these are served.
    OtherMethods(Vec<Method>),
    Nothing,
}

/// Looks a request up.
pub(crate) fn find<'a>(method: &Method, path: &'a str, on_portal: bool) -> Found<'a> {
    let wanted = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut others = Vec::new();
    for entry in ROUTES.iter().filter(|entry| entry.place.is_on(on_portal)) {
        let Some(rest) = entry.matches(path) else {
            continue;
        };
        if entry.method == *wanted {
            return Found::Page(entry.page, entry.guard, rest);
        }
        if entry.method == Method::GET {
            others.push(Method::HEAD);
        }
        others.push(entry.method.clone());
    }
    if others.is_empty() {
        Found::Nothing
    } else {
        Found::OtherMethods(others)
    }
}

/// Does `path` belong to Portcullis, so that no route may have it and no upstream ever sees it?
///
/// On every host: all of [`paths::OWN`] and the key set. On the portal's host: every path of the table and what lies
/// below it; the launcher's `/` only exactly, so that a demo can have its apps on the same host.
pub(crate) fn is_ours(path: &str, on_portal: bool) -> bool {
    let within = |owner: &str| {
        let owner = owner.trim_end_matches('/');
        path.strip_prefix(owner)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if within(paths::OWN) || within("/.well-known/portcullis") {
        return true;
    }
    on_portal
        && (path == paths::APPS
            || ROUTES
                .iter()
                .any(|entry| entry.path != paths::APPS && within(entry.path)))
}

impl Place {
    const fn is_on(self, portal: bool) -> bool {
        match self {
            Self::Portal => portal,
            Self::App => !portal,
            Self::Everywhere => true,
        }
    }
}

impl Entry {
    /// `Some` when the path is this entry's; within it the last segment, where the entry has one.
    fn matches<'a>(&self, path: &'a str) -> Option<Option<&'a str>> {
        if path == self.path && (self.path == paths::APPS || !self.path.ends_with('/')) {
            return Some(None);
        }
        let open = self.path.ends_with('/') && self.path != paths::APPS;
        let rest = path.strip_prefix(self.path).filter(|_| open)?;
        (!rest.is_empty() && !rest.contains('/')).then_some(Some(rest))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::Method;

    use super::{Found, Guard, Page, Place, ROUTES, find, is_ours};
    use crate::pages::paths;

    #[test]
    fn every_page_stands_once_and_is_found_under_its_path() {
        let mut pages = HashSet::new();
        for entry in ROUTES {
            assert!(pages.insert(entry.page), "{:?}", entry.page);
            let open = entry.path.ends_with('/') && entry.path != "/";
            let path = if open {
                format!("{}x", entry.path)
            } else {
                entry.path.to_owned()
            };
            let rest = open.then_some("x");
            let found = find(&entry.method, &path, entry.place != Place::App);
            assert_eq!(found, Found::Page(entry.page, entry.guard, rest));
        }
    }

    #[test]
    fn what_is_posted_always_needs_a_form_of_ours() {
        for entry in ROUTES.iter().filter(|entry| entry.method != Method::GET) {
            assert_eq!(entry.method, Method::POST);
            assert_ne!(entry.guard, Guard::Anyone, "{:?}", entry.page);
        }
    }

    #[test]
    fn another_method_is_told_which_ones_are_served() {
        let found = find(&Method::PUT, paths::SIGN_IN, true);
        assert_eq!(
            found,
            Found::OtherMethods(vec![Method::HEAD, Method::GET, Method::POST])
        );
        let head = find(&Method::HEAD, paths::APPS, true);
        assert_eq!(head, Found::Page(Page::Apps, Guard::SignedIn, None));
    }

    #[test]
    fn pages_of_the_portal_do_not_exist_on_app_hosts() {
        assert_eq!(find(&Method::GET, paths::SIGN_IN, false), Found::Nothing);
        assert_eq!(find(&Method::GET, paths::CALLBACK, true), Found::Nothing);
        assert!(!is_ours(paths::SIGN_IN, false));
    }

    #[test]
    fn nothing_follows_the_last_segment() {
        for path in [
            "/enrol/a/b",
            "/enrol/",
            "/sign-in/",
            "/.portcullis/assets/",
            "//",
            "/x",
        ] {
            assert_eq!(find(&Method::GET, path, true), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn reserved_paths_leave_the_rest_of_the_portals_host_to_routes() {
        for path in [
            "/",
            "/sign-in",
            "/sign-in/x",
            "/enrol/abc",
            "/.portcullis/y",
            "/.portcullis",
            "/account/sessions",
        ] {
            assert!(is_ours(path, true), "{path}");
        }
        for path in [
            "/notes/",
            "/sign-inn",
            "/.portcullisx",
            "/.well-known/acme-challenge/x",
        ] {
            assert!(!is_ours(path, true), "{path}");
        }
        for path in ["/.portcullis/callback", paths::JWKS] {
            assert!(is_ours(path, false), "{path}");
        }
    }
}
