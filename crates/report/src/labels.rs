//! Names for readers: how methods, metrics, probes and numbers are written in every kind of report.

use crate::bootstrap::Estimate;
use crate::roles::Metric;

/// A method's usual name; a variant after a colon follows in brackets.
pub fn method(name: &str) -> String {
    let (name, variant) = name
        .split_once(':')
        .map_or((name, String::new()), |(name, variant)| (name, format!(" ({})", variant.replace('_', " "))));
    let usual = match name {
        "input_x_gradient" => "Input × Gradient",
        "integrated_gradients" => "Integrated Gradients",
        "grad_cam" => "Grad-CAM",
        "lrp" => "LRP",
        "guided_backprop" => "Guided Backprop",
        "bcos" => "B-cos",
        "gradient" => "Gradient",
        "smooth_grad" => "SmoothGrad",
        "deconvnet" => "DeconvNet",
        "guided_grad_cam" => "Guided Grad-CAM",
        "grad_cam_plus_plus" => "Grad-CAM++",
        "layer_cam" => "LayerCAM",
        "xgrad_cam" => "XGrad-CAM",
        "hires_cam" => "HiResCAM",
        "lrp_epsilon" => "LRP-ε",
        "lrp_epsilon_plus" => "LRP-ε-z⁺",
        "lrp_epsilon_alpha2_beta1" => "LRP-ε-α2β1",
        "excitation_backprop" => "Excitation Backprop",
        "occlusion" => "Occlusion",
        "rise" => "RISE",
        "lime" => "LIME",
        "kernel_shap" => "KernelSHAP",
        "score_cam" => "Score-CAM",
        "ablation_cam" => "Ablation-CAM",
        "deep_lift" => "DeepLIFT",
        other => other,
    };
    format!("{usual}{variant}")
}

/// Order of methods in charts and tables: the inherent or main one first.
pub fn method_rank(name: &str) -> usize {
    const ORDER: [&str; 6] = ["bcos", "lrp", "integrated_gradients", "grad_cam", "input_x_gradient", "guided_backprop"];
    ORDER.iter().position(|known| name.starts_with(known)).unwrap_or(ORDER.len())
}

/// A metric's usual name.
pub fn metric(name: &str) -> &str {
    match name {
        "grid_pointing_game" => "GridPG",
        "difull" => "DiFull",
        "dipart" => "DiPart",
        "energy_pointing_game" => "EPG",
        "entropy" => "Entropy",
        "gini" => "Gini",
        "pointing_game" => "Pointing game",
        "bounding_box_iou" => "Box IoU",
        "class_agreement" => "Class agreement",
        "seed_stability" => "Seed stability",
        "pixel_deletion" => "Pixel deletion",
        "pixel_insertion" => "Pixel insertion",
        "sufficiency" => "Sufficiency",
        "parameter_randomisation" => "Parameter randomisation",
        "logit_randomisation" => "Logit randomisation",
        "accuracy" => "Accuracy",
        other => other,
    }
}

/// A metric's usual name, with what it is measured on where there are several.
pub fn shown(metric: Metric) -> &'static str {
    match metric {
        Metric::EnergyOnMasks => "EPG, masks",
        metric => self::metric(metric.name()),
    }
}

/// Words for a probe's head, loss, offset, shift and tag, e.g. `B-cos ×3 BCE, offset`.
pub fn probe(name: &str) -> String {
    let (head, loss) = name.split_once('-').unwrap_or((name, ""));
    let (loss, tag) = loss.split_once('-').unwrap_or((loss, ""));
    let tag = if tag.is_empty() { String::new() } else { format!(", {tag}") };
    let (loss, kind) = loss.split_once('_').unwrap_or((loss, ""));
    let kind = if kind.is_empty() { String::new() } else { format!(" {}", kind.replace('_', " ")) };
    let loss = if loss.is_empty() { String::new() } else { format!(" {}{kind}", loss.to_uppercase()) };
    let (head, bias) = head.strip_suffix("_bias").map_or((head, ""), |head| (head, ", bias"));
    let (head, offset) = head.strip_suffix("_offset").map_or((head, ""), |head| (head, ", offset"));
    let (head, shift) = match head.strip_prefix("shift_") {
        Some("fit") => ("linear", ", shift fitted".to_string()),
        Some(direction) => ("linear", format!(", shifted {direction}")),
        None => (head, String::new()),
    };
    let words = match (head.strip_prefix("bcos"), head.strip_prefix("mlp")) {
        (Some(layers), _) => format!("B-cos ×{layers}"),
        (_, Some(layers)) => format!("MLP ×{layers}"),
        _ if head == "linear" => "Linear".to_string(),
        _ => head.to_string(),
    };
    format!("{words}{loss}{offset}{bias}{shift}{tag}")
}

/// Digits after the point and factor of a metric's written values, and its unit.
pub fn scale(metric: Metric) -> (f64, usize, &'static str) {
    match metric {
        Metric::GridPointingGame
        | Metric::DiFull
        | Metric::DiPart
        | Metric::EnergyPointingGame
        | Metric::EnergyOnMasks
        | Metric::PointingGame
        | Metric::BoundingBoxIou
        | Metric::Accuracy => (100.0, 1, "%"),
        Metric::Entropy => (1.0, 2, "bits"),
        Metric::Gini | Metric::PixelDeletion => (1.0, 3, ""),
        Metric::ClassAgreement | Metric::SeedStability => (1.0, 2, ""),
    }
}

/// Unit of a difference of this metric.
pub fn difference_unit(metric: Metric) -> &'static str {
    match metric {
        Metric::GridPointingGame
        | Metric::DiFull
        | Metric::DiPart
        | Metric::EnergyPointingGame
        | Metric::EnergyOnMasks
        | Metric::PointingGame
        | Metric::BoundingBoxIou
        | Metric::Accuracy => "points",
        Metric::Entropy => "bits",
        Metric::Gini | Metric::ClassAgreement | Metric::SeedStability | Metric::PixelDeletion => "",
    }
}

/// A number with a true minus sign; `−0.0` is written `0.0`.
pub fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_string(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A number with its sign, also where it is positive.
pub fn signed(value: f64, digits: usize) -> String {
    let text = number(value, digits);
    if value > 0.0 && text.chars().any(|c| c.is_ascii_digit() && c != '0') { format!("+{text}") } else { text }
}

/// `55.6 [53.0, 59.2]` in the metric's written scale; without brackets where there is no interval.
pub fn mean(estimate: &Estimate, metric: Metric) -> String {
    written(estimate, metric, number)
}

/// `+13.4 [+8.7, +17.6]` in the metric's written scale; without brackets where there is no interval.
pub fn difference(estimate: &Estimate, metric: Metric) -> String {
    written(estimate, metric, signed)
}

fn written(estimate: &Estimate, metric: Metric, number: fn(f64, usize) -> String) -> String {
    let (factor, digits, _) = scale(metric);
    let number = |value: f64| number(value * factor, digits);
    let interval = estimate.interval().map(|(low, high)| format!(" [{}, {}]", number(low), number(high)));
    format!("{}{}", number(estimate.mean), interval.unwrap_or_default())
}

/// A p-value: two digits, or the bound below which they say nothing.
pub fn p_value(value: f64) -> String {
    match value {
        v if v < 0.001 => "< 0.001".into(),
        v if v < 0.0995 => format!("{v:.3}"),
        v => format!("{v:.2}"),
    }
}

/// `Linear BCE − Linear CE` for two probe names.
pub fn comparison(baseline: &str, treatment: &str) -> String {
    format!("{} − {}", probe(treatment), probe(baseline))
}

/// `+13.4 points [+8.7, +17.6]`.
pub fn difference_with_unit(estimate: &Estimate, metric: Metric) -> String {
    let text = difference(estimate, metric);
    match (difference_unit(metric), text.split_once(' ')) {
        ("", _) => text,
        (unit, None) => format!("{text} {unit}"),
        (unit, Some((mean, interval))) => format!("{mean} {unit} {interval}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_true_signs() {
        for (value, plain, with_sign) in [
            (1.25, "1.2", "+1.2"),
            (-3.06, "−3.1", "−3.1"),
            (-0.01, "0.0", "0.0"),
            (0.0, "0.0", "0.0"),
            (0.04, "0.0", "0.0"),
        ] {
            assert_eq!(number(value, 1), plain);
            assert_eq!(signed(value, 1), with_sign);
        }
    }

    #[test]
    fn variants_of_methods_are_in_brackets() {
        for (name, words) in
            [("lrp", "LRP"), ("lrp:reference", "LRP (reference)"), ("lime:var", "LIME (var)"), ("new", "new")]
        {
            assert_eq!(method(name), words);
        }
    }

    #[test]
    fn every_method_has_a_name_for_readers() {
        for known in attribute::method::Method::ALL {
            assert!(!method(known.name()).contains('_'), "{known}");
        }
    }

    #[test]
    fn probes_are_named_in_words() {
        for (name, words) in [
            ("linear-ce", "Linear CE"),
            ("linear_offset-bce", "Linear BCE, offset"),
            ("bcos3_offset-bce", "B-cos ×3 BCE, offset"),
            ("shift_up-ce", "Linear CE, shifted up"),
            ("shift_fit-ce", "Linear CE, shift fitted"),
            ("mlp3_bias-bce", "MLP ×3 BCE, bias"),
            ("bcos2_offset-bce_plain-row7", "B-cos ×2 BCE plain, offset, row7"),
            ("other", "other"),
        ] {
            assert_eq!(probe(name), words);
        }
    }
}
