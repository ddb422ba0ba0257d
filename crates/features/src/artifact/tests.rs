//! Artifacts as a stage sees them: made, resumed, sharded, replaced, damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Encoding;
use serde_json::json;

use super::*;
use crate::error::Error;

const ROWS: Table = Table {
    name: "rows",
    version: Version::new(1, 0),
    row: "One of every kind of value.",
    columns: &[
        Column::new("bool", Values::Bool, "b"),
        Column::new("i32", Values::I32, "i"),
        Column::nullable("i32_opt", Values::I32, "i or nothing"),
        Column::new("i64", Values::I64, "key"),
        Column::new("f32", Values::F32, "f"),
        Column::nullable("f32_opt", Values::F32, "f or nothing"),
        Column::new("f64", Values::F64, "d"),
        Column::nullable("f64_opt", Values::F64, "d or nothing"),
        Column::new("text", Values::Text, "t"),
        Column::nullable("text_opt", Values::Text, "t or nothing"),
        Column::new("bytes", Values::Bytes, "x"),
        Column::new("tensor", Values::Tensor, "2 x 3"),
        Column::new("i32_list", Values::I32List, "is"),
        Column::new("f32_list", Values::F32List, "fs"),
        Column::new("text_list", Values::TextList, "ts"),
        Column::new("boxes", Values::Boxes, "a|b"),
        Column::new("masks", Values::Masks, "ms"),
    ],
};
const LOG: Table = Table {
    name: "log",
    version: Version::new(1, 2),
    row: "One line.",
    columns: &[Column::new("line", Values::Text, "What happened.")],
};
const LOG_OF_VERSION_2: Table = Table { version: Version::new(2, 0), ..LOG };
const LOG_WITH_LEVEL: Table = Table {
    columns: &[Column::new("line", Values::I32, "Number."), Column::new("level", Values::I32, "How bad.")],
    ..LOG
};

fn rows(part: usize) -> Vec<Cells> {
    let shift = part as i32;
    let boxed = Box2 { class: shift, xmin: 1, ymin: 2, xmax: 3, ymax: 4 };
    vec![
        Cells::Bool(vec![true, false]),
        Cells::I32(vec![shift, i32::MIN]),
        Cells::I32Opt(vec![None, Some(7)]),
        Cells::I64(vec![2 * i64::from(shift), 2 * i64::from(shift) + 1]),
        Cells::F32(vec![0.1, f32::MAX]),
        Cells::F32Opt(vec![Some(-0.0), None]),
        Cells::F64(vec![0.1, f64::INFINITY]),
        Cells::F64Opt(vec![None, None]),
        Cells::Text(vec!["é".into(), String::new()]),
        Cells::TextOpt(vec![None, Some("x".into())]),
        Cells::Bytes(vec![vec![0, 255], vec![]]),
        Cells::Tensor((0..12).map(|value| value as f32 / 7.0 + part as f32).collect()),
        Cells::I32List(vec![vec![], vec![1, 2]]),
        Cells::F32List(vec![vec![1.5], vec![]]),
        Cells::TextList(vec![vec!["a".into(), "b".into()], vec![]]),
        Cells::Boxes(vec![vec![boxed, boxed], vec![]]),
        Cells::Masks(vec![vec![], vec![Rle { class: shift, counts: vec![3, 1] }, Rle::default()]]),
    ]
}

fn log(part: usize) -> Vec<Cells> {
    vec![Cells::Text(vec![format!("part {part}")])]
}

const PARTS: usize = 5;

fn spec(out: &Path, config: i32) -> ArtifactSpec {
    let table = |table, dir: &str, shapes| TableSpec {
        table,
        dir: dir.into(),
        shapes,
        meta: BTreeMap::from([("axes".to_string(), "row, column".to_string())]),
    };
    ArtifactSpec {
        stage: "try",
        path: out.join("try"),
        algorithm: 1,
        config: json!({"value": config}),
        inputs: vec![Input::bytes("seed", b"1")],
        tables: vec![table(&ROWS, "try", vec![vec![2, 3]]), table(&LOG, "try.log", vec![])],
        parts: PARTS,
    }
}

fn begin(run: &Run, spec: ArtifactSpec) -> Option<Artifact> {
    match Artifact::begin(run, spec).unwrap() {
        Begin::UpToDate(_) => None,
        Begin::Work(artifact) => Some(*artifact),
    }
}

fn write(artifact: &Artifact, part: usize) {
    artifact.write_part(part, vec![(0, rows(part)), (1, log(part))]).unwrap();
}

/// Makes what is pending of one shard; gives the parts it made.
fn make(run: &Run, out: &Path, config: i32) -> Option<Vec<usize>> {
    let artifact = begin(run, spec(out, config))?;
    let pending = artifact.pending();
    pending.iter().for_each(|&part| write(&artifact, part));
    artifact.write_file("try.weights", b"weights").unwrap();
    artifact.finish().unwrap();
    Some(pending)
}

fn forced() -> Run {
    Run { force: true, ..Run::default() }
}

/// All files below `dir` with their contents, except the record of the run.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if !entry.ends_with("try.run.json") {
                found.insert(entry.strip_prefix(dir).unwrap().to_path_buf(), fs::read(&entry).unwrap());
            }
        }
    }
    found
}

fn finished(config: i32) -> (tempfile::TempDir, BTreeMap<PathBuf, Vec<u8>>) {
    let out = tempfile::tempdir().unwrap();
    make(&Run::default(), out.path(), config).unwrap();
    let found = files(out.path());
    (out, found)
}

fn message<T: std::fmt::Debug>(result: crate::error::Result<T>) -> (u8, String) {
    let error = result.unwrap_err();
    (error.exit_code(), error.to_string())
}

#[test]
fn every_kind_of_value_comes_back() {
    let (out, found) = finished(1);
    let reader = Reader::open(&out.path().join("try"), &ROWS).unwrap();
    assert_eq!(
        (reader.parts(), reader.rows(), reader.shape(11), reader.shape(0)),
        (PARTS, 2 * PARTS, &[2, 3][..], &[][..])
    );
    assert_eq!(reader.meta("axes"), Some("row, column"));
    for part in 0..PARTS {
        assert_eq!(reader.read_part(part).unwrap(), rows(part));
    }
    assert_eq!(reader.read_columns(1, &[11, 3]).unwrap(), [rows(1)[11].clone(), rows(1)[3].clone()]);
    let Cells::I64(keys) = &reader.read_all().unwrap()[3] else { panic!("keys are i64") };
    assert_eq!(*keys, (0..2 * PARTS as i64).collect::<Vec<_>>());
    let log = Reader::open(&out.path().join("try.log"), &LOG).unwrap();
    assert_eq!(log.input(), reader.input());
    assert_eq!(log.input().name, "try");
    let names: Vec<_> =
        found.keys().map(|path| path.to_str().unwrap()).filter(|name| !name.contains("part-")).collect();
    assert_eq!(names, ["try.manifest.json", "try.weights"], "nothing else is left");
    assert_eq!(found.len(), 2 + 2 * PARTS);
}

#[test]
fn equal_work_gives_equal_bytes_with_or_without_shards() {
    let (_out, once) = finished(1);
    assert_eq!(finished(1).1, once);
    let out = tempfile::tempdir().unwrap();
    for index in [1, 0] {
        let run = Run { shard: Shard { index, count: 2 }, ..Run::default() };
        assert!(!out.path().join("try.manifest.json").exists());
        make(&run, out.path(), 1).unwrap();
    }
    assert_eq!(files(out.path()), once);
}

#[test]
fn shards_may_run_and_finish_at_the_same_time() {
    let expected = finished(1).1;
    for _ in 0..10 {
        let out = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for index in 0..4 {
                let run = Run { shard: Shard { index, count: 4 }, ..Run::default() };
                let out = out.path();
                scope.spawn(move || make(&run, out, 1));
            }
        });
        assert_eq!(files(out.path()), expected);
    }
}

#[test]
fn a_run_overtaken_by_another_configuration_says_so() {
    let out = tempfile::tempdir().unwrap();
    let artifact = begin(&Run::default(), spec(out.path(), 1)).unwrap();
    (0..PARTS).for_each(|part| write(&artifact, part));
    make(&Run::default(), out.path(), 2).unwrap();
    assert_eq!(message(artifact.write_file("try.weights", b"")).0, 75);
    assert_eq!(message(artifact.finish()).0, 75);
}

#[test]
fn only_tensors_are_split_by_byte_and_the_footer_explains_the_file() {
    let (out, _) = finished(1);
    let part = fs::File::open(out.path().join("try").join(part::file_name(0, PARTS))).unwrap();
    let metadata = ArrowReaderMetadata::load(&part, ArrowReaderOptions::new()).unwrap();
    for column in metadata.metadata().row_group(0).columns() {
        let path = column.column_path().string();
        let tensor = path == "tensor.list.element";
        assert_eq!(column.encodings().any(|encoding| encoding == Encoding::BYTE_STREAM_SPLIT), tensor, "{path}");
        assert_eq!(column.statistics().is_none(), tensor || path == "bytes", "{path}");
        assert!(!tensor || column.dictionary_page_offset().is_none(), "{path}");
    }
    assert_eq!(metadata.schema().field(3).metadata().get("meaning").map(|text| text.as_str()), Some("key"));
    let file = metadata.metadata().file_metadata();
    let keys: Vec<_> = file.key_value_metadata().unwrap().iter().map(|entry| entry.key.as_str()).collect();
    let expected =
        ["algorithm", "config", "fingerprint", "inputs", "meta.axes", "row", "shape.tensor", "stage", "table"];
    let expected = expected.into_iter().chain(["version"]).map(|key| format!("probescope.{key}"));
    assert_eq!(keys, expected.chain(["ARROW:schema".to_string()]).collect::<Vec<_>>());
}

#[test]
fn a_killed_run_makes_only_the_parts_it_lacks() {
    let out = tempfile::tempdir().unwrap();
    let artifact = begin(&Run::default(), spec(out.path(), 1)).unwrap();
    [0, 3].into_iter().for_each(|part| write(&artifact, part));
    assert_eq!(artifact.missing(), [1, 2, 4]);
    assert_eq!(artifact.finish().unwrap(), None);
    let (code, text) = message(Reader::open(&out.path().join("try"), &ROWS));
    assert!(code == 66 && text.contains("was begun"), "{text}");
    // Part 3 lost its end, as after a power cut.
    let torn = siblings(out.path(), ".try.new-").remove(0).join("try").join("part-00003-of-00005.parquet");
    fs::write(&torn, b"PAR1").unwrap();
    assert_eq!(make(&Run::default(), out.path(), 1).unwrap(), [1, 2, 3, 4]);
    assert_eq!(files(out.path()), finished(1).1);
}

#[test]
fn what_is_kept_of_a_long_part_outlives_a_kill_but_not_force_or_the_end() {
    let out = tempfile::tempdir().unwrap();
    let artifact = begin(&Run::default(), spec(out.path(), 1)).unwrap();
    assert_eq!(artifact.checkpoint("long").unwrap(), None);
    ["half", "more"].iter().for_each(|state| artifact.write_checkpoint("long", state.as_bytes()).unwrap());
    let artifact = begin(&Run::default(), spec(out.path(), 1)).unwrap();
    assert_eq!(artifact.checkpoint("long").unwrap().as_deref(), Some(b"more".as_slice()));
    let artifact = begin(&forced(), spec(out.path(), 1)).unwrap();
    assert_eq!(artifact.checkpoint("long").unwrap(), None);
    artifact.write_checkpoint("long", b"half").unwrap();
    assert_eq!(make(&Run::default(), out.path(), 1).unwrap().len(), PARTS);
    assert_eq!(files(out.path()), finished(1).1);
}

fn siblings(out: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(prefix)).map(|entry| entry.path()).collect()
}

#[test]
fn finished_work_is_only_touched_unless_forced() {
    let (out, once) = finished(1);
    let manifest = out.path().join("try.manifest.json");
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    fs::File::options().append(true).open(&manifest).unwrap().set_modified(past).unwrap();
    assert_eq!(make(&Run::default(), out.path(), 1), None);
    assert!(fs::metadata(&manifest).unwrap().modified().unwrap() > past);
    assert_eq!(files(out.path()), once);
    assert_eq!(make(&forced(), out.path(), 1).unwrap().len(), PARTS);
    assert_eq!(files(out.path()), once);
}

#[test]
fn an_old_result_stays_until_the_new_one_is_whole() {
    let (out, old) = finished(1);
    let artifact = begin(&Run::default(), spec(out.path(), 2)).unwrap();
    write(&artifact, 0);
    drop(artifact);
    let visible = |found: BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<_, _> {
        found.into_iter().filter(|(path, _)| !path.to_str().unwrap().starts_with('.')).collect()
    };
    assert_eq!(visible(files(out.path())), old);
    assert_eq!(make(&Run::default(), out.path(), 1), None, "the old result is still up to date");
    assert_eq!(make(&Run::default(), out.path(), 2).unwrap(), [1, 2, 3, 4]);
    assert_eq!(files(out.path()), finished(2).1);
    let mut smaller = spec(out.path(), 3);
    smaller.tables.pop();
    let artifact = begin(&Run::default(), smaller).unwrap();
    (0..PARTS).for_each(|part| artifact.write_part(part, vec![(0, rows(part))]).unwrap());
    artifact.finish().unwrap().unwrap();
    assert!(!out.path().join("try.log").exists() && !out.path().join("try.weights").exists());
}

#[test]
fn a_change_cut_short_is_finished_by_the_next_run() {
    let expected = finished(2).1;
    for steps in 0..4 {
        let (out, _) = finished(1);
        let artifact = begin(&Run::default(), spec(out.path(), 2)).unwrap();
        (0..PARTS).for_each(|part| write(&artifact, part));
        artifact.write_file("try.weights", b"weights").unwrap();
        artifact.commit_only().unwrap();
        let staging = siblings(out.path(), ".try.new-").remove(0);
        let replaced = staging.join(".replaced");
        let moves = [
            (out.path().join("try.manifest.json"), replaced.join("manifest.json")),
            (out.path().join("try"), replaced.join("try")),
            (staging.join("try"), out.path().join("try")),
        ];
        fs::create_dir_all(&replaced).unwrap();
        moves[..steps].iter().for_each(|(from, to)| fs::rename(from, to).unwrap());
        assert_eq!(make(&Run::default(), out.path(), 2), None, "after {steps} steps");
        assert_eq!(files(out.path()), expected, "after {steps} steps");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_reason_and_remedy() {
    let (out, _) = finished(1);
    let dir = out.path().join("try.log");
    let cases: [(u8, &[&str], crate::error::Result<Reader>); 5] = [
        (66, &["none.manifest.json", "`none` first"], Reader::open(&out.path().join("none"), &LOG)),
        (65, &["version 1.2", "2.x", "again"], Reader::open(&dir, &LOG_OF_VERSION_2)),
        (65, &["`level` is missing", "`line` is Utf8, not Int32"], Reader::open(&dir, &LOG_WITH_LEVEL)),
        (65, &["`log`, not `rows`"], Reader::open(&dir, &ROWS)),
        (65, &["lists only try, try.log"], Reader::open(&out.path().join("try.other"), &LOG)),
    ];
    for (code, texts, result) in cases {
        let (found, text) = message(result);
        assert_eq!(found, code, "{text}");
        texts.iter().for_each(|part| assert!(text.contains(part), "{text}"));
    }
    let part = dir.join("part-00002-of-00005.parquet");
    let whole = fs::read(&part).unwrap();
    fs::write(&part, &whole[..whole.len() - 9]).unwrap();
    let (code, text) = message(Reader::open(&dir, &LOG));
    assert!(code == 65 && text.contains("part-00002") && text.contains("`try` stage again"), "{text}");
    // Same size, other content.
    fs::write(&part, vec![0; whole.len()]).unwrap();
    let (code, text) = message(Reader::open(&dir, &LOG).unwrap().read_part(2));
    assert!(code == 65 && text.contains("part-00002"), "{text}");
    fs::remove_file(&part).unwrap();
    assert_eq!(message(Reader::open(&dir, &LOG)).0, 65);
    assert_eq!(make(&Run::default(), out.path(), 1).unwrap().len(), PARTS, "a damaged result is made again");
}

#[test]
fn cells_that_break_the_declaration_are_bugs() {
    let out = tempfile::tempdir().unwrap();
    let artifact = begin(&Run::default(), spec(out.path(), 1)).unwrap();
    let mut short = rows(0);
    short[0] = Cells::Bool(vec![true]);
    let mut torn = rows(0);
    torn[11] = Cells::Tensor(vec![0.0; 13]);
    for cells in [short, torn, log(0), rows(0)[..3].to_vec()] {
        assert!(matches!(artifact.write_part(0, vec![(0, cells)]), Err(Error::Bug(_))));
    }
    assert!(matches!(artifact.write_part(PARTS, vec![]), Err(Error::Bug(_))));
    assert!(!artifact.has_part(0));
    for name in ["other.bin", "try", "try.log", "try.manifest.json", "try./x", "try."] {
        assert!(matches!(artifact.write_file(name, b""), Err(Error::Bug(_))), "{name}");
    }
    artifact.write_part(0, vec![]).unwrap();
    assert!(artifact.has_part(0));
    let mut wrong = spec(out.path(), 1);
    wrong.tables[1].dir = "log".into();
    assert!(matches!(Artifact::begin(&Run::default(), wrong), Err(Error::Bug(_))));
}

#[test]
fn a_place_that_cannot_be_written_is_said_so() {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("file"), b"").unwrap();
    let (code, text) = message(Artifact::begin(&Run::default(), spec(&out.path().join("file"), 1)));
    assert!(code == 73 && text.contains("file"), "{text}");
}

#[test]
fn declarations_become_documentation() {
    let text = markdown(&[&LOG, &ROWS]);
    assert!(text.contains("## log\n\nVersion 1.2. One line.\n"), "{text}");
    assert!(text.contains("| `line` | `text` | no | What happened. |\n"), "{text}");
    assert!(
        text.contains("| `boxes` | `list<struct<class, xmin, ymin, xmax, ymax: int32>>` | no | a\\|b |\n"),
        "{text}"
    );
}
