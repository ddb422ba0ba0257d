//! The matrix product that the CPU's convolutions are made of: one call into the `gemm` crate, bounds checked here.

/// A row-major matrix inside a slice: rows lie `stride` values apart.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// First value of the first row and all that follows.
    pub values: &'a [f32],
    /// Distance between the starts of two rows.
    pub stride: usize,
}

/// What is done with the values that the product meets at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Onto {
    /// They are replaced.
    Nothing,
    /// The product is added to them.
    Sum,
}

/// `out = left right` or `out += left right` for `left` `[m, k]`, `right` `[k, n]`, `out` `[m, n]` with rows
/// `out_stride` apart.
///
/// A value of `out` depends on its row, its column and `k` alone, so the way a product is cut does not show in it.
///
/// Panics when a matrix is larger than its slice.
pub fn product([m, k, n]: [usize; 3], left: Rows<'_>, right: Rows<'_>, out: &mut [f32], out_stride: usize, onto: Onto) {
    let fits = |rows: usize, columns: usize, stride: usize, length: usize| {
        rows == 0 || columns == 0 || (columns <= stride && (rows - 1) * stride + columns <= length)
    };
    assert!(fits(m, k, left.stride, left.values.len()), "the left matrix is larger than its slice");
    assert!(fits(k, n, right.stride, right.values.len()), "the right matrix is larger than its slice");
    assert!(fits(m, n, out_stride, out.len()), "the product is larger than its slice");
    // A slice has at most isize::MAX bytes, so the strides fit.
    let [left_stride, right_stride, out_stride] = [left.stride, right.stride, out_stride].map(|s| s as isize);
    // SAFETY: the three assertions keep every `row * stride + column` inside its slice; `out` is borrowed mutably, so
    // it overlaps neither operand.
    #[expect(unsafe_code, reason = "gemm takes pointers; its safe wrappers know no strides")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            out_stride,
            onto == Onto::Sum,
            left.values.as_ptr(),
            1,
            left_stride,
            right.values.as_ptr(),
            1,
            right_stride,
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
    fn strided_rows_are_multiplied_and_added() {
        let left = [1.0, 2.0, 9.0, 3.0, 4.0];
        let right = [1.0, 0.5, -1.0, 2.0, 0.25, 3.0];
        let mut out = [7.0; 7];
        let (left, right) = (Rows { values: &left, stride: 3 }, Rows { values: &right, stride: 3 });
        product([2, 2, 3], left, right, &mut out, 4, Onto::Nothing);
        assert_eq!(out, [5.0, 1.0, 5.0, 7.0, 11.0, 2.5, 9.0]);
        product([2, 2, 3], left, right, &mut out, 4, Onto::Sum);
        assert_eq!(out, [10.0, 2.0, 10.0, 7.0, 22.0, 5.0, 18.0]);
    }

    #[test]
    #[should_panic(expected = "the right matrix is larger")]
    fn a_matrix_that_leaves_its_slice_is_refused() {
        let rows = Rows { values: &[0.0; 4], stride: 2 };
        product([2, 2, 3], rows, rows, &mut [0.0; 6], 3, Onto::Nothing);
    }
}
