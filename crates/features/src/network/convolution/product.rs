//! The matrix product that the CPU's convolutions and heads are made of: calls into the `gemm` crates, bounds checked here.

/// A matrix inside a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Its first value and all that follows.
    pub values: &'a [f32],
    /// Distance between the starts of two rows, and between the starts of two columns.
    pub strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows of `width` values, one behind the other.
    pub fn rows(values: &'a [f32], width: usize) -> Self {
        Self { values, strides: [width, 1] }
    }

    /// The same matrix with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        let [rows, columns] = self.strides;
        Self { strides: [columns, rows], ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        let last = |count: usize, stride: usize| (count - 1).checked_mul(stride);
        rows == 0
            || columns == 0
            || last(rows, self.strides[0])
                .zip(last(columns, self.strides[1]))
                .and_then(|(row, column)| row.checked_add(column))
                .is_some_and(|last| last < self.values.len())
    }
}

/// Terms that `gemm` adds up in one go whatever the other sizes are. Of longer sums it makes blocks that depend on them.
const DEPTH: usize = 512;

/// What is done with the values that the product meets at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// They are replaced.
    Nothing,
    /// The product is added to them.
    Sum,
}

/// `out = left right` or `out += left right` for `left` `[m, k]`, `right` `[k, n]`, `out` `[m, n]`, the latter without
/// gaps, on the calling thread.
///
/// A value of `out` depends on its row, its column and `k` alone, so the way a product is cut does not show in it.
///
/// Panics when a matrix is larger than its slice.
pub fn product(size @ [_, _, n]: [usize; 3], left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32], onto: Onto) {
    product_apart(size, left, right, out, n, onto);
}

/// [`product`], the rows of whose result start `apart` values from each other.
pub fn product_apart(
    [m, k, n]: [usize; 3],
    left: Matrix<'_>,
    right: Matrix<'_>,
    out: &mut [f32],
    apart: usize,
    onto: Onto,
) {
    assert!(left.holds(m, k), "the left matrix is larger than its slice");
    assert!(right.holds(k, n), "the right matrix is larger than its slice");
    assert!(apart >= n, "the rows of the product overlap");
    assert!(Matrix::rows(out, apart).holds(m, n), "the product is larger than its slice");
    let parts = k.div_ceil(DEPTH).max(1);
    let part = k.div_ceil(parts).max(1);
    for first in (0..k.max(1)).step_by(part) {
        let [left, right] = [(left, left.strides[1]), (right, right.strides[0])]
            .map(|(matrix, stride)| Matrix { values: matrix.values.get(first * stride..).unwrap_or(&[]), ..matrix });
        let onto = if first == 0 { onto } else { Onto::Sum };
        block([m, part.min(k - first), n], left, right, out, apart, onto);
    }
}

/// A product of at most [`DEPTH`] terms.
fn block([m, k, n]: [usize; 3], left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32], apart: usize, onto: Onto) {
    assert!(left.holds(m, k) && right.holds(k, n) && Matrix::rows(out, apart).holds(m, n), "a part leaves its slice");
    // A slice has at most isize::MAX bytes, so strides that stay inside it fit.
    let [left_strides, right_strides] = [left.strides, right.strides].map(|strides| strides.map(|s| s as isize));
    // Real numbers are their own conjugates, but gemm has kernels for single rows, single columns and small results that add
    // up in another order, and takes none of them where it is to conjugate what it meets.
    let conjugate = true;
    // SAFETY: the assertion keeps every `row * stride + column * stride` inside its slice; `out` is borrowed mutably, so it
    // overlaps neither operand.
    #[expect(unsafe_code, reason = "gemm takes pointers; its safe wrappers know no strides")]
    unsafe {
        // The kernels write columns, so it is the transpose that is asked for: `[n, k]` times `[k, m]`.
        gemm_f32::gemm::f32::get_gemm_fn()(
            n,
            m,
            k,
            out.as_mut_ptr(),
            apart as isize,
            1,
            onto == Onto::Sum,
            right.values.as_ptr(),
            right_strides[0],
            right_strides[1],
            left.values.as_ptr(),
            left_strides[0],
            left_strides[1],
            1.0,
            1.0,
            conjugate,
            false,
            false,
            gemm_common::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_matrices_are_multiplied_and_added() {
        let left = Matrix { values: &[1.0, 2.0, 9.0, 3.0, 4.0], strides: [3, 1] };
        let right = [1.0, 0.5, -1.0, 2.0, 0.25, 3.0];
        let mut out = [7.0; 5];
        product([2, 2, 2], left, Matrix { values: &right, strides: [3, 1] }, &mut out, Onto::Nothing);
        assert_eq!(out, [5.0, 1.0, 11.0, 2.5, 7.0]);
        product([2, 2, 2], left, Matrix { values: &right, strides: [3, 1] }, &mut out, Onto::Sum);
        assert_eq!(out, [10.0, 2.0, 22.0, 5.0, 7.0]);
        let mut apart = [7.0; 5];
        product_apart([2, 2, 2], left, Matrix { values: &right, strides: [3, 1] }, &mut apart, 3, Onto::Nothing);
        assert_eq!(apart, [5.0, 1.0, 7.0, 11.0, 2.5]);
        // [1 3; 2 4] times the same.
        product([2, 2, 2], left.transposed(), Matrix { values: &right, strides: [3, 1] }, &mut out, Onto::Nothing);
        assert_eq!(out, [7.0, 1.25, 10.0, 2.0, 7.0]);
    }

    /// Values that have no short binary form, so that the order of a sum shows.
    fn drawn(count: usize, name: &str) -> Vec<f32> {
        let mut rng = crate::random::stream(0, &["product", name]);
        (0..count).map(|_| crate::random::normal(&mut rng) as f32).collect()
    }

    #[test]
    fn a_value_depends_on_its_row_its_column_and_the_depth_alone() {
        let (m, n) = (130, 70);
        for k in [1, 2, 3, 17, 511, 512, 513, 544, 992, 1500] {
            let (left, right) = (drawn(m * k, "left"), drawn(k * n, "right"));
            for onto in [Onto::Nothing, Onto::Sum] {
                let mut whole = vec![0.5; m * n];
                product([m, k, n], Matrix::rows(&left, k), Matrix::rows(&right, n), &mut whole, onto);
                for [rows, columns] in [[1, 70], [2, 70], [33, 70], [64, 49], [130, 1], [5, 2], [1, 1]] {
                    let mut cut = vec![0.5; rows * columns];
                    let (first, second) = (m - rows, n - columns);
                    let (left, right) = (Matrix::rows(&left[first * k..], k), Matrix::rows(&right[second..], n));
                    product([rows, k, columns], left, right, &mut cut, onto);
                    for (row, cut) in cut.chunks(columns).enumerate() {
                        let whole = &whole[(first + row) * n + second..][..columns];
                        assert_eq!(cut, whole, "k {k}, {rows} x {columns}, row {row}, {onto:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_sum_of_nothing_is_zero() {
        let nothing = Matrix::rows(&[], 2);
        let mut out = [7.0; 4];
        product([2, 0, 2], nothing, nothing, &mut out, Onto::Sum);
        assert_eq!(out, [7.0; 4]);
        product([2, 0, 2], nothing, nothing, &mut out, Onto::Nothing);
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "the right matrix is larger")]
    fn a_matrix_that_leaves_its_slice_is_refused() {
        let matrix = Matrix::rows(&[0.0; 4], 2);
        product([2, 2, 3], matrix, matrix, &mut [0.0; 6], Onto::Nothing);
    }
}
