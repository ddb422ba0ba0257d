//! Files that PyTorch wrote, and files that want more than they have: made to mislead, cut off, or damaged at random.
//!
//! The checkpoints and the script that made them are in `tests/parity/checkpoints`.

use std::path::{Path, PathBuf};

use super::*;
use crate::random::{below, stream};

const ALL: [&str; 12] = [
    "clip.pt",
    "torchvision.pth",
    "legacy.pth",
    "double.pt",
    "moco_v2.pth.tar",
    "moco_v3.pth.tar",
    "dino.pth",
    "mmpretrain_bcos.pth",
    "wide_bf16.pth",
    "half.safetensors",
    "evil.pth",
    "evil_legacy.pth",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/checkpoints").join(name)
}

fn expected(name: &str, count: usize) -> Vec<f32> {
    let start: usize = name.bytes().map(usize::from).sum();
    let value = |i: usize| ((i + start) % 13) as f32 / 8.0 - 0.75;
    (0..count).map(|i| if name.ends_with("running_var") { 1.0 + value(i).abs() } else { value(i) }).collect()
}

/// Every float tensor behind `prefix` has the formula's values, plus `shift`.
fn check(name: &str, container: Container, prefix: &str, shift: f32) {
    let file = WeightFile::open(&fixture(name)).expect(name);
    assert_eq!(file.container, container, "{name}");
    let inner: Vec<&str> = file.tensors.keys().filter_map(|key| key.strip_prefix(prefix)).collect();
    assert!(inner.len() > 30 && inner.contains(&"layer2.0.downsample.1.running_var"), "{name}: {inner:?}");
    for key in inner {
        let path = format!("{prefix}{key}");
        let values = file.values(&path).expect(key);
        let shape = &file.tensors[&path].shape;
        if key.ends_with("num_batches_tracked") {
            assert_eq!((values, &shape[..]), (vec![7.0], &[][..]));
            continue;
        }
        let expected: Vec<f32> = expected(key, shape.iter().product()).iter().map(|v| v + shift).collect();
        assert_eq!(values, expected, "{name}: {key}");
    }
}

#[test]
fn every_layout_and_element_type_keeps_its_values() {
    for (name, container, prefix, shift) in [
        ("torchvision.pth", Container::TorchZip, "", 0.0),
        ("legacy.pth", Container::TorchLegacy, "", 0.0),
        ("double.pt", Container::TorchZip, "", 0.0),
        ("moco_v2.pth.tar", Container::TorchZip, "state_dict.module.encoder_q.", 0.0),
        ("moco_v2.pth.tar", Container::TorchZip, "state_dict.module.encoder_k.", 0.5),
        ("moco_v3.pth.tar", Container::TorchZip, "state_dict.module.base_encoder.", 0.0),
        ("dino.pth", Container::TorchLegacy, "teacher.module.backbone.", 0.0),
        ("dino.pth", Container::TorchLegacy, "student.module.backbone.", 0.5),
        ("mmpretrain_bcos.pth", Container::TorchZip, "state_dict.backbone.", 0.0),
        ("wide_bf16.pth", Container::TorchZip, "", 0.0),
        ("half.safetensors", Container::Safetensors, "", 0.0),
    ] {
        check(name, container, prefix, shift);
    }
}

#[test]
fn a_pickle_that_would_run_a_program_is_refused_and_runs_nothing() {
    let marker = Path::new("probescope-was-fooled");
    for name in ["evil.pth", "evil_legacy.pth"] {
        let error = WeightFile::open(&fixture(name)).expect_err(name);
        assert_eq!(error.exit_code(), 65);
        assert!(error.to_string().contains("posix.system"), "{error}");
    }
    assert!(!marker.exists(), "the fixture's command was run");
}

fn refused(bytes: &[u8], name: &str, told: &str) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("writable");
    let error = WeightFile::open(&path).expect_err(told);
    assert_eq!(error.exit_code(), 65, "{error}");
    assert!(error.to_string().contains(told), "{error}");
}

/// A ZIP archive of one entry; method 8 is deflate.
fn zip(name: &str, content: &[u8], method: u16, unpacked: u32) -> Vec<u8> {
    let (packed, long) = ((content.len() as u32).to_le_bytes(), (name.len() as u16).to_le_bytes());
    let both = |signature: &[u8], version: &[u8]| {
        let sizes = [&[0; 4][..], &packed, &unpacked.to_le_bytes(), &long].concat();
        [signature, version, &[20, 0, 0, 0], &method.to_le_bytes(), &[0; 4], &sizes].concat()
    };
    let mut file = both(b"PK\x03\x04", &[]);
    file.extend([&[0, 0][..], name.as_bytes(), content].concat());
    let at = (file.len() as u32).to_le_bytes();
    let entry = [&both(b"PK\x01\x02", &[20, 0])[..], &[0; 16], name.as_bytes()].concat();
    let size = (entry.len() as u32).to_le_bytes();
    file.extend([&entry[..], b"PK\x05\x06", &[0; 4], &[1, 0, 1, 0], &size, &at, &[0, 0]].concat());
    file
}

#[test]
fn claims_that_exceed_the_file_are_refused() {
    let header = [&(1u64 << 60).to_le_bytes()[..], b"{\"a\":1}"].concat();
    refused(&header, "a.safetensors", "claims 1152921504606846976 bytes");
    let wide = br#"{"w":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}"#;
    refused(&[&(wide.len() as u64).to_le_bytes()[..], wide].concat(), "a.safetensors", "`w` does not fit");
    // Ten bytes that claim to unpack to four gigabytes.
    refused(&zip("archive/data.pkl", &[0; 10], 8, u32::MAX - 1), "bomb.pth", "is compressed");
    refused(&zip("archive/data.pkl", &[0; 10], 0, 4000), "bomb.pth", "is compressed");
    // A text of 2^40 bytes in a pickle of twelve.
    let long = [&b"\x80\x02\x8d"[..], &(1u64 << 40).to_le_bytes(), b"."].concat();
    refused(&zip("archive/data.pkl", &long, 0, long.len() as u32), "text.pth", "claims more than");
    let short = [&b"\x80\x02X"[..], &(200u32 << 20).to_le_bytes(), b"."].concat();
    refused(&zip("archive/data.pkl", &short, 0, short.len() as u32), "text.pth", "cut off");
    // A mapping that is copied into an object again and again: 3 bytes a copy.
    let mut copies = b"\x80\x02cargparse\nNamespace\n)R}q\x00(".to_vec();
    (0..60_000).for_each(|_| copies.extend(b"K\x01K\x01"));
    copies.extend(b"u0");
    copies.extend(b"h\x00b".repeat(60_000));
    copies.push(b'.');
    refused(&zip("archive/data.pkl", &copies, 0, copies.len() as u32), "copies.pth", "copies more than");
    // Two million lists inside each other are neither a stack overflow nor a tensor.
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(b"]".repeat(2_000_000));
    deep.extend(b"a".repeat(1_999_999));
    deep.push(b'.');
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("deep.pth");
    std::fs::write(&path, zip("archive/data.pkl", &deep, 0, deep.len() as u32)).expect("writable");
    assert!(WeightFile::open(&path).expect("a harmless pickle").tensors.is_empty());
}

#[test]
fn an_expanded_tensor_is_refused() {
    // One number, claimed to be 2^32 of them by a stride of 0.
    let pickle =
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\
                   \x00\x000X\x03\x00\x00\x00cpuK\x01tQK\x00M\x00\x40M\x00\x40\x86K\x00K\x00\x86\x89NtR.";
    let mut source = source::Source::new(&pickle[..]);
    let content = pickle::read(&mut source).expect("a tensor");
    let pickle::Value::Tensor(view) = &content.values[content.root] else { panic!("{content:?}") };
    assert_eq!((&view.shape[..], &view.strides[..]), (&[16384, 16384][..], &[0, 0][..]));
    assert!(torch::place(view, zip::Entry { at: 0, size: 4 }).is_none());
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("damaged.pth");
    let mut rng = stream(0, &["damage"]);
    for name in ALL {
        let whole = std::fs::read(fixture(name)).expect(name);
        for round in 0..150 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(below(&mut rng, whole.len()));
            } else {
                // Most of a file is numbers; its structure is at both ends.
                let reach = if round % 3 == 1 { whole.len() } else { 2048.min(whole.len()) };
                for _ in 0..1 + below(&mut rng, 8) {
                    let at = below(&mut rng, reach);
                    let at = if round % 2 == 0 { at } else { whole.len() - 1 - at };
                    bytes[at] = below(&mut rng, 256) as u8;
                }
            }
            std::fs::write(&path, &bytes).expect("writable");
            let Ok(file) = WeightFile::open(&path) else { continue };
            for tensor in file.tensors.keys() {
                if let Err(error) = file.values(tensor) {
                    assert_eq!(error.exit_code(), 65, "{error}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_checkpoint_says_how_it_starts() {
    refused(b"<html>404</html>", "page.pth", "<html>40");
    refused(b"", "empty.pth", "starts with \"\"");
    refused(b"PK\x03\x04 and then nothing", "cut.pth", "cut off");
    refused(&[], "empty.safetensors", "too short");
    assert_eq!(WeightFile::open(Path::new("/nowhere/a.pth")).expect_err("no file").exit_code(), 66);
}
