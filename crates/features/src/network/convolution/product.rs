//! The matrix product that the CPU's convolutions and heads are made of: one call into the `gemm` crate, bounds checked
//! here.

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
    // A slice has at most isize::MAX bytes, so strides that stay inside it fit.
    let [left_strides, right_strides] = [left.strides, right.strides].map(|strides| strides.map(|s| s as isize));
    // SAFETY: the three assertions keep every `row * stride + column * stride` inside its slice; `out` is borrowed
    // mutably, so it overlaps neither operand.
    #[expect(unsafe_code, reason = "gemm takes pointers; its safe wrappers know no strides")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            apart as isize,
            onto == Onto::Sum,
            left.values.as_ptr(),
            left_strides[1],
            left_strides[0],
            right.values.as_ptr(),
            right_strides[1],
            right_strides[0],
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
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

    #[test]
    #[should_panic(expected = "the right matrix is larger")]
    fn a_matrix_that_leaves_its_slice_is_refused() {
        let matrix = Matrix::rows(&[0.0; 4], 2);
        product([2, 2, 3], matrix, matrix, &mut [0.0; 6], Onto::Nothing);
    }
}
