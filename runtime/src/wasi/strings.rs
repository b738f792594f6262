//! Lays out arguments and environment variables for a guest.

use super::errno::Result;
use super::guest::Guest;
use super::params::{GuestPtr, GuestSlice, Size};

/// Strings that a guest reads as an array of addresses, and a buffer of NUL-terminated strings that
/// they point into.
#[derive(Debug, Default)]
pub(super) struct Strings {
    strings: Vec<Vec<u8>>,
    /// Bytes of all strings with their NULs.
    len: u32,
}

impl Strings {
    /// Returns `None` if a string has a NUL in it, or if all together are longer than a guest's
    /// memory can be.
    pub(super) fn new(strings: Vec<Vec<u8>>) -> Option<Self> {
        let mut len = 0_u32;
        for string in &strings {
            let with_nul = u32::try_from(string.len()).ok()?.checked_add(1)?;
            len = len.checked_add(with_nul).filter(|_| !string.contains(&0))?;
        }
        Some(Self { strings, len })
    }

    /// Returns how many there are, and the bytes they take.
    pub(super) fn sizes(&self) -> (Size, Size) {
        (Size(self.strings.len() as u32), Size(self.len))
    }

    /// Writes the addresses and the strings.
    pub(super) fn write(
        &self,
        guest: &mut Guest<'_>,
        addresses: GuestPtr<GuestPtr<u8>>,
        buffer: GuestPtr<u8>,
    ) -> Result<()> {
        guest.slice(addresses.array(self.strings.len() as u32, 4)?)?;
        guest.slice(GuestSlice { address: buffer.address, len: self.len })?;
        let (mut entry, mut place) = (addresses.address, buffer.address);
        for string in &self.strings {
            guest.write_bytes(entry, &place.to_le_bytes())?;
            guest.write_bytes(place, string)?;
            let end = place + string.len() as u32;
            guest.write_bytes(end, &[0])?;
            (entry, place) = (entry.wrapping_add(4), end.wrapping_add(1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::errno::Errno;

    fn strings(strings: &[&str]) -> Option<Strings> {
        Strings::new(strings.iter().map(|s| s.as_bytes().to_vec()).collect())
    }

    fn write(strings: &Strings, to: &mut [u8], addresses: u32, buffer: u32) -> Result<()> {
        strings.write(&mut Guest(to.into()), GuestPtr::new(addresses), GuestPtr::new(buffer))
    }

    #[test]
    fn strings_lie_behind_each_other_with_addresses_that_point_to_them() {
        let mut bytes = [255; 20];
        write(&strings(&["ab", ""]).unwrap(), &mut bytes, 4, 12).unwrap();
        assert_eq!(bytes[4..], [12, 0, 0, 0, 15, 0, 0, 0, b'a', b'b', 0, 0, 255, 255, 255, 255]);
        assert_eq!(strings(&["ab", ""]).unwrap().sizes(), (Size(2), Size(4)));
    }

    #[test]
    fn strings_that_do_not_fit_are_not_written_at_all() {
        let both = strings(&["ab", "c"]).unwrap();
        for (addresses, buffer) in [(0, 9), (0, 8), (5, 0), (u32::MAX, 0), (0, u32::MAX)] {
            let mut bytes = [255; 12];
            assert_eq!((write(&both, &mut bytes, addresses, buffer), bytes), (Err(Errno::FAULT), [255; 12]));
        }
        // To the last byte.
        assert_eq!(write(&both, &mut [255; 13], 0, 8), Ok(()));
        assert_eq!(write(&both, &mut [255; 13], 5, 0), Ok(()));
    }

    #[test]
    fn a_nul_in_a_string_is_refused() {
        assert!(strings(&["a\0b"]).is_none());
    }
}
