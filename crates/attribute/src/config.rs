//! The section `[attribute]` of an experiment file.

use features::{
    error::{Error, Result},
    random::{shuffle, stream},
    stage::{Batch, Bytes},
};
use serde::{Deserialize, Serialize};

use crate::{
    baseline::Baseline,
    competition::Var,
    explain::Settings,
    method::{
        Method, deep_lift::DeepLift, integrated_gradients::Quadrature, kernel_shap::KernelShap, lime::Lime,
        occlusion::Occlusion, rise::Rise, smooth_grad::SmoothGrad,
    },
    setting::Setting,
    storage::{Kept, Storage},
    stored::FeatureSource,
};

/// What is explained, by which methods, for which probes.
///
/// Probes are named by id; a name that ends in `*` stands for all ids that begin so.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeConfig {
    /// Grids of 3 x 3 tiles.
    pub grids3: usize,
    /// Grids of 2 x 2 tiles.
    pub grids2: usize,
    /// How the network sees grids: all of them are explained in each of these settings.
    pub settings: Vec<Setting>,
    /// Random cells explained in each grid; by default 2 of a 3 x 3 grid and 1 of a 2 x 2 grid. Where cells are cut off
    /// from each other, the first and the last one are explained.
    pub targets_per_grid: Option<usize>,
    /// Scenes of the split `scenes`; every class in a scene is explained.
    pub scenes: usize,
    /// Which of them.
    pub scene_choice: SceneChoice,
    /// Single tiles, out of those that grids are made of; for curves of pixel deletion.
    pub tiles: usize,
    /// Where the features come from that class activation maps are made of.
    pub features: FeatureSource,
    /// Methods; those that do not fit the backbone are left out with a warning.
    pub methods: Vec<Method>,
    /// Probes to explain; empty for all.
    pub probes: Vec<String>,
    /// Probes that must classify every tile of a grid correctly and confidently.
    pub confident_for: Vec<String>,
    /// Smallest softmax probability that is confident.
    pub confidence: f32,
    /// Settings of integrated gradients.
    pub integrated_gradients: IntegratedGradients,
    /// Settings of DeepLIFT.
    pub deep_lift: DeepLift,
    /// Settings of SmoothGrad.
    pub smooth_grad: SmoothGrad,
    /// Settings of occlusion.
    pub occlusion: Occlusion,
    /// Settings of RISE.
    pub rise: Rise,
    /// Settings of LIME.
    pub lime: Lime,
    /// Settings of KernelSHAP.
    pub kernel_shap: KernelShap,
    /// Which maps are also stored after a competition of the targets.
    pub var: Var,
    /// Cotangents or inputs that go through the backbone at once; changes speed and memory only. By default 8, on an
    /// accelerator 32, or as many as memory allows.
    pub chunk: Batch,
    /// Mantissa bits kept of each map value, 1 to 23.
    pub keep_bits: u32,
    /// What is kept of the maps.
    pub storage: Storage,
    /// Most room on disk that all maps may take, like "500 MB" (a bare number is in GB); a run that would take more is
    /// refused before it starts.
    pub disk_budget: Option<Bytes>,
}

/// Which scenes of a split are explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SceneChoice {
    /// The first ones, as the paper's code takes VOC's.
    First,
    /// Drawn by the seed. The paper's code draws COCO's without one, so that each run has others.
    Random,
}

impl SceneChoice {
    /// Positions of at most `count` scenes out of `available`, ascending; the scenes of fewer are among those of more.
    pub fn choose(self, available: usize, count: usize, seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..available).collect();
        if self == Self::Random {
            shuffle(&mut stream(seed, &["attribute", "scenes"]), &mut order);
        }
        order.truncate(count);
        order.sort_unstable();
        order
    }
}

/// Integrated gradients cost many times more than other methods, so they have a scope of their own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntegratedGradients {
    /// Points on the path.
    pub steps: usize,
    /// Where the points are.
    pub quadrature: Quadrature,
    /// Where the path begins.
    pub baseline: Baseline,
    /// Probes; empty for all that are explained.
    pub probes: Vec<String>,
    /// Grids of each size and single tiles, the first ones.
    pub grids: usize,
    /// Scenes, the first ones.
    pub scenes: usize,
}

impl Default for IntegratedGradients {
    fn default() -> Self {
        Self {
            steps: 16,
            quadrature: Quadrature::default(),
            baseline: Baseline::default(),
            probes: ["linear-ce-s0", "linear-bce-s0"].map(String::from).to_vec(),
            grids: 12,
            scenes: 0,
        }
    }
}

impl Default for AttributeConfig {
    fn default() -> Self {
        Self {
            grids3: 40,
            grids2: 0,
            settings: vec![Setting::GridPg],
            targets_per_grid: None,
            scenes: 30,
            scene_choice: SceneChoice::First,
            tiles: 0,
            features: FeatureSource::default(),
            methods: Method::DEFAULT.to_vec(),
            probes: Vec::new(),
            confident_for: ["linear-ce-*", "linear-bce-*"].map(String::from).to_vec(),
            confidence: 0.95,
            integrated_gradients: IntegratedGradients::default(),
            deep_lift: DeepLift::default(),
            smooth_grad: SmoothGrad::default(),
            occlusion: Occlusion::default(),
            rise: Rise::default(),
            lime: Lime::default(),
            kernel_shap: KernelShap::default(),
            var: Var::default(),
            chunk: Batch::Auto,
            keep_bits: 7,
            storage: Storage::default(),
            disk_budget: None,
        }
    }
}

impl AttributeConfig {
    /// Refuses values that no run could follow.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the key.
    pub fn check(&self) -> Result<()> {
        let wrong = if !(1..=23).contains(&self.keep_bits) {
            "keep_bits must be 1 to 23"
        } else if !(0.0..=1.0).contains(&self.confidence) {
            "confidence must be 0 to 1"
        } else if self.integrated_gradients.steps == 0 {
            "integrated_gradients.steps must be at least 1"
        } else if self.smooth_grad.samples == 0 {
            "smooth_grad.samples must be at least 1"
        } else if self.occlusion.window == 0 || self.occlusion.stride == 0 {
            "occlusion.window and occlusion.stride must be at least 1"
        } else if self.occlusion.stride > self.occlusion.window {
            "occlusion.stride must not exceed occlusion.window, or pixels between windows are never covered"
        } else if self.rise.masks == 0 || self.rise.cells == 0 {
            "rise.masks and rise.cells must be at least 1"
        } else if !(self.rise.probability > 0.0 && self.rise.probability <= 1.0) {
            "rise.probability must be above 0 and at most 1"
        } else if self.lime.samples < 2 || self.lime.segments == 0 {
            "lime.samples must be at least 2 and lime.segments at least 1"
        } else if self.kernel_shap.segments == 0 || self.kernel_shap.samples < 2 * self.kernel_shap.segments {
            "kernel_shap.samples must be at least twice kernel_shap.segments, or the values are not determined"
        } else if self.var.methods.iter().any(|method| !self.methods.contains(method)) {
            "var.methods must be among methods"
        } else if self.storage.pixels == Kept::Compact {
            "storage.pixels must be full or digest; only class activation and segments have a compact form"
        } else if self.settings.is_empty() {
            "settings must name at least one of gridpg, difull, dipart"
        } else if (1..self.settings.len()).any(|at| self.settings[..at].contains(&self.settings[at])) {
            "settings names one twice"
        } else if self.methods.is_empty() {
            "methods must name at least one method"
        } else if self.targets_per_grid == Some(0) {
            "targets_per_grid must be at least 1"
        } else if self.grids3 + self.grids2 + self.scenes + self.tiles == 0 {
            "there is nothing to explain: grids3, grids2, scenes and tiles are all 0"
        } else if self.features == FeatureSource::Stored && self.grids3 + self.grids2 > 0 {
            "features = \"stored\" has nothing for grids, which the features stage never saw; set grids3 and grids2 to 0"
        } else if let Some(method) = self.methods.iter().find(|method| !self.features.serves(**method)) {
            &format!("features = \"stored\" serves methods that stop at the features, as grad_cam, but not {method}")
        } else {
            return Ok(());
        };
        Err(Error::Usage(format!("section [attribute]: {wrong}")))
    }

    /// Cells explained in a grid with `size` cells on a side.
    pub fn targets(&self, size: usize) -> usize {
        let default = if size == 3 { 2 } else { 1 };
        self.targets_per_grid.unwrap_or(default).min(size * size)
    }

    /// What the methods are asked to do, `chunk` cotangents or inputs at a time.
    pub fn settings(&self, seed: u64, chunk: usize) -> Settings {
        Settings {
            chunk,
            steps: self.integrated_gradients.steps,
            quadrature: self.integrated_gradients.quadrature,
            baseline: self.integrated_gradients.baseline,
            deep_lift: self.deep_lift,
            smooth_grad: self.smooth_grad,
            occlusion: self.occlusion,
            rise: self.rise,
            lime: self.lime,
            kernel_shap: self.kernel_shap,
            var: self.var.clone(),
            seed,
        }
    }

    /// All that the maps depend on, for the fingerprint: everything but `chunk` and `disk_budget`.
    pub fn identity(&self, seed: u64) -> serde_json::Value {
        let mut value = serde_json::json!(self);
        if let Some(keys) = value.as_object_mut() {
            keys.remove("chunk");
            keys.remove("disk_budget");
            // What it was before there were others has the name it had.
            if self.settings == [Setting::GridPg] {
                keys.remove("settings");
            }
            if self.scene_choice == SceneChoice::First {
                keys.remove("scene_choice");
            }
            if self.features == FeatureSource::Computed {
                keys.remove("features");
            }
            keys.insert("seed".to_string(), seed.into());
        }
        value
    }
}

/// Whether `pattern`, a name or a beginning like `linear-*`, names `text`.
pub fn names(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    }
}

/// The ids that some pattern names, in the order of `ids`; all of them when there is no pattern.
///
/// # Errors
/// [`Error::Usage`] for a pattern of key `key` that names no probe, unless `missing` is fine.
pub fn select<'a>(key: &str, patterns: &[String], ids: &[&'a str], missing: Missing) -> Result<Vec<&'a str>> {
    let lost = patterns.iter().find(|pattern| !ids.iter().any(|id| names(pattern, id)));
    if let (Missing::IsAnError, Some(lost)) = (missing, lost) {
        return Err(Error::Usage(format!(
            "section [attribute]: {key} names {lost:?}, which is no probe; there are {}",
            ids.join(", ")
        )));
    }
    let chosen = |id: &&str| patterns.is_empty() || patterns.iter().any(|pattern| names(pattern, id));
    Ok(ids.iter().copied().filter(|id| chosen(id)).collect())
}

/// What a pattern that names no probe means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A mistake of the user's.
    IsAnError,
    /// Nothing, for defaults.
    IsFine,
}

impl Missing {
    /// Patterns of the defaults may name no probe, ones that were written may not.
    pub fn of(given: &[String], default: &[String]) -> Self {
        if given == default { Self::IsFine } else { Self::IsAnError }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_probes() {
        let ids = ["linear-ce-s0", "linear-ce-s1", "bcos3_offset-bce-s0"];
        let choose = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|p| p.to_string()).collect();
            select("probes", &patterns, &ids, Missing::IsAnError)
        };
        assert_eq!(choose(&[]).unwrap(), ids);
        assert_eq!(choose(&["linear-*"]).unwrap(), ids[..2]);
        assert_eq!(choose(&["bcos3_offset-bce-s0", "linear-ce-s0"]).unwrap(), [ids[0], ids[2]]);
        assert_eq!(choose(&["linear"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn scenes_are_the_first_or_drawn_by_the_seed() {
        assert_eq!(SceneChoice::First.choose(5, 3, 1), [0, 1, 2]);
        assert_eq!(SceneChoice::Random.choose(3, 9, 1), [0, 1, 2]);
        let drawn = |count, seed| SceneChoice::Random.choose(2000, count, seed);
        let (few, many) = (drawn(20, 1), drawn(200, 1));
        assert!(few.is_sorted() && few.iter().all(|scene| many.contains(scene)) && many.len() == 200);
        assert_eq!(few, drawn(20, 1));
        assert_ne!(few, drawn(20, 2));
        let usual = AttributeConfig::default();
        let random = AttributeConfig { scene_choice: SceneChoice::Random, ..usual.clone() };
        assert_ne!(usual.identity(1), random.identity(1));
    }

    #[test]
    fn identity_leaves_out_what_changes_speed_only() {
        let a = AttributeConfig::default();
        let b = AttributeConfig { chunk: Batch::Of(3), ..a.clone() };
        let c = AttributeConfig { confidence: 0.9, ..a.clone() };
        assert_eq!(a.identity(1), b.identity(1));
        assert_ne!(a.identity(1), c.identity(1));
        assert_ne!(a.identity(1), a.identity(2));
        assert_eq!(a.identity(1)["methods"][3], "lrp");
        assert_eq!(AttributeConfig { keep_bits: 0, ..a }.check().unwrap_err().exit_code(), 2);
        assert!(serde_json::from_str::<AttributeConfig>("{\"chunk\": 0}").is_err());
    }
}
