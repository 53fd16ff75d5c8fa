//! Finding entries, newest first, while the server runs or without it. Reads only.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Folder;
use super::record::Record;
use super::seal::{KeyringError, Sealer};
use super::segment::{Lines, Mark, Next, Segment};
use crate::base::{RequestId, Timestamp};

/// How far an entry's time may lie behind that of an earlier entry before a search by time could miss it.
const DISORDER: Duration = Duration::from_hours(2);

/// Reading failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read the audit log")]
    Disk(#[from] io::Error),
    #[error("cannot open the sealed fields")]
    Keyring(#[from] KeyringError),
}

/// What to look for; an empty query finds everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Id, e-mail address or the part of it before the `@`.
    pub(crate) user: Option<String>,
    pub(crate) route: Option<String>,
    /// `allow`, `deny` or `none`.
    pub(crate) decision: Option<String>,
    pub(crate) policy: Option<String>,
    /// An `event.name`, or the beginning of one up to a dot: `sign_in`.
    pub(crate) action: Option<String>,
    pub(crate) ip: Option<String>,
    pub(crate) request: Option<RequestId>,
    /// Found in any value, letter case ignored.
    pub(crate) text: Option<String>,
}

/// A part of the short query form that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error(
        "`{0}` is not something to search by; there are user, route, decision, policy, event, ip, since, until and request"
    )]
    Key(String),
    #[error("`{0}` is neither a time such as 2026-11-22T08:00:00Z nor a span such as 24h")]
    Time(String),
    #[error("`{0}` is not a request id")]
    Request(String),
}

/// A time, or a span such as `90m`, `24h`, `7d` before `now`.
pub(crate) fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, QueryError> {
    let span = text
        .split_at_checked(text.len().saturating_sub(1))
        .and_then(|(digits, unit)| {
            let count: u64 = digits.parse().ok()?;
            let secs = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            Some(Duration::from_secs(count.checked_mul(secs)?))
        });
    match span {
        Some(span) => Ok(now.minus(span)),
        None => text
            .parse()
            .map_err(|_not_a_time| QueryError::Time(text.to_owned())),
    }
}

impl Query {
    /// Reads `user:kim decision:deny since:7d words`; words without a key are searched in every value.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let mut words = Vec::new();
        for part in text.split_whitespace() {
            let Some((key, value)) = part.split_once(':') else {
                words.push(part);
                continue;
            };
            let some = Some(value.to_owned());
            match key {
                "user" => query.user = some,
                "route" => query.route = some,
                "decision" => query.decision = some,
                "policy" => query.policy = some,
                "action" | "event" => query.action = some,
                "ip" => query.ip = some,
                "since" => query.since = Some(parse_time(value, now)?),
                "until" => query.until = Some(parse_time(value, now)?),
                "request" => {
                    let id = value.parse();
                    query.request =
                        Some(id.map_err(|_not_an_id| QueryError::Request(value.to_owned()))?);
                }
                _ => return Err(QueryError::Key(key.to_owned())),
            }
        }
        if !words.is_empty() {
            query.text = Some(words.join(" "));
        }
        Ok(query)
    }

    /// Judges by the clear fields, which costs no key.
    fn may_match(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| record.has(name, wanted))
        };
        let time = record.time();
        let request = self.request.map(|id| id.to_string());
        self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time < until)
            && is(&self.route, "http.route")
            && is(&self.decision, "portcullis.decision")
            && is(&self.policy, "security_rule.name")
            && is(&request, "portcullis.request.id")
            && self.action.as_ref().is_none_or(|action| {
                record.text("event.name").is_some_and(|name| {
                    name.strip_prefix(action.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
            })
    }

    /// Judges by personal fields too.
    fn matches(&self, record: &Record) -> bool {
        let user = self.user.as_ref().is_none_or(|user| {
            let email = record
                .text("user.email")
                .or_else(|| record.text("portcullis.claimed_name"))
                .unwrap_or_default();
            let name = email.split('@').next().unwrap_or_default();
            record.has("user.id", user)
                || record.has("portcullis.actor", user)
                || (!email.is_empty() && (email == user || name == user))
        });
        let ip = self.ip.as_ref().is_none_or(|ip| {
            record.has("client.address", ip) || record.has("network.peer.address", ip)
        });
        user && ip
            && self.text.as_ref().is_none_or(|text| {
                let text = text.to_lowercase();
                record.fields.values().any(|value| {
                    let shown = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    shown.to_lowercase().contains(&text)
                })
            })
    }
}

/// What a search gave.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Newest first.
    pub(crate) records: Vec<Record>,
    /// Entries that were looked at.
    pub(crate) scanned: u64,
    /// There may be more behind the last one.
    pub(crate) more: bool,
}

/// The newest `limit` entries that match, older than entry `before` if given. Without `sealer` personal fields stay sealed.
pub(crate) fn search(
    folder: &Path,
    query: &Query,
    before: Option<u64>,
    limit: usize,
    sealer: Option<&Sealer>,
) -> Result<Found, ReadError> {
    let mut found = Found::default();
    let since = match query.request {
        // An id carries the time of its request, and the entry is written after that.
        Some(id) => Some(query.since.unwrap_or_else(|| time_of(id))),
        None => query.since,
    };
    let late = query.until.map(|until| until.plus(DISORDER));
    let segments = Segment::list(&Folder::new(folder).segments())?;
    let blocks = (reached(&segments, before, late).iter().rev()).flat_map(blocks);
    for block in blocks {
        if before.is_some_and(|before| block.start.seq >= before) {
            continue;
        }
        let past = since.is_some_and(|since| block.start.time.plus(DISORDER) < since);
        if late.is_none_or(|late| block.start.time < late) {
            for mut record in block.read()?.into_iter().rev() {
                if before.is_some_and(|before| record.seq() >= before) {
                    continue;
                }
                found.scanned += 1;
                if !query.may_match(&record) {
                    continue;
                }
                if let Some(sealer) = sealer {
                    record.unseal(sealer)?;
                }
                if !query.matches(&record) {
                    continue;
                }
                if found.records.len() == limit {
                    found.more = true;
                    return Ok(found);
                }
                found.records.push(record);
            }
        }
        if past {
            break;
        }
    }
    Ok(found)
}

fn time_of(id: RequestId) -> Timestamp {
    Timestamp::from_millis(i64::try_from(id.to_u128() >> 52).unwrap_or(0))
}

/// Some neighbouring lines of one segment.
struct Block {
    segment: PathBuf,
    start: Mark,
    /// Where the next block begins; `None` for the last of a segment.
    end: Option<u64>,
}

/// The segments that can hold an entry before number `before` and time `late`. Asks as few of them as a halving search
/// does: a log of years has hundreds.
fn reached(segments: &[Segment], before: Option<u64>, late: Option<Timestamp>) -> &[Segment] {
    let count = segments.partition_point(|segment| {
        before.is_none_or(|before| segment.first < before)
            && late.is_none_or(|late| segment.begins().is_none_or(|begins| begins < late))
    });
    segments.get(..count).unwrap_or(segments)
}

/// All blocks of a segment, newest first.
fn blocks(segment: &Segment) -> Vec<Block> {
    let mut marks = segment.marks();
    let whole = Mark {
        seq: segment.first,
        offset: 0,
        time: marks.first().map_or(Timestamp::EPOCH, |mark| mark.time),
    };
    if marks.first().is_none_or(|mark| mark.offset > 0) {
        marks.insert(0, whole);
    }
    let mut all = Vec::with_capacity(marks.len());
    let mut end = None;
    for start in marks.into_iter().rev() {
        all.push(Block {
            segment: segment.path.clone(),
            start,
            end,
        });
        end = Some(start.offset);
    }
    all
}

impl Block {
    fn read(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        let mut lines = Lines::open(&self.segment, self.start.offset)?;
        // What the server is just writing is not complete and left for the next time.
        while let Next::Line { offset, bytes } = lines.next()? {
            if self.end.is_some_and(|end| offset >= end) {
                break;
            }
            records.extend(Record::parse(bytes));
        }
        Ok(records)
    }
}

/// Follows the log.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: Folder,
    segment: Option<Segment>,
    offset: u64,
    next: u64,
}

impl Tail {
    /// Starts behind the newest entry.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut tail = Self {
            folder: Folder::new(folder),
            segment: None,
            offset: 0,
            next: 0,
        };
        if let Some(segment) = Segment::list(&tail.folder.segments())?.pop() {
            let start = segment.start_for(u64::MAX)?;
            tail.offset = start.offset;
            tail.next = start.seq;
            tail.segment = Some(segment);
            while !tail.read()?.is_empty() {}
        }
        Ok(tail)
    }

    /// The entries written since the last call, oldest first.
    pub(crate) fn poll(&mut self, sealer: Option<&Sealer>) -> Result<Vec<Record>, ReadError> {
        let mut records = self.read()?;
        if let Some(sealer) = sealer {
            for record in &mut records {
                record.unseal(sealer)?;
            }
        }
        Ok(records)
    }

    fn read(&mut self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        // The next segment is begun only when this one is whole, so this one is read to its end first.
        let following = self.following()?;
        if let Some(segment) = &self.segment {
            let mut lines = Lines::open(&segment.path, self.offset)?;
            while let Next::Line { offset, bytes } = lines.next()? {
                self.offset = offset + u64::try_from(bytes.len()).unwrap_or(0) + 1;
                self.next += 1;
                records.extend(Record::parse(bytes));
            }
        }
        if let Some(segment) = following {
            self.segment = Some(segment);
            self.offset = 0;
            records.append(&mut self.read()?);
        }
        Ok(records)
    }

    fn following(&self) -> io::Result<Option<Segment>> {
        let current = self.segment.as_ref().map(|segment| segment.first);
        let segments = Segment::list(&self.folder.segments())?;
        Ok(segments
            .into_iter()
            .find(|segment| current.is_none_or(|current| segment.first > current)))
    }
}

#[cfg(test)]
mod tests;
