//! An entry as read back: the line's fields, with the sealed ones opened where the key still exists.

use serde_json::{Map, Value};

use super::seal::{KeyringError, Sealer};
use crate::base::Timestamp;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The exact line; its hash is the leaf.
    pub(crate) line: String,
    /// Clear fields, and personal ones once unsealed. `sealed` itself is gone then.
    pub(crate) fields: Map<String, Value>,
    /// Personal fields are sealed and stay so: the key was destroyed, or the reader has no keys.
    pub(crate) veiled: bool,
}

impl Record {
    /// Reads a line without opening anything. `None` for what is no entry.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
        fields.get("seq")?.as_u64()?;
        let veiled = fields.contains_key("sealed");
        Some(Self {
            line: line.to_owned(),
            fields,
            veiled,
        })
    }

    /// Opens the personal fields, if their key exists.
    pub(crate) fn unseal(&mut self, sealer: &Sealer) -> Result<(), KeyringError> {
        let (Some(sealed), Some(name)) = (self.text("sealed"), self.text("sealed.key")) else {
            return Ok(());
        };
        let Some(plain) = sealer.open(name, self.seq(), sealed)? else {
            return Ok(());
        };
        let Ok(personal) = serde_json::from_slice::<Map<String, Value>>(&plain) else {
            return Ok(());
        };
        self.fields.remove("sealed");
        self.fields.remove("sealed.key");
        // A clear field is never replaced by a sealed one: what everybody sees stays what it is.
        for (name, value) in personal {
            self.fields.entry(name).or_insert(value);
        }
        self.veiled = false;
        Ok(())
    }

    pub(crate) fn seq(&self) -> u64 {
        self.number("seq").unwrap_or(0)
    }

    pub(crate) fn time(&self) -> Timestamp {
        self.text("time")
            .and_then(|text| text.parse().ok())
            .unwrap_or(Timestamp::EPOCH)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.fields.get(name)?.as_u64()
    }

    /// Is `wanted` the field's value, or one of its items?
    pub(crate) fn has(&self, name: &str, wanted: &str) -> bool {
        match self.fields.get(name) {
            Some(Value::String(value)) => value == wanted,
            Some(Value::Array(items)) => items.iter().any(|item| item == wanted),
            _ => false,
        }
    }
}
