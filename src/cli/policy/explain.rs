//! `portcullis policy explain`: one question, and what every policy said to it.

use std::net::{IpAddr, Ipv4Addr};

use crate::authz::Circumstances;
use crate::authz::described::{Description, ago};
use crate::authz::explain::{Question, explain};
use crate::base::{Clock, Host, RouteName, Timestamp};
use crate::cli::args::{Explain, Format};
use crate::cli::{Failure, Globals, Outcome, open};
use crate::config::Config;
use crate::store::UserState;

/// An address of nobody (RFC 5737), as in policy tests that name none.
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The tenant of people who are not on record.
const USUAL_TENANT: &str = "default";

pub(super) fn run(args: &Explain, globals: &Globals) -> Result<Outcome, Failure> {
    let plan = open::plan(globals)?;
    let question = Question {
        who: person(args, &plan.config, globals)?,
        request: args.request.clone(),
        now: time(args)?,
        client: args.from.unwrap_or(SOMEWHERE),
        circumstances: Circumstances::default(),
    };
    let locate = |host: &str, path: &str| -> Option<RouteName> {
        let host = Host::parse(host).ok()?;
        plan.routes
            .find(&host, path)
            .map(|route| route.name.clone())
    };
    let explanation = explain(&plan.policies, &question, &locate)
        .map_err(|why| Failure::cannot(why.to_string()))?;
    match globals.format {
        Format::Text => globals.out.print(explanation.text(args.verbose))?,
        format => globals.out.print_json(format, &explanation)?,
    }
    Ok(Outcome::yes(explanation.is_allowed()))
}

fn time(args: &Explain) -> Result<Timestamp, Failure> {
    match &args.at {
        None => Ok(Clock::System.now()),
        Some(text) => text.parse().map_err(|_not_a_time| {
            Failure::cannot(format!(
                "`{text}` is no time: write one such as 2026-11-24T10:00:00+01:00"
            ))
        }),
    }
}

/// Who asks, with what is on record about them unless `--group` says otherwise.
fn person(args: &Explain, config: &Config, globals: &Globals) -> Result<Description, Failure> {
    let mut who = Description::new(&args.who, USUAL_TENANT);
    if let Some(name) = args.who.strip_prefix("user:") {
        on_record(name, &mut who, config, globals, args.groups.is_empty());
    }
    if !args.groups.is_empty() {
        who.groups = args.groups.iter().cloned().collect();
    }
    if let Some(text) = &args.verified {
        who.verified = ago(text).map_err(|why| Failure::cannot(why.to_string()))?;
    }
    Ok(who)
}

/// Fills in e-mail address, groups and tenant from the database, and says so when it cannot.
fn on_record(
    name: &str,
    who: &mut Description,
    config: &Config,
    globals: &Globals,
    groups_matter: bool,
) {
    let found = open::store(config).and_then(|store| match store {
        Some(store) => store
            .users
            .find_by_name(&name.trim().to_lowercase())
            .map_err(|error| error.to_string()),
        None => Ok(None),
    });
    match found {
        Ok(Some(user)) => {
            if user.state == UserState::Disabled {
                globals.out.note(format_args!(
                    "{} is disabled and cannot sign in; this is what the policies say",
                    user.email
                ));
            }
            who.who = format!("user:{}", user.email);
            who.groups = user.groups;
            who.tenant = user.tenant;
            who.contractor = user.contractor;
        }
        Ok(None) if groups_matter => {
            globals.out.note(format_args!("{name} is not on record: explained without groups of their own. With groups: --group NAME"));
        }
        Err(why) if groups_matter => {
            globals.out.note(format_args!("the groups of {name} cannot be looked up ({why}): explained without. With groups: --group NAME"));
        }
        Ok(None) | Err(_) => {}
    }
}
