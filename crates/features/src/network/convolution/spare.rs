//! Memory of maps that nobody reads any more, for the next ones: fresh memory would have to be cleared first.

/// Maps whose memory is kept, the largest ones: as many as a residual block works with. In dense networks each map is
/// larger than all before, so that more would only pile up.
const KEPT: usize = 3;

/// Such memory of one pass.
#[derive(Debug, Default)]
pub struct Spare(Vec<Vec<f32>>);

impl Spare {
    /// So many values, whatever they are: in the least memory that has room, or else new.
    pub fn take(&mut self, count: usize) -> Vec<f32> {
        let fits = |at: &usize| self.0[*at].capacity() >= count;
        let least = (0..self.0.len()).filter(fits).min_by_key(|&at| self.0[at].capacity());
        let mut values = least.map_or_else(Vec::new, |at| self.0.swap_remove(at));
        values.resize(count, 0.0);
        values
    }

    /// Keeps the memory of values that are not needed any more.
    pub fn keep(&mut self, values: Vec<f32>) {
        self.0.push(values);
        if self.0.len() > KEPT {
            self.0.sort_unstable_by_key(|values| std::cmp::Reverse(values.capacity()));
            self.0.truncate(KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_has_room_is_taken() {
        let mut spare = Spare::default();
        for size in [9, 4, 6] {
            spare.keep(vec![size as f32; size]);
        }
        assert_eq!(spare.take(5), [6.0; 5]);
        assert_eq!(spare.take(10), [0.0; 10]);
        assert_eq!(spare.take(5), [9.0; 5]);
        assert_eq!(spare.take(5), [0.0; 5]);
        let four = spare.take(2);
        assert_eq!(four, [4.0; 2]);
        spare.keep(four);
        assert_eq!(spare.take(4), [4.0, 4.0, 0.0, 0.0]);
        (1..9).for_each(|size| spare.keep(vec![size as f32; size]));
        assert_eq!(spare.0.len(), KEPT);
        assert_eq!(spare.take(1), [6.0]);
    }
}
