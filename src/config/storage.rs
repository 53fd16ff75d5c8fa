//! `[storage]`: where state and the key that seals it live.

use super::secret::SecretFile;
use super::source::Spanned;
use super::table::table;
use super::types::Database;

table! {
    /// State that outlives the process.
    Storage ["storage"] {
        /// The database. The folder of this file is the data folder.
        database: Spanned<Database> = "sqlite:/var/lib/portcullis/portcullis.db", restart;
        /// Key that seals secrets in the database and people's data in the audit log. Made on first start when the file is absent.
        master_key: Spanned<SecretFile> = { file = "/var/lib/portcullis/master.key" }, restart;
    }
}
