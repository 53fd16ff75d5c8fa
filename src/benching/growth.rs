//! Parts by themselves at sizes that no test reaches: live sessions, the log's tree, a search in a log of years.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::audit::search::{Query, search};
use crate::audit::tree::{FullTile, Tree, leaf_hash, partial_width, tile_levels};
use crate::authn::session::live::{Live, LiveSessions, SignInOrigin};
use crate::authn::session::rules::SessionRules;
use crate::authn::{Method, Principal, SessionFacts};
use crate::base::{Host, PrincipalId, SessionId, Timestamp};
use crate::keys;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
/// Bytes of one entry, and of one segment, as in service.
const LINE_BYTES: u64 = 256;
const SEGMENT_BYTES: u64 = 256 << 20;
/// Entries from one mark of an index to the next.
const STRIDE: u64 = 256;

/// Live sessions, each of a person of its own.
#[derive(Debug)]
pub struct Crowd {
    live: LiveSessions,
    host: Host,
    rules: SessionRules,
}

impl Crowd {
    /// As many sessions as `count`.
    ///
    /// # Errors
    /// Never; the host's name is a good one.
    pub fn of(count: usize) -> Result<Self, Failure> {
        let crowd = Self {
            live: LiveSessions::default(),
            host: Host::parse("app.example.com")?,
            rules: SessionRules {
                lifetime: Duration::from_hours(12),
                idle: Duration::from_mins(30),
                step_up: Duration::from_mins(5),
            },
        };
        for number in 0..count {
            let cookie = keys::sha256(number.to_string().as_bytes());
            let live = Live::new(principal(number), NOW, SignInOrigin::default());
            let cookies = vec![(crowd.host.clone(), cookie)];
            crowd.live.insert(live, cookies);
        }
        Ok(crowd)
    }

    /// Looks the session of one of them up by the hash of its cookie.
    #[must_use]
    pub fn find(&self, number: usize) -> bool {
        let cookie = keys::sha256(number.to_string().as_bytes());
        let found = self.live.find(&cookie, &self.host, &self.rules, NOW);
        found.is_ok()
    }
}

fn principal(number: usize) -> Principal {
    Principal {
        id: PrincipalId::new(format!("u-{number}")),
        login: format!("person{number}").into(),
        email: format!("person{number}@example.com").into(),
        name: "Person".into(),
        groups: Arc::new(BTreeSet::from(["staff".to_owned()])),
        tenant: "default".into(),
        contractor: false,
        session: Arc::new(SessionFacts {
            id: SessionId::new(format!("s-{number}")),
            signed_in_at: NOW,
            verified_at: NOW,
            methods: vec![Method::Password, Method::Totp],
            idp: "local".into(),
            cancelled: CancellationToken::new(),
        }),
    }
}

/// The tree of a log that has so many entries already.
#[derive(Debug)]
pub struct GrownTree {
    tree: Tree,
    full: Vec<FullTile>,
}

impl GrownTree {
    /// `None` never: the widths are those that the size asks for.
    #[must_use]
    pub fn of(entries: u64) -> Option<Self> {
        let mut levels = Vec::new();
        for level in 0..u8::try_from(tile_levels(entries)).ok()? {
            let width = partial_width(entries, level);
            levels.push((0..width).map(|at| leaf_hash(&at.to_be_bytes())).collect());
        }
        let tree = Tree::restore(entries, levels)?;
        let full = Vec::new();
        Some(Self { tree, full })
    }

    /// Adds one entry's line; what the log would write to disk is dropped.
    pub fn append(&mut self, line: &[u8]) {
        self.tree.push(leaf_hash(line), &mut self.full);
        self.full.clear();
    }

    /// The hash that a checkpoint signs.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.tree.root()
    }
}

/// A log of so many entries for a reader: every index is whole, but lines stand only where the searches below look, and
/// the rest of each segment is a hole in its file.
#[derive(Debug)]
pub struct LongLog {
    folder: PathBuf,
    entries: u64,
}

impl LongLog {
    /// Writes the log into `folder`: the indices of 50 GB are 20 MB.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn write(folder: &Path, entries: u64) -> Result<Self, Failure> {
        let segments = folder.join("segments");
        fs::create_dir_all(&segments)?;
        let each = SEGMENT_BYTES / LINE_BYTES;
        let mut first = 0;
        while first < entries {
            let count = each.min(entries - first);
            write_segment(&segments, first, count)?;
            first += count;
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries,
        })
    }

    /// The newest entry, and the one before the middle of the log, as the log page asks for them.
    ///
    /// # Errors
    /// When the log cannot be read or an entry is not found.
    pub fn search(&self, from_the_middle: bool) -> Result<u64, Failure> {
        let middle = (self.entries / 2).next_multiple_of(STRIDE);
        let before = from_the_middle.then_some(middle);
        let found = search(&self.folder, &Query::default(), before, 1, None)?;
        let newest = found.records.first().ok_or("no entry was found")?;
        Ok(newest.seq())
    }
}

fn write_segment(folder: &Path, first: u64, count: u64) -> Result<(), Failure> {
    let lines = File::create(folder.join(format!("{first:020}.jsonl")))?;
    lines.set_len(count * LINE_BYTES)?;
    let mut index = Vec::new();
    for begin in (0..count).step_by(usize::try_from(STRIDE)?) {
        let number = first + begin;
        for word in [
            number,
            begin * LINE_BYTES,
            time_of(number).micros().cast_unsigned(),
        ] {
            index.extend_from_slice(&word.to_be_bytes());
        }
    }
    fs::write(folder.join(format!("{first:020}.index")), index)?;
    // The newest block of the segment has its lines.
    let newest = (count - 1) / STRIDE * STRIDE;
    let mut text = Vec::new();
    for at in newest..count {
        let before = text.len();
        let number = first + at;
        write!(
            text,
            "{{\"seq\":{number},\"time\":\"{}\",\"pad\":\"",
            time_of(number)
        )?;
        let wanted = before + usize::try_from(LINE_BYTES)? - 3;
        text.resize(wanted.max(text.len()), b'x');
        text.extend_from_slice(b"\"}\n");
    }
    lines.write_all_at(&text, newest * LINE_BYTES)?;
    Ok(())
}

/// Ten entries a second.
fn time_of(number: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_millis(number * 100))
}
