//! Tables for papers: LaTeX with booktabs, mean and 95 % interval, best value bold.

use crate::tables::{Cell, Formatted};
use std::fmt::Write;

/// A `table` environment; needs `\usepackage{booktabs}`.
pub fn table(table: &Formatted) -> String {
    let numeric = |column: usize| table.rows.iter().any(|row| matches!(row[column], Cell::Number { .. }));
    let alignment: String = (0..table.columns.len()).map(|column| if numeric(column) { 'r' } else { 'l' }).collect();
    let head: Vec<String> = table.columns.iter().map(|column| escape(column)).collect();
    let mut text = String::from("% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n");
    let _ = writeln!(text, "  \\caption{{{}. {}}}", escape(table.title), escape(&table.caption));
    let _ = writeln!(text, "  \\label{{tab:probescope-{}}}", table.name);
    let _ = writeln!(
        text,
        "  \\begin{{tabular}}{{{alignment}}}\n    \\toprule\n    {} \\\\\n    \\midrule",
        head.join(" & ")
    );
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "    {} \\\\", cells.join(" & "));
    }
    text.push_str("    \\bottomrule\n  \\end{tabular}\n\\end{table}\n");
    text
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text { text, .. } => escape(text),
        Cell::Number { text, interval, best } => {
            let mean = if *best { format!("\\textbf{{{}}}", escape(text)) } else { escape(text) };
            // Braces keep a leading `[` from being read as an option of the line before.
            if interval.is_empty() { mean } else { format!("{mean} {{\\scriptsize {}}}", escape(interval)) }
        }
        Cell::Verdict { text, .. } => escape(text),
    }
}

/// Text with all characters that LaTeX treats specially, and the few non-ASCII ones that the report uses.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => escaped.extend(['\\', character]),
            '×' => escaped.push_str("$\\times$"),
            '−' => escaped.push_str("$-$"),
            '±' => escaped.push_str("$\\pm$"),
            '·' => escaped.push_str("$\\cdot$"),
            '–' => escaped.push_str("--"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped() {
        for (plain, escaped) in [
            ("a_b & 5 %", "a\\_b \\& 5 \\%"),
            ("\\{x}", "\\textbackslash{}\\{x\\}"),
            ("~^$#", "\\textasciitilde{}\\textasciicircum{}\\$\\#"),
            ("−3 × 2 ± 1", "$-$3 $\\times$ 2 $\\pm$ 1"),
        ] {
            assert_eq!(escape(plain), escaped);
        }
    }

    #[test]
    fn a_row_is_a_line_with_all_its_cells() {
        for formatted in crate::tables::all(&crate::fake::findings()) {
            let text = table(&formatted);
            let rows: Vec<&str> = text.lines().filter(|line| line.ends_with("\\\\")).collect();
            assert_eq!(rows.len(), formatted.rows.len() + 1);
            let cells = |line: &str| line.replace("\\&", "").matches('&').count() + 1;
            assert!(rows.iter().all(|row| cells(row) == formatted.columns.len()), "{text}");
            assert!(text.is_ascii() || !text.contains(['×', '−', '±', '·', '–']), "{text}");
        }
    }
}
