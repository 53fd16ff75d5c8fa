//! The heads of HTTP/2 frames on their way to the library: frames that cost us more than their sender have a budget.
//!
//! Pings, settings, window updates, resets and the like are legitimate one by one and a weapon by the thousand, and the
//! library counts few of them. Only the nine bytes before each payload are read here; nothing is changed, and whether
//! a frame is in order is the library's business. Requests and answers under way earn a client further frames, so that
//! fast transfers are never taken for a flood.

use std::time::Duration;

use tokio::time::Instant;

/// What budgets are per.
const WINDOW: Duration = Duration::from_secs(1);
/// Bytes of the client connection preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// Bytes of answers that earn one more frame; common clients open their windows in steps of 4 KiB and more.
const BYTES_PER_FRAME: u64 = 512;
/// Frames that a request earns: its window, its priority and their changes.
const FRAMES_PER_REQUEST: u64 = 4;

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const PADDED: u8 = 8;
/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u8 = 11;

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flood {
    Reset,
    Ping,
    Settings,
    EmptyData,
    WindowUpdate,
    /// Priorities and frames that the server does not know.
    Other,
    /// What the library bounds by itself: header blocks, resets that the client provokes, content in crumbs.
    Library,
}

impl Flood {
    /// The word for metrics and the audit log.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Ping => "ping",
            Self::Settings => "settings",
            Self::EmptyData => "empty-data",
            Self::WindowUpdate => "window-update",
            Self::Other => "other-frames",
            Self::Library => "protocol",
        }
    }

    /// Whether transfers under way call for such frames.
    const fn is_earned(self) -> bool {
        match self {
            Self::Ping | Self::WindowUpdate | Self::Other => true,
            Self::Reset | Self::Settings | Self::EmptyData | Self::Library => false,
        }
    }
}

/// A number of frames of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) resets: u32,
    pub(crate) pings: u32,
    pub(crate) settings: u32,
    pub(crate) empty_data: u32,
    pub(crate) window_updates: u32,
    pub(crate) others: u32,
}

impl Tally {
    const fn of(&mut self, flood: Flood) -> &mut u32 {
        match flood {
            Flood::Reset => &mut self.resets,
            Flood::Ping => &mut self.pings,
            Flood::Settings => &mut self.settings,
            Flood::EmptyData => &mut self.empty_data,
            Flood::WindowUpdate => &mut self.window_updates,
            Flood::Other | Flood::Library => &mut self.others,
        }
    }
}

/// The head of a frame (RFC 9113 section 4.1).
#[derive(Debug, Clone, Copy)]
struct Head {
    kind: u8,
    flags: u8,
    stream: u32,
    /// Bytes of the payload, padding left out for DATA.
    content: u32,
}

impl Head {
    /// The budget that the frame is paid from.
    const fn cost(self) -> Option<Flood> {
        match self.kind {
            DATA if self.content == 0 && self.flags & END_STREAM == 0 => Some(Flood::EmptyData),
            // An unasked-for acknowledgement of settings is an error to the library.
            SETTINGS if self.flags & ACK != 0 => None,
            DATA | HEADERS | CONTINUATION => None,
            RST_STREAM => Some(Flood::Reset),
            SETTINGS => Some(Flood::Settings),
            PING => Some(Flood::Ping),
            WINDOW_UPDATE => Some(Flood::WindowUpdate),
            _ => Some(Flood::Other),
        }
    }
}

/// Follows frames in one direction, wherever the bytes are cut.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The beginning of a head, and of DATA with padding the length of that.
    held: [u8; HEAD + 1],
    have: usize,
    /// Bytes of a payload that are still to come.
    payload: usize,
}

impl Walk {
    /// No frame has begun that has not ended.
    pub(crate) const fn is_between_frames(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Follows bytes whose frames do not matter.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while self.next(&mut bytes).is_some() {}
    }

    /// The next head that is complete; takes what it has read off `bytes`.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        let skipped = self.payload.min(bytes.len());
        self.payload -= skipped;
        *bytes = bytes.get(skipped..)?;
        while self.have < self.needed() {
            let wanted = self.needed() - self.have;
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            if now.is_empty() {
                return None;
            }
            let end = self.have + now.len();
            self.held.get_mut(self.have..end)?.copy_from_slice(now);
            self.have = end;
            *bytes = later;
        }
        let [a, b, c, kind, flags, s, t, u, v, padding] = self.held;
        let length = u32::from_be_bytes([0, a, b, c]);
        let (read, content) = if self.have > HEAD {
            (1, length.saturating_sub(1 + u32::from(padding)))
        } else {
            (0, length)
        };
        self.have = 0;
        self.payload = usize::try_from(length).unwrap_or(usize::MAX) - read;
        Some(Head {
            kind,
            flags,
            stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
            content,
        })
    }

    /// Bytes of the head, as far as is known.
    const fn needed(&self) -> usize {
        let [a, b, c, kind, flags, ..] = self.held;
        let padded = kind == DATA && flags & PADDED != 0 && (a | b | c) != 0;
        if self.have >= HEAD && padded {
            HEAD + 1
        } else {
            HEAD
        }
    }
}

/// Counts the frames of one client.
#[derive(Debug)]
pub(crate) struct Frames {
    walk: Walk,
    preface: usize,
    /// Frames per [`WINDOW`]; 0 means no bound.
    budgets: Tally,
    spent: Tally,
    /// When the counting of `spent` began.
    began: Instant,
    /// What had been earned then.
    earned_before: u64,
    requests: u64,
    last_stream: u32,
}

impl Frames {
    pub(crate) fn new(budgets: Tally, now: Instant) -> Self {
        Self {
            walk: Walk::default(),
            preface: PREFACE,
            budgets,
            spent: Tally::default(),
            began: now,
            earned_before: 0,
            requests: 0,
            last_stream: 0,
        }
    }

    /// Follows what has come; `answered` is how many bytes the client was sent so far. The clock is looked at only when
    /// a budget is spent.
    ///
    /// # Errors
    /// What there was too much of; the connection must end.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        answered: u64,
        now: impl Fn() -> Instant,
    ) -> Result<(), Flood> {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut rest = bytes.get(preface..).unwrap_or_default();
        while let Some(head) = self.walk.next(&mut rest) {
            if head.kind == HEADERS {
                self.requests += 1;
                self.last_stream = self.last_stream.max(head.stream);
            }
            if let Some(flood) = head.cost() {
                self.spend(flood, answered, &now)?;
            }
        }
        Ok(())
    }

    fn spend(
        &mut self,
        flood: Flood,
        answered: u64,
        now: &impl Fn() -> Instant,
    ) -> Result<(), Flood> {
        let budget = *self.budgets.of(flood);
        let spent = self.spent.of(flood);
        *spent = spent.saturating_add(1);
        let beyond = spent.saturating_sub(budget);
        if beyond == 0 || budget == 0 {
            return Ok(());
        }
        let earned = answered / BYTES_PER_FRAME + self.requests * FRAMES_PER_REQUEST;
        let now = now();
        if now.saturating_duration_since(self.began) >= WINDOW {
            self.began = now;
            self.earned_before = earned;
            self.spent = Tally::default();
            *self.spent.of(flood) = 1;
            return Ok(());
        }
        if flood.is_earned() && u64::from(beyond) <= earned.saturating_sub(self.earned_before) {
            return Ok(());
        }
        Err(flood)
    }

    /// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113 section 6.8), naming the last stream that was seen: none is safe to
    /// repeat by itself.
    pub(crate) fn farewell(&self) -> [u8; HEAD + 8] {
        let [s, t, u, v] = self.last_stream.to_be_bytes();
        [
            0,
            0,
            8,
            GOAWAY,
            0,
            0,
            0,
            0,
            0,
            s,
            t,
            u,
            v,
            0,
            0,
            0,
            ENHANCE_YOUR_CALM,
        ]
    }
}

#[cfg(test)]
mod tests;
