//! Rows that are sums of other rows need no pull-back of their own where the pull-back is linear.
//!
//! A shifted copy of a linear probe has `w_t + d` for all classes with one `d`, so most of its cotangents are sums of
//! others. Their maps are then the same sums of maps.

use features::network::{Layer, Network};
use features::tensor::{Tensor, to_vec};

use super::apart::alone;

/// A row counts as a sum of others when what is left of it is at most this share of its length: float32 weights that
/// were added in float64 leave about 1e-7.
const TOLERANCE: f64 = 1e-6;

/// The rows that are pulled back, and all rows as sums of these.
pub(super) struct Basis {
    /// Positions of the rows that are pulled back.
    pub(super) chosen: Vec<usize>,
    /// For each row, pairs of a position in `chosen` and a factor.
    sums: Vec<Vec<(usize, f64)>>,
}

impl Basis {
    /// Every row for itself.
    pub(super) fn all(rows: usize) -> Self {
        Self { chosen: (0..rows).collect(), sums: (0..rows).map(|row| vec![(row, 1.0)]).collect() }
    }

    /// Rows given as vectors of one length; a row that is none, or zero, stands for itself.
    // METHOD: modified Gram-Schmidt; a dependent row's factors come from the triangular system of the chosen ones.
    pub(super) fn of(rows: &[Option<Vec<f32>>]) -> Self {
        let mut basis = Self { chosen: Vec::new(), sums: Vec::new() };
        // Orthonormal directions, and each chosen vector in terms of them with its position in `chosen`.
        let mut directions: Vec<Vec<f64>> = Vec::new();
        let mut known: Vec<(usize, Vec<f64>)> = Vec::new();
        for (position, row) in rows.iter().enumerate() {
            let own = basis.chosen.len();
            let Some(row) = row.as_ref().filter(|row| row.iter().any(|value| *value != 0.0)) else {
                basis.chosen.push(position);
                basis.sums.push(vec![(own, 1.0)]);
                continue;
            };
            let mut rest: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
            let length = norm(&rest);
            let mut parts: Vec<f64> = directions
                .iter()
                .map(|direction| {
                    let part: f64 = direction.iter().zip(&rest).map(|(d, r)| d * r).sum();
                    rest.iter_mut().zip(direction).for_each(|(r, d)| *r -= part * d);
                    part
                })
                .collect();
            let left = norm(&rest);
            if left > TOLERANCE * length {
                directions.push(rest.iter().map(|value| value / left).collect());
                parts.push(left);
                known.push((own, parts));
                basis.chosen.push(position);
                basis.sums.push(vec![(own, 1.0)]);
                continue;
            }
            let mut sum = Vec::new();
            for (k, (chosen, of)) in known.iter().enumerate().rev() {
                let factor = parts[k] / of[k];
                parts.iter_mut().zip(of).for_each(|(part, of)| *part -= factor * of);
                if factor.abs() > TOLERANCE {
                    sum.push((*chosen, factor));
                }
            }
            basis.sums.push(sum);
        }
        basis
    }

    /// The map of row number `row` from the maps of the chosen rows.
    pub(super) fn map(&self, row: usize, maps: &[Vec<f32>]) -> Vec<f32> {
        match self.sums[row].as_slice() {
            [(chosen, factor)] if *factor == 1.0 => maps[*chosen].clone(),
            sum => {
                let pixels = maps.first().map_or(0, Vec::len);
                let mut map = vec![0.0f64; pixels];
                for (chosen, factor) in sum {
                    map.iter_mut().zip(&maps[*chosen]).for_each(|(m, v)| *m += factor * f64::from(*v));
                }
                map.into_iter().map(|value| value as f32).collect()
            }
        }
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The weights behind each of `logits`, given as a head and the logit's number, where the head is linear and they decide
/// its cotangents alone; none for other heads. Of a head that classifies cells, those of the logit's cell, with zeros for
/// all other cells.
pub(super) fn linear_weights<'a>(logits: impl Iterator<Item = (&'a Network, usize)>) -> Vec<Option<Vec<f32>>> {
    let (mut found, mut cells_of) = (Vec::new(), Vec::new());
    for (head, logit) in logits {
        let (head, cells) = alone(head);
        found.push(class_weights(head, logit / cells));
        cells_of.push((logit % cells, cells));
    }
    // Read together: the device has to finish what came before each reading.
    let mut values = match found.iter().flatten().cloned().collect::<Vec<_>>() {
        linear if linear.is_empty() => Vec::new(),
        linear => to_vec(Tensor::cat(linear, 1)),
    }
    .into_iter();
    let of = |(weights, (cell, cells)): (Option<Tensor<4>>, (usize, usize))| {
        let count = weights?.dims()[1];
        let mut all = vec![0.0; cells * count];
        all[cell * count..][..count].iter_mut().zip(&mut values).for_each(|(all, value)| *all = value);
        Some(all)
    };
    found.into_iter().zip(cells_of).map(of).collect()
}

/// `[1, c, 1, 1]`
fn class_weights(head: &Network, class: usize) -> Option<Tensor<4>> {
    let (Layer::Conv(conv), [Layer::GlobalAvgPool] | [Layer::GlobalAvgPool, Layer::Offset(_)]) =
        head.layers.split_first()?
    else {
        return None;
    };
    let pointwise = conv.weight.dims()[2..] == [1, 1] && conv.stride == [1, 1] && conv.padding == [0, 0];
    pointwise.then(|| conv.weight.tensor().clone().narrow(0, class, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_zeros_stand_for_themselves() {
        let basis = Basis::of(&[Some(vec![0.0; 3]), Some(vec![0.0; 3])]);
        assert_eq!(basis.chosen, [0, 1]);
        assert_eq!(basis.map(1, &[vec![1.0; 3], vec![0.0; 3]]), [0.0; 3]);
    }

    #[test]
    fn shifted_rows_are_sums() {
        let (a, b, d) = ([1.0f32, 2.0, 0.5, -1.0], [0.0f32, 1.0, -3.0, 2.0], [5.0f32, 5.0, -1.0, 0.25]);
        let add = |x: [f32; 4], factor: f32| Some((0..4).map(|i| x[i] + factor * d[i]).collect::<Vec<f32>>());
        let rows = [add(a, 0.0), add(b, 0.0), None, add(a, 1.0), add(b, 1.0), add(a, -2.0), add(b, -2.0)];
        let basis = Basis::of(&rows);
        assert_eq!(basis.chosen, [0, 1, 2, 3]);
        let maps: Vec<Vec<f32>> = basis.chosen.iter().map(|&i| rows[i].clone().unwrap_or(vec![9.0; 4])).collect();
        for (i, row) in rows.iter().enumerate() {
            let expected = row.clone().unwrap_or(vec![9.0; 4]);
            for (got, expected) in basis.map(i, &maps).iter().zip(expected) {
                assert!((got - expected).abs() < 1e-5, "row {i}: {got} {expected}");
            }
        }
    }
}
