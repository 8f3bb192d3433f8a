//! Properties that hold for every attack, norm, network and shape of images.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use twins_attack::{
    Attack, Draws, FabConfig, Norm, PgdConfig, Returned, RunSelection, Samples, SquareConfig, Start, Targets,
    ThreatModel, accuracy,
};
use twins_attack_testing::{ROUNDING, Repeated, attacks, margins};

/// A net with one hidden layer, whose weights are drawn from a seed.
struct Net {
    hidden: Tensor<2>,
    output: Tensor<2>,
}

impl Net {
    fn draw(values: usize, classes: usize, seed: u64) -> Self {
        let mut draws = Draws::new(seed, 0, "net", 0);
        let mut matrix = |rows: usize, columns: usize| {
            let scale = 2.0 / (rows as f32).sqrt();
            let values = (0..rows * columns).map(|_| scale * draws.gaussian()).collect();
            Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex())
        };
        Self { hidden: matrix(values, 8), output: matrix(8, classes) }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = images.flatten::<2>(1, 3) - 0.5;
        burn::tensor::activation::relu(features.matmul(self.hidden.clone())).matmul(self.output.clone())
    }

    fn weights(&self) -> Vec<f32> {
        [self.hidden.clone(), self.output.clone()].into_iter().flat_map(host).collect()
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

prop_compose! {
    fn case()(
        channels in 1usize..=4, height in 1usize..=6, width in 1usize..=6, classes in 2usize..=12, n in 1usize..=5
    )(
        pixels in prop::collection::vec(prop_oneof![Just(0.0f32), Just(1.0), 0.0f32..=1.0], n * channels * height * width),
        shape in Just([n, channels, height, width]),
        classes in Just(classes),
        seed in any::<u64>()
    ) -> (Vec<f32>, [usize; 4], usize, u64) {
        (pixels, shape, classes, seed)
    }
}

/// The network's predictions for the images, so that the attacks have something to do. Of several images, the first has
/// a different label.
fn labels(net: &Net, images: &Tensor<4>, classes: usize) -> Vec<usize> {
    let unlabelled = Samples::new(images.clone(), vec![0; images.dims()[0]]).unwrap();
    let mut labels = twins_attack::predictions(&|x: Tensor<4>| net.forward(x), &unlabelled).unwrap();
    if labels.len() > 1 {
        labels[0] = (labels[0] + 1) % classes;
    }
    labels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_attack_keeps_to_its_rules(
        (pixels, shape, classes, seed) in case(),
        norm in prop::sample::select(Norm::ALL.to_vec()),
        epsilon in prop_oneof![Just(0.0f32), 0.01f32..0.5, 0.5f32..8.0],
        given_starts: bool,
    ) {
        let images = Tensor::from_data(TensorData::new(pixels.clone(), shape), &Device::flex());
        let row = pixels.len() / shape[0];
        let net = Net::draw(row, classes, seed);
        let labels = labels(&net, &images, classes);
        // Starts outside of ball and box.
        let starts = images.clone() * 5.0 - 2.0;
        let mut samples = Samples::new(images, labels.clone()).unwrap().with_batch_size(2).unwrap();
        if given_starts {
            samples = samples.with_starts(starts).unwrap();
        }
        let weights = net.weights();
        let victim = |x: Tensor<4>| net.forward(x);
        let epsilon = match norm {
            // No larger radius than the box's.
            Norm::Linf => epsilon / 8.0,
            Norm::L2 | Norm::L1 => epsilon,
            // A count.
            Norm::L0 => epsilon.ceil(),
        };
        let threat = ThreatModel::new(norm, epsilon).unwrap();
        let clean = accuracy(&victim, &samples).unwrap();
        for attack in attacks(threat, classes, seed) {
            let name = format!("{} {norm} {epsilon}", attack.name());
            let output = attack.run(&victim, &samples).unwrap();
            let adversarial = host(output.adversarial.clone());
            let margins = margins(&victim, output.adversarial.clone(), &labels);
            for (i, (point, image)) in adversarial.chunks(row).zip(pixels.chunks(row)).enumerate() {
                prop_assert!(point.iter().all(|p| (0.0..=1.0).contains(p)), "{name}: outside the box");
                // As the threat model promises: 1e-6 absolute in Linf, 1e-4 relative in L2 and L1, none in L0.
                let slack = match norm {
                    Norm::Linf => 1e-6,
                    Norm::L2 | Norm::L1 => 1e-4 * epsilon,
                    Norm::L0 => 0.0,
                };
                let distance = threat.distance(image, point);
                prop_assert!(distance <= epsilon + slack, "{name}: {distance}");
                // The model's own prediction, in a separate pass.
                if output.fooled[i] {
                    prop_assert!(margins[i] > -ROUNDING, "{name}: sample {i} is classified correctly by {}", -margins[i]);
                } else {
                    prop_assert!(margins[i] < ROUNDING, "{name}: sample {i} is misclassified by {}", margins[i]);
                }
                prop_assert_eq!(output.fooled[i], output.predictions[i] != labels[i], "{}", name);
                if epsilon == 0.0 {
                    prop_assert_eq!(point, image, "{}", name);
                }
            }
            prop_assert!(output.robust_accuracy() <= clean, "{name}");
            let before = twins_attack::predictions(&victim, &samples).unwrap();
            for i in (0..shape[0]).filter(|&i| before[i] != labels[i]) {
                prop_assert_eq!(&adversarial[i * row..(i + 1) * row], &pixels[i * row..(i + 1) * row], "{}", name);
            }
        }
        prop_assert_eq!(net.weights(), weights);
    }

    #[test]
    fn more_steps_or_restarts_never_raise_robust_accuracy(
        (pixels, shape, classes, seed) in case(),
        norm in prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)],
        epsilon in 0.05f32..1.0,
    ) {
        let images = Tensor::from_data(TensorData::new(pixels, shape), &Device::flex());
        let net = Net::draw(shape[1] * shape[2] * shape[3], classes, seed);
        let labels = labels(&net, &images, classes);
        let samples = Samples::new(images, labels).unwrap();
        let victim = |x: Tensor<4>| net.forward(x);
        let threat = ThreatModel::new(norm, epsilon).unwrap();
        let robust = |attack: &dyn Attack| attack.run(&victim, &samples).unwrap().robust_accuracy();
        for attack in attacks(threat, classes, seed) {
            // The largest cross-entropy of several runs need not be at a misclassified image.
            if attack.run_selection() == RunSelection::Strongest {
                continue;
            }
            let (name, once) = (attack.name(), robust(attack.as_ref()));
            let thrice = Repeated(attack, 3);
            prop_assert!(robust(&thrice) <= once, "{name}");
        }
        // APGD is excluded: its step sizes depend on the number of steps, so more steps need not fool more samples.
        let pgd = |steps| {
            let config = PgdConfig::new(threat, steps, epsilon / 4.0).with_start(Start::Uniform).with_seed(seed);
            config.with_returned(Returned::FirstFooled).build().unwrap()
        };
        prop_assert!(robust(&pgd(6)) <= robust(&pgd(2)));
        let square = |queries| SquareConfig::new(threat).with_queries(queries).with_seed(seed).build().unwrap();
        prop_assert!(robust(&square(20)) <= robust(&square(5)));
        for targets in [Targets::None, Targets::Top(2)] {
            let fab = |steps| FabConfig::new(threat).with_steps(steps).with_targets(targets).build().unwrap();
            prop_assert!(robust(&fab(6)) <= robust(&fab(2)));
        }
    }
}
