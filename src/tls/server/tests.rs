//! Handshakes: versions, suites, groups, names, tickets.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, ClientConnection, Error, HandshakeKind,
    NamedGroup, ProtocolVersion, ServerConnection,
};

use super::Server;
use crate::config::Profile;
use crate::tls::testing::{BOTH, H1, H2, TestPki};

/// Carries bytes between the two ends until both are done; gives the first error of either side.
fn shake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    let mut buffer = Vec::new();
    for _round in 0..10 {
        buffer.clear();
        while client.wants_write() {
            client.write_tls(&mut buffer).unwrap();
        }
        feed(&buffer, |from| server.read_tls(from));
        let outcome = server.process_new_packets();
        buffer.clear();
        while server.wants_write() {
            server.write_tls(&mut buffer).unwrap();
        }
        feed(&buffer, |from| client.read_tls(from));
        client.process_new_packets()?;
        outcome?;
        if !client.is_handshaking() && !server.is_handshaking() && !client.wants_write() {
            return Ok(());
        }
    }
    panic!("the handshake does not end");
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> io::Result<usize>) {
    while !bytes.is_empty() {
        read(&mut bytes).unwrap();
    }
}

fn connect(server: &Server, client: &ClientConfig, host: &str) -> Result<ClientConnection, Error> {
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), host).unwrap();
    let mut server = ServerConnection::new(server.config()).unwrap();
    shake(&mut client, &mut server).map(|()| client)
}

#[test]
fn profiles_offer_exactly_their_suites_and_groups() {
    let pki = TestPki::new();
    let expected_13 = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    let expected_12 = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let groups = [
        NamedGroup::X25519MLKEM768,
        NamedGroup::X25519,
        NamedGroup::secp256r1,
        NamedGroup::secp384r1,
    ];
    let strict_suites = [
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let strict_groups = [NamedGroup::X25519MLKEM768, NamedGroup::secp384r1];
    let both = [expected_13.as_slice(), &expected_12].concat();
    for (profile, suites, groups) in [
        (Profile::Modern, &expected_13[..], &groups[..]),
        (Profile::Intermediate, &both, &groups),
        (Profile::Strict256, &strict_suites, &strict_groups),
    ] {
        let config = pki.server(profile, BOTH, &["app.localhost"]).config();
        let provider = config.crypto_provider();
        let offered: Vec<_> = provider.cipher_suites.iter().map(|s| s.suite()).collect();
        assert_eq!(offered, suites);
        let offered: Vec<_> = provider
            .kx_groups
            .iter()
            .map(|group| group.name())
            .collect();
        assert_eq!(offered, groups);
        assert_eq!(config.max_early_data_size, 0);
    }
}

#[test]
fn a_capable_client_gets_the_post_quantum_group_and_tls_13() {
    let pki = TestPki::new();
    let server = pki.server(Profile::Intermediate, BOTH, &["app.localhost"]);
    let client = connect(&server, &pki.client(&["h2", "http/1.1"]), "app.localhost").unwrap();
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(client.alpn_protocol(), Some(b"h2".as_slice()));
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn tls_12_is_served_by_intermediate_and_refused_by_modern() {
    let pki = TestPki::new();
    let mut client = pki.client(&["http/1.1"]);
    let with_12 = ClientConfig::builder_with_provider(Arc::clone(client.crypto_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates({
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pki.ca.root()).unwrap();
            roots
        })
        .with_no_client_auth();
    client = with_12;
    let intermediate = pki.server(Profile::Intermediate, BOTH, &["app.localhost"]);
    let connection = connect(&intermediate, &client, "app.localhost").unwrap();
    assert_eq!(
        connection.protocol_version(),
        Some(ProtocolVersion::TLSv1_2)
    );
    let modern = pki.server(Profile::Modern, BOTH, &["app.localhost"]);
    assert!(connect(&modern, &client, "app.localhost").is_err());
}

#[test]
fn an_unknown_or_missing_name_gets_no_certificate() {
    let pki = TestPki::new();
    let server = pki.server(
        Profile::Intermediate,
        BOTH,
        &["app.localhost", "*.apps.localhost"],
    );
    let client = pki.client(&[]);
    assert!(connect(&server, &client, "a.apps.localhost").is_ok());
    for host in [
        "other.localhost",
        "a.b.apps.localhost",
        "apps.localhost",
        "127.0.0.1",
    ] {
        let refused = connect(&server, &client, host).err();
        assert!(
            matches!(refused, Some(Error::AlertReceived(_))),
            "{host}: {refused:?}"
        );
    }
}

#[test]
fn a_client_that_speaks_only_foreign_protocols_is_refused() {
    let pki = TestPki::new();
    let refused =
        |server: &Server, alpn: &[&str]| connect(server, &pki.client(alpn), "app.localhost").err();
    let alert = Some(Error::AlertReceived(
        AlertDescription::NoApplicationProtocol,
    ));
    let both = pki.server(Profile::Intermediate, BOTH, &["app.localhost"]);
    assert_eq!(refused(&both, &["ftp"]), alert);
    assert_eq!(refused(&both, &["ftp", "http/1.1"]), None);
    let h1 = pki.server(Profile::Intermediate, H1, &["app.localhost"]);
    assert_eq!(refused(&h1, &["h2"]), alert);
    let h2 = pki.server(Profile::Intermediate, H2, &["app.localhost"]);
    assert_eq!(refused(&h2, &["http/1.1"]), alert);
}

#[test]
fn a_ticket_resumes_its_own_name_and_no_other() {
    let pki = TestPki::new();
    let server = pki.server(Profile::Intermediate, BOTH, &["a.localhost", "b.localhost"]);
    let mut client = pki.client(&["h2"]);
    let store = Arc::new(OneShelf::default());
    client.resumption = Resumption::store(Arc::clone(&store) as _);
    let kind = |host| connect(&server, &client, host).unwrap().handshake_kind();
    assert_eq!(kind("a.localhost"), Some(HandshakeKind::Full));
    assert_eq!(kind("a.localhost"), Some(HandshakeKind::Resumed));
    assert_ne!(kind("b.localhost"), Some(HandshakeKind::Resumed));
}

/// A dishonest client: it presents any ticket to any name.
#[derive(Debug, Default)]
struct OneShelf(parking_lot::Mutex<Vec<rustls::client::Tls13ClientSessionValue>>);

impl rustls::client::ClientSessionStore for OneShelf {
    fn set_kx_hint(&self, _host: ServerName<'static>, _group: NamedGroup) {}
    fn kx_hint(&self, _host: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(
        &self,
        _host: ServerName<'static>,
        _value: rustls::client::Tls12ClientSessionValue,
    ) {
    }
    fn tls12_session(
        &self,
        _host: &ServerName<'_>,
    ) -> Option<rustls::client::Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _host: &ServerName<'static>) {}
    fn insert_tls13_ticket(
        &self,
        _host: ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.lock().push(value);
    }
    fn take_tls13_ticket(
        &self,
        _host: &ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.lock().pop()
    }
}
