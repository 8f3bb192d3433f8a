//! PGD's iterates against the reference implementation, on every device of `TWINS_DEVICES`.

use burn::tensor::Tensor;
use burn_twins::attack::{Attack, Norm, PgdConfig, ThreatModel};
use twins_attack_testing::{Golden, difference, host};

#[test]
fn pgd_follows_the_reference_on_every_device() {
    for (name, device) in burn_twins_tests::devices() {
        let golden = Golden::read_to(device);
        let net = golden.net();
        let victim = |images: Tensor<4>| net.forward(images);
        for (norm, epsilon, step_size, key) in
            [(Norm::Linf, 0.013, 0.003, "pgd_linf.iterates"), (Norm::L2, 0.2, 0.05, "pgd_l2.iterates")]
        {
            let expected = golden.values(key);
            let size = expected.len() / 3;
            for (place, steps) in [1, 2, 10].into_iter().enumerate() {
                let threat = ThreatModel::new(norm, epsilon).unwrap();
                let pgd = PgdConfig::new(threat, steps, step_size).build().unwrap();
                let output = pgd.run(&victim, &golden.samples()).unwrap();
                let off = difference(&host(output.adversarial), &expected[place * size..(place + 1) * size]);
                println!("{name} {key} after {steps} steps: {off:e}");
                // Rounding of the gradient, one step of which has unit norm; in Linf no gradient of this case is
                // within rounding of zero, so that the signs agree.
                assert!(off < 2e-6, "{name} {key} after {steps} steps: {off}");
            }
        }
    }
}
