//! What the tests of this module share.

use std::sync::Arc;

use crate::keys::MasterKey;

/// A master key of its own for each call.
pub(crate) fn master() -> Arc<MasterKey> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(MasterKey::open_or_create(&folder.path().join("master.key")).unwrap())
}
