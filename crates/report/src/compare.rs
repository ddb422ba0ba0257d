//! Two reports side by side: which numbers differ by more than their intervals allow, and what was put in differently.

use crate::table::SUMMARY;
use features::artifact::{Columns, Manifest, Reader};
use features::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// Rows that are listed at most; the rest is counted.
const LISTED: usize = 40;

/// One number of a report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    mean: f64,
    low: f64,
    high: f64,
}

/// All numbers of a report by what they are of.
type Entries = BTreeMap<String, Entry>;

/// One number in both reports.
#[derive(Debug, Clone, PartialEq)]
struct Change<'a> {
    name: &'a str,
    before: Entry,
    after: Entry,
    /// Change in units of what both intervals together allow.
    size: f64,
}

/// Compares the reports in directories `a` and `b` (such as `out/report`); Markdown for standard output.
pub fn reports(a: &Path, b: &Path) -> Result<String> {
    let mut text = format!("# {} against {}\n\n", b.display(), a.display());
    text.push_str(&inputs(&manifest(a)?, &manifest(b)?));
    text.push_str(&entries(&read(a)?, &read(b)?));
    Ok(text)
}

fn manifest(report: &Path) -> Result<Manifest> {
    Manifest::read(&report.join(crate::report::NAME)).map_err(|error| match error {
        Error::InputMissing(_) => Error::InputMissing(format!(
            "{}: no finished report; give a directory that `report` wrote, such as out/report",
            report.display()
        )),
        other => other,
    })
}

/// What the reports were made from and how, as far as it differs.
fn inputs(a: &Manifest, b: &Manifest) -> String {
    let mut text = String::new();
    if a.fingerprint == b.fingerprint {
        return "Both were made from the same inputs with the same settings.\n\n".into();
    }
    if a.config != b.config {
        let _ = writeln!(text, "- settings: `{}` became `{}`", a.config, b.config);
    }
    let of = |manifest: &Manifest| -> BTreeMap<String, String> {
        manifest.inputs.iter().map(|input| (input.name.clone(), input.fingerprint.clone())).collect()
    };
    let (before, after) = (of(a), of(b));
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let change = match (before.get(name), after.get(name)) {
            (Some(one), Some(other)) if one == other => continue,
            (Some(_), Some(_)) => "another content",
            (Some(_), None) => "only in the first",
            (None, _) => "only in the second",
        };
        let _ = writeln!(text, "- {name}: {change}");
    }
    text.push('\n');
    text
}

fn read(report: &Path) -> Result<Entries> {
    let reader = Reader::open(&report.join(crate::report::NAME), &SUMMARY)?;
    let mut columns = Columns::new(reader.read_all()?);
    let [experiment, backbone, kind]: [Vec<String>; 3] = [columns.next()?, columns.next()?, columns.next()?];
    let size: Vec<Option<i32>> = columns.next()?;
    let [metric, variant, method, probe]: [Vec<String>; 4] =
        [columns.next()?, columns.next()?, columns.next()?, columns.next()?];
    let _head_loss_offset: [Vec<String>; 3] = [columns.next()?, columns.next()?, columns.next()?];
    let baseline: Vec<Option<String>> = columns.next()?;
    let [mean, low, high]: [Vec<Option<f64>>; 3] = [columns.next()?, columns.next()?, columns.next()?];
    let one = |row: usize| {
        let size = size[row].map_or(String::new(), |size| format!("{size}x{size}"));
        let minus = baseline[row].as_ref().map_or(String::new(), |baseline| format!(" − {baseline}"));
        let name = format!(
            "{} · {} · {}{size} · {}:{} · {} · {}{minus}",
            experiment[row], backbone[row], kind[row], metric[row], variant[row], method[row], probe[row]
        );
        Some((name, Entry { mean: mean[row]?, low: low[row]?, high: high[row]? }))
    };
    Ok((0..experiment.len()).filter_map(one).collect())
}

fn entries(a: &Entries, b: &Entries) -> String {
    let mut changes: Vec<Change> = a
        .iter()
        .filter_map(|(name, before)| Some(change(name, *before, *b.get(name)?)))
        .filter(|change| change.size > 1.0)
        .collect();
    changes.sort_by(|one, other| other.size.total_cmp(&one.size).then(one.name.cmp(other.name)));
    let both = a.keys().filter(|name| b.contains_key(*name)).count();
    let mut text = format!(
        "{both} numbers are in both reports, {} only in the first, {} only in the second. {} differ by more than their 95 % \
         intervals allow.\n",
        a.len() - both,
        b.len() - both,
        changes.len()
    );
    if changes.is_empty() {
        return text;
    }
    text.push_str("\n| Number | First | Second | Change |\n|---|--:|--:|--:|\n");
    let written = |entry: Entry| format!("{:.4} [{:.4}, {:.4}]", entry.mean, entry.low, entry.high);
    for Change { name, before, after, .. } in changes.iter().take(LISTED) {
        let (first, second) = (written(*before), written(*after));
        let _ = writeln!(text, "| {name} | {first} | {second} | {:+.4} |", after.mean - before.mean);
    }
    if changes.len() > LISTED {
        let _ = writeln!(text, "\n{} more are not listed.", changes.len() - LISTED);
    }
    text
}

// METHOD: half widths of both intervals add in squares, as for independent runs; runs that share images or seeds differ
// by less, so a change that is listed is one.
fn change(name: &str, before: Entry, after: Entry) -> Change<'_> {
    let half = |entry: Entry| (entry.high - entry.low) / 2.0;
    let allowed = half(before).hypot(half(after));
    let moved = (after.mean - before.mean).abs();
    let size = match (moved > 0.0, allowed > 0.0) {
        (false, _) => 0.0,
        (true, true) => moved / allowed,
        (true, false) => f64::INFINITY,
    };
    Change { name, before, after, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mean: f64, half: f64) -> Entry {
        Entry { mean, low: mean - half, high: mean + half }
    }

    #[test]
    fn only_changes_beyond_the_intervals_are_listed() {
        let all = |entries: [(&str, Entry); 3]| entries.map(|(name, entry)| (name.to_string(), entry)).into();
        let a: Entries = all([("same", entry(0.5, 0.1)), ("near", entry(0.5, 0.1)), ("far", entry(0.5, 0.1))]);
        let b: Entries = all([("same", entry(0.5, 0.1)), ("near", entry(0.6, 0.1)), ("far", entry(0.7, 0.1))]);
        let text = entries(&a, &b);
        assert!(text.contains("1 differ") && text.contains("| far |") && !text.contains("| near |"), "{text}");
        let text = entries(&a, &all([("same", entry(0.5, 0.0)), ("x", entry(0.0, 0.0)), ("y", entry(0.0, 0.0))]));
        assert!(text.contains("1 numbers are in both reports, 2 only in the first, 2 only in the second"), "{text}");
    }

    #[test]
    fn a_change_without_intervals_is_one() {
        assert_eq!(change("", entry(0.5, 0.0), entry(0.5, 0.0)).size, 0.0);
        assert_eq!(change("", entry(0.5, 0.0), entry(0.6, 0.0)).size, f64::INFINITY);
    }

    #[test]
    fn what_is_no_report_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let found = reports(directory.path(), directory.path());
        assert!(matches!(&found, Err(Error::InputMissing(text)) if text.contains("such as out/report")), "{found:?}");
    }
}
