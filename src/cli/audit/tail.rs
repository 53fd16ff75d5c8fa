//! `portcullis audit tail`: the newest entries, and those that follow.

use std::time::Duration;

use super::Log;
use crate::audit::search::{Query, ReadError, Tail};
use crate::audit::{Record, report};
use crate::cli::args::Format;
use crate::cli::{Failure, Globals, Outcome, block_on};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn run(lines: usize, follow: bool, globals: &Globals) -> Result<Outcome, Failure> {
    let log = Log::open(globals)?;
    if globals.format == Format::Text {
        globals
            .out
            .print(format_args!("{}\n", report::head(&log.zone_name)))?;
    }
    // Opened before the newest are read: what is written in between is seen twice rather than never.
    let tail = if follow { Some(open(&log)?) } else { None };
    let mut newest = log.search(&Query::default(), None, lines)?.records;
    newest.reverse();
    let mut last = None;
    show(&newest, &mut last, &log, globals)?;
    match tail {
        Some(tail) => block_on(watch(tail, last, &log, globals))?,
        None => Ok(Outcome::Done),
    }
}

fn open(log: &Log) -> Result<Tail, Failure> {
    Tail::open(&log.folder).map_err(|error| log.unreadable(&ReadError::Disk(error)))
}

/// Ends with the reader of our output, or with a signal.
async fn watch(
    mut tail: Tail,
    mut last: Option<u64>,
    log: &Log,
    globals: &Globals,
) -> Result<Outcome, Failure> {
    loop {
        let fresh = tail
            .poll(log.sealer.as_ref())
            .map_err(|error| log.unreadable(&error))?;
        show(&fresh, &mut last, log, globals)?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Prints what is newer than `last`.
fn show(
    records: &[Record],
    last: &mut Option<u64>,
    log: &Log,
    globals: &Globals,
) -> Result<(), Failure> {
    for record in records {
        if last.is_some_and(|last| record.seq() <= last) {
            continue;
        }
        *last = Some(record.seq());
        let line = match globals.format {
            Format::Text => report::row(record, &log.zone),
            Format::Json | Format::Jsonl => report::json_line(record),
        };
        globals.out.print(format_args!("{line}\n"))?;
    }
    Ok(())
}
