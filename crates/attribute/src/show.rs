//! `attribute show`: one picture, some methods, some probes, one PNG to look at.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use features::{
    error::{Error, Result},
    extract::FeaturesConfig,
    images::{Rgb, decode, load},
    stage::{Outcome, Stage},
    tensor::to_vec,
};
use serde_json::json;

use crate::{
    attribute::{FAST_CPU, heads},
    config::AttributeConfig,
    explain::{Explainer, Map, Picture},
    method::Method,
    stored::FeatureSource,
};

/// What is shown.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// A PNG or JPEG file, or the key of a picture in the image table, like scenes/00003
    pub image: PathBuf,
    /// Methods, with commas between them [default: those of the experiment]
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub methods: Vec<Method>,
    /// Probes, by id or beginnings like linear-*, with commas between them [default: those of the experiment]
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub probes: Vec<String>,
    /// Classes to explain [default: each probe's first choice]
    #[arg(long = "class", value_delimiter = ',', value_name = "N")]
    pub classes: Vec<usize>,
    /// The sheet
    #[arg(long, value_name = "FILE", default_value = "attribution.png")]
    pub sheet: PathBuf,
}

/// Pixels between the pictures of a sheet.
const GAP: usize = 4;
/// The quantile of magnitudes that has full colour; above it a few pixels would pale all others.
const FULL: f64 = 0.995;

/// Writes the sheet and says what stands where.
///
/// # Errors
/// As the stage, and `InputMissing` for a picture that is neither a file nor a key.
pub fn show(stage: &Stage, args: &ShowArgs) -> Result<()> {
    let mut config: AttributeConfig = stage.section("attribute")?;
    if !args.methods.is_empty() {
        config.methods = args.methods.clone();
    }
    if !args.probes.is_empty() {
        config.probes = args.probes.clone();
    }
    config.integrated_gradients.probes.clear();
    config.var.methods.clear();
    config.features = FeatureSource::Computed;
    config.check()?;
    let source: FeaturesConfig = stage.section("features")?;
    let device = stage.device()?;
    let backbone = source.load(&device)?;
    let probes = probe::load(&stage.out, &device)?;
    let heads = heads(&config, &backbone.network, &probes)?;
    if heads.is_empty() {
        return Err(Error::Usage("none of the methods fits this backbone; choose another with --methods".to_string()));
    }
    let picture = backbone.preprocessing().geometry.apply(picture(&args.image, &source.images)?);
    let image = backbone.encoding.preprocess().apply(std::slice::from_ref(&picture), &device);
    let explainer = Explainer::new(&backbone, heads, config.settings(stage.seed, FAST_CPU))?;
    let classes: Vec<usize> = if args.classes.is_empty() {
        let features = explainer.network().forward(image.clone());
        let first_choice = |logits: Vec<f32>| (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let choices =
            explainer.heads().iter().filter_map(|head| first_choice(to_vec(head.network.forward(features.clone()))));
        choices.collect::<BTreeSet<_>>().into_iter().collect()
    } else {
        args.classes.clone()
    };
    let maps = explainer.explain(&image, &classes, &args.image.display().to_string())?;
    let pictures = explainer.pictures(&image, &classes);
    let shown = config.methods.iter().copied().filter(|method| maps.iter().any(|map| map.method == *method));
    let columns: Vec<Column> = shown
        .flat_map(|method| [Some(Column::Map(method)), (method == Method::Bcos).then_some(Column::Picture)])
        .flatten()
        .collect();
    let rows: Vec<(usize, usize)> =
        (0..classes.len()).flat_map(|target| (0..explainer.heads().len()).map(move |head| (target, head))).collect();
    let sheet = sheet(&picture, &maps, &pictures, &columns, &rows);
    fs::write(&args.sheet, sheet.encode_png()?).map_err(|error| {
        Error::CannotWrite(format!("{}: {error}; choose another place with --sheet", args.sheet.display()))
    })?;
    let mut shown = Vec::new();
    let mut told = vec![format!(
        "attribute: {}: the picture, then {}",
        args.sheet.display(),
        columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ")
    )];
    for (row, (target, head)) in rows.iter().enumerate() {
        let logit = maps.iter().find(|map| (map.target, map.head) == (*target, *head)).map_or(0.0, |map| map.logit);
        let (class, probe) = (classes[*target], &explainer.heads()[*head].id);
        told.push(format!("  row {}: class {class} by {probe}, logit {logit:.2}", row + 1));
        shown.push(json!({ "class": class, "probe": probe, "logit": logit }));
    }
    stage.done(Outcome::Done, &told.join("\n"), json!({ "sheet": args.sheet, "rows": shown }));
    Ok(())
}

/// The picture of a file, or of a key of the image table.
fn picture(image: &Path, table: &Path) -> Result<Rgb> {
    if image.is_file() {
        let bytes = fs::read(image).map_err(|error| Error::io(image, error))?;
        return decode(&bytes).map_err(|error| Error::BadData(format!("{}: {error}", image.display())));
    }
    let key = image.display().to_string();
    let split = key.split('/').next().unwrap_or_default().to_string();
    let found = load(table, &[&split])?.into_iter().find(|row| row.key == key);
    found.map(|row| row.rgb).ok_or_else(|| {
        Error::InputMissing(format!("{key} is neither a file nor a picture of {}; try scenes/00000", table.display()))
    })
}

/// What stands in a column of the sheet, the first one apart.
#[derive(Clone, Copy, Debug)]
enum Column {
    /// The maps of a method.
    Map(Method),
    /// The coloured pictures of a B-cos network.
    Picture,
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Map(method) => method.name(),
            Self::Picture => "bcos in colour",
        }
    }
}

/// A row for each probe and class, a column for the picture and for each method; white where there is no map.
fn sheet(picture: &Rgb, maps: &[Map], pictures: &[Picture], columns: &[Column], rows: &[(usize, usize)]) -> Rgb {
    let (height, width) = (picture.height, picture.width);
    let wide = (columns.len() + 1) * (width + GAP) - GAP;
    let tall = rows.len() * (height + GAP) - GAP;
    let mut sheet = Rgb { width: wide, height: tall, data: vec![255; wide * tall * 3] };
    let mut paste = |row: usize, column: usize, pixels: &[u8]| {
        for (y, line) in pixels.chunks_exact(width * 3).enumerate() {
            let start = ((row * (height + GAP) + y) * wide + column * (width + GAP)) * 3;
            sheet.data[start..start + width * 3].copy_from_slice(line);
        }
    };
    for (row, (target, head)) in rows.iter().enumerate() {
        paste(row, 0, &picture.data);
        for (column, what) in columns.iter().enumerate() {
            let pixels = match what {
                Column::Map(method) => {
                    let here = |map: &&Map| (map.target, map.head, map.method) == (*target, *head, *method);
                    maps.iter().find(here).map(|map| coloured(&map.values))
                }
                Column::Picture => {
                    let here = |picture: &&Picture| (picture.target, picture.head) == (*target, *head);
                    pictures.iter().find(here).map(|picture| on_white(&picture.pixels))
                }
            };
            if let Some(pixels) = pixels {
                paste(row, column + 1, &pixels);
            }
        }
    }
    sheet
}

/// Red for positive values, blue for negative ones, white for 0.
fn coloured(values: &[f32]) -> Vec<u8> {
    let mut magnitudes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    magnitudes.sort_by(f32::total_cmp);
    let full = magnitudes[((magnitudes.len() - 1) as f64 * FULL) as usize].max(f32::MIN_POSITIVE);
    let colour = |value: &f32| {
        let paled = 255 - ((value.abs() / full).min(1.0) * 255.0).round() as u8;
        if *value >= 0.0 { [255, paled, paled] } else { [paled, paled, 255] }
    };
    values.iter().flat_map(colour).collect()
}

/// Pixels of some opacity before a white ground.
fn on_white(pixels: &[[f32; 4]]) -> Vec<u8> {
    let before = |value: f32, opacity: f32| ((value * opacity + 1.0 - opacity) * 255.0).round() as u8;
    pixels.iter().flat_map(|&[r, g, b, opacity]| [r, g, b].map(|value| before(value, opacity))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{After, Check};

    #[test]
    fn signs_have_colours() {
        assert_eq!(coloured(&[1.0, -1.0, 0.0]), [255, 0, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(coloured(&[0.0, 0.0]), [255; 6]);
    }

    #[test]
    fn a_sheet_has_the_picture_and_its_maps_side_by_side() {
        let picture = Rgb { width: 2, height: 1, data: vec![1, 2, 3, 4, 5, 6] };
        let map = |method: Method, values: [f32; 2]| Map {
            head: 0,
            target: 0,
            method,
            after: After::Nothing,
            logit: 0.0,
            check: Check::default(),
            values: values.to_vec(),
            short: None,
        };
        let maps = [map(Method::Lrp, [1.0, 0.0]), map(Method::GradCam, [-1.0, 0.0])];
        let pictures = [Picture { head: 0, target: 1, pixels: vec![[1.0, 0.0, 0.2, 1.0], [0.0, 1.0, 0.0, 0.5]] }];
        let columns = [Column::Map(Method::GradCam), Column::Map(Method::Lrp), Column::Picture];
        let sheet = sheet(&picture, &maps, &pictures, &columns, &[(0, 0), (1, 0)]);
        assert_eq!((sheet.width, sheet.height), (4 * (2 + GAP) - GAP, 2 * (1 + GAP) - GAP));
        assert_eq!(sheet.data[..6], [1, 2, 3, 4, 5, 6]);
        let at = |row: usize, column: usize| {
            let start = (row * (1 + GAP) * sheet.width + column * (2 + GAP)) * 3;
            &sheet.data[start..start + 3]
        };
        assert_eq!((at(0, 1), at(0, 2)), (&[0u8, 0, 255][..], &[255u8, 0, 0][..]));
        assert_eq!((at(1, 0), at(1, 1)), (&[1u8, 2, 3][..], &[255u8, 255, 255][..]));
        assert_eq!((at(0, 3), at(1, 3)), (&[255u8, 255, 255][..], &[255u8, 0, 51][..]));
        let last = ((1 + GAP) * sheet.width + 3 * (2 + GAP) + 1) * 3;
        assert_eq!(sheet.data[last..last + 3], [128, 255, 128]);
    }
}
