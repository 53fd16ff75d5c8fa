//! Asks a listener what it accepts, one connection after the other; and once, as a browser would, for a page.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::facts::{Facts, Hsts, Staple, keys};
use crate::base::{Authority, Host, Timestamp};
use crate::dial::{self, DialError, Endpoint};
use crate::keys::random;
use crate::tls::client::{self, TrustError};
use crate::tls::probe::{Answer, GROUPS, Hello, Malformed, Offer, Suite, Version, answer};
use crate::tls::witness::{Leaf, Verdict, Witness};

/// For one connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// The head of an answer is not longer with anybody.
const LARGEST_HEAD: usize = 64 * 1024;

/// Why there is no grade.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error("{0} cannot be reached")]
    Dial(Authority, #[source] DialError),
    #[error("{0} does not speak TLS")]
    NoTls(Authority, #[source] Malformed),
    #[error("{0} closed or refused every handshake; is the name right?")]
    Nothing(Authority),
    #[error("the machine's roots, or the file named with --ca, cannot be used")]
    Trust(#[from] TrustError),
}

/// Which listener, by which name.
#[derive(Debug)]
pub(super) struct Listener {
    /// Host and port as a browser has them.
    pub(super) authority: Authority,
    /// Where the connections lead.
    pub(super) endpoint: Endpoint,
}

impl Listener {
    fn host(&self) -> &Host {
        &self.authority.host
    }

    /// What is sent as the server's name; nothing for an address.
    fn name(&self) -> Option<&str> {
        self.host().as_ip().is_none().then(|| self.host().as_str())
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// [`ScanError`], when not even one handshake says something.
    pub(super) async fn scan(&self, ca: Option<&Path>, now: Timestamp) -> Result<Facts, ScanError> {
        let (config, witness) = Witness::client(client::roots(ca)?)?;
        let hellos = self.hellos().await?;
        let groups = self.groups().await?;
        let hsts = self.visit(config).await;
        let presented = witness.presented();
        let sent = hellos.iter().filter(|hello| !hello.chain.is_empty());
        let chains: Vec<Vec<CertificateDer<'static>>> = sent
            .map(|hello| {
                hello
                    .chain
                    .iter()
                    .cloned()
                    .map(CertificateDer::from)
                    .collect()
            })
            .chain((!presented.chain.is_empty()).then(|| presented.chain.clone()))
            .collect();
        let chain = chains.last().cloned().unwrap_or_default();
        let leaf = chain.first().and_then(|leaf| Leaf::read(leaf, self.host()));
        let verdict = match ServerName::try_from(self.host().as_str()) {
            Ok(name) => witness.judge(&chain, &name, now),
            Err(_no_name) => Verdict::OtherName,
        };
        let before_13 = || {
            hellos
                .iter()
                .filter(|hello| hello.version < Version::TLS_1_3)
        };
        Ok(Facts {
            host: self.host().clone(),
            accepted: hellos
                .iter()
                .map(|hello| (hello.version, Suite(hello.suite)))
                .collect(),
            groups,
            compression: hellos.iter().any(|hello| hello.compression),
            secure_renegotiation: before_13()
                .next()
                .is_some()
                .then(|| before_13().all(|hello| hello.secure_renegotiation)),
            prime_bits: hellos.iter().filter_map(|hello| hello.prime_bits).min(),
            keys: keys(
                chains.iter().filter_map(|chain| chain.first().cloned()),
                self.host(),
            ),
            leaf,
            verdict,
            hsts,
            staple: Staple::of(&presented, now),
        })
    }

    /// What was chosen in every handshake that said something, oldest version first.
    async fn hellos(&self) -> Result<Vec<Hello>, ScanError> {
        let mut hellos = Vec::new();
        for version in [
            Version::SSL_3,
            Version::TLS_1_0,
            Version::TLS_1_1,
            Version::TLS_1_2,
            Version::TLS_1_3,
        ] {
            self.suites(version, &mut hellos).await?;
        }
        if hellos.is_empty() {
            return Err(ScanError::Nothing(self.authority.clone()));
        }
        Ok(hellos)
    }

    /// Every suite that is taken in `version`: what was taken is not offered again, until nothing is taken.
    async fn suites(&self, version: Version, hellos: &mut Vec<Hello>) -> Result<(), ScanError> {
        let mut left = match version {
            Version::TLS_1_3 => Suite::of_13(),
            _ => Suite::of_12_and_before(),
        };
        let groups = GROUPS.map(|(number, _)| number);
        while !left.is_empty() {
            let offer = self.offer(version, &left, &groups);
            let Some(hello) = self.ask(offer).await? else {
                return Ok(());
            };
            // A server that answers with another version or suite than it was asked for has not taken the offer.
            let before = left.len();
            left.retain(|suite| *suite != hello.suite);
            if hello.version != version || left.len() == before {
                return Ok(());
            }
            hellos.push(hello);
        }
        Ok(())
    }

    /// Every group that is taken in TLS 1.3, in the server's order where it has one.
    async fn groups(&self) -> Result<Vec<(u16, &'static str)>, ScanError> {
        let mut left = GROUPS.to_vec();
        let mut taken = Vec::new();
        let suites = Suite::of_13();
        while !left.is_empty() {
            let numbers: Vec<_> = left.iter().map(|(number, _)| *number).collect();
            let offer = self.offer(Version::TLS_1_3, &suites, &numbers);
            let hello = self.ask(offer).await?;
            let group = hello
                .filter(|hello| hello.version == Version::TLS_1_3)
                .and_then(|hello| hello.group);
            let Some(place) = left.iter().position(|(number, _)| Some(*number) == group) else {
                return Ok(taken);
            };
            taken.push(left.remove(place));
        }
        Ok(taken)
    }

    fn offer<'a>(&'a self, version: Version, suites: &'a [u16], groups: &'a [u16]) -> Offer<'a> {
        Offer {
            version,
            suites,
            groups,
            name: self.name(),
            compression: version < Version::TLS_1_3,
        }
    }

    /// What the server chose; `None` when it refused, closed or did not answer in time.
    async fn ask(&self, offer: Offer<'_>) -> Result<Option<Hello>, ScanError> {
        let mut stream = dial::connect(&self.endpoint, None, PATIENCE)
            .await
            .map_err(|error| ScanError::Dial(self.authority.clone(), error))?
            .stream;
        let record = offer.record(random::bytes());
        let asking = async {
            let mut bytes = Vec::new();
            let mut last = Answer::Nothing;
            // A server that breaks off has answered with what it said before.
            if stream.write_all(&record).await.is_err() {
                return Ok(last);
            }
            while let Ok(1..) = (&mut stream)
                .take(answer::LARGEST as u64)
                .read_buf(&mut bytes)
                .await
            {
                last = Answer::read(&bytes)?;
                match &last {
                    Answer::Nothing => {}
                    Answer::Hello(hello) if !hello.complete => {}
                    Answer::Refused(_) | Answer::Hello(_) => break,
                }
            }
            Ok(last)
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(Answer::Hello(hello))) => Ok(Some(*hello)),
            Ok(Ok(Answer::Nothing | Answer::Refused(_))) | Err(_) => Ok(None),
            Ok(Err(malformed)) => Err(ScanError::NoTls(self.authority.clone(), malformed)),
        }
    }

    /// Asks for the head of `/`, without any credential, and looks for HSTS in the answer.
    async fn visit(&self, config: rustls::ClientConfig) -> Hsts {
        let head = timeout(PATIENCE, self.head(config)).await;
        head.ok().flatten().map_or(Hsts::Unseen, |head| hsts(&head))
    }

    async fn head(&self, config: rustls::ClientConfig) -> Option<Vec<u8>> {
        let name = ServerName::try_from(self.host().as_str().to_owned()).ok()?;
        let connected = dial::connect(&self.endpoint, None, PATIENCE).await.ok()?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, connected.stream).await.ok()?;
        let request = format!(
            "HEAD / HTTP/1.1\r\nHost: {}\r\nUser-Agent: portcullis-doctor\r\nConnection: close\r\n\r\n",
            self.authority
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = stream.read_buf(&mut head).await;
            if !matches!(read, Ok(1..)) || head.len() > LARGEST_HEAD {
                break;
            }
        }
        (!head.is_empty()).then_some(head)
    }
}

/// RFC 6797 section 6.1: the first field counts; `max-age` is required.
fn hsts(head: &[u8]) -> Hsts {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut answer = httparse::Response::new(&mut fields);
    if answer.parse(head).is_err() {
        return Hsts::Unseen;
    }
    let field = answer
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("strict-transport-security"));
    let Some(value) = field.and_then(|field| std::str::from_utf8(field.value).ok()) else {
        return Hsts::Missing;
    };
    value
        .split(';')
        .filter_map(|directive| directive.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map_or(Hsts::Missing, Hsts::Seconds)
}

#[cfg(test)]
mod tests {
    use super::{Hsts, hsts};

    #[test]
    fn hsts_is_read_from_the_first_field_of_an_answer() {
        let rows = [
            (
                "max-age=63072000; includeSubDomains",
                Hsts::Seconds(63_072_000),
            ),
            ("includeSubDomains; Max-Age=\"300\"", Hsts::Seconds(300)),
            ("includeSubDomains", Hsts::Missing),
            ("max-age=soon", Hsts::Missing),
        ];
        for (value, expected) in rows {
            let head = format!(
                "HTTP/1.1 200 OK\r\nSTRICT-transport-security: {value}\r\nstrict-transport-security: max-age=1\r\n\r\n"
            );
            assert_eq!(hsts(head.as_bytes()), expected, "{value}");
        }
        assert_eq!(hsts(b"HTTP/1.1 200 OK\r\n\r\n"), Hsts::Missing);
        assert_eq!(hsts(b"SSH-2.0-x\r\n\r\n"), Hsts::Unseen);
    }
}
