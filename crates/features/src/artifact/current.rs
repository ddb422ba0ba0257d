//! Whether a table was made from what lies beside it now.

use std::path::Path;

use super::manifest::Manifest;
use super::read::Reader;
use crate::error::{Error, Result};

/// Artifacts of stages that others of the same directory are made from, whose inputs are named after them.
const SOURCES: [&str; 3] = ["features", "probe", "attribute"];

impl Reader {
    /// Refuses a table that was made from another artifact than lies beside it now, or whose own sources were. What is not
    /// there any more is not missed.
    ///
    /// # Errors
    /// [`Error::BadData`] with the stage to run again.
    pub fn check_current(&self) -> Result<()> {
        let parent = self.dir.parent().unwrap_or(Path::new("."));
        check(parent, self.manifest())
    }
}

fn check(parent: &Path, manifest: &Manifest) -> Result<()> {
    for input in manifest.inputs.iter().filter(|input| SOURCES.contains(&input.name.as_str())) {
        let name = &input.name;
        let beside = match Manifest::load(&parent.join(format!("{name}.manifest.json"))) {
            Err(Error::InputMissing(_)) => continue,
            loaded => loaded?,
        };
        if beside.content() != input.fingerprint {
            let stage = &manifest.stage;
            return Err(Error::BadData(format!(
                "{}: `{name}` has been made anew since `{stage}` was made from it; run the `{stage}` stage again",
                parent.display()
            )));
        }
        check(parent, &beside)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Artifact, ArtifactSpec, Begin, Cells, Column, Input, Run, Table, TableSpec, Values, Version};
    use super::*;

    const LINES: Table = Table {
        name: "lines",
        version: Version::new(1, 0),
        row: "One line.",
        columns: &[Column::new("line", Values::Text, "words")],
    };

    fn make(out: &Path, name: &'static str, text: &str, inputs: Vec<Input>) -> Reader {
        let spec = ArtifactSpec {
            stage: name,
            path: out.join(name),
            algorithm: 1,
            config: text.into(),
            inputs,
            tables: vec![TableSpec { table: &LINES, dir: name.into(), shapes: vec![], meta: Default::default() }],
            parts: 1,
        };
        let Begin::Work(artifact) = Artifact::begin(&Run::default(), spec).unwrap() else { panic!("it is new") };
        artifact.write_part(0, vec![(0, vec![Cells::Text(vec![text.into()])])]).unwrap();
        artifact.finish().unwrap();
        Reader::open(&out.join(name), &LINES).unwrap()
    }

    #[test]
    fn a_table_is_refused_where_anything_it_was_made_from_was_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path();
        let elsewhere = Input::bytes("images", b"in another directory");
        let features = make(out, "features", "first", vec![elsewhere]);
        let probe = make(out, "probe", "first", vec![features.input()]);
        let attribute = make(out, "attribute", "first", vec![probe.input()]);
        attribute.check_current().unwrap();
        let anew = make(out, "features", "second", vec![]);
        for (table, again) in [(&probe, "probe"), (&attribute, "probe")] {
            let error = table.check_current().unwrap_err();
            assert_eq!(error.exit_code(), 65);
            assert!(error.to_string().contains(&format!("run the `{again}` stage again")), "{error}");
        }
        let probe = make(out, "probe", "second", vec![anew.input()]);
        probe.check_current().unwrap();
        let error = attribute.check_current().unwrap_err().to_string();
        assert!(error.contains("`probe` has been made anew since `attribute`"), "{error}");
        // What was cleaned away is not missed.
        std::fs::remove_file(out.join("probe.manifest.json")).unwrap();
        attribute.check_current().unwrap();
    }
}
