//! Amounts of bytes, as people write them in flags and experiment files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An amount of bytes as people write it: `"500 MB"`, `"1.5TB"`, `"20 GiB"`; a bare number is in GB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct Bytes(pub f64);

/// As it stands in an experiment file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Gigabytes(f64),
    Text(String),
}

const UNITS: [(&str, f64); 9] = [
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1048576.0),
    ("GiB", 1073741824.0),
    ("TiB", 1099511627776.0),
    ("B", 1.0),
];

impl FromStr for Bytes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.trim().strip_suffix(unit)?, bytes)));
        let amount = found.and_then(|(number, bytes)| Some(number.trim().parse::<f64>().ok()? * bytes));
        match amount {
            Some(bytes) if bytes >= 0.0 && bytes.is_finite() => Ok(Self(bytes)),
            _ => Err(Error::Usage(format!("{text:?} is no amount of bytes; write it like \"500 MB\" or \"20 GiB\""))),
        }
    }
}

impl TryFrom<Written> for Bytes {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Gigabytes(number) => format!("{number} GB").parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        bytes.to_string()
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, bytes) = UNITS[..4].iter().rev().find(|(_, bytes)| self.0 >= *bytes).unwrap_or(&UNITS[8]);
        // Three digits, without zeros at the end.
        let number = self.0 / bytes;
        let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
        let text = format!("{number:.digits$}");
        let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        write!(f, "{text} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_told() {
        for (text, bytes, told) in [
            ("500 MB", 5e8, "500 MB"),
            ("1.5TB", 1.5e12, "1.5 TB"),
            ("2 GiB", 2147483648.0, "2.15 GB"),
            ("12B", 12.0, "12 B"),
            ("20.04 kB", 20040.0, "20 kB"),
        ] {
            let found: Bytes = text.parse().unwrap();
            assert_eq!((found.0, found.to_string().as_str()), (bytes, told));
        }
        for text in ["10", "ten GB", "-1 GB", "1e999 GB", ""] {
            assert_eq!(text.parse::<Bytes>().unwrap_err().exit_code(), 2, "{text}");
        }
        assert_eq!(serde_json::from_str::<Bytes>("0.25").unwrap(), Bytes(2.5e8));
        assert_eq!(serde_json::from_str::<Bytes>("\"3 kB\"").unwrap(), Bytes(3000.0));
        assert!(serde_json::from_str::<Bytes>("\"3 km\"").unwrap_err().to_string().contains("500 MB"));
    }
}
