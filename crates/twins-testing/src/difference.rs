/// The largest absolute difference; NaN if one of the values is NaN, so that no tolerance admits it.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // Infinite values may be equal.
    let differences = a.iter().zip(b).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
    // `f32::max` would pass over NaN.
    differences.fold(0.0, |most: f32, off: f32| if off > most || off.is_nan() { off } else { most })
}

#[test]
fn the_largest_difference_may_be_none() {
    assert_eq!(difference(&[1.0, 2.0, f32::INFINITY], &[1.5, 1.0, f32::INFINITY]), 1.0);
    assert_eq!(difference(&[f32::INFINITY], &[1.0]), f32::INFINITY);
    assert!(difference(&[f32::NAN, 1.0], &[0.0, 0.0]).is_nan());
    assert!(difference(&[0.0, 1.0], &[1.0, f32::NAN]).is_nan());
}
