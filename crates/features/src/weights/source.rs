//! Bytes of a pickle: counted, and limited so that what a file claims costs no more than what it has.

use std::io::Read;

/// Bytes of pickle read from one file; the largest published checkpoints have a few million.
const BYTES: u64 = 256 << 20;
/// Bytes of a name.
const LINE: usize = 1024;

/// A result, or what is wrong with the file, as the end of a sentence that begins with its name.
pub type Parsed<T> = Result<T, String>;

/// Bytes from a reader, counted and limited.
#[derive(Debug)]
pub struct Source<R> {
    inner: R,
    /// Bytes read so far.
    pub consumed: u64,
}

impl<R: Read> Source<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, consumed: 0 }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: u64) -> Parsed<Vec<u8>> {
        if count > BYTES - self.consumed.min(BYTES) {
            return Err(format!("its pickle claims more than {BYTES} bytes"));
        }
        let mut bytes = Vec::new();
        // Grows with what is there, not with what is claimed.
        (&mut self.inner).take(count).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 != count {
            return Err("its pickle is cut off".into());
        }
        self.consumed += count;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(|_| "its pickle is cut off".to_string())?;
        self.consumed += N as u64;
        if self.consumed > BYTES {
            return Err(format!("its pickle has more than {BYTES} bytes"));
        }
        Ok(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Parsed<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Bytes up to the end of the line.
    pub fn line(&mut self) -> Parsed<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return text(line),
                _ if line.len() == LINE => return Err("its pickle has a name without end".into()),
                byte => line.push(byte),
            }
        }
    }
}

/// Bytes as text.
pub fn text(bytes: Vec<u8>) -> Parsed<String> {
    // Python 2 wrote byte strings; Latin-1 maps each byte to a character, as torch.load's encoding does.
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect()))
}
