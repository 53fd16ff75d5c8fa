//! A server's first flight of a TLS handshake: whatever a stranger sends, it is read the same however it arrives.

use crate::tls::probe::Answer;

/// The first flight of a handshake: once an answer is complete, or no TLS, more bytes do not make it another.
pub fn tls_answer(data: &[u8]) {
    let mut malformed = false;
    let mut complete = None;
    for end in 0..=data.len() {
        let read = Answer::read(data.get(..end).unwrap_or_default());
        assert!(!malformed || read.is_err(), "what was no TLS became TLS");
        malformed = read.is_err();
        match (&complete, read) {
            (None, Ok(Answer::Hello(hello))) if hello.complete => complete = Some(hello),
            (Some(before), Ok(Answer::Hello(now))) => assert_eq!(*before, now),
            _ => {}
        }
    }
}
