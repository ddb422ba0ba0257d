//! How a run ended: a line for people, or with `--json` the same in fields for programs.

use std::io::Write;

use serde::Serialize;

use super::Stage;

/// What became of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The result is there, made now.
    Done,
    /// The result was there already.
    UpToDate,
    /// This shard's share is made, others are not.
    ShardDone,
    /// Nothing was made: only a forecast was asked for.
    Planned,
}

impl Outcome {
    /// Of a run whose artifact is now whole or waits for other shards.
    pub fn of<T>(finished: &Option<T>) -> Self {
        if finished.is_some() { Self::Done } else { Self::ShardDone }
    }
}

impl Stage {
    /// The summary at the end of a stage: to standard error, or with `--json` to standard output, as one object with
    /// `facts` about what was done, whose names end in their unit where they have one.
    pub fn done(&self, outcome: Outcome, summary: &str, facts: serde_json::Value) {
        // A closed pipe behind us is no reason to fail after the work is done.
        if self.json {
            let mut line =
                serde_json::json!({ "outcome": outcome, "summary": summary, "out": self.out, "seed": self.seed });
            if let (Some(line), serde_json::Value::Object(facts)) = (line.as_object_mut(), facts) {
                line.extend(facts);
            }
            let _ = writeln!(std::io::stdout(), "{line}");
        } else if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{summary}");
        }
    }
}
