//! From the bytes of a PNG or JPEG file to 8-bit RGB, as Pillow and the reference's loader give it.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, Limits, RgbImage};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat, probe};

use super::Rgb;
use crate::error::{Error, Result};

/// Longest side of a picture, pixels; more is a damaged header or an attack.
const SIDE: u32 = 1 << 15;
/// Memory for one decoded picture: a few kilobytes of PNG can claim any size.
const MEMORY: u64 = 512 << 20;

/// The picture in the bytes of a PNG or JPEG file; other colour types become 8-bit RGB, an EXIF rotation is applied.
///
/// # Errors
/// [`Error::BadData`] when the bytes are no such file.
// METHOD: mmcv's loader and OpenCV apply the EXIF rotation (torchvision's ImageFolder does not); alpha is dropped and
// 16 bits are cut to the upper 8, as Pillow does.
pub fn decode(bytes: &[u8]) -> Result<Rgb> {
    let bad = |problem: String| {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]).escape_debug().to_string();
        Error::BadData(format!("not a readable PNG or JPEG file (starts with \"{start}\"): {problem}"))
    };
    let picture = match jpeg(bytes).map_err(&bad)? {
        Some(picture) => picture,
        None => other(bytes).map_err(|error| bad(error.to_string()))?,
    };
    Ok(rgb(picture))
}

/// A JPEG file of 8 bits; `None` for everything else.
// METHOD: libjpeg-turbo's arithmetic, which is Pillow's; the decoder of the `image` crate differs from it by up to 3 of
// 255 levels (tests/parity/pillow), as its inverse transform and colour conversion round otherwise.
fn jpeg(bytes: &[u8]) -> std::result::Result<Option<DynamicImage>, String> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return Ok(None);
    }
    let info = probe(bytes).map_err(|error| error.to_string())?;
    if info.precision != 8 {
        return Ok(None);
    }
    let (max_width, max_height) = (SIDE as usize, SIDE as usize);
    let limits = DecodeLimits { max_width, max_height, max_memory: Some(MEMORY), ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(|error| error.to_string())?;
    let inks = info.components == 4;
    decoder.set_output_format(if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let decoded = decoder.decode_image().map_err(|error| error.to_string())?;
    let (width, height) = (decoded.width as u32, decoded.height as u32);
    let data = if inks { without_inks(&decoded.data, bytes) } else { decoded.data };
    let pixels = RgbImage::from_raw(width, height, data).ok_or("its pixels do not fit its size")?;
    let mut picture = DynamicImage::ImageRgb8(pixels);
    if let Some(orientation) = info.exif_orientation.and_then(Orientation::from_exif) {
        picture.apply_orientation(orientation);
    }
    Ok(Some(picture))
}

/// Cyan, magenta, yellow and black as red, green and blue.
// METHOD: Pillow, JpegImagePlugin.py (Adobe's files hold inks inverted) and cmyk2rgb of Convert.c.
fn without_inks(data: &[u8], file: &[u8]) -> Vec<u8> {
    let inverted = file.windows(9).any(|bytes| bytes.starts_with(&[0xff, 0xee]) && bytes.ends_with(b"Adobe"));
    let ink = |value: u8| u32::from(if inverted { 255 - value } else { value });
    let one = |pixel: &[u8]| {
        let paper = 255 - ink(pixel[3]);
        [0, 1, 2].map(|colour| {
            let product = ink(pixel[colour]) * paper + 128;
            (paper - (((product >> 8) + product) >> 8)) as u8
        })
    };
    data.chunks_exact(4).flat_map(one).collect()
}

/// A PNG file, or a JPEG file of an unusual kind.
fn other(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE);
    limits.max_image_height = Some(SIDE);
    limits.max_alloc = Some(MEMORY);
    let mut reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Eight bits of red, green and blue.
fn rgb(picture: DynamicImage) -> Rgb {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let high = |value: &u16| (value >> 8) as u8;
    let data: Vec<u8> = match picture {
        DynamicImage::ImageLuma16(grey) => grey.as_raw().iter().flat_map(|value| [high(value); 3]).collect(),
        DynamicImage::ImageLumaA16(grey) => grey.as_raw().chunks(2).flat_map(|pixel| [high(&pixel[0]); 3]).collect(),
        DynamicImage::ImageRgb16(colour) => colour.as_raw().iter().map(high).collect(),
        DynamicImage::ImageRgba16(colour) => {
            colour.as_raw().chunks(4).flat_map(|pixel| [high(&pixel[0]), high(&pixel[1]), high(&pixel[2])]).collect()
        }
        other => other.into_rgb8().into_raw(),
    };
    Rgb { width, height, data }
}

#[cfg(test)]
mod tests {
    //! The files and the script that made them are in `tests/parity/pillow`.

    use std::path::{Path, PathBuf};

    use super::*;
    use crate::preprocess::{Fit, Geometry};
    use crate::random::{below, stream};

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/pillow").join(name)
    }

    fn read(name: &str) -> Rgb {
        decode(&std::fs::read(file(name)).expect(name)).expect(name)
    }

    fn largest_difference(found: &Rgb, expected: &Rgb) -> u8 {
        assert_eq!((found.width, found.height), (expected.width, expected.height));
        found.data.iter().zip(&expected.data).map(|(a, b)| a.abs_diff(*b)).max().expect("pixels")
    }

    #[test]
    fn pixels_are_those_of_pillow() {
        let geometry = Geometry { fit: Fit::ShortSide(72), size: 64 };
        let mut wrong = Vec::new();
        let mut check = |name: &str| {
            let found = read(name);
            let decoded = largest_difference(&found, &read(&format!("{name}.decoded.png")));
            let fitted = largest_difference(&geometry.apply(found), &read(&format!("{name}.fitted.png")));
            if decoded > 0 || fitted > 0 {
                wrong.push(format!("{name}: decoded {decoded}, fitted {fitted}"));
            }
        };
        for name in ["baseline420", "baseline422", "baseline444", "progressive", "restart", "grey", "cmyk", "rotated"] {
            check(&format!("{name}.jpg"));
        }
        for name in ["colour", "grey", "palette", "alpha", "bilevel", "grey16", "colour16"] {
            check(&format!("{name}.png"));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let geometry = Geometry { fit: Fit::ShortSideBicubic(72), size: 64 };
        for name in ["baseline420.jpg", "grey.png"] {
            let expected = read(&format!("{name}.bicubic.png"));
            assert_eq!(largest_difference(&geometry.apply(read(name)), &expected), 0, "{name}");
        }
    }

    #[test]
    fn damaged_photographs_are_errors_or_pictures_and_never_panics() {
        let mut rng = stream(0, &["damage"]);
        for name in ["baseline420.jpg", "progressive.jpg", "restart.jpg", "grey.jpg", "cmyk.jpg", "palette.png"] {
            let whole = std::fs::read(file(name)).expect(name);
            for _ in 0..100 {
                let mut bytes = whole.clone();
                for _ in 0..1 + below(&mut rng, 6) {
                    bytes[below(&mut rng, whole.len())] = below(&mut rng, 256) as u8;
                }
                if let Err(error) = decode(&bytes) {
                    assert_eq!(error.exit_code(), 65, "{error}");
                }
            }
            let half = decode(&whole[..whole.len() / 2]).map(|picture| picture.width);
            assert_eq!(half.expect_err("half a file").exit_code(), 65, "{name}");
        }
    }

    #[test]
    fn a_picture_that_claims_too_much_is_an_error() {
        let mut png = std::fs::read(file("colour.png")).expect("a file");
        // Width and height of the header; its checksum no longer fits either, and a reader may look at that first.
        png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        assert_eq!(decode(&png).expect_err("65536 x 65536").exit_code(), 65);
        let mut jpeg = std::fs::read(file("baseline420.jpg")).expect("a file");
        let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decode(&jpeg).expect_err("65535 x 65535").exit_code(), 65);
    }
}
