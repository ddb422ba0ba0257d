//! The part of ZIP that `torch.save` writes: entries stored as they are, found through the central directory.
//!
//! A compressed entry is never unpacked: PyTorch compresses the code of TorchScript programs only, and a few kilobytes
//! could unpack to any size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::source::Parsed;

/// Bytes of central directory read; PyTorch's has about a hundred a tensor.
const DIRECTORY: u64 = 64 << 20;
/// The longest comment plus the record that ends a file.
const TAIL: u64 = 65_557;

/// Where an entry's bytes lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First byte.
    pub at: u64,
    /// Bytes.
    pub size: u64,
}

/// An entry as the directory lists it.
#[derive(Clone, Copy, Debug)]
pub enum Listed {
    /// Bytes as they are.
    Stored(Entry),
    /// This many bytes that unpack to that many.
    Packed(u64, u64),
}

impl Listed {
    /// The entry called `name`, unless it would have to be unpacked.
    pub fn stored(self, name: &str) -> Parsed<Entry> {
        match self {
            Self::Stored(entry) => Ok(entry),
            Self::Packed(packed, size) => Err(format!(
                "its entry `{name}` is compressed ({packed} bytes that unpack to {size}), which torch.save never does"
            )),
        }
    }
}

/// The entries of the archive in `file`, by name.
pub fn entries(file: &mut File) -> Parsed<BTreeMap<String, Listed>> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let (at, size) = directory(file, length)?;
    if size > DIRECTORY || at.checked_add(size).is_none_or(|end| end > length) {
        return Err("its ZIP directory does not fit the file".into());
    }
    let directory = bytes(file, at, size)?;
    let mut entries = BTreeMap::new();
    let mut rest = &directory[..];
    while rest.starts_with(b"PK\x01\x02") {
        rest = entry(file, length, rest, &mut entries)?;
    }
    Ok(entries)
}

/// Start and size of the central directory.
fn directory(file: &mut File, length: u64) -> Parsed<(u64, u64)> {
    let start = length.saturating_sub(TAIL);
    let tail = bytes(file, start, length - start)?;
    let end = tail.windows(4).rposition(|four| four == b"PK\x05\x06").filter(|&end| end + 22 <= tail.len());
    let end = end.ok_or("its ZIP directory is missing, so it was cut off")?;
    let (size, at) = (u32_at(&tail, end + 12), u32_at(&tail, end + 16));
    if at != u32::MAX && size != u32::MAX {
        return Ok((u64::from(at), u64::from(size)));
    }
    // ZIP64: a locator in front of the end record names the record with wide fields.
    let locator = end.checked_sub(20).filter(|&locator| tail[locator..].starts_with(b"PK\x06\x07"));
    let at = u64_at(&tail, locator.ok_or("its ZIP64 directory is missing")? + 8);
    if at.checked_add(56).is_none_or(|end| end > length) {
        return Err("its ZIP64 directory does not fit the file".into());
    }
    let record = bytes(file, at, 56)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err("its ZIP64 directory is missing".into());
    }
    Ok((u64_at(&record, 48), u64_at(&record, 40)))
}

/// Takes the first entry of the directory `rest` and gives what follows it.
fn entry<'a>(file: &mut File, length: u64, rest: &'a [u8], entries: &mut BTreeMap<String, Listed>) -> Parsed<&'a [u8]> {
    let cut = || "its ZIP directory is cut off".to_string();
    if rest.len() < 46 {
        return Err(cut());
    }
    let (flags, method) = (u16_at(rest, 8), u16_at(rest, 10));
    let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
    let end = 46 + name + extra + comment;
    if rest.len() < end {
        return Err(cut());
    }
    let key = String::from_utf8_lossy(&rest[46..46 + name]).into_owned();
    let mut packed = u64::from(u32_at(rest, 20));
    let mut size = u64::from(u32_at(rest, 24));
    let mut header = u64::from(u32_at(rest, 42));
    let mut wide = wide_fields(&rest[46 + name..46 + name + extra]);
    for field in [&mut size, &mut packed, &mut header] {
        if *field == u64::from(u32::MAX) {
            *field = wide.next().ok_or_else(cut)?;
        }
    }
    if method != 0 || packed != size || flags & 1 != 0 {
        entries.insert(key, Listed::Packed(packed, size));
        return Ok(&rest[end..]);
    }
    if header.checked_add(30).is_none_or(|end| end > length) {
        return Err(cut());
    }
    let local = bytes(file, header, 30)?;
    let at = header + 30 + u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    if !local.starts_with(b"PK\x03\x04") || at.checked_add(size).is_none_or(|end| end > length) {
        return Err(format!("its entry `{key}` does not fit the file, so it was cut off"));
    }
    entries.insert(key, Listed::Stored(Entry { at, size }));
    Ok(&rest[end..])
}

/// The 64-bit numbers of the ZIP64 extra field.
fn wide_fields(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while extra.len() >= 4 {
        let (id, size) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + size) else { break };
        if id == 1 {
            found = field;
        }
        extra = &extra[4 + size..];
    }
    found.chunks_exact(8).map(|b| u64_at(b, 0))
}

/// `size` bytes from `at` on; the caller has checked that the file is that long.
pub fn bytes(file: &mut File, at: u64, size: u64) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
    file.take(size).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 == size { Ok(bytes) } else { Err("it is cut off".into()) }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
