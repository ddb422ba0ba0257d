//! Documentation of tables as Markdown, made from their declarations.

use std::fmt::Write;

use super::table::Table;

/// A section for each table: what a row is, then one line a column.
pub fn markdown(tables: &[&Table]) -> String {
    let mut text = String::from(
        "# Tables\n\nMade from the declarations in the code. The shape of a tensor column is in the footer \
         entry `probescope.shape.COLUMN` of each file; its floats are row-major.\n",
    );
    for Table { name, version, row, columns } in tables {
        text.push_str(&format!("\n## {name}\n\nVersion {version}. {}\n\n", cell(row)));
        text.push_str("| column | type | null | meaning |\n|---|---|---|---|\n");
        for column in *columns {
            let null = if column.nullable { "yes" } else { "no" };
            writeln!(text, "| `{}` | `{}` | {null} | {} |", column.name, column.values.name(), cell(column.meaning))
                .expect("a String can be written to");
        }
    }
    text
}

/// Text that stays inside one cell.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
