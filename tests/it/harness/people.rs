//! People for tests: each with a password and a code app of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Argon2id of [`PASSWORD`] with small parameters, so that importing many people stays quick.
pub(crate) const PASSWORD: &str = "correct horse battery staple 7";
const SECRET_LENGTH: usize = 20;

#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) groups: Vec<&'static str>,
    tenant: Option<&'static str>,
    contractor: bool,
    secret: Vec<u8>,
    last_step: AtomicU64,
}

impl Person {
    pub(crate) fn new(name: &'static str, groups: &[&'static str]) -> Self {
        let secret = name.bytes().cycle().take(SECRET_LENGTH).collect();
        Self {
            name,
            groups: groups.to_vec(),
            tenant: None,
            contractor: false,
            secret,
            last_step: AtomicU64::new(0),
        }
    }

    /// Somebody whose code app holds the secret that an enrolment page showed.
    pub(crate) fn with_secret(name: &'static str, secret: &str) -> Self {
        let letters = secret.replace(' ', "");
        Self {
            name,
            groups: Vec::new(),
            tenant: None,
            contractor: false,
            secret: data_encoding::BASE32_NOPAD
                .decode(letters.as_bytes())
                .unwrap(),
            last_step: AtomicU64::new(0),
        }
    }

    /// The same person, of another tenant.
    pub(crate) const fn of(mut self, tenant: &'static str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The same person, as a contractor.
    pub(crate) const fn contractor(mut self) -> Self {
        self.contractor = true;
        self
    }

    /// The code that [`Self::fresh_code`] gave last.
    pub(crate) fn last_code(&self) -> String {
        self.code_at(self.last_step.load(Ordering::SeqCst))
    }

    pub(crate) fn email(&self) -> String {
        format!("{}@example.com", self.name)
    }

    pub(crate) fn secret_base32(&self) -> String {
        data_encoding::BASE32_NOPAD.encode(&self.secret)
    }

    /// The line for `portcullis user import`.
    pub(crate) fn import_line(&self) -> String {
        let mut line = serde_json::json!({
            "name": self.name,
            "email": self.email(),
            "groups": self.groups,
            "password": PASSWORD,
            "totp_secret": self.secret_base32(),
            "contractor": self.contractor,
        });
        if let Some(tenant) = self.tenant {
            line["tenant"] = tenant.into();
        }
        line.to_string()
    }

    /// A code that this person has not used before: each step of 30 s is good once, and the next one is already accepted.
    pub(crate) fn fresh_code(&self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs()
            / 30;
        let last = self.last_step.load(Ordering::SeqCst);
        let step = if last == 0 {
            now - 1
        } else {
            (last + 1).max(now - 1)
        };
        assert!(
            step <= now + 1,
            "{} has used every code of this minute",
            self.name
        );
        self.last_step.store(step, Ordering::SeqCst);
        self.code_at(step)
    }

    pub(crate) fn code_at(&self, step: u64) -> String {
        let key =
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let digest = aws_lc_rs::hmac::sign(&key, &step.to_be_bytes());
        let digest = digest.as_ref();
        let at = usize::from(digest[19] & 15);
        let number = u32::from_be_bytes([
            digest[at] & 127,
            digest[at + 1],
            digest[at + 2],
            digest[at + 3],
        ]);
        format!("{:06}", number % 1_000_000)
    }
}
