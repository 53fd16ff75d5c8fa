//! Answers of an OCSP responder, which come over plain http: nothing is taken that the authority did not sign.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::base::Timestamp;
use crate::tls::ocsp::{Question, Staple};

/// A certificate and the authority that issued it and signed the good answers of the corpus.
const CHAIN: [&[u8]; 2] = [
    include_bytes!("certificates/leaf.der"),
    include_bytes!("certificates/issuer.der"),
];

/// When those answers are in force.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// For how long the authority said that they are.
const LIFE: Duration = Duration::from_hours(14_000 * 24);

/// An OCSPResponse: what is taken is one of those that were signed, whatever was changed around it.
pub fn ocsp_answer(data: &[u8]) {
    if let Some(staple) = taken(data) {
        assert_eq!(staple.der, data);
        assert_eq!(staple.next_update.since(staple.this_update), LIFE);
    }
}

fn taken(answer: &[u8]) -> Option<Staple> {
    let question = Question::of(&CHAIN.map(CertificateDer::from)).ok()??;
    question.verify(answer, NOW).ok()
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn the_corpus_has_answers_that_are_taken_and_some_that_are_not() {
        for (name, is_taken) in [
            ("good", true),
            ("by-key", true),
            ("delegate", true),
            ("revoked", false),
            ("unknown", false),
        ] {
            let path = format!(
                "{}/fuzz/corpus/ocsp_answer/{name}",
                env!("CARGO_MANIFEST_DIR")
            );
            let answer = std::fs::read(path).unwrap();
            assert_eq!(taken(&answer).is_some(), is_taken, "{name}");
        }
    }
}
