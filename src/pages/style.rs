//! Whether an answer of ours is read by a person or by a program.
//!
//! Only the form of an answer depends on it, never what is answered. A wrong guess costs comfort, not safety.

/// The form of an answer that Portcullis gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// HTML, for a browser that shows a page.
    Page,
    /// `application/problem+json` (RFC 9457), for everything else.
    Problem,
}
