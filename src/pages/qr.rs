//! A QR code as inline SVG, without style attributes, so that the content security policy can stay strict.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// Modules of quiet zone on each side (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// The view box and the path of a QR code; the template draws the frame and the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qr {
    /// Side length in modules, quiet zone included.
    pub(super) side: usize,
    /// SVG path data: digits and the letters `Mhvz` only.
    pub(super) path: String,
}

impl Qr {
    /// `None` when `text` is longer than a QR code holds (about 2,300 bytes).
    pub(crate) fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        let width = code.width();
        let mut path = String::new();
        for (y, row) in code.to_colors().chunks(width).enumerate() {
            let mut x = 0;
            for run in row.chunk_by(|one, next| one == next) {
                if run.first() == Some(&Color::Dark) {
                    let (left, top, long) = (x + QUIET, y + QUIET, run.len());
                    // Writing to a String cannot fail.
                    write!(path, "M{left} {top}h{long}v1h-{long}z").ok()?;
                }
                x += run.len();
            }
        }
        Some(Self {
            side: width + 2 * QUIET,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Qr;

    #[test]
    fn path_data_holds_nothing_that_could_leave_its_attribute() {
        let qr = Qr::of("otpauth://totp/\"><script>?secret=JBSWY3DPEHPK3PXP").unwrap();
        assert!(
            qr.path
                .bytes()
                .all(|byte| b"Mhvz- 0123456789".contains(&byte))
        );
    }

    #[test]
    fn finder_pattern_starts_after_the_quiet_zone() {
        let qr = Qr::of("x").unwrap();
        assert_eq!(qr.side, 21 + 8);
        assert!(qr.path.starts_with("M4 4h7v1h-7z"));
    }

    #[test]
    fn text_too_long_for_a_code_gives_none() {
        assert!(Qr::of(&"x".repeat(4_000)).is_none());
    }
}
