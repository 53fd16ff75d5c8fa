//! Values that must not appear in a log, a page or a core dump.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret: masked when printed, wiped when dropped, compared in constant time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; every call is a place to review.
    pub(crate) const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().ct_eq(other.0.as_ref()).into()
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_output_hides_the_value() {
        let printed = format!("{:?}", Secret::new(String::from("hunter2hunter2")));
        assert_eq!(printed, "Secret(..)");
    }

    #[test]
    fn equality_compares_the_values() {
        assert_eq!(Secret::new(vec![1_u8, 2]), Secret::new(vec![1, 2]));
        assert_ne!(Secret::new(vec![1_u8, 2]), Secret::new(vec![1, 3]));
    }
}
