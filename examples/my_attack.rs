//! A custom attack, evaluated with a report and with a journal from which the evaluation resumes if it is
//! killed.
//!
//! `cargo run --release --example my_attack`

use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor, TensorData};
use burn_twins::attack::*;

/// Steps along the gradient of the margin, with a step size that decreases like `1 / √step`.
#[derive(Debug)]
struct ShrinkingSteps(ThreatModel, usize);

impl Attack for ShrinkingSteps {
    fn name(&self) -> String {
        "shrinking-steps".into()
    }
    fn threat_model(&self) -> ThreatModel {
        self.0
    }
    fn passes(&self, _classes: usize) -> u64 {
        self.1 as u64 + 1
    }
    fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
        Box::pin(async move {
            let (threat, loss) = (self.0, sample.objective(Loss::Margin)?);
            let mut x = threat.random_start(&sample.image, &mut sample.draws(0, &self.name()));
            let mut direction = vec![0.0; x.len()];
            for step in 1..=self.1 {
                let at = model.gradient(&x, |logits, cotangent| loss.evaluate(logits, cotangent)).await;
                if at.fooled {
                    return Ok(at.finding_at(x));
                }
                threat.steepest(&at.gradient, 1, &mut direction);
                let size = threat.epsilon() / (step as f32).sqrt();
                x.iter_mut().zip(&direction).for_each(|(x, d)| *x += size * d);
                threat.project(&sample.image, &mut x);
            }
            Ok(model.logits(&x).await.finding_at(x))
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The images are noise with one brighter quarter. The model averages each quarter.
    let model = |images: Tensor<4>| adaptive_avg_pool2d(images, [2, 2]).flatten::<2>(1, 3);
    let (labels, mut draws) = ((0..200).map(|i| i % 4).collect::<Vec<_>>(), Draws::new(0, 0, "images", 0));
    let bright = |i: usize| i / 32 * 2 + i % 8 / 4;
    let pixels: Vec<f32> = labels
        .iter()
        .flat_map(|label| (0..64).map(move |i| if bright(i) == *label { 0.3 } else { 0.1 }))
        .map(|least| least + 0.6 * draws.uniform())
        .collect();
    let images = Tensor::from_data(TensorData::new(pixels, [200, 1, 8, 8]), &Device::flex());
    let attack = ShrinkingSteps(ThreatModel::new(Norm::Linf, 0.07)?, 20);
    let journal = std::env::temp_dir().join("my_attack.journal");
    let evaluation = RobustnessEvaluation::new(vec![Box::new(attack)])?;
    let evaluation = evaluation.with_journal(&journal, "mean of each quarter", ExistingJournal::Resume);
    println!("{}", evaluation.evaluate(&model, &Samples::new(images, labels)?, &mut Silent)?.report);
    Ok(Journal::remove(&journal)?)
}
