//! From what a listener accepts to a grade, by the SSL Server Rating Guide (2009r) as testssl.sh carries it out.
//!
//! Pure: facts in, points and findings out. Defects that show only in how a library behaves (Heartbleed, ROBOT and the
//! like) are not looked for, and so cost nothing here.

mod points;

use self::points::{Scores, key_points, scores};
use super::facts::{Facts, Hsts, Staple};
use crate::base::Timestamp;
use crate::cli::doctor::Examined;
use crate::tls::probe::Version;
use crate::tls::witness::{Key, Leaf, Verdict};

/// Half a year: below that HSTS counts as missing.
const HSTS_SECONDS: u64 = 180 * 24 * 3600;
/// A certificate that ends within this time is worth a word.
const SOON_SECONDS: i64 = 14 * 24 * 3600;

const FULL: &str =
    "serve a certificate of an authority that browsers trust, then its intermediates";

/// What stands in the way of A+, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurdle {
    /// Nothing; something to know.
    None,
    /// A- at best.
    Warning,
    /// This letter at best.
    Cap(char),
}

#[derive(Debug)]
pub(super) struct Graded {
    pub(super) letter: String,
    pub(super) scores: Scores,
    pub(super) found: Vec<Examined>,
}

/// Collects findings and the lowest cap.
#[derive(Debug, Default)]
struct Sheet {
    found: Vec<Examined>,
    warned: bool,
    cap: Option<char>,
}

impl Sheet {
    fn good(&mut self, what: &'static str, text: impl Into<String>) {
        self.found.push(Examined::good(what, text));
    }

    fn bad(&mut self, what: &'static str, hurdle: Hurdle, text: &str, mend: &str) {
        let text = match hurdle {
            Hurdle::None => text.to_owned(),
            Hurdle::Warning => format!("{text}: A- at best"),
            Hurdle::Cap(letter) => format!("{text}: {letter} at best"),
        };
        self.found.push(Examined::bad(what, text, mend));
        match hurdle {
            Hurdle::None => {}
            Hurdle::Warning => self.warned = true,
            Hurdle::Cap(letter) => {
                self.cap = Some(self.cap.map_or(letter, |other| worse(letter, other)));
            }
        }
    }
}

/// The letters of the guide, from best to worst; the last two say that the connection cannot be trusted at all.
const LETTERS: [char; 8] = ['A', 'B', 'C', 'D', 'E', 'F', 'M', 'T'];

fn worse(one: char, other: char) -> char {
    let place = |letter| LETTERS.iter().position(|own| *own == letter);
    if place(one) >= place(other) {
        one
    } else {
        other
    }
}

pub(super) fn grade(facts: &Facts, now: Timestamp) -> Graded {
    let scores = scores(facts);
    let mut sheet = Sheet::default();
    protocols(facts, &mut sheet);
    suites(facts, &mut sheet);
    key_exchange(facts, &mut sheet);
    certificate(facts, now, &mut sheet);
    extras(facts, &mut sheet);
    let earned = match scores.total {
        80.. => 'A',
        65..=79 => 'B',
        50..=64 => 'C',
        35..=49 => 'D',
        20..=34 => 'E',
        _ => 'F',
    };
    let letter = sheet.cap.map_or(earned, |cap| worse(earned, cap));
    let suffix = match (letter, sheet.warned) {
        ('A', true) => "-",
        ('A', false) => "+",
        _ => "",
    };
    Graded {
        letter: format!("{letter}{suffix}"),
        scores,
        found: sheet.found,
    }
}

fn protocols(facts: &Facts, sheet: &mut Sheet) {
    let versions = facts.versions();
    let names: Vec<_> = versions.iter().map(|version| version.name()).collect();
    let has = |version| versions.contains(&version);
    let newest = "serve TLS 1.2 and 1.3 alone; in nginx: ssl_protocols TLSv1.2 TLSv1.3";
    if has(Version::SSL_3) {
        sheet.bad(
            "protocols",
            Hurdle::Cap('C'),
            "SSL 3 is accepted (POODLE)",
            newest,
        );
    }
    if has(Version::TLS_1_0) || has(Version::TLS_1_1) {
        let text = "TLS 1.0 or 1.1 is accepted (RFC 8996)";
        sheet.bad("protocols", Hurdle::Cap('B'), text, newest);
    }
    match (has(Version::TLS_1_2), has(Version::TLS_1_3)) {
        (_, true) => {}
        (true, false) => sheet.bad(
            "protocols",
            Hurdle::Warning,
            "TLS 1.3 is not offered",
            newest,
        ),
        (false, false) => {
            let text = "neither TLS 1.2 nor 1.3 is offered";
            sheet.bad("protocols", Hurdle::Cap('C'), text, newest);
        }
    }
    sheet.good("protocols", names.join(", "));
}

fn suites(facts: &Facts, sheet: &mut Sheet) {
    let accepted = &facts.accepted;
    let named = |test: &dyn Fn(&crate::tls::probe::Suite) -> bool| {
        let found = accepted.iter().find(|(_, suite)| test(suite));
        found.map(|(_, suite)| suite.name())
    };
    let better = "accept ECDHE with AES-GCM or ChaCha20-Poly1305 alone, as Mozilla's intermediate profile does";
    let after_1_0 = facts
        .versions()
        .iter()
        .any(|version| *version > Version::TLS_1_0);
    let mut told = |name: Option<&str>, cap: char, why: &str| {
        if let Some(name) = name {
            sheet.bad(
                "ciphers",
                Hurdle::Cap(cap),
                &format!("{name} {why}"),
                better,
            );
        }
    };
    told(named(&|suite| suite.bits() == 0), 'F', "encrypts nothing");
    told(named(&|suite| suite.is_anonymous()), 'F', "proves nobody");
    told(
        named(&|suite| suite.is_export() || (1..112).contains(&suite.bits())),
        'F',
        "can be broken by anybody",
    );
    let rc4 = if after_1_0 { 'C' } else { 'B' };
    told(named(&|suite| suite.is_rc4()), rc4, "uses RC4 (RFC 7465)");
    if after_1_0 {
        let short = named(&|suite| suite.has_short_blocks());
        told(short, 'C', "has blocks of 64 bits (SWEET32)");
    }
    if !accepted.iter().any(|(_, suite)| suite.is_aead()) {
        told(
            Some("no suite"),
            'B',
            "encrypts and authenticates in one (AEAD)",
        );
    }
    if !accepted.iter().any(|(_, suite)| suite.is_forward_secret()) {
        told(
            Some("no suite"),
            'B',
            "keeps what was recorded secret when the key is stolen",
        );
    }
    let least = accepted.iter().map(|(_, suite)| suite.bits()).min();
    let text = format!(
        "{} suites, the weakest with {} bits",
        accepted.len(),
        least.unwrap_or(0)
    );
    sheet.good("ciphers", text);
}

fn key_exchange(facts: &Facts, sheet: &mut Sheet) {
    if let Some(bits @ ..2048) = facts.prime_bits {
        let text = format!("Diffie-Hellman over {bits} bits (Logjam)");
        sheet.bad(
            "key exchange",
            Hurdle::Cap('B'),
            &text,
            "use ECDHE, or a group of 2048 bits or more",
        );
    }
    if facts.compression {
        let text = "TLS compression is accepted (CRIME)";
        sheet.bad(
            "key exchange",
            Hurdle::Cap('C'),
            text,
            "switch compression off",
        );
    }
    if facts.secure_renegotiation == Some(false) {
        let text = "secure renegotiation (RFC 5746) is not supported";
        sheet.bad(
            "key exchange",
            Hurdle::Warning,
            text,
            "update the TLS library",
        );
    }
    let names: Vec<_> = facts.groups.iter().map(|(_, name)| *name).collect();
    if !names.is_empty() {
        sheet.good("key exchange", names.join(", "));
    }
}

fn certificate(facts: &Facts, now: Timestamp, sheet: &mut Sheet) {
    match &facts.verdict {
        Verdict::Trusted => sheet.good("chain", "complete and trusted"),
        Verdict::Expired => {
            let text = "the certificate, or one of its chain, has expired";
            sheet.bad("chain", Hurdle::Cap('T'), text, "renew it");
        }
        Verdict::NotYetValid => {
            let text = "the certificate is not valid yet";
            sheet.bad(
                "chain",
                Hurdle::Cap('T'),
                text,
                "check the clocks of both machines",
            );
        }
        Verdict::Untrusted(why) => {
            let text = format!("the chain cannot be verified: {why}");
            sheet.bad("chain", Hurdle::Cap('T'), &text, FULL);
        }
        // Told with the name below.
        Verdict::OtherName => {}
    }
    if let Some(leaf) = &facts.leaf {
        presented(facts, leaf, now, sheet);
    }
}

fn presented(facts: &Facts, leaf: &Leaf, now: Timestamp, sheet: &mut Sheet) {
    if facts.verdict == Verdict::OtherName || !leaf.is_for_host && facts.host.as_ip().is_none() {
        let text = format!("the certificate is not for {}", facts.host);
        sheet.bad(
            "name",
            Hurdle::Cap('M'),
            &text,
            "request a certificate with this name in its subjectAltName",
        );
    } else {
        sheet.good("name", facts.host.to_string());
    }
    if leaf.has_sha1_signature {
        let text = "the certificate is signed with SHA-1 or MD5";
        sheet.bad("certificate", Hurdle::Cap('T'), text, FULL);
    }
    if leaf.is_self_signed && facts.verdict != Verdict::Trusted {
        let text = "the certificate is signed by itself";
        sheet.bad("certificate", Hurdle::Cap('T'), text, FULL);
    }
    let better = "use an ECDSA key, or RSA of 2048 bits or more";
    for key in &facts.keys {
        let text = key_words(*key);
        if key_points(*key) <= 80 {
            sheet.bad(
                "certificate",
                Hurdle::Cap('B'),
                &format!("{text} is weak"),
                better,
            );
        } else {
            sheet.good("certificate", format!("{text}, until {}", leaf.not_after));
        }
    }
    let left = leaf.not_after.secs() - now.secs();
    if (0..SOON_SECONDS).contains(&left) {
        let text = format!("it ends in {} days", left / 86_400);
        sheet.bad("certificate", Hurdle::None, &text, "renew it");
    }
}

fn key_words(key: Key) -> String {
    match key {
        Key::Rsa(bits) => format!("an RSA key of {bits} bits"),
        Key::Ecdsa(bits) => format!("an ECDSA key of {bits} bits"),
        Key::Other => "a key of another kind".to_owned(),
    }
}

fn extras(facts: &Facts, sheet: &mut Sheet) {
    let mend =
        "send Strict-Transport-Security: max-age=63072000; includeSubDomains with every answer";
    match facts.hsts {
        Hsts::Seconds(seconds @ HSTS_SECONDS..) => {
            sheet.good("HSTS", format!("{} days", seconds / 86_400));
        }
        Hsts::Seconds(seconds) => {
            let text = format!(
                "HSTS lasts {} days, less than half a year",
                seconds / 86_400
            );
            sheet.bad("HSTS", Hurdle::Warning, &text, mend);
        }
        Hsts::Missing => sheet.bad("HSTS", Hurdle::Warning, "HSTS is not sent", mend),
        Hsts::Unseen => {
            let text =
                "no answer over TLS 1.2 or 1.3 with a good suite could be had to look for HSTS in";
            sheet.bad("HSTS", Hurdle::Warning, text, mend);
        }
    }
    match &facts.staple {
        Staple::Unneeded => sheet.good("staple", "the certificate names no OCSP responder"),
        Staple::Good => sheet.good("staple", "an OCSP answer that proves the certificate good"),
        Staple::Missing => sheet.bad(
            "staple",
            Hurdle::None,
            "the certificate names an OCSP responder, and no answer is stapled",
            "switch stapling on; in nginx: ssl_stapling on",
        ),
        Staple::Bad(why) => sheet.bad(
            "staple",
            Hurdle::None,
            &format!("the stapled OCSP answer proves nothing: {why}"),
            "look after the server's connection to the responder",
        ),
    }
}

#[cfg(test)]
mod tests;
