//! Maps as the products of a convolution read them: with a border, and with strides taken apart.

/// Rows of a map with a border, one channel after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plane {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
}

impl Plane {
    /// Values of all channels.
    pub(super) fn len(&self) -> usize {
        self.rows * self.columns * self.channels
    }

    /// Copies every `stride`-th row and column of `map` from `start` on; what lies outside the map becomes zero.
    pub(super) fn gather(&self, to: &mut [f32], map: &[f32], size: [usize; 2], start: [isize; 2], stride: [usize; 2]) {
        let inside = |axis: usize, count: usize| {
            let (start, stride) = (start[axis], stride[axis] as isize);
            let first = if start < 0 { (-start + stride - 1) / stride } else { 0 };
            let first = first.min(count as isize);
            let end = (size[axis] as isize - start + stride - 1).div_euclid(stride).clamp(first, count as isize);
            first as usize..end as usize
        };
        let (rows, columns) = (inside(0, self.rows), inside(1, self.columns));
        let at = |axis: usize, index: usize| (start[axis] + (index * stride[axis]) as isize) as usize;
        for (line, to) in to.chunks_exact_mut(self.columns).enumerate() {
            let (channel, row) = (line / self.rows, line % self.rows);
            if columns.is_empty() || !rows.contains(&row) {
                to.fill(0.0);
                continue;
            }
            to[..columns.start].fill(0.0);
            to[columns.end..].fill(0.0);
            let from = &map[(channel * size[0] + at(0, row)) * size[1] + at(1, columns.start)..];
            let to = &mut to[columns.clone()];
            match stride[1] {
                1 => to.copy_from_slice(&from[..to.len()]),
                // Pairs, which the compiler turns into shuffles; the last one may have lost its second half.
                2 => {
                    let last = to.len() - 1;
                    let pairs = from.as_chunks::<2>().0;
                    to[..last].iter_mut().zip(pairs).for_each(|(to, [from, _])| *to = *from);
                    to[last] = from[2 * last];
                }
                stride => to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from),
            }
        }
    }
}
