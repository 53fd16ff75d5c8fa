//! How one line of the log is spelt: flat JSON, every value bounded, nothing that could end the line early.
//!
//! A line is never refused because of what a stranger sent: long values are cut and named in
//! `portcullis.truncated`. It never holds a raw control character, so one entry is one line everywhere.

use std::time::Duration;

/// An entry longer than this has no place in an entry bundle (C2SP tlog-tiles: 16-bit length).
pub(crate) const LINE_LIMIT: usize = 65_535;

/// Room, in escaped bytes, for a name or a code.
pub(super) const SHORT: usize = 1_024;
/// Room for a path, a query or a list.
pub(super) const LONG: usize = 8_192;
/// Most lines are shorter than this.
const USUAL: usize = 2_048;
/// Marks the end of a value that was cut.
const CUT: &str = "\u{2026}";

/// A JSON object under construction: names are ours, values may come from anybody.
#[derive(Debug)]
pub(super) struct Fields {
    out: Vec<u8>,
    cut: Vec<&'static str>,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut out = Vec::with_capacity(USUAL);
        out.push(b'{');
        Self {
            out,
            cut: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.len() == 1
    }

    /// Which fields were cut so far.
    pub(super) fn cut(&self) -> &[&'static str] {
        &self.cut
    }

    /// Names `fields` of another object as cut too.
    pub(super) fn also_cut(&mut self, fields: &[&'static str]) {
        self.cut.extend_from_slice(fields);
    }

    /// Names are written in this program and hold nothing that JSON escapes.
    fn name(&mut self, name: &'static str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes `value` in at most `room` escaped bytes.
    pub(super) fn text(&mut self, name: &'static str, value: &str, room: usize) {
        self.name(name);
        if escape_into(&mut self.out, value, room) {
            self.cut.push(name);
        }
    }

    pub(super) fn text_if(&mut self, name: &'static str, value: Option<&str>, room: usize) {
        if let Some(value) = value {
            self.text(name, value, room);
        }
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.name(name);
        digits_into(&mut self.out, value, 1);
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
        digits_into(&mut self.out, micros / 1_000, 1);
        self.out.push(b'.');
        digits_into(&mut self.out, micros % 1_000, 3);
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
            cut |= escape_into(&mut self.out, item.as_ref(), SHORT - 8);
        }
        self.out.push(b']');
        if cut {
            self.cut.push(name);
        }
    }

    /// The whole object.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if !self.cut.is_empty() {
            let cut = std::mem::take(&mut self.cut);
            self.list("portcullis.truncated", cut, LONG);
        }
        self.out.push(b'}');
        self.out
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

/// Appends `value` in decimal, with zeros in front up to `least` digits.
fn digits_into(out: &mut Vec<u8>, value: u64, least: usize) {
    let start = out.len();
    let mut rest = value;
    while rest > 0 || out.len() - start < least {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
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

    use super::{Fields, LONG, SHORT};

    fn one(value: &str, room: usize) -> String {
        let mut fields = Fields::new();
        fields.text("a", value, room);
        String::from_utf8(fields.finish()).unwrap()
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
        let mut fields = Fields::new();
        fields.number("a", 0);
        fields.number("b", u64::MAX);
        fields.millis("c", std::time::Duration::from_micros(12_045));
        fields.millis("d", std::time::Duration::ZERO);
        let line = String::from_utf8(fields.finish()).unwrap();
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
