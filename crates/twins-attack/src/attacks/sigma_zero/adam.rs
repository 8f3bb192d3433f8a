/// Decay of the mean of the gradients.
const BETA1: f64 = 0.9;
/// Decay of the mean of the squared gradients.
const BETA2: f64 = 0.999;
/// Prevents a division by zero.
const EPSILON: f32 = 1e-8;

/// The Adam optimiser (Kingma & Ba 2015, arXiv 1412.6980) for the values of one sample.
#[derive(Debug)]
pub(super) struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(values: usize) -> Self {
        Self { mean: vec![0.0; values], square: vec![0.0; values], steps: 0 }
    }

    /// The step to add to each value: `-rate · m̂ / (√v̂ + 1e-8)`.
    pub(super) fn step<'a>(&'a mut self, gradient: &'a [f32], rate: f64) -> impl Iterator<Item = f32> + 'a {
        self.steps += 1;
        let rate = (rate / (1.0 - BETA1.powi(self.steps))) as f32;
        let correction = (1.0 - BETA2.powi(self.steps)).sqrt() as f32;
        (self.mean.iter_mut().zip(&mut self.square).zip(gradient)).map(move |((mean, square), g)| {
            *mean += (1.0 - BETA1) as f32 * (g - *mean);
            *square = BETA2 as f32 * *square + (1.0 - BETA2) as f32 * g * g;
            -rate * (*mean / (square.sqrt() / correction + EPSILON))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_are_those_computed_by_hand() {
        let mut adam = Adam::new(3);
        // The corrected means are the gradient and its square: every step is of size `rate`, of whatever gradient.
        let first: Vec<f32> = adam.step(&[1.0, -1e-3, 0.0], 0.5).collect();
        // 1e-8 beside 1e-3 is 1e-5.
        assert!((first[0] + 0.5).abs() < 1e-6 && (first[1] - 0.5).abs() < 1e-5, "{first:?}");
        assert_eq!(first[2], 0.0);
        // m = 0.9 · 0.1 = 0.09, m̂ = 0.09 / 0.19; v = 0.999 · 0.001 = 0.000999, v̂ = 0.000999 / 0.001999.
        let second: Vec<f32> = adam.step(&[0.0, 0.0, 0.0], 0.5).collect();
        assert!((second[0] + 0.5 * 0.473_684 / 0.706_930).abs() < 1e-5, "{second:?}");
    }
}
