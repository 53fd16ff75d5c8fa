//! The launcher: every app, as the policies see it for this person now.
//!
//! A tile is a promise that the gateway keeps, because both ask the same engine the same question.

use std::sync::Arc;

use super::answer::{Answer, Outcome};
use super::visit::Visit;
use crate::authn::Principal;
use crate::authz::{
    AccessRequest, Action, Caller, Circumstances, Decision, Denial, Remedy, Target,
};
use crate::base::{Authority, Host, Reason};
use crate::config::{Explain, HostPattern};
use crate::pages::{Access, Apps, Tile, words};
use crate::route::Route;

/// In the query after signing in with a recovery code.
pub(super) const TELL_CODES: &str = "codes=left";
/// With so few left the launcher says so each time.
const FEW_CODES: usize = 3;

pub(super) fn show(visit: &Visit<'_>) -> Outcome {
    let person = visit.signed_in()?;
    let query = visit.query.text("q").trim();
    let routes = visit.plan().routes.routes().iter();
    let mut tiles: Vec<Tile> = routes
        .filter_map(|route| tile(visit, person, route))
        .collect();
    tiles.sort_by_key(|tile| (tile.title.to_lowercase(), tile.address.clone()));
    let total = tiles.len();
    tiles.retain(|tile| matches(tile, query));
    let zone = &visit.plan().config.server.timezone.zone;
    let hour = visit.now().to_jiff().to_zoned(zone.clone()).hour();
    Ok(Answer::page(&Apps {
        frame: visit.frame(),
        greeting: words::greeting(hour, &person.name),
        query: query.to_owned(),
        tiles,
        total,
        groups: person.groups.iter().cloned().collect(),
        notice: notice(visit, person)?,
    }))
}

/// Every word of the search stands somewhere on the tile.
fn matches(tile: &Tile, query: &str) -> bool {
    let text = format!("{} {} {}", tile.title, tile.description, tile.address).to_lowercase();
    query
        .to_lowercase()
        .split_whitespace()
        .all(|word| text.contains(word))
}

fn notice(visit: &Visit<'_>, person: &Principal) -> Result<Option<String>, super::answer::Stop> {
    let left = visit
        .portal
        .auth
        .people
        .show(&person.login)?
        .recovery_codes_left;
    let tell = visit.query.get("codes").is_some() || left <= FEW_CODES;
    Ok(tell.then(|| words::recovery_codes_left(left)))
}

/// Path of an app's first page.
pub(super) fn start_of(route: &Route) -> String {
    if route.prefix == "/" {
        route.prefix.clone()
    } else {
        format!("{}/", route.prefix)
    }
}

/// `None` for what this person should not know of, and for hosts that are a pattern.
fn tile(visit: &Visit<'_>, person: &Arc<Principal>, route: &Route) -> Option<Tile> {
    let HostPattern::Exact(host) = &route.host else {
        return None;
    };
    if route.hidden {
        return None;
    }
    let path = start_of(route);
    let question = AccessRequest {
        caller: Caller::Person(person),
        action: Action::Http("GET"),
        target: Target::Route(&route.name),
        host: host.as_str(),
        path: &path,
        client: visit.cx.facts.client,
        now: visit.now(),
        id: visit.cx.facts.id,
        circumstances: Circumstances::NONE,
    };
    let access = match visit.plan().policies.decide(&question) {
        Decision::Allow(_permit) => Access::Open,
        Decision::Deny(denial) if matches!(denial.remedy, Remedy::StepUp(_)) => {
            Access::NeedsConfirm
        }
        Decision::Deny(denial) if denial.hide || route.explain == Explain::None => {
            return None;
        }
        Decision::Deny(denial) => Access::Locked { why: why(&denial) },
    };
    let authority = Authority {
        host: Host::clone(host),
        port: visit.plan().port_of(route),
    };
    let shown = if route.prefix == "/" {
        host.to_string()
    } else {
        format!("{host}{}", route.prefix)
    };
    Some(Tile {
        title: route.title.clone(),
        description: route.description.clone().unwrap_or_default(),
        address: shown,
        href: format!("https://{authority}{path}"),
        access,
    })
}

fn why(denial: &Denial) -> String {
    match &denial.reason_text {
        Some(text) => text.to_string(),
        None if denial.reason == Reason::NoPermit => words::NOT_GIVEN.to_owned(),
        None => words::RULED_OUT.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;
    use crate::pages::{Access, Tile};

    #[test]
    fn a_search_finds_all_its_words_in_any_order_and_case() {
        let tile = Tile {
            title: "Billing".to_owned(),
            description: "Reports and rates".to_owned(),
            address: "billing.example.com".to_owned(),
            href: String::new(),
            access: Access::Open,
        };
        for query in ["", "bill", "RATES billing", "example.com"] {
            assert!(matches(&tile, query), "{query}");
        }
        assert!(!matches(&tile, "billing payroll"));
    }
}
