//! The operator's accent colour as a style sheet.
//!
//! A colour is toned towards ink (or towards white on dark) until text in it has the contrast of WCAG 2.2, 1.4.3;
//! what the operator wrote is never copied into the sheet unparsed.

const READABLE: f64 = 4.5;
/// The lightest and darkest grounds that accent text stands on, from the style sheet.
const LIGHT_GROUND: Colour = Colour([0xf1, 0xef, 0xea]);
const DARK_GROUND: Colour = Colour([0x1b, 0x20, 0x25]);
const INK: Colour = Colour([0x0d, 0x1b, 0x29]);
const WHITE: Colour = Colour([0xff, 0xff, 0xff]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Colour([u8; 3]);

impl Colour {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Self([red, green, blue]))
    }

    /// Relative luminance (WCAG 2.2, definition), 0 to 1.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// `step` of 16 parts of the way to `goal`.
    fn towards(self, goal: Self, step: u8) -> Self {
        let [r, g, b] = self.0;
        let [x, y, z] = goal.0;
        let mix = |from: u8, to: u8| {
            let (start, end, step) = (u16::from(from), u16::from(to), u16::from(step));
            u8::try_from((start * (16 - step) + end * step) / 16).unwrap_or(to)
        };
        Self([mix(r, x), mix(g, y), mix(b, z)])
    }

    fn readable_on(self, ground: Self, goal: Self) -> Self {
        (0..=16)
            .map(|step| self.towards(goal, step))
            .find(|tone| tone.contrast(ground) >= READABLE)
            .unwrap_or(goal)
    }

    fn ink_on(self) -> Self {
        if self.contrast(WHITE) >= self.contrast(INK) {
            WHITE
        } else {
            INK
        }
    }

    fn css(self) -> String {
        let [red, green, blue] = self.0;
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The sheet for `#rrggbb`; `None` for any other text.
pub(super) fn sheet(written: &str) -> Option<String> {
    let colour = Colour::parse(written)?;
    let light = colour.readable_on(LIGHT_GROUND, INK);
    let dark = colour.readable_on(DARK_GROUND, WHITE);
    let block = |tone: Colour| {
        format!(
            "--accent:{};--on-accent:{}",
            tone.css(),
            tone.ink_on().css()
        )
    };
    let (light, dark) = (block(light), block(dark));
    Some(format!(
        ":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         :root[data-theme=dark]{{{dark}}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Colour, DARK_GROUND, INK, LIGHT_GROUND, READABLE, WHITE, sheet};

    #[test]
    fn every_accent_becomes_readable_in_both_themes() {
        for written in [
            "#2f5d8a", "#ffff00", "#000000", "#ffffff", "#ff0000", "#7f7f7f", "#00ff88",
        ] {
            let colour = Colour::parse(written).unwrap();
            for (ground, goal) in [(LIGHT_GROUND, INK), (DARK_GROUND, WHITE)] {
                let tone = colour.readable_on(ground, goal);
                assert!(tone.contrast(ground) >= READABLE, "{written}");
                assert!(tone.contrast(tone.ink_on()) >= READABLE, "{written}");
            }
        }
    }

    #[test]
    fn a_readable_accent_is_kept_as_written() {
        assert!(
            sheet("#2f5d8a")
                .unwrap()
                .starts_with(":root{--accent:#2f5d8a;--on-accent:#ffffff}")
        );
    }

    #[test]
    fn text_that_is_no_colour_makes_no_sheet() {
        for written in [
            "",
            "red",
            "#fff",
            "#12345g",
            "#1234567",
            "#fff}body{x",
            "2f5d8a",
        ] {
            assert!(sheet(written).is_none(), "{written}");
        }
    }
}
