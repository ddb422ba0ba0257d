//! Masks of objects as runs: pixels outside and inside by turns, column by column, which is COCO's uncompressed form.
//!
//! A mask of a few thousand pixels is some fifty numbers, and any tool that knows COCO reads them.

/// Most pixels of a mask; more than any picture has are damage.
pub const PIXELS: usize = 1 << 30;

/// Runs of a mask given row by row.
pub fn encode(inside: &[bool], width: usize, height: usize) -> Vec<i32> {
    assert_eq!(inside.len(), width * height, "a mask has a value for each pixel");
    let (mut runs, mut state, mut length) = (Vec::new(), false, 0);
    for x in 0..width {
        for y in 0..height {
            if inside[y * width + x] != state {
                runs.push(length);
                (state, length) = (!state, 0);
            }
            length += 1;
        }
    }
    runs.push(length);
    runs
}

/// The mask of `width` x `height` pixels row by row.
///
/// # Errors
/// Says what is wrong with runs that do not make such a mask.
pub fn decode(runs: &[i32], width: usize, height: usize) -> Result<Vec<bool>, String> {
    let pixels = width.saturating_mul(height);
    let total = runs.iter().try_fold(0usize, |total, &run| Some(total + usize::try_from(run).ok()?));
    if total != Some(pixels) || pixels > PIXELS {
        let total = total.map_or("a negative run".to_string(), |total| format!("{total} pixels"));
        return Err(format!("the runs of a mask have {total}, its picture has {width} x {height}"));
    }
    let mut inside = vec![false; pixels];
    let mut at = 0;
    for (index, &run) in runs.iter().enumerate() {
        if index % 2 == 1 {
            (at..at + run as usize).for_each(|pixel| inside[pixel % height * width + pixel / height] = true);
        }
        at += run as usize;
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{below, stream};

    #[test]
    fn runs_go_down_the_columns() {
        // A 3 x 2 mask: the middle column and the lower left pixel.
        let inside = [false, true, false, true, true, false];
        assert_eq!(encode(&inside, 3, 2), [1, 3, 2]);
        assert_eq!(encode(&[true, true], 1, 2), [0, 2]);
        assert_eq!(encode(&[], 0, 0), [0]);
    }

    #[test]
    fn runs_that_are_no_mask_say_why() {
        for (runs, told) in [(&[1, 3][..], "4 pixels"), (&[7, -1], "negative"), (&[], "0 pixels")] {
            assert!(decode(runs, 3, 2).expect_err(told).contains(told));
        }
    }

    #[test]
    fn a_mask_survives() {
        let mut rng = stream(0, &["masks"]);
        for _ in 0..200 {
            let (width, height, share) = (1 + below(&mut rng, 9), 1 + below(&mut rng, 9), 1 + below(&mut rng, 5));
            let inside: Vec<bool> = (0..width * height).map(|_| below(&mut rng, share) == 0).collect();
            assert_eq!(decode(&encode(&inside, width, height), width, height), Ok(inside));
        }
    }
}
