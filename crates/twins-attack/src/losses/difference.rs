/// The difference `z_class - z_label`, which is zero on the boundary between the two classes.
pub(crate) fn difference(logits: &[f32], cotangent: &mut [f32], class: usize, label: usize) -> f32 {
    cotangent[class] = 1.0;
    cotangent[label] = -1.0;
    logits[class] - logits[label]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_the_class_and_falls_with_the_label() {
        let mut cotangent = [0.0; 3];
        assert_eq!(difference(&[1.0, 2.0, 4.0], &mut cotangent, 2, 0), 3.0);
        assert_eq!(cotangent, [-1.0, 0.0, 1.0]);
    }
}
