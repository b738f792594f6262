//! Arguments and environment variables, and how a guest gets them.

use super::errno::{Errno, Result};
use super::guest::Guest;

/// Strings that a guest reads as an array of pointers into a buffer of NUL-terminated strings.
#[derive(Debug, Default)]
pub(super) struct Strings {
    strings: Vec<Vec<u8>>,
    /// Bytes of all strings with their NULs.
    len: u32,
}

impl Strings {
    /// `None` if a string holds a NUL, or if all together are longer than a guest's memory can be.
    pub(super) fn new(strings: Vec<Vec<u8>>) -> Option<Self> {
        let mut len = 0_u32;
        for string in &strings {
            let with_nul = u32::try_from(string.len()).ok()?.checked_add(1)?;
            len = len.checked_add(with_nul).filter(|_| !string.contains(&0))?;
        }
        Some(Self { strings, len })
    }

    /// Writes how many there are, and the bytes they take.
    pub(super) fn sizes(&self, guest: &mut Guest<'_>, count: u32, len: u32) -> Result<()> {
        guest.write_u32(count, self.strings.len() as u32)?;
        guest.write_u32(len, self.len)
    }

    /// Writes the pointers and the strings.
    pub(super) fn write(&self, guest: &mut Guest<'_>, pointers: u32, buffer: u32) -> Result<()> {
        guest.slice(pointers, (self.strings.len() as u32).checked_mul(4).ok_or(Errno::OVERFLOW)?)?;
        guest.slice(buffer, self.len)?;
        let (mut pointer, mut place) = (pointers, buffer);
        for string in &self.strings {
            guest.write_u32(pointer, place)?;
            guest.write(place, string)?;
            let end = place + string.len() as u32;
            guest.write(end, &[0])?;
            (pointer, place) = (pointer + 4, end + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(strings: &[&str]) -> Option<Strings> {
        Strings::new(strings.iter().map(|s| s.as_bytes().to_vec()).collect())
    }

    #[test]
    fn strings_lie_behind_each_other_with_pointers_to_them() {
        let mut bytes = [255; 20];
        strings(&["ab", ""]).unwrap().write(&mut Guest(bytes[..].as_mut().into()), 4, 12).unwrap();
        assert_eq!(bytes[4..], [12, 0, 0, 0, 15, 0, 0, 0, b'a', b'b', 0, 0, 255, 255, 255, 255]);
    }

    #[test]
    fn strings_that_do_not_fit_are_not_written_at_all() {
        let mut bytes = [255; 11];
        let written = strings(&["ab"]).unwrap().write(&mut Guest(bytes[..].as_mut().into()), 0, 9);
        assert_eq!((written, bytes), (Err(Errno::FAULT), [255; 11]));
    }

    #[test]
    fn a_nul_in_a_string_is_refused() {
        assert!(strings(&["a\0b"]).is_none());
    }
}
