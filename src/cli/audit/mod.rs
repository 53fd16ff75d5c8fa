//! `portcullis audit`: reads and verifies the log, beside a running server or without one.
//!
//! Nothing here writes. Personal fields are opened for whoever may read the master key and the database; for everybody
//! else they stay sealed, and the command says why.

mod tail;
mod verify;

use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::args::{Audit, AuditSearch, Format};
use super::{Failure, Globals, Outcome, open, shown};
use crate::audit::search::{Found, Query, QueryError, ReadError, parse_time, search};
use crate::audit::{Record, Sealer, report};
use crate::base::{Clock, RequestId, Timestamp};

/// Entries of one request that `show` prints: long streams have one every few minutes.
const ENTRIES_OF_A_REQUEST: usize = 1000;

pub(super) fn run(verb: &Audit, globals: &Globals) -> Result<Outcome, Failure> {
    match verb {
        Audit::Tail { lines, no_follow } => tail::run(*lines, !no_follow, globals),
        Audit::Search(args) => find(args, globals),
        Audit::Show { id } => show(id, globals),
        Audit::Verify(args) => verify::run(args, globals),
    }
}

/// A log, and the keys to its personal fields as far as this reader has them.
struct Log {
    folder: PathBuf,
    sealer: Option<Sealer>,
    zone: TimeZone,
    zone_name: String,
}

impl Log {
    fn open(globals: &Globals) -> Result<Self, Failure> {
        let config = open::config(globals)?;
        let folder = config.audit_folder();
        let sealer = match open::sealer(&config) {
            Ok(sealer) => Some(sealer),
            Err(why) if folder.exists() => {
                globals
                    .out
                    .note(format_args!("personal fields stay sealed: {why}"));
                None
            }
            Err(_nothing_to_open) => None,
        };
        let timezone = config.server.timezone;
        Ok(Self {
            folder,
            sealer,
            zone: timezone.zone,
            zone_name: timezone.name,
        })
    }

    /// The newest `limit` entries that match; none before the first start.
    fn search(&self, query: &Query, before: Option<u64>, limit: usize) -> Result<Found, Failure> {
        if !self.folder.exists() {
            return Ok(Found::default());
        }
        search(&self.folder, query, before, limit, self.sealer.as_ref())
            .map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &ReadError) -> Failure {
        Failure::caused(
            &format!("the audit log in {} cannot be read", shown(&self.folder)),
            error,
        )
    }
}

fn find(args: &AuditSearch, globals: &Globals) -> Result<Outcome, Failure> {
    let query =
        query(args, Clock::System.now()).map_err(|error| Failure::cannot(error.to_string()))?;
    let log = Log::open(globals)?;
    let found = log.search(&query, None, args.limit)?;
    match globals.format {
        Format::Text if found.records.is_empty() => {}
        Format::Text => globals
            .out
            .print(report::table(&found, &log.zone, &log.zone_name))?,
        format => globals.out.print(listed(&found.records, format))?,
    }
    if found.records.is_empty() {
        globals.out.note(format_args!(
            "nothing found in {} ({} entries looked at)",
            shown(&log.folder),
            found.scanned
        ));
        return Ok(Outcome::yes(!args.exit_code));
    }
    if found.more && globals.format != Format::Text {
        globals.out.note(format_args!(
            "older entries match too; --limit {} was reached",
            args.limit
        ));
    }
    Ok(Outcome::Done)
}

/// One array, or one entry per line.
fn listed(records: &[Record], format: Format) -> String {
    let lines: Vec<String> = records.iter().map(report::json_line).collect();
    match format {
        Format::Json => format!("[{}]\n", lines.join(",\n ")),
        Format::Text | Format::Jsonl => lines.iter().map(|line| format!("{line}\n")).collect(),
    }
}

/// The terms, and the flags on top of them.
fn query(args: &AuditSearch, now: Timestamp) -> Result<Query, QueryError> {
    let mut query = Query::parse(&args.terms.join(" "), now)?;
    let time = |text: &Option<String>| text.as_ref().map(|text| parse_time(text, now)).transpose();
    let flags = Query {
        since: time(&args.since)?,
        until: time(&args.until)?,
        user: args.user.clone(),
        route: args.route.clone(),
        decision: args.decision.clone(),
        policy: args.policy.clone(),
        action: args.event.clone(),
        ip: args.ip.map(|ip| ip.to_string()),
        request: None,
        text: args.text.clone(),
    };
    query.since = flags.since.or(query.since);
    query.until = flags.until.or(query.until);
    query.user = flags.user.or(query.user);
    query.route = flags.route.or(query.route);
    query.decision = flags.decision.or(query.decision);
    query.policy = flags.policy.or(query.policy);
    query.action = flags.action.or(query.action);
    query.ip = flags.ip.or(query.ip);
    query.text = flags.text.or(query.text);
    Ok(query)
}

fn show(id: &str, globals: &Globals) -> Result<Outcome, Failure> {
    let wanted = Wanted::read(id)?;
    let log = Log::open(globals)?;
    let mut records = match &wanted {
        Wanted::Number(number) => {
            let before = number.saturating_add(1);
            let mut found = log.search(&Query::default(), Some(before), 1)?.records;
            found.retain(|record| record.seq() == *number);
            found
        }
        Wanted::Request(request) => {
            let query = Query {
                request: Some(*request),
                ..Query::default()
            };
            log.search(&query, None, ENTRIES_OF_A_REQUEST)?.records
        }
    };
    if records.is_empty() {
        return Err(Failure::cannot(format!(
            "the audit log in {} has no entry {id}",
            shown(&log.folder)
        )));
    }
    records.reverse();
    match globals.format {
        Format::Text => {
            let texts: Vec<String> = records
                .iter()
                .map(|record| report::detail(record, &log.zone))
                .collect();
            globals.out.print(texts.join("\n"))?;
        }
        format => globals.out.print(listed(&records, format))?,
    }
    Ok(Outcome::Done)
}

/// What `show` is asked for.
enum Wanted {
    Number(u64),
    Request(RequestId),
}

impl Wanted {
    /// `1204297`, `#1,204,297` or a request id.
    fn read(id: &str) -> Result<Self, Failure> {
        let digits = id.trim_start_matches('#').replace(',', "");
        if let Ok(number) = digits.parse() {
            return Ok(Self::Number(number));
        }
        id.parse().map(Self::Request).map_err(|_neither| {
            Failure::cannot(format!("`{id}` is neither the number of an entry nor a request id such as r-06cn-2v9k-80fa-x3te-yq1m"))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Wanted, query};
    use crate::base::Timestamp;
    use crate::cli::args::{Audit, AuditSearch, Cli, Verb};

    fn parsed(words: &[&str]) -> AuditSearch {
        let all = ["portcullis", "audit", "search"].iter().chain(words);
        match Cli::try_parse_from(all).unwrap().verb {
            Verb::Audit(Audit::Search(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn terms_and_flags_ask_the_same_question_and_flags_win() {
        let now = Timestamp::from_secs(1_000_000);
        let terms = query(&parsed(&["user:kim", "decision:deny", "since:1h"]), now).unwrap();
        let flags = query(
            &parsed(&["--user", "kim", "--decision", "deny", "--since", "1h"]),
            now,
        )
        .unwrap();
        assert_eq!(terms, flags);
        let both = query(&parsed(&["user:kim", "--user", "ana"]), now).unwrap();
        assert_eq!(both.user.as_deref(), Some("ana"));
        assert!(query(&parsed(&["--since", "yesterday"]), now).is_err());
        assert!(query(&parsed(&["colour:red"]), now).is_err());
    }

    #[test]
    fn an_entry_is_named_by_number_or_request() {
        assert!(matches!(Wanted::read("#1,204"), Ok(Wanted::Number(1204))));
        assert!(matches!(Wanted::read("17"), Ok(Wanted::Number(17))));
        assert!(Wanted::read("kim").is_err());
    }
}
