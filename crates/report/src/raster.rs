//! Figures as PNG: rendered here, with fonts of our own, so that they have the same bytes on every machine.

use std::sync::{Arc, LazyLock};

use features::error::{Error, Result};
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use crate::svg::Svg;

/// Pixels of the picture for a CSS pixel.
const SCALE: f32 = 2.0;
/// White around the drawing, CSS pixels.
const MARGIN: f32 = 16.0;
/// The family of the fonts in `font/`.
const FAMILY: &str = "DejaVu Sans";

/// Regular and bold; machines in clusters and containers often have no font at all.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("font/DejaVuSans.ttf").to_vec());
    fonts.load_font_data(include_bytes!("font/DejaVuSans-Bold.ttf").to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Arc::new(fonts)
});

/// A figure as a PNG file on white.
///
/// # Errors
/// `Bug` for a drawing that is no SVG.
pub fn png(svg: &Svg) -> Result<Vec<u8>> {
    let options = Options { font_family: FAMILY.to_string(), fontdb: Arc::clone(&FONTS), ..Options::default() };
    let tree = Tree::from_str(&svg.plain(), &options).map_err(|error| failed(&error))?;
    let (width, height) = svg.size();
    let [width, height] = [width, height].map(|length| ((length as f32 + 2.0 * MARGIN) * SCALE).ceil().max(1.0) as u32);
    let mut pixels = Pixmap::new(width, height).ok_or_else(|| failed(&format!("{width} x {height} pixels")))?;
    pixels.fill(Color::WHITE);
    let place = Transform::from_translate(MARGIN, MARGIN).post_scale(SCALE, SCALE);
    resvg::render(&tree, place, &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| failed(&error))
}

fn failed(problem: &dyn std::fmt::Display) -> Error {
    Error::Bug(format!("a figure of the report cannot be rendered: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::Anchor;

    #[test]
    fn a_figure_is_drawn_with_its_colours_and_its_text() {
        let mut svg = Svg::new(60.0, 20.0, "t");
        svg.rectangle((0.0, 0.0), (10.0, 20.0), "fill-0");
        svg.text((20.0, 15.0), Anchor::Start, "bold", "BCE − α");
        let file = png(&svg).expect("a picture");
        let picture = image::load_from_memory(&file).expect("a PNG file").to_rgb8();
        assert_eq!(picture.dimensions(), (120 + 64, 40 + 64));
        assert_eq!(picture.get_pixel(32 + 5, 32 + 20).0, [0x00, 0x72, 0xb2]);
        assert_eq!((picture.get_pixel(32 + 30, 32 + 20).0, picture.get_pixel(20, 52).0), ([255; 3], [255; 3]));
        let dark = picture.enumerate_pixels().filter(|(x, _, pixel)| *x > 32 + 36 && pixel.0[0] < 90).count();
        assert!(dark > 60, "{dark} dark pixels are no text");
        assert_eq!(file, png(&svg).expect("a picture"));
    }

    #[test]
    fn every_figure_can_be_rendered() {
        for figure in crate::figures::all(&crate::fake::findings()) {
            let (width, height) = figure.svg.size();
            let picture = image::load_from_memory(&png(&figure.svg).expect(figure.name)).expect("a PNG file");
            let expected = (2.0 * width + 64.0, 2.0 * height + 64.0);
            let found = (f64::from(picture.width()), f64::from(picture.height()));
            assert!((found.0 - expected.0).abs() <= 1.0 && (found.1 - expected.1).abs() <= 1.0, "{}", figure.name);
        }
    }
}
