//! Outlines of COCO's objects, polygons or runs, as masks.
//!
//! Equal to pycocotools in every pixel (`tests/parity/masks`): it draws a polygon's edges five times as fine as pixels.

use serde::Deserialize;

use crate::mask::{PIXELS, decode, encode};

/// Points of an edge for each pixel.
const FINE: f64 = 5.0;

/// Farthest corner of a polygon, in sides of its picture.
const FAR: f64 = 10.0;

/// The field `segmentation` of an annotation.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Outline {
    /// Polygons, each x, y, x, y, ..., in pixels.
    Polygons(Vec<Vec<f64>>),
    /// Runs of a mask, as crowds have them.
    Runs {
        /// The runs.
        counts: Counts,
        /// Height and width.
        size: [usize; 2],
    },
}

/// Runs as numbers, or packed into a text.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Counts {
    /// Numbers.
    Plain(Vec<i32>),
    /// pycocotools' packed form.
    Packed(String),
}

impl Outline {
    /// Runs of the mask in a picture of `width` x `height` pixels.
    ///
    /// # Errors
    /// Says what is wrong with an outline that is none of such a picture.
    pub fn runs(&self, width: usize, height: usize) -> Result<Vec<i32>, String> {
        if width.saturating_mul(height) > PIXELS {
            return Err(format!("its picture is listed with {width} x {height} pixels"));
        }
        match self {
            Self::Polygons(polygons) => {
                let mut inside = vec![false; width * height];
                for polygon in polygons {
                    if polygon.len() < 6 || polygon.len() % 2 == 1 {
                        return Err(format!("a polygon of {} numbers has no area", polygon.len()));
                    }
                    // An edge has as many points as it is long, so its length is bounded first.
                    let far = |edge: &&f64| !edge.is_finite() || edge.abs() > FAR * (width + height) as f64;
                    if let Some(edge) = polygon.iter().find(far) {
                        return Err(format!("a corner of a polygon at {edge} lies far outside its picture"));
                    }
                    let one = decode(&fill(polygon, width, height), width, height)?;
                    inside.iter_mut().zip(one).for_each(|(inside, one)| *inside |= one);
                }
                Ok(encode(&inside, width, height))
            }
            Self::Runs { size, .. } if *size != [height, width] => Err(format!(
                "a mask has {} x {} pixels, its picture is listed with {width} x {height}",
                size[1], size[0]
            )),
            Self::Runs { counts, .. } => {
                let runs = match counts {
                    Counts::Plain(runs) => runs.clone(),
                    Counts::Packed(text) => unpack(text)?,
                };
                decode(&runs, width, height)?;
                Ok(runs)
            }
        }
    }
}

/// Runs of the inside of a polygon.
// METHOD: pycocotools, maskApi.c rleFrPoly: edges drawn on a grid five times as fine; where an edge passes from a column
// to the next, the row it passes at is where the inside begins or ends there.
fn fill(polygon: &[f64], width: usize, height: usize) -> Vec<i32> {
    let fine = |value: f64| (FINE * value + 0.5) as i64;
    let corners: Vec<[i64; 2]> = polygon.chunks_exact(2).map(|xy| [fine(xy[0]), fine(xy[1])]).collect();
    let mut points: Vec<[i64; 2]> = Vec::new();
    for (index, &from) in corners.iter().enumerate() {
        edge(from, corners[(index + 1) % corners.len()], &mut points);
    }
    let mut changes = Vec::new();
    for pair in points.windows(2) {
        let ([x0, y0], [x1, y1]) = (pair[0], pair[1]);
        if x0 == x1 {
            continue;
        }
        let column = (if x1 < x0 { x1 } else { x1 - 1 }) as f64;
        let column = (column + 0.5) / FINE - 0.5;
        if column.floor() != column || column < 0.0 || column > width as f64 - 1.0 {
            continue;
        }
        let row = ((y1.min(y0) as f64 + 0.5) / FINE - 0.5).clamp(0.0, height as f64).ceil();
        changes.push(column as usize * height + row as usize);
    }
    changes.push(width * height);
    changes.sort_unstable();
    let (mut runs, mut last): (Vec<i32>, usize) = (Vec::new(), 0);
    let mut joins = false;
    for at in changes {
        let run = (at - last) as i32;
        last = at;
        match runs.last_mut() {
            // Two changes at one place are none, so what follows belongs to the run before.
            Some(before) if joins => {
                *before += run;
                joins = false;
            }
            Some(_) if run == 0 => joins = true,
            _ => runs.push(run),
        }
    }
    runs
}

/// Appends the points from one corner to the next, both included.
fn edge(from: [i64; 2], to: [i64; 2], points: &mut Vec<[i64; 2]>) {
    let [across, down] = [(from[0] - to[0]).abs(), (from[1] - to[1]).abs()];
    let flat = across >= down;
    let axis = usize::from(!flat);
    let backwards = from[axis] > to[axis];
    let ([x, y], end) = if backwards { (to, from) } else { (from, to) };
    let length = across.max(down);
    let slope = if length == 0 { 0.0 } else { (end[1 - axis] - [x, y][1 - axis]) as f64 / length as f64 };
    for step in 0..=length {
        let along = if backwards { length - step } else { step };
        let aside = |start: i64| (start as f64 + slope * along as f64 + 0.5) as i64;
        points.push(if flat { [x + along, aside(y)] } else { [aside(x), y + along] });
    }
}

/// Runs from their packed form.
// METHOD: maskApi.c rleFrString: five bits a character from 48 on, the sixth says that more follow, the last one's fifth
// is the sign; from the third run on, differences to the run before the last.
fn unpack(text: &str) -> Result<Vec<i32>, String> {
    let wrong = || format!("packed runs {text:?} are damaged");
    let mut runs: Vec<i32> = Vec::new();
    let mut bytes = text.bytes();
    while let Some(mut byte) = bytes.next() {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let bits = i64::from(byte.checked_sub(48).filter(|&bits| bits < 64).ok_or_else(wrong)?);
            value |= (bits & 0x1f) << shift;
            shift += 5;
            if bits & 0x20 == 0 {
                if bits & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
            byte = bytes.next().filter(|_| shift < 35).ok_or_else(wrong)?;
        }
        if runs.len() > 2 {
            value += i64::from(runs[runs.len() - 2]);
        }
        runs.push(i32::try_from(value).map_err(|_| wrong())?);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_is_the_pixels_whose_middle_it_covers() {
        let square = Outline::Polygons(vec![vec![1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]]);
        let inside = decode(&square.runs(6, 5).expect("a mask"), 6, 5).expect("runs");
        let expected: Vec<bool> = (0..30).map(|i| (1..4).contains(&(i % 6)) && (1..3).contains(&(i / 6))).collect();
        assert_eq!(inside, expected);
    }

    #[test]
    fn packed_runs_are_those_of_pycocotools() {
        // The third run on is a difference: 5, 7, 5 + 3 from the fourth; tests/parity/masks has the peer's own.
        assert_eq!(unpack("57").expect("two runs"), [5, 7]);
        assert_eq!(unpack("5783").expect("four runs"), [5, 7, 8, 10]);
        assert_eq!(unpack("Q1O").expect("two characters, then a negative one"), [33, -1]);
        for damaged in ["a b", "o", "ooooooooo0"] {
            assert!(unpack(damaged).expect_err(damaged).contains("damaged"));
        }
    }

    #[test]
    fn what_is_no_outline_says_why() {
        for (outline, told) in [
            (Outline::Polygons(vec![vec![1.0, 2.0, 3.0, 4.0]]), "no area"),
            (Outline::Polygons(vec![vec![f64::NAN; 6]]), "NaN lies far"),
            (Outline::Polygons(vec![vec![0.0, 0.0, 1e9, 0.0, 1e9, 1e9]]), "far outside"),
            (Outline::Runs { counts: Counts::Plain(vec![3, 2]), size: [2, 3] }, "5 pixels"),
            (Outline::Runs { counts: Counts::Plain(vec![6]), size: [3, 2] }, "2 x 3"),
        ] {
            assert!(outline.runs(3, 2).expect_err(told).contains(told), "{outline:?}");
        }
    }
}
