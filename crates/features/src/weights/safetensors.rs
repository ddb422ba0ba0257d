//! The header of a safetensors file: which tensor lies where. Tensors are read later, one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};

use serde::Deserialize;

use super::element::Element;
use super::source::Parsed;
use super::zip::bytes;
use super::{Stored, row_major};

/// Bytes of header that the format allows.
const HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The tensors of the file, by name.
pub fn open(file: &mut File) -> Parsed<BTreeMap<String, Stored>> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    if length < 8 {
        return Err("it is too short for a safetensors file".into());
    }
    let start = bytes(file, 0, 8)?;
    let header = start.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    if header > HEADER || header > length - 8 {
        return Err(format!("its header claims {header} bytes, the file has {length}"));
    }
    let text = bytes(file, 8, header)?;
    let listed: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&text).map_err(|error| format!("its safetensors header is damaged ({error})"))?;
    let (first, data) = (8 + header, length - 8 - header);
    let tensors = listed.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, value)| {
            let info: Info = serde_json::from_value(value).map_err(|error| format!("its tensor `{name}`: {error}"))?;
            let element = Element::of_safetensors(&info.dtype)
                .ok_or_else(|| format!("its tensor `{name}` has type {}, which is not supported", info.dtype))?;
            let [begin, end] = info.data_offsets;
            let count = info.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
            let size = count.and_then(|count| count.checked_mul(element.size()));
            if begin > end || end > data || size.map(|size| size as u64) != Some(end - begin) {
                return Err(format!("its tensor `{name}` does not fit the file, so it was cut off or damaged"));
            }
            let strides = row_major(&info.shape);
            Ok((name, Stored { element, shape: info.shape, strides, at: first + begin }))
        })
        .collect()
}
