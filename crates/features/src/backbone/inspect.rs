//! What a checkpoint is, how it would load, and what its network would be fed, for people to read.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::{Choice, LoadReport, Plan, Unused, layout, lower::Style};
use crate::error::Result;
use crate::preprocess::Geometry;
use crate::tensor::cpu;

/// Names shown of a long list.
const SHOWN: usize = 12;

/// The result of looking at a checkpoint.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: String,
    /// Kind of file.
    pub container: &'static str,
    /// Tensors in it.
    pub tensors: usize,
    /// Usual name of the network.
    pub network: String,
    /// Numbers in the network's tensors.
    pub weights: usize,
    /// Feature channels.
    pub channels: usize,
    /// The layout that would be loaded.
    pub layout: &'static str,
    /// What the names of its tensors begin with.
    pub prefix: String,
    /// Other layouts that could be named instead.
    pub other_layouts: Vec<&'static str>,
    /// Asked for and not there.
    pub missing: Vec<String>,
    /// There with another shape.
    pub misshapen: Vec<String>,
    /// There and not used.
    pub unused: Vec<String>,
    /// There and not needed.
    pub ignored: Vec<String>,
    /// Number of tensors outside the backbone, by the first part of their names.
    pub elsewhere: BTreeMap<String, usize>,
    /// Preprocessing, in words.
    pub preprocessing: String,
    /// Where the preprocessing comes from.
    pub preprocessing_from: String,
}

/// Looks at `weights`; the report says whether it would load.
///
/// # Errors
/// A file in which no backbone is found.
pub fn inspect(weights: &Path, choice: Choice) -> Result<(Inspection, LoadReport)> {
    let plan = Plan::of(weights, choice)?;
    let (_, mut report) = plan.fill(&cpu())?;
    let Plan { file, found, description } = &plan;
    let mut elsewhere = BTreeMap::new();
    for name in file.tensors.keys().filter(|name| !name.starts_with(&found.prefix)) {
        let first = name.split('.').next().unwrap_or_default();
        *elsewhere.entry(first.to_string()).or_insert(0) += 1;
    }
    let count = |name: &String| {
        let stored = file.tensors.get(&format!("{}{name}", found.prefix));
        stored.map_or(0, |stored| stored.shape.iter().product::<usize>())
    };
    let geometry = Geometry { fit: description.fit, size: description.input_size };
    let sidecar = super::description_path(weights);
    let others = layout::backbones(file).into_iter().map(|other| other.layout).filter(|&other| other != found.layout);
    let inspection = Inspection {
        path: weights.display().to_string(),
        container: file.container.name(),
        tensors: file.tensors.len(),
        network: description.architecture.name(),
        weights: report.asked.iter().map(count).sum(),
        channels: description.architecture.channels(),
        layout: found.layout.name(),
        prefix: found.prefix.clone(),
        other_layouts: others.map(layout::Layout::name).collect(),
        missing: report.missing.clone(),
        misshapen: report.misshapen.clone(),
        unused: report.unused.clone(),
        ignored: report.ignored.clone(),
        elsewhere,
        preprocessing: format!("{geometry}; {}", description.encoding),
        preprocessing_from: match sidecar.exists() {
            true => sidecar.display().to_string(),
            false => match (found.style, found.layout) {
                (Style::Conventional, layout::Layout::Clip | layout::Layout::ClipAttentionPool) => {
                    "CLIP's own values".to_string()
                }
                (Style::Conventional, _) => "ImageNet's usual values; the file does not say".to_string(),
                (Style::Bcos, _) => "the usual values of B-cos networks; the file does not say".to_string(),
            },
        },
    };
    if choice.unused == Unused::Accept {
        report.unused.clear();
    }
    Ok((inspection, report))
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "file           {} ({}, {} tensors)", self.path, self.container, self.tensors)?;
        let millions = self.weights as f64 / 1e6;
        writeln!(f, "network        {}, {millions:.1} million numbers, {} channels", self.network, self.channels)?;
        let prefix = if self.prefix.is_empty() { "no prefix" } else { &self.prefix };
        write!(f, "layout         {} ({prefix})", self.layout)?;
        if !self.other_layouts.is_empty() {
            write!(f, "; also there: {}", self.other_layouts.join(", "))?;
        }
        writeln!(f)?;
        for (what, names) in [
            ("missing", &self.missing),
            ("misshapen", &self.misshapen),
            ("unused", &self.unused),
            ("not needed", &self.ignored),
        ] {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let line = format!("{what:<14} {} {}{more}", names.len(), shown);
            writeln!(f, "{}", line.trim_end())?;
        }
        let elsewhere: Vec<String> = self.elsewhere.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        if !elsewhere.is_empty() {
            writeln!(f, "elsewhere      {}", elsewhere.join(", "))?;
        }
        writeln!(f, "preprocessing  {}", self.preprocessing)?;
        write!(f, "               from {}", self.preprocessing_from)
    }
}
