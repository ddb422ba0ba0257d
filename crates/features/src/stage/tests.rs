//! The stage program from its flags: what wins, what is rejected, and with which exit code.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    epochs: u32,
}

fn stage(directory: &Path, text: &str, args: StageArgs) -> Result<Stage> {
    let file = directory.join("small.toml");
    std::fs::write(&file, text).expect("a temporary directory is writable");
    Stage::new(StageArgs { config: Some(file), ..args })
}

#[test]
fn flags_win_over_the_file() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let text = "[experiment]\nseed = 5\n[probe]\nepochs = 3\n";
    let made = stage(directory.path(), text, StageArgs::default()).expect("a good file");
    assert_eq!((made.seed, made.out.clone()), (5, PathBuf::from("out/small")));
    assert_eq!(made.section::<Section>("probe").expect("a good section"), Section { epochs: 3 });
    assert_eq!(made.section::<Section>("report").expect("an absent section"), Section { epochs: 0 });
    assert_eq!(made.run().shard, Shard::ALL);

    let args = StageArgs { seed: Some(6), out: Some("elsewhere".into()), ..StageArgs::default() };
    let made = stage(directory.path(), text, args).expect("a good file");
    assert_eq!((made.seed, made.out), (6, PathBuf::from("elsewhere")));
}

#[test]
fn mistakes_in_the_file_are_usage_errors_that_name_themselves() {
    let directory = tempfile::tempdir().expect("temporary directory");
    for (text, named) in [
        ("[prob]\nepochs = 3\n", "prob"),
        ("[experiment]\nsed = 3\n", "sed"),
        ("[probe\n", "small.toml"),
        ("seed = 3\n", "seed"),
    ] {
        let error = stage(directory.path(), text, StageArgs::default()).expect_err("a bad file");
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let made = stage(directory.path(), "[probe]\nepoch = 3\n", StageArgs::default()).expect("sections are read late");
    let error = made.section::<Section>("probe").expect_err("an unknown key");
    assert_eq!(error.exit_code(), 2);
    for part in ["[probe]", "epoch", "small.toml"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_experiment_must_be_named_and_exist() {
    let neither = Stage::new(StageArgs::default()).expect_err("nothing to do");
    assert_eq!(neither.exit_code(), 2);
    let absent = StageArgs { config: Some("no/such.toml".into()), ..StageArgs::default() };
    assert_eq!(Stage::new(absent).expect_err("no file").exit_code(), 66);
    let out = StageArgs { out: Some("x".into()), ..StageArgs::default() };
    assert_eq!(Stage::new(out).expect("defaults only").seed, 0);
}
