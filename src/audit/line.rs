//! How one line of the log is spelt: flat JSON, every value bounded, nothing that could end the line early.
//!
//! A line is never refused because of what a stranger sent: long values are cut and named in
//! `portcullis.truncated`. It never holds a raw control character, so one entry is one line everywhere.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64;

use crate::base::{RequestId, Timestamp};

/// An entry longer than this has no place in an entry bundle (C2SP tlog-tiles: 16-bit length).
pub(crate) const LINE_LIMIT: usize = 65_535;

/// Room, in escaped bytes, for a name or a code.
pub(super) const SHORT: usize = 1_024;
/// Room for a path, a query or a list.
pub(super) const LONG: usize = 8_192;
/// Marks the end of a value that was cut.
const CUT: &str = "\u{2026}";

/// A JSON object under construction, behind whatever `out` holds: names are ours, values may come from anybody.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    cut: Vec<&'static str>,
}

/// Members that stand in many objects, spelt once.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    /// Each with a comma before it.
    members: Vec<u8>,
    cut: Vec<&'static str>,
}

impl Fragment {
    /// The members that `fill` writes.
    pub(super) fn of(fill: impl FnOnce(&mut Fields<'_>)) -> Self {
        let mut members = Vec::new();
        let mut fields = Fields {
            out: &mut members,
            empty: false,
            cut: Vec::new(),
        };
        fill(&mut fields);
        let cut = fields.cut;
        Self { members, cut }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            empty: true,
            cut: Vec::new(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.empty
    }

    /// Adds members that were spelt before.
    pub(super) fn splice(&mut self, fragment: &Fragment) {
        if let Some((_comma, rest)) = fragment.members.split_first() {
            if !self.empty {
                self.out.push(b',');
            }
            self.out.extend_from_slice(rest);
            self.empty = false;
            self.cut.extend_from_slice(&fragment.cut);
        }
    }

    /// Names are written in this program and hold nothing that JSON escapes.
    #[inline]
    fn name(&mut self, name: &'static str) {
        let before: &[u8] = if self.empty { b"\"" } else { b",\"" };
        self.empty = false;
        self.out.extend_from_slice(before);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes `value` in at most `room` escaped bytes.
    #[inline]
    pub(super) fn text(&mut self, name: &'static str, value: &str, room: usize) {
        self.name(name);
        if escape_into(self.out, value, room) {
            self.cut.push(name);
        }
    }

    pub(super) fn text_if(&mut self, name: &'static str, value: Option<&str>, room: usize) {
        if let Some(value) = value {
            self.text(name, value, room);
        }
    }

    /// Writes a word of this program's own: short, and nothing in it that JSON escapes.
    #[inline]
    pub(super) fn word(&mut self, name: &'static str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    #[inline]
    pub(super) fn request(&mut self, name: &'static str, value: RequestId) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(&value.text());
        self.out.push(b'"');
    }

    #[inline]
    pub(super) fn time(&mut self, name: &'static str, value: Timestamp) {
        self.name(name);
        self.out.push(b'"');
        value.append_to(self.out);
        self.out.push(b'"');
    }

    pub(super) fn address(&mut self, name: &'static str, value: IpAddr) {
        self.name(name);
        self.out.push(b'"');
        match value {
            IpAddr::V4(address) => {
                for (byte, dot) in address.octets().into_iter().zip([false, true, true, true]) {
                    if dot {
                        self.out.push(b'.');
                    }
                    digits_into(self.out, u64::from(byte), 1);
                }
            }
            // Writing to memory does not fail.
            IpAddr::V6(address) => drop(write!(self.out, "{address}")),
        }
        self.out.push(b'"');
    }

    /// Base 64 of `value` (RFC 4648 section 4).
    pub(super) fn base64(&mut self, name: &'static str, value: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        let start = self.out.len();
        self.out.resize(start + BASE64.encode_len(value.len()), 0);
        if let Some(room) = self.out.get_mut(start..) {
            BASE64.encode_mut(value, room);
        }
        self.out.push(b'"');
    }

    #[inline]
    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        digits_into(self.out, value, 1);
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Milliseconds with three decimals.
    pub(super) fn millis(&mut self, name: &'static str, value: Duration) {
        self.name(name);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        digits_into(self.out, micros / 1_000, 1);
        self.out.push(b'.');
        digits_into(self.out, micros % 1_000, 3);
    }

    /// Writes as many items as fit into `room` escaped bytes together.
    pub(super) fn list<T: AsRef<str>>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        room: usize,
    ) {
        self.name(name);
        let start = self.out.len();
        self.out.push(b'[');
        let mut cut = false;
        for item in items {
            let used = self.out.len() - start;
            if used + SHORT > room {
                cut = true;
                break;
            }
            if used > 1 {
                self.out.push(b',');
            }
            cut |= escape_into(self.out, item.as_ref(), SHORT - 8);
        }
        self.out.push(b']');
        if cut {
            self.cut.push(name);
        }
    }

    /// Ends the object. Gives the names of what had to be cut, for the object that tells of it.
    pub(super) fn finish(self) -> Vec<&'static str> {
        self.out.push(b'}');
        self.cut
    }

    /// Ends the line; what had to be cut here or in `personal` is named in it.
    pub(super) fn finish_line(mut self, personal: &[&'static str]) {
        if !self.cut.is_empty() || !personal.is_empty() {
            let mut cut = std::mem::take(&mut self.cut);
            cut.extend_from_slice(personal);
            self.list("portcullis.truncated", cut, LONG);
        }
        self.out.push(b'}');
    }
}

/// Appends `value` as a JSON string of at most `room` bytes between the quotes; `true` when it had to be cut.
///
/// Beyond RFC 8259's demands it escapes DEL, C1 controls, line separators and bidirectional controls:
/// they move a terminal's cursor or lie about the order of characters.
fn escape_into(out: &mut Vec<u8>, value: &str, room: usize) -> bool {
    out.push(b'"');
    let end = out.len() + room.saturating_sub(CUT.len());
    let mut rest = value;
    let cut = loop {
        let (safe, after) = rest.split_at(plain_prefix(rest.as_bytes()));
        let left = end.saturating_sub(out.len());
        if safe.len() > left {
            out.extend(safe.bytes().take(left));
            break true;
        }
        out.extend_from_slice(safe.as_bytes());
        let Some(next) = after.chars().next() else {
            break false;
        };
        if out.len() + 12 > end {
            break true;
        }
        escape_char(out, next);
        rest = after.split_at(next.len_utf8()).1;
    };
    if cut {
        out.extend_from_slice(CUT.as_bytes());
    }
    out.push(b'"');
    cut
}

/// Appends `value` in decimal, with zeros in front up to `least` digits, at most twenty.
pub(super) fn digits_into(out: &mut Vec<u8>, value: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        if rest == 0 && used >= least {
            break;
        }
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// How many bytes from the start can stand in a JSON string as they are, eight at a time.
fn plain_prefix(bytes: &[u8]) -> usize {
    let (eights, _) = bytes.as_chunks::<8>();
    let whole = eights
        .iter()
        .take_while(|eight| is_plain(u64::from_ne_bytes(**eight)))
        .count()
        * 8;
    let rest = bytes.get(whole..).unwrap_or_default();
    let plain = rest
        .iter()
        .position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'));
    whole + plain.unwrap_or(rest.len())
}

/// No byte of the word is a control, a quote, a backslash, DEL or above: each test leaves the high bit of a byte that
/// fails it (<https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord>).
const fn is_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    const fn has_zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = has_zero(word ^ (ONES * 0x22)) | has_zero(word ^ (ONES * 0x5c));
    (word | controls | quotes | has_zero(word ^ (ONES * 0x7f))) & HIGH == 0
}

fn escape_char(out: &mut Vec<u8>, next: char) {
    match next {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_deceptive(next) => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(next)).as_bytes());
        }
        _ => out.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Characters that print as nothing, move the cursor or turn the reading direction. All lie below U+10000.
pub(super) fn is_deceptive(next: char) -> bool {
    next.is_control()
        || matches!(next, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fields, Fragment, LONG, SHORT};

    fn line(fill: impl FnOnce(&mut Fields<'_>)) -> String {
        let mut out = Vec::new();
        let mut fields = Fields::begin(&mut out);
        fill(&mut fields);
        fields.finish_line(&[]);
        String::from_utf8(out).unwrap()
    }

    fn one(value: &str, room: usize) -> String {
        line(|fields| fields.text("a", value, room))
    }

    #[test]
    fn hostile_values_stay_inside_their_string() {
        let line = one("x\",\"b\":1}\r\n\u{1b}[2J\u{9b}\u{202e}\u{7f}", SHORT);
        assert!(
            line.bytes()
                .all(|byte| (b' '..0x7f).contains(&byte) || byte >= 0x80)
        );
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["a"], "x\",\"b\":1}\r\n\u{1b}[2J\u{9b}\u{202e}\u{7f}");
        assert!(!line.contains('\u{9b}') && !line.contains('\u{202e}'));
    }

    #[test]
    fn every_byte_is_judged_alike_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for place in 0..20 {
                let mut text = [b'a'; 20];
                text[place] = byte;
                let expected = if plain { 20 } else { place };
                assert_eq!(super::plain_prefix(&text), expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn numbers_are_written_as_json_writes_them() {
        let line = line(|fields| {
            fields.number("a", 0);
            fields.number("b", u64::MAX);
            fields.millis("c", std::time::Duration::from_micros(12_045));
            fields.millis("d", std::time::Duration::ZERO);
        });
        let expected = format!("{{\"a\":0,\"b\":{},\"c\":12.045,\"d\":0.000}}", u64::MAX);
        assert_eq!(line, expected);
    }

    #[test]
    fn long_values_are_cut_and_named() {
        let line = one(&"\u{0}".repeat(100_000), LONG);
        assert!(line.len() < LONG + 100);
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["portcullis.truncated"][0], "a");
    }

    #[test]
    fn a_fragment_reads_as_if_it_were_written_in_its_place() {
        let fill = |fields: &mut Fields<'_>| {
            fields.text("a", "x", SHORT);
            fields.text("b", &"y".repeat(2 * SHORT), SHORT);
        };
        let fragment = Fragment::of(fill);
        let empty = Fragment::of(|_| ());
        assert_eq!(line(|fields| fields.splice(&fragment)), line(fill));
        assert_eq!(line(|fields| fields.splice(&empty)), "{}");
        let behind = line(|fields| {
            fields.number("n", 1);
            fields.splice(&empty);
            fields.splice(&fragment);
        });
        let written = line(|fields| {
            fields.number("n", 1);
            fill(fields);
        });
        assert_eq!(behind, written);
        assert!(behind.ends_with("\"portcullis.truncated\":[\"b\"]}"));
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        for text in [
            "0.0.0.0",
            "198.51.100.7",
            "255.10.0.99",
            "::1",
            "2001:db8::7",
        ] {
            let line = line(|fields| fields.address("a", text.parse().unwrap()));
            assert_eq!(line, format!("{{\"a\":\"{text}\"}}"));
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_one_valid_line(value in any::<String>(), room in 16_usize..300) {
            let line = one(&value, room);
            prop_assert!(!line.contains('\n'));
            let back: serde_json::Value = serde_json::from_str(&line).unwrap();
            let read = back["a"].as_str().unwrap();
            let whole = read == value;
            let kept = read.trim_end_matches(super::CUT);
            prop_assert!(whole || value.starts_with(kept));
            prop_assert_eq!(whole, back.get("portcullis.truncated").is_none());
        }
    }
}
