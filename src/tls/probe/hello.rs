//! Writes a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).

use super::Version;

/// What a client says that it can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer<'a> {
    pub(crate) version: Version,
    pub(crate) suites: &'a [u16],
    pub(crate) groups: &'a [u16],
    /// `None` where the server is an address (RFC 6066 section 3).
    pub(crate) name: Option<&'a str>,
    /// Offers compression as well, which no server should take.
    pub(crate) compression: bool,
}

const SIGNATURES: [u16; 14] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203,
    0x0201, 0x0202,
];

impl Offer<'_> {
    /// The record to send. For TLS 1.3 there is no key in it, so that the server says which group it would take.
    pub(crate) fn record(&self, random: [u8; 32]) -> Vec<u8> {
        let legacy = self.version.min(Version::TLS_1_2).0;
        let mut hello = Vec::new();
        hello.extend(legacy.to_be_bytes());
        hello.extend(random);
        match self.version {
            // RFC 8446 appendix D.4: what stands in between lets only what looks like a resumption pass.
            Version::TLS_1_3 => prefixed8(&mut hello, |session| session.extend(random)),
            _ => hello.push(0),
        }
        prefixed16(&mut hello, |suites| words(suites, self.suites));
        let methods: &[u8] = if self.compression { &[1, 0] } else { &[0] };
        prefixed8(&mut hello, |out| out.extend(methods));
        if self.version > Version::SSL_3 {
            prefixed16(&mut hello, |out| self.extensions(out));
        }
        let mut message = vec![1];
        prefixed24(&mut message, &hello);
        let mut record = vec![22];
        record.extend(self.version.min(Version::TLS_1_0).0.to_be_bytes());
        prefixed16(&mut record, |out| out.extend(&message));
        record
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        if let Some(name) = self.name {
            extension(out, 0, |out| {
                prefixed16(out, |list| {
                    list.push(0);
                    prefixed16(list, |host| host.extend(name.bytes()));
                });
            });
        }
        extension(out, 10, |out| {
            prefixed16(out, |groups| words(groups, self.groups));
        });
        extension(out, 13, |out| {
            prefixed16(out, |list| words(list, &SIGNATURES));
        });
        if self.version == Version::TLS_1_3 {
            extension(out, 43, |out| {
                prefixed8(out, |versions| words(versions, &[self.version.0]));
            });
            extension(out, 51, |out| prefixed16(out, |_no_keys| {}));
        } else {
            extension(out, 11, |out| prefixed8(out, |formats| formats.push(0)));
            extension(out, 23, |_extended_master_secret| {});
            extension(out, 0xFF01, |out| out.push(0));
        }
    }
}

fn extension(out: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend(kind.to_be_bytes());
    prefixed16(out, write);
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

// What is written here is ours and short: no list comes near its prefix's bound.

fn prefixed8(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    out.push(u8::try_from(inner.len()).unwrap_or(u8::MAX));
    out.extend(inner);
}

fn prefixed16(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    out.extend(u16::try_from(inner.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(inner);
}

fn prefixed24(out: &mut Vec<u8>, inner: &[u8]) {
    let length = u32::try_from(inner.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes().into_iter().skip(1));
    out.extend(inner);
}
