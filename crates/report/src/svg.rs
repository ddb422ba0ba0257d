//! A small SVG writer: shapes and text by class, so that colours come from one style sheet for light and dark.
//!
//! A figure stands in the page as it is, or in a file of its own with the style inside.

use std::fmt::Write;

/// Colours (Okabe and Ito's, readable without colour vision) and type of all figures.
/// `--series-N` are the colours of series, also used by the page.
pub const STYLE: &str = "
:root{--ink:#1b1f24;--soft:#59636e;--rule:#d8dee4;--paper:#ffffff;--tint:#f6f8fa;
--series-0:#0072b2;--series-1:#d55e00;--series-2:#009e73;--series-3:#cc79a7;--series-4:#7a7f85;--good:#00785a;--bad:#b34700}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--rule:#30363d;--paper:#0f1318;--tint:#171c23;
--series-0:#56b4e9;--series-1:#ff8b3d;--series-2:#2fc99b;--series-3:#e39cc5;--series-4:#9aa5b1;--good:#2fc99b;--bad:#ff9a57}}
svg.figure{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:13px}
svg.figure text{fill:var(--ink)}svg.figure .soft{fill:var(--soft)}svg.figure .bold{font-weight:600}
svg.figure .number{font-variant-numeric:tabular-nums}
svg.figure .rule{stroke:var(--rule);stroke-width:1}svg.figure .axis{stroke:var(--soft);stroke-width:1}
svg.figure .reference{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4}
svg.figure .whisker{stroke-width:2;stroke-linecap:round}svg.figure .dot{stroke:var(--paper);stroke-width:1.5}
svg.figure .curve{fill:none;stroke-width:2}svg.figure .random{stroke-width:1.5;stroke-dasharray:2 5}svg.figure .band{opacity:.18}
svg.figure .bar{opacity:.85}svg.figure .even_cell{stroke:var(--ink);stroke-width:2}
svg.figure .fill-0{fill:var(--series-0)}svg.figure .fill-1{fill:var(--series-1)}svg.figure .fill-2{fill:var(--series-2)}
svg.figure .fill-3{fill:var(--series-3)}svg.figure .fill-4{fill:var(--series-4)}
svg.figure .line-0{stroke:var(--series-0)}svg.figure .line-1{stroke:var(--series-1)}svg.figure .line-2{stroke:var(--series-2)}
svg.figure .line-3{stroke:var(--series-3)}svg.figure .line-4{stroke:var(--series-4)}svg.figure .over{stroke:var(--ink)}
";

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Text begins there.
    Start,
    /// Text is centred there.
    Middle,
    /// Text ends there.
    End,
}

/// A figure being drawn; lengths are in CSS pixels of a view box.
#[derive(Debug, Clone)]
pub struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty figure; `title` is what a screen reader says.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_string(), body: String::new() }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" class="{class}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A rectangle with its upper left corner at `at`.
    pub fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), class: &str) {
        let (width, height) = (size.0.max(0.0), size.1.max(0.0));
        let _ = writeln!(
            self.body,
            r#"<rect x="{:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}" class="{class}"/>"#,
            at.0, at.1
        );
    }

    /// A line through points.
    pub fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        let _ = writeln!(self.body, r#"<polyline points="{}" class="{class}"/>"#, joined(points));
    }

    /// A filled shape with corners at points.
    pub fn area(&mut self, points: &[(f64, f64)], class: &str) {
        let _ = writeln!(self.body, r#"<polygon points="{}" class="{class}"/>"#, joined(points));
    }

    /// Text; `content` may hold any character.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, content: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
            at.0,
            at.1,
            escape(content)
        );
    }

    /// A mark of series `series` at a point; each series has a shape of its own, besides its colour.
    pub fn mark(&mut self, at: (f64, f64), series: usize) {
        let (x, y, class) = (at.0, at.1, format!("dot fill-{}", series % 5));
        let _ = match series % 4 {
            0 => writeln!(self.body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="5.2" class="{class}"/>"#),
            1 => writeln!(
                self.body,
                r#"<rect x="{:.1}" y="{:.1}" width="9.6" height="9.6" class="{class}"/>"#,
                x - 4.8,
                y - 4.8
            ),
            2 => writeln!(self.body, r#"<path d="M{x:.1} {:.1}l6 10.4h-12z" class="{class}"/>"#, y - 6.2),
            _ => {
                writeln!(self.body, r#"<path d="M{x:.1} {:.1}l6.2 6.2l-6.2 6.2l-6.2 -6.2z" class="{class}"/>"#, y - 6.2)
            }
        };
    }

    /// The figure for a page that holds [`STYLE`].
    pub fn inline(&self) -> String {
        let (width, height, title, body) = (self.width, self.height, escape(&self.title), &self.body);
        format!(
            "<svg class=\"figure\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<title>{title}</title>\n{body}</svg>"
        )
    }

    /// Width and height of the drawing, CSS pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// The figure for renderers that know neither variables of a style sheet nor dark mode; the background is theirs to draw.
    pub fn plain(&self) -> String {
        let style = format!("<style>{}</style>\n", plain_style());
        self.inline().replacen("</title>\n", &format!("</title>\n{style}"), 1)
    }

    /// The figure as a file, with its style and a background.
    pub fn standalone(&self) -> String {
        let style = format!(
            "<style>{STYLE}.paper{{fill:var(--paper)}}</style>\n<rect width=\"100%\" height=\"100%\" class=\"paper\"/>\n"
        );
        self.inline().replacen("</title>\n", &format!("</title>\n{style}"), 1)
    }
}

/// [`STYLE`] with its colours for light pages written out.
fn plain_style() -> String {
    let light = STYLE.split_once(":root{").and_then(|(_, rest)| rest.split_once('}')).map_or("", |(light, _)| light);
    let rules = STYLE.lines().filter(|line| line.starts_with("svg.figure")).collect::<Vec<_>>().join("\n");
    let colours = light.split(';').filter_map(|one| one.trim().split_once(':'));
    colours.fold(rules, |rules, (name, colour)| rules.replace(&format!("var({name})"), colour))
}

/// Coordinates as the attribute `points` has them.
fn joined(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// Text with the characters that XML reserves written as entities.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Round values from `low` to `high`, at most `most` of them, at steps of 1, 2 or 5 times a power of ten.
pub fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 || most < 2 {
        return vec![low];
    }
    let rough = span / (most - 1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|at| at as f64 * step).collect()
}

/// Whether every opened tag is closed in order: enough of a check for what this module writes.
#[cfg(test)]
pub fn balanced(text: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let Some((tag, _)) = tag.split_once('>') else { return false };
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !tag.ends_with('/') && !tag.starts_with(['!', '?']) {
            open.push(name);
        }
    }
    open.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_well_formed_and_have_a_title() {
        let mut svg = Svg::new(100.0, 50.0, "a < b & c");
        svg.line((0.0, 0.0), (1.0, 1.0), "rule");
        svg.text((1.0, 2.0), Anchor::End, "soft", "\"<x>\"");
        (0..6).for_each(|series| svg.mark((5.0, 5.0), series));
        for text in [svg.inline(), svg.standalone()] {
            assert!(balanced(&text), "{text}");
            assert!(text.contains("role=\"img\"") && text.contains("<title>a &lt; b &amp; c</title>"), "{text}");
        }
        assert!(!balanced("<a><b></a></b>") && !balanced("<a>"));
    }

    #[test]
    fn a_plain_figure_has_no_variables() {
        let text = Svg::new(10.0, 10.0, "t").plain();
        assert!(balanced(&text) && !text.contains("var(") && !text.contains("@media"), "{text}");
        // Of light pages.
        assert!(text.contains(".fill-0{fill:#0072b2}") && text.contains("text{fill:#1b1f24}"), "{text}");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        for (low, high, most, expected) in [
            (0.0, 100.0, 6, vec![0.0, 20.0, 40.0, 60.0, 80.0, 100.0]),
            (-12.0, 52.0, 5, vec![0.0, 20.0, 40.0]),
            (85.0, 88.0, 4, vec![85.0, 86.0, 87.0, 88.0]),
            (3.0, 3.0, 4, vec![3.0]),
        ] {
            assert_eq!(ticks(low, high, most), expected, "{low}..{high}");
        }
    }
}
