//! How the training images are mixed.

use std::fmt;
use std::str::FromStr;

use features::error::Error;
use serde::{Deserialize, Serialize};

use crate::schedule::as_text;

/// What an epoch's order is drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Order {
    /// All images at once: `whole`.
    #[default]
    Whole,
    /// Parts of the feature table, then the images of so many parts at a time: `windows:8`.
    Windows(usize),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(f, "whole"),
            Self::Windows(parts) => write!(f, "windows:{parts}"),
        }
    }
}

impl FromStr for Order {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = || text.strip_prefix("windows:")?.parse().ok().filter(|&parts| parts > 0);
        match parts() {
            Some(parts) => Ok(Self::Windows(parts)),
            None if text == "whole" => Ok(Self::Whole),
            None => {
                Err(Error::Usage(format!("unknown order {text:?}; it is whole, or windows:8 (parts mixed at a time)")))
            }
        }
    }
}

as_text!(Order);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip_and_mistakes_are_named() {
        for (text, order) in [("whole", Order::Whole), ("windows:8", Order::Windows(8))] {
            assert_eq!((text.parse::<Order>().unwrap(), order.to_string().as_str()), (order, text));
        }
        for text in ["", "windows", "windows:0", "windows:x", "Whole"] {
            assert!(text.parse::<Order>().unwrap_err().to_string().contains("windows:8"), "{text}");
        }
    }
}
