//! Attribution maps as small pictures: positive relevance red, negative blue, over a pale grey image.
//!
//! Pictures are paletted (16 greys x 17 signed levels), which makes them a third of the size of full colour.

use crate::base64;
use features::error::{Error, Result};
use features::images::Rgb;

/// A signed map, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width * height` values.
    pub values: &'a [f32],
}

/// A rectangle in pixels: x, y, width, height.
pub type Frame = (usize, usize, usize, usize);

const GREYS: usize = 15;
/// Signed levels: 8 blue, none, 8 red.
const LEVELS: usize = 17;
/// Palette entry of frames, after all 255 mixtures.
const FRAME: u8 = 255;
/// Ends of a diverging map of equal lightness on both sides (ColorBrewer RdBu).
const RED: [f64; 3] = [178.0, 24.0, 43.0];
const BLUE: [f64; 3] = [33.0, 102.0, 172.0];
const FRAME_COLOUR: [u8; 3] = [0, 120, 90];

/// PNG of `map` over `picture` (of the same size, or none for white), full colour at the 99.5 % quantile of |map|.
pub fn overlay(map: Map, picture: Option<&Rgb>, frame: Option<Frame>) -> Result<Vec<u8>> {
    scaled(map, picture, frame.as_slice(), limit(map.values))
}

/// The same in full colour at `limit`, with several frames.
pub fn scaled(map: Map, picture: Option<&Rgb>, frames: &[Frame], limit: f32) -> Result<Vec<u8>> {
    if map.values.len() != map.width * map.height {
        return Err(Error::Bug(format!("a map of {}x{} has {} values", map.width, map.height, map.values.len())));
    }
    let grey_at = |at: usize| match picture.filter(|p| (p.width, p.height) == (map.width, map.height)) {
        Some(picture) => {
            let [r, g, b] = [0, 1, 2].map(|channel| f64::from(picture.data[3 * at + channel]));
            0.299 * r + 0.587 * g + 0.114 * b
        }
        None => 255.0,
    };
    let mut indices: Vec<u8> = (0..map.values.len())
        .map(|at| {
            let grey = (grey_at(at) / 255.0 * (GREYS - 1) as f64).round() as usize;
            let level = level(map.values[at], limit);
            (grey * LEVELS + level) as u8
        })
        .collect();
    frames.iter().for_each(|frame| draw_frame(&mut indices, map.width, map.height, *frame));
    paletted(&indices, map.width, map.height, &palette())
}

/// PNG of a picture with a white frame, edged in black.
pub fn photograph(picture: &Rgb, frame: Option<Frame>) -> Result<Vec<u8>> {
    let mut data = picture.data.clone();
    if let Some((left, top, width, height)) = frame {
        let inner = (left + 1, top + 1, width.saturating_sub(2), height.saturating_sub(2));
        for ((left, top, width, height), shade) in [((left, top, width, height), 0), (inner, 255)] {
            for (x, y) in outline(left, top, width, height).filter(|(x, y)| *x < picture.width && *y < picture.height) {
                data[3 * (y * picture.width + x)..][..3].fill(shade);
            }
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    write(encoder, &data)?;
    Ok(bytes)
}

/// A PNG as a data URI.
pub fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::encode(png))
}

/// The 99.5 % quantile of |values|, so that single pixels do not pale the rest; 0 for an empty or all-zero map.
// METHOD: nearest-rank quantile of finite absolute values.
pub fn limit(values: &[f32]) -> f32 {
    let mut sizes: Vec<f32> = values.iter().map(|v| v.abs()).filter(|v| v.is_finite()).collect();
    if sizes.is_empty() {
        return 0.0;
    }
    let at = ((sizes.len() - 1) as f64 * 0.995).round() as usize;
    let (_, value, _) = sizes.select_nth_unstable_by(at, f32::total_cmp);
    let value = *value;
    if value > 0.0 { value } else { sizes.iter().copied().fold(0.0, f32::max) }
}

/// Level 0..LEVELS of a value; the middle one is no relevance.
fn level(value: f32, limit: f32) -> usize {
    let half = (LEVELS / 2) as f32;
    if limit <= 0.0 || !value.is_finite() {
        return LEVELS / 2;
    }
    (half + (value / limit).clamp(-1.0, 1.0) * half).round() as usize
}

/// Colours of all mixtures of grey and relevance, and the frame's.
fn palette() -> Vec<u8> {
    let mut colours = Vec::with_capacity(256 * 3);
    for grey in 0..GREYS {
        let base = 255.0 - 0.5 * (255.0 - 255.0 * grey as f64 / (GREYS - 1) as f64);
        for level in 0..LEVELS {
            let signed = level as f64 / (LEVELS / 2) as f64 - 1.0;
            let end = if signed > 0.0 { RED } else { BLUE };
            let weight = signed.abs().powf(0.8);
            colours.extend(end.map(|end| (base + weight * (end - base)).round() as u8));
        }
    }
    colours.extend(FRAME_COLOUR);
    colours
}

fn outline(left: usize, top: usize, width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    let inside =
        move |x: usize, y: usize| x >= left + 2 && x + 2 < left + width && y >= top + 2 && y + 2 < top + height;
    (top..top + height)
        .flat_map(move |y| (left..left + width).map(move |x| (x, y)))
        .filter(move |(x, y)| !inside(*x, *y))
}

fn draw_frame(indices: &mut [u8], width: usize, height: usize, (left, top, w, h): Frame) {
    for (x, y) in outline(left, top, w, h) {
        if x < width && y < height {
            indices[y * width + x] = FRAME;
        }
    }
}

fn paletted(indices: &[u8], width: usize, height: usize, palette: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    write(encoder, indices)?;
    Ok(bytes)
}

fn write(encoder: png::Encoder<&mut Vec<u8>>, data: &[u8]) -> Result<()> {
    let failed = |error: png::EncodingError| Error::Bug(format!("a picture cannot be encoded: {error}"));
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(data).map_err(failed)?;
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(png: &[u8]) -> image::RgbImage {
        image::load_from_memory(png).expect("a PNG").to_rgb8()
    }

    #[test]
    fn positive_is_red_negative_is_blue_and_zero_is_the_image() {
        let mut values = vec![0.0f32; 16];
        (values[0], values[1]) = (1.0, -1.0);
        let png = overlay(Map { width: 4, height: 4, values: &values }, None, None).expect("a picture");
        let found = decode(&png);
        assert_eq!(found.get_pixel(0, 0).0.map(f64::from), RED);
        assert_eq!(found.get_pixel(1, 0).0.map(f64::from), BLUE);
        assert_eq!(found.get_pixel(2, 2).0, [255; 3]);
    }

    #[test]
    fn frames_and_odd_values_do_no_harm() {
        let values = [f32::NAN, f32::INFINITY, 0.0, 0.0];
        for values in [values, [0.0; 4]] {
            let png =
                overlay(Map { width: 2, height: 2, values: &values }, None, Some((0, 0, 9, 9))).expect("a picture");
            assert_eq!(decode(&png).get_pixel(0, 0).0, FRAME_COLOUR);
        }
        assert!(overlay(Map { width: 3, height: 3, values: &values }, None, None).is_err());
    }

    #[test]
    fn all_palette_entries_are_there() {
        assert_eq!(palette().len(), 256 * 3);
        assert_eq!(GREYS * LEVELS, usize::from(FRAME));
    }

    #[test]
    fn one_strong_pixel_does_not_pale_the_rest() {
        let mut values = vec![1.0f32; 1000];
        values[0] = 1000.0;
        assert_eq!(limit(&values), 1.0);
        assert_eq!(limit(&[]), 0.0);
        let mut single = vec![0.0f32; 1000];
        single[3] = 2.0;
        assert_eq!(limit(&single), 2.0);
    }
}
