//! Forms and queries as browsers send them: every value is what was encoded, and an address leads to a host of ours.

use crate::authn::return_to::ReturnTo;
use crate::portal::form::{Fields, encode};

use super::decode;

/// `a=b&c=d`: fields are read as any decoder reads them, and their values are tried as addresses to return to.
pub fn form(data: &[u8]) {
    let Some(fields) = Fields::parse(data) else {
        return;
    };
    for pair in data
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
    {
        let mut halves = pair.splitn(2, |byte| *byte == b'=').map(plain);
        let name = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default();
        assert_eq!(fields.get(&name), Some(value.as_str()));
        let again = format!("x={}", encode(&value));
        let again = Fields::parse(again.as_bytes());
        assert_eq!(
            again.as_ref().and_then(|fields| fields.get("x")),
            Some(value.as_str())
        );
        leads_to_us(&value);
    }
}

fn plain(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    String::from_utf8(decode(&spaced)).unwrap_or_default()
}

fn leads_to_us(text: &str) {
    let read = |text: &str| {
        ReturnTo::parse(text, |authority| authority.host.as_str() == "app.example")
            .map(|to| to.to_string())
    };
    let Some(address) = read(text) else {
        return;
    };
    let rest = address.strip_prefix("https://app.example");
    assert!(
        rest.is_some_and(|rest| rest.starts_with(['/', ':'])),
        "{text:?}"
    );
    assert!(!address.contains(['\\', '#', ' ']), "{text:?}");
    assert_eq!(read(&address), Some(address));
}
