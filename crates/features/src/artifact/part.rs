//! One Parquet file: how a part is encoded, and what a part must look like to be read.
//!
//! Floats of tensors are split by byte and lightly compressed; that is where nearly all bytes are. Everything else is
//! left to Parquet's defaults. The footer says where the part comes from, so a copied file explains itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::arrays::{from_array, to_array};
use super::cells::Cells;
use super::table::{Table, Values};
use super::version::Version;
use crate::error::{Error, Result};

const PREFIX: &str = "probescope.";

/// Floats of tensors that are decoded at once: whole parts at once would pass through three fresh allocations of their
/// size, whose pages cost more than decoding.
const BATCH_FLOATS: usize = 1 << 20;

/// Fixed text for the `created_by` field, so that a rebuild of this program does not change files.
const CREATED_BY: &str = "probescope version 1.0";

/// Footer entries, without their common prefix.
pub(super) type Footer = BTreeMap<String, String>;

/// Name of part `part` of `parts`; names sort like numbers.
pub(super) fn file_name(part: usize, parts: usize) -> String {
    format!("part-{part:05}-of-{parts:05}.parquet")
}

/// Encodes one part, giving its bytes and its number of rows. Equal arguments give equal bytes.
pub(super) fn encode(table: &Table, widths: &[usize], footer: &Footer, cells: Vec<Cells>) -> Result<(Vec<u8>, usize)> {
    let bug = |problem: String| Error::Bug(format!("table `{}`: {problem}", table.name));
    if cells.len() != table.columns.len() {
        return Err(bug(format!("{} columns are declared, {} were given", table.columns.len(), cells.len())));
    }
    let rows = cells.iter().zip(widths).map(|(cells, &width)| cells.rows(width)).collect::<Vec<_>>();
    if let Some(column) = rows.iter().position(|count| *count != rows[0]) {
        let (first, name) = (table.columns[0].name, table.columns[column].name);
        return Err(bug(format!("column `{first}` has {} rows, `{name}` {}", rows[0], rows[column])));
    }
    let columns = cells.into_iter().zip(table.columns).zip(widths);
    let arrays = columns.map(|((cells, column), &width)| to_array(cells, column, width)).collect::<Result<Vec<_>>>()?;
    let schema = Arc::new(table.schema(widths));
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| bug(error.to_string()))?;
    let write = || {
        let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties(table, footer)))?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    let bytes = write().map_err(|error| bug(error.to_string()))?;
    Ok((bytes, rows.first().copied().unwrap_or(0)))
}

/// Bytes of a part of `table` with these rows, short of its footer entries; nothing is written.
///
/// # Errors
/// [`Error::Bug`] when shapes or cells do not follow the declaration.
pub fn encoded_len(table: &Table, shapes: &[Vec<usize>], cells: Vec<Cells>) -> Result<usize> {
    Ok(encode(table, &table.widths(shapes)?, &Footer::default(), cells)?.0.len())
}

fn properties(table: &Table, footer: &Footer) -> WriterProperties {
    let entries = footer.iter().map(|(key, value)| KeyValue::new(format!("{PREFIX}{key}"), value.clone()));
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("zstd has level 1"));
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.into())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(zstd)
        .set_key_value_metadata(Some(entries.collect()));
    for column in table.columns {
        let path = match column.values {
            Values::Tensor => ColumnPath::new(vec![column.name.into(), "list".into(), "element".into()]),
            Values::Bytes => ColumnPath::new(vec![column.name.into()]),
            _ => continue,
        };
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        properties = match column.values {
            Values::Tensor => properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
            _ => properties.set_column_compression(path, Compression::UNCOMPRESSED),
        };
    }
    properties.build()
}

/// A part that was opened and has the declared columns.
pub(super) struct PartFile {
    file: File,
    metadata: ArrowReaderMetadata,
    name: String,
    /// Its `probescope.` footer entries.
    pub(super) footer: Footer,
    /// Shape of each declared column, empty where it is no tensor.
    pub(super) shapes: Vec<Vec<usize>>,
}

impl PartFile {
    /// Opens the part at `path` as one of `table`.
    pub(super) fn open(path: &Path, table: &'static Table) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let name = path.display().to_string();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| bad(&name, &format!("not a whole Parquet file ({error})")))?;
        let entries = metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
        let footer: Footer = entries
            .filter_map(|entry| Some((entry.key.strip_prefix(PREFIX)?.to_string(), entry.value.clone()?)))
            .collect();
        let shapes = check(&name, table, &footer, &metadata)?;
        Ok(Self { file, metadata, name, footer, shapes })
    }

    /// All rows of the columns at these positions of `table`'s declaration, in that order.
    pub(super) fn read(self, table: &'static Table, columns: &[usize]) -> Result<Vec<Cells>> {
        let width = columns.iter().map(|&column| self.shapes[column].iter().product::<usize>()).max().unwrap_or(1);
        let rows = (BATCH_FLOATS / width.max(1)).max(1);
        let positions = columns.iter().filter_map(|&column| {
            self.metadata.schema().fields().iter().position(|field| field.name() == table.columns[column].name)
        });
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), positions);
        let read = |error: &dyn std::fmt::Display| bad(&self.name, &format!("damaged ({error})"));
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file, self.metadata.clone());
        let batches = builder.with_projection(mask).with_batch_size(rows).build().map_err(|error| read(&error))?;
        let mut cells: Vec<_> = columns.iter().map(|&column| Cells::empty(&table.columns[column])).collect();
        for batch in batches {
            let batch = batch.map_err(|error| read(&error))?;
            for (cells, &column) in cells.iter_mut().zip(columns) {
                let column = &table.columns[column];
                let array = batch.column_by_name(column.name).expect("the column was checked and asked for");
                cells.append(from_array(array, column))?;
            }
        }
        Ok(cells)
    }
}

/// An error about the content of the part called `name`.
pub(super) fn bad(name: &str, problem: &str) -> Error {
    Error::BadData(format!("{name}: {problem}; run the stage that writes it again with --force"))
}

/// Compares table, version and columns with the declaration, and gives the shapes.
fn check(name: &str, table: &Table, footer: &Footer, metadata: &ArrowReaderMetadata) -> Result<Vec<Vec<usize>>> {
    let entry = |key: &str| {
        footer.get(key).ok_or_else(|| bad(name, &format!("no footer entry {PREFIX}{key}, so not written by a stage")))
    };
    if entry("table")? != table.name {
        return Err(bad(name, &format!("holds table `{}`, not `{}`", entry("table")?, table.name)));
    }
    let version: Version = entry("version")?.parse().map_err(|problem: String| bad(name, &problem))?;
    check_version(name, table, version)?;
    let fields = metadata.schema().fields();
    let mut problems = Vec::new();
    let mut shapes = Vec::new();
    for column in table.columns {
        let shape: Vec<usize> = match column.values {
            Values::Tensor => footer
                .get(&format!("shape.{}", column.name))
                .and_then(|text| serde_json::from_str(text).ok())
                .ok_or_else(|| bad(name, &format!("no shape of column `{}` in the footer", column.name)))?,
            _ => vec![],
        };
        let expected = column.values.data_type(shape.iter().product());
        match fields.find(column.name) {
            None => problems.push(format!("column `{}` is missing", column.name)),
            Some((_, field)) if *field.data_type() != expected || field.is_nullable() != column.nullable => {
                problems.push(format!(
                    "column `{}` is {}{}, not {expected}{}",
                    column.name,
                    field.data_type(),
                    absent(field.is_nullable()),
                    absent(column.nullable)
                ));
            }
            Some(_) => {}
        }
        shapes.push(shape);
    }
    if version.minor <= table.version.minor {
        let extra = fields.iter().filter(|field| table.columns.iter().all(|column| column.name != field.name()));
        problems.extend(extra.map(|field| format!("column `{}` is not declared", field.name())));
    }
    if problems.is_empty() { Ok(shapes) } else { Err(bad(name, &problems.join(", "))) }
}

fn absent(nullable: bool) -> &'static str {
    if nullable { " with nulls" } else { "" }
}

/// Refuses another major version of `table` in the file or directory called `name`.
pub(super) fn check_version(name: &str, table: &Table, version: Version) -> Result<()> {
    if version.major == table.version.major {
        return Ok(());
    }
    let problem = format!("table `{}` has version {version}, this program reads {}.x", table.name, table.version.major);
    Err(Error::BadData(format!("{name}: {problem}; run the stage that writes it again with this program")))
}
