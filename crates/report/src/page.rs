//! The report as one HTML file that opens offline: style, figures, pictures and a small script are
//! inside. Without the script everything is there but sorting and filtering of tables.

use crate::aggregate::{Aggregate, Bin, Seen};
use crate::figures::Figure;
use crate::findings::Findings;
use crate::gallery::Example;
use crate::labels;
use crate::roles::Metric;
use crate::tables::{self, Formatted};
use crate::verdict::{Expected, Verdict};
use crate::{heatmap, svg};
use features::error::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use serde::Serialize;

const TEMPLATE: &str = include_str!("template.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("sort.js");

/// One effect in the headline.
#[derive(Serialize)]
struct Effect {
    value: String,
    unit: &'static str,
    interval: String,
    what: String,
    from_to: String,
    n: String,
    good: &'static str,
}

/// How many comparisons came out how.
#[derive(Serialize)]
struct Count {
    name: &'static str,
    words: &'static str,
    count: usize,
}

/// One grid in the gallery: a row of maps a method.
#[derive(Serialize)]
struct Shown {
    id: String,
    backbone: String,
    title: String,
    difference: String,
    photograph: String,
    probes: Vec<String>,
    methods: Vec<MethodRow>,
}

#[derive(Serialize)]
struct MethodRow {
    id: String,
    name: String,
    maps: Vec<Option<Map>>,
}

/// The aggregated maps of one backbone.
#[derive(Serialize)]
struct Aggregated {
    title: String,
    probes: Vec<AggregatedProbe>,
}

#[derive(Serialize)]
struct AggregatedProbe {
    name: String,
    maps: usize,
    bins: Vec<Map>,
    cells: String,
}

#[derive(Serialize)]
struct Map {
    uri: String,
    score: String,
    alt: String,
}

/// The whole file.
pub fn render(findings: &Findings, figures: &[Figure]) -> Result<String> {
    let failed = |error: minijinja::Error| Error::Bug(format!("the report's template cannot be filled: {error:#}"));
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
    environment.add_template("report", TEMPLATE).map_err(failed)?;
    let figures: Vec<_> = figures
        .iter()
        .map(|f| context! { name => f.name, title => f.title, caption => f.caption.as_str(), svg => f.svg.inline(), narrow => f.narrow.inline() })
        .collect();
    let mut tables = tables::all(findings);
    let signs: Option<Formatted> = tables.iter().position(|table| table.name == "signs").map(|at| tables.remove(at));
    let gallery: Vec<Shown> = findings.gallery.iter().map(|example| shown(findings, example)).collect();
    let methods = filters(&gallery);
    let sources: Vec<_> = findings
        .sources
        .iter()
        .map(|s| context! { name => s.name.as_str(), fingerprint => s.fingerprint.as_str() })
        .collect();
    let context = context! {
        style => format!("{}{STYLE}", svg::STYLE),
        script => SCRIPT,
        headline => findings.headline(),
        effects => serde(effects(findings)),
        counts => serde(counts(findings)),
        signs => serde(signs),
        tables => serde(tables),
        gallery => serde(gallery),
        methods => serde(methods),
        aggregates => serde(findings.aggregates.iter().map(aggregated).collect::<Vec<_>>()),
        figures, sources,
        resamples => findings.resampling.resamples,
        permutations => crate::significance::PERMUTATIONS,
        seed => findings.resampling.seed,
        version => env!("CARGO_PKG_VERSION"),
    };
    environment.get_template("report").map_err(failed)?.render(context).map_err(failed)
}

fn serde(value: impl Serialize) -> Value {
    Value::from(Serde(value))
}

fn effects(findings: &Findings) -> Vec<Effect> {
    let (metric, roles) = (Metric::GridPointingGame, &findings.roles);
    let effect = |backbone: &crate::roles::Backbone| {
        let method = backbone.main_method();
        let difference = findings.summaries.difference(backbone, metric, method, &roles.ce, &roles.bce)?;
        let found = difference.estimate?;
        let percent = |value: f64| labels::number(100.0 * value, 1);
        let from = difference.baseline_mean;
        let left_out = difference.empty_as_zero.map_or(String::new(), |zero| {
            let zero = labels::difference(&zero, metric);
            format!("; {} pairs without positive relevance left out, with 0 for them {zero}", difference.skipped)
        });
        let (value, interval) = split(&labels::difference(&found, metric));
        Some(Effect {
            value,
            unit: labels::difference_unit(metric),
            interval,
            what: format!("{} maps on {}", labels::method(method), backbone.label),
            from_to: format!("{} % → {} %", percent(from), percent(from + found.mean)),
            n: format!("n = {} maps · {} grids · {} seeds{left_out}", found.n, found.items, found.seeds),
            good: match difference.verdict(Expected::Higher) {
                Verdict::Holds => "up",
                Verdict::Reversed => "down",
                Verdict::NotResolved | Verdict::NotTested => "flat",
            },
        })
    };
    findings.backbones.iter().filter_map(effect).collect()
}

fn counts(findings: &Findings) -> Vec<Count> {
    let count = |verdict: Verdict| findings.signs.iter().map(|sign| sign.count(verdict)).sum::<usize>();
    let untested = findings.signs.iter().filter(|sign| sign.evidence.is_empty()).count();
    let of = |verdict: Verdict| Count {
        name: verdict.name(),
        words: verdict.words(),
        count: count(verdict) + if verdict == Verdict::NotTested { untested } else { 0 },
    };
    Verdict::ALL.into_iter().map(of).collect()
}

fn shown(findings: &Findings, example: &Example) -> Shown {
    let roles = &findings.roles;
    let probes = [&roles.ce, &roles.bce, &roles.bcos];
    let mut methods: Vec<&String> = example.shown.iter().map(|shown| &shown.method).collect();
    methods.dedup();
    let row = |method: &String| {
        let map = |probe: &&String| {
            let found = example.shown.iter().find(|shown| shown.method == *method && shown.probe == **probe)?;
            let score = found
                .score
                .map_or_else(|| "undefined".to_string(), |score| format!("{} %", labels::number(100.0 * score, 0)));
            let alt = format!("{} map, {}, GridPG {score}", labels::method(method), labels::probe(probe));
            Some(Map { uri: heatmap::data_uri(&found.map), score, alt })
        };
        MethodRow { id: identifier(method), name: labels::method(method), maps: probes.iter().map(map).collect() }
    };
    let place = match example.quantile {
        q if q < 0.25 => "Among the worst for BCE",
        q if q > 0.75 => "Among the best for BCE",
        _ => "Typical",
    };
    Shown {
        id: identifier(&format!("{}-{}-{}", example.backbone, example.item, example.target + 1)),
        backbone: example.backbone.clone(),
        title: format!(
            "{place} ({:.0} % quantile) · {} · cell {}",
            100.0 * example.quantile,
            example.item,
            example.target + 1
        ),
        difference: labels::signed(100.0 * example.difference, 1),
        photograph: heatmap::data_uri(&example.photograph),
        probes: probes.iter().map(|probe| labels::probe(probe)).collect(),
        methods: methods.into_iter().map(row).collect(),
    }
}

fn aggregated(found: &Aggregate) -> Aggregated {
    let probe = |seen: &Seen| {
        let name = labels::probe(&seen.probe);
        let bin = |bin: &Bin| {
            let percent = |share: f64| labels::number(100.0 * share, 0);
            let range = format!("{}–{} %", percent(bin.range.0), percent(bin.range.1));
            let score = format!("{} %", percent(bin.score));
            let alt = format!("Mean of {} maps, {name}, {range} of the maps in order, mean GridPG {score}", bin.maps);
            Map { uri: heatmap::data_uri(&bin.map), score: format!("{range}: {score}"), alt }
        };
        let bins = seen.bins.iter().map(bin).collect();
        AggregatedProbe { maps: seen.maps, bins, cells: heatmap::data_uri(&seen.cells), name }
    };
    Aggregated {
        title: format!("{} · {}", found.backbone, labels::method(&found.method)),
        probes: found.probes.iter().map(probe).collect(),
    }
}

/// Methods of the gallery, for the filter: identifier and name.
fn filters(gallery: &[Shown]) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for method in gallery.iter().flat_map(|example| &example.methods) {
        if !found.iter().any(|(id, _)| *id == method.id) {
            found.push((method.id.clone(), method.name.clone()));
        }
    }
    found
}

/// A method's name as a part of an HTML identifier.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn split(formatted: &str) -> (String, String) {
    let (value, interval) = formatted.split_once(' ').unwrap_or((formatted, ""));
    (value.to_string(), interval.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> String {
        let findings = crate::fake::findings();
        render(&findings, &crate::figures::all(&findings)).expect("a page")
    }

    #[test]
    fn the_page_stands_alone() {
        let page = page();
        for outside in ["src=\"http", "href=\"http", "@import", "url(", "<script src", "fetch(", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("data:image/png;base64,") && page.contains("<svg class=\"figure\""));
        assert_eq!(page.matches("<figure").count(), page.matches("</figure>").count());
    }

    #[test]
    fn a_page_without_data_says_so() {
        let empty = Findings::new(&Default::default(), &Default::default(), crate::fake::RESAMPLING);
        let page = render(&empty, &[]).expect("a page");
        assert!(page.contains("No backbone was scored"), "{page}");
    }

    /// A page of 300 probes: tables list them all, figures and the first screen do not grow.
    #[test]
    fn many_probes_fill_tables_and_not_figures() {
        let [few, many] = [0, 150].map(crate::fake::findings_of_many);
        let figures = |findings: &Findings| -> Vec<f64> {
            crate::figures::all(findings).iter().map(|figure| figure.svg.size().1).collect()
        };
        for (few, many) in figures(&few).iter().zip(figures(&many)) {
            assert!(many <= few + 22.0 * 14.0, "a figure grew from {few} to {many}");
        }
        let page = render(&many, &crate::figures::all(&many)).expect("a page");
        assert_eq!(page.matches("-row149-s0</td>").count(), 2, "the last probe of both backbones");
        let intro = |page: &str| page.split("</header>").next().expect("a header").len();
        assert_eq!(intro(&page), intro(&render(&few, &crate::figures::all(&few)).expect("a page")));
        keep("PROBESCOPE_FAKE_MANY", &page);
    }

    /// Writes a page where the environment says, to look at it.
    fn keep(variable: &str, page: &str) {
        if let Some(path) = std::env::var_os(variable) {
            std::fs::write(&path, page).expect("a file");
        }
    }

    #[test]
    fn the_page_can_be_looked_at() {
        let page = page();
        assert!(page.len() > 10_000);
        keep("PROBESCOPE_FAKE_PAGE", &page);
    }
}
