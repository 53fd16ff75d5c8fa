//! Style sheets and icon: their bytes, and names that change with them so that browsers may keep them for ever.
//!
//! The table is closed; a name that is not in it does not exist.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;

use super::{Brand, paths};

/// What browsers are told about every asset: the name is a promise of the content.
pub(crate) const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

const HASH_BYTES: usize = 8;

/// One file served under [`paths::ASSETS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asset {
    path: String,
    pub(crate) content_type: &'static str,
    pub(crate) bytes: Bytes,
}

impl Asset {
    /// Names `bytes` as `STEM-HASH.EXTENSION`; the hash is the first 64 bits of SHA-256.
    pub(super) fn hashed(
        stem: &str,
        extension: &str,
        content_type: &'static str,
        bytes: Bytes,
    ) -> Self {
        let hash = digest::digest(&digest::SHA256, &bytes);
        let short: Vec<u8> = hash.as_ref().iter().take(HASH_BYTES).copied().collect();
        Self {
            path: format!(
                "{}{stem}-{}.{extension}",
                paths::ASSETS,
                HEXLOWER.encode(&short)
            ),
            content_type,
            bytes,
        }
    }

    /// Absolute path, the same on every host.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// The assets that come with the program.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) style: Asset,
    pub(super) icon: Asset,
}

pub(super) fn fixed() -> &'static Fixed {
    static FIXED: LazyLock<Fixed> = LazyLock::new(|| Fixed {
        style: Asset::hashed(
            "portcullis",
            "css",
            "text/css; charset=utf-8",
            Bytes::from_static(include_bytes!("assets/portcullis.css")),
        ),
        icon: Asset::hashed(
            "icon",
            "svg",
            "image/svg+xml",
            Bytes::from_static(include_bytes!("assets/icon.svg")),
        ),
    });
    &FIXED
}

/// The asset at `path`, among those of the program and the operator's own.
pub(crate) fn find(path: &str, brand: &Brand) -> Option<Asset> {
    let Fixed { style, icon } = fixed();
    [Some(style), Some(icon), brand.sheet.as_ref()]
        .into_iter()
        .flatten()
        .find(|asset| asset.path() == path)
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::{find, fixed};
    use crate::pages::Brand;
    use crate::pages::frame::BrandError;

    #[test]
    fn the_style_sheet_keeps_to_its_size() {
        let size = fixed().style.bytes.len();
        assert!(size <= 12 * 1024, "{size} bytes");
    }

    #[test]
    fn an_asset_is_found_under_its_exact_name_only() {
        let brand = Brand::default().with_accent("#2f5d8a").unwrap();
        for path in [
            fixed().style.path(),
            fixed().icon.path(),
            brand.sheet.as_ref().unwrap().path(),
        ] {
            assert_eq!(find(path, &brand).unwrap().path(), path);
            assert!(find(&format!("{path}x"), &brand).is_none());
        }
        assert!(find("/.portcullis/assets/", &brand).is_none());
    }

    #[test]
    fn another_accent_gets_another_name() {
        let name = |colour| {
            let brand = Brand::default().with_accent(colour).unwrap();
            brand.sheet.unwrap().path().to_owned()
        };
        assert_ne!(name("#2f5d8a"), name("#2f5d8b"));
    }

    #[test]
    fn a_privacy_address_that_could_run_code_is_refused() {
        let refused = Brand::default().with_privacy("javascript:alert(1)");
        assert_eq!(refused.unwrap_err(), BrandError::Privacy);
    }
}
