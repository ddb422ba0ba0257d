//! Files of `torch.save`: a ZIP archive of a pickle and its storages, or the older run of pickles and storages. A
//! TorchScript program is such an archive too, with its code beside; the code is not looked at.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};

use super::Stored;
use super::element::Element;
use super::pickle::{Id, Pickle, Value, View, read};
use super::source::{Parsed, Source};
use super::zip::{self, Entry};

/// How the older files begin: protocol 2, then a number of ten bytes.
pub const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Mappings inside mappings that are looked through.
const DEPTH: usize = 16;
/// Values looked at in search of tensors; the same mapping may be reached by many ways.
const VISITS: usize = 8_000_000;

/// The tensors of a ZIP archive, by the path of keys that leads to them.
pub fn open_zip(file: &mut File) -> Parsed<BTreeMap<String, Stored>> {
    let entries = zip::entries(file)?;
    let suffix = "/data.pkl";
    let pickle = entries.iter().find(|(name, _)| name.ends_with(suffix) && name.matches('/').count() == 1);
    let Some((name, pickle)) = pickle else {
        return Err("it is a ZIP archive without a pickle, so not written by torch.save".into());
    };
    let folder = name[..name.len() - suffix.len()].to_string();
    let pickle = pickle.stored(name)?;
    let order = format!("{folder}/byteorder");
    if let Some(entry) = entries.get(&order) {
        let entry = entry.stored(&order)?;
        if zip::bytes(file, entry.at, entry.size.min(8))? != b"little" {
            return Err("it is from a big-endian machine, which is not supported".into());
        }
    }
    file.seek(SeekFrom::Start(pickle.at)).map_err(|error| error.to_string())?;
    let size = pickle.size;
    let content = read(&mut Source::new(BufReader::new(std::io::Read::take(&*file, size))))?;
    let storage = |key: &str| {
        let name = format!("{folder}/data/{key}");
        entries.get(&name).map(|entry| entry.stored(&name)).transpose()
    };
    tensors(&content, storage)
}

/// The tensors of an older file, by the path of keys that leads to them.
pub fn open_legacy(file: &mut File) -> Parsed<BTreeMap<String, Stored>> {
    let length = file.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut source = Source::new(BufReader::new(&*file));
    // Magic number, version and machine say nothing that the storages do not.
    for _ in 0..3 {
        read(&mut source)?;
    }
    let content = read(&mut source)?;
    let order = read(&mut source)?;
    let at = source.consumed;
    drop(source);
    let elements: BTreeMap<&str, Element> = content
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key.as_str(), storage.element)),
            _ => None,
        })
        .collect();
    let storages = legacy_storages(file, length, at, &order, &elements)?;
    tensors(&content, |key| Ok(storages.get(key).copied()))
}

/// Where each storage lies: a count of eight bytes and the numbers, in the order that the last pickle lists.
fn legacy_storages(
    file: &mut File,
    length: u64,
    mut at: u64,
    order: &Pickle,
    elements: &BTreeMap<&str, Element>,
) -> Parsed<BTreeMap<String, Entry>> {
    let cut = || "its tensors are cut off".to_string();
    let Value::List(keys) = &order.values[order.root] else { return Err("it does not list its storages".into()) };
    let mut storages = BTreeMap::new();
    for &key in keys {
        let Value::Text(key) = &order.values[key] else { return Err("it does not list its storages".into()) };
        let element = elements.get(key.as_str()).ok_or("it lists a storage that no tensor has")?;
        if at.checked_add(8).is_none_or(|end| end > length) {
            return Err(cut());
        }
        let count = zip::bytes(file, at, 8)?.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        let size = count.checked_mul(element.size() as u64).ok_or_else(cut)?;
        let end = at.checked_add(8).and_then(|at| at.checked_add(size)).filter(|&end| end <= length);
        storages.insert(key.clone(), Entry { at: at + 8, size });
        at = end.ok_or_else(cut)?;
    }
    Ok(storages)
}

/// All tensors reachable through mappings and lists from the root.
fn tensors(content: &Pickle, storage: impl Fn(&str) -> Parsed<Option<Entry>>) -> Parsed<BTreeMap<String, Stored>> {
    let mut found = BTreeMap::new();
    let mut open: Vec<(String, Id, usize)> = vec![(String::new(), content.root, 0)];
    let mut visits = 0;
    while let Some((path, id, depth)) = open.pop() {
        visits += 1;
        if visits > VISITS {
            return Err("its mappings refer to each other without end".into());
        }
        let inner = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        match &content.values[id] {
            Value::Tensor(view) => {
                let entry = storage(&view.storage.key)?.ok_or_else(|| format!("its tensor `{path}` has no storage"))?;
                let stored = place(view, entry).ok_or_else(|| {
                    format!("its tensor `{path}` does not fit its storage, so the file was cut off or damaged")
                })?;
                found.insert(path, stored);
            }
            Value::Dict(entries) | Value::Object(entries) if depth < DEPTH => {
                for (key, value) in entries {
                    match &content.values[*key] {
                        Value::Text(name) => open.push((inner(name), *value, depth + 1)),
                        Value::Int(number) => open.push((inner(&number.to_string()), *value, depth + 1)),
                        _ => {}
                    }
                }
            }
            Value::List(items) | Value::Tuple(items) if depth < DEPTH => {
                open.extend(items.iter().enumerate().map(|(i, &item)| (inner(&i.to_string()), item, depth + 1)));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The view's place in the file, if all its numbers lie in the storage and none is used twice.
pub(super) fn place(view: &View, entry: Entry) -> Option<Stored> {
    let size = view.storage.element.size();
    if view.shape.len() != view.strides.len() {
        return None;
    }
    let count = view.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent))?;
    let mut span = usize::from(count > 0);
    for (&extent, &stride) in view.shape.iter().zip(&view.strides).filter(|_| count > 0) {
        span = span.checked_add((extent - 1).checked_mul(stride)?)?;
    }
    let end = view.offset.checked_add(span)?.checked_mul(size)?;
    // An expanded tensor has more elements than numbers: a few bytes could claim any amount of memory.
    if end as u64 > entry.size || count > span {
        return None;
    }
    Some(Stored {
        element: view.storage.element,
        shape: view.shape.clone(),
        strides: view.strides.clone(),
        at: entry.at + (view.offset * size) as u64,
    })
}
