//! The report as one Markdown file: headline and tables; figures and gallery are in the page.

use crate::findings::Findings;
use crate::tables::{self, Cell, Formatted};
use std::fmt::Write;

/// The whole file.
pub fn report(findings: &Findings) -> String {
    let [first, second] = findings.headline();
    let mut text = format!("# How the probe's loss changes explanations\n\n{first}\n\n{second}\n");
    for table in tables::all(findings) {
        let _ = write!(text, "\n## {}\n\n{}\n\n{}", table.title, table.caption, grid(&table));
    }
    text.push_str("\n## Made from\n\n| Artifact | Fingerprint |\n|---|---|\n");
    for source in &findings.sources {
        let _ = writeln!(text, "| {} | `{}` |", escape(&source.name), source.fingerprint);
    }
    text
}

fn grid(table: &Formatted) -> String {
    let numeric = |column: usize| table.rows.iter().any(|row| matches!(row[column], Cell::Number { .. }));
    let rules: Vec<&str> = (0..table.columns.len()).map(|column| if numeric(column) { "--:" } else { "---" }).collect();
    let mut text = format!("| {} |\n|{}|\n", table.columns.join(" | "), rules.join("|"));
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text { text, note, .. } => escape(format!("{text} {note}").trim()),
        Cell::Number { text, interval, best } => {
            let mean = if *best { format!("**{text}**") } else { text.clone() };
            format!("{mean} {interval}").trim_end().to_string()
        }
        Cell::Verdict { text, .. } => (*text).to_string(),
    }
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('_', "\\_").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_a_table_has_equally_many_cells() {
        let text = report(&crate::fake::findings());
        let mut width = None;
        for line in text.lines() {
            let bars = line.replace("\\|", "").matches('|').count();
            if bars == 0 {
                width = None;
            } else {
                assert_eq!(*width.get_or_insert(bars), bars, "{line}");
            }
        }
        assert!(text.contains("| 12. A shift common to all class weights"), "{text}");
    }
}
