use super::query::Model;
use super::sample::Sample;
use crate::losses::difference::difference;
use crate::losses::ranking::ranking;
use crate::norms::norm::Norm;

/// The candidates in order of increasing score, where `dual` is the norm of the gradients. It requests one gradient per
/// candidate.
pub(super) async fn malt_order(
    sample: &Sample<'_>,
    model: &mut Model,
    dual: Norm,
    candidates: usize,
) -> Vec<usize> {
    let wrong = ranking(sample.clean).into_iter().filter(|&class| class != sample.label);
    let candidates: Vec<usize> = wrong.take(candidates).collect();
    let mut slopes = Vec::with_capacity(candidates.len());
    for &class in &candidates {
        let at = model.gradient(&sample.image, |z, c| difference(z, c, class, sample.label)).await;
        slopes.push(dual.length(at.gradient));
    }
    by_score(&candidates, &scores(sample.clean, &candidates, &slopes))
}

/// The score `(max z - z_k) / slope` of each candidate `k`. It is 0 if the slope is zero, as in the authors' code.
fn scores(clean: &[f32], candidates: &[usize], slopes: &[f32]) -> Vec<f32> {
    let largest = clean.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let score =
        |(&class, &slope): (&usize, &f32)| if slope == 0.0 { 0.0 } else { (largest - clean[class]) / slope };
    candidates.iter().zip(slopes).map(score).collect()
}

/// The candidates in order of increasing score. Candidates with equal scores keep their order.
fn by_score(candidates: &[usize], scores: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..candidates.len()).collect();
    places.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    places.into_iter().map(|place| candidates[place]).collect()
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    #[test]
    fn hand_computed_scores() {
        let found = scores(&[4.0, 1.0, 2.0, 3.0], &[3, 2, 1], &[0.5, 4.0, 0.0]);
        assert_eq!(found, [2.0, 0.5, 0.0]);
        assert_eq!(by_score(&[3, 2, 1], &found), [1, 2, 3]);
        assert_eq!(by_score(&[3, 2, 1], &[1.0, 0.5, 1.0]), [2, 3, 1]);
    }

    #[test]
    fn scores_and_orders_are_those_of_the_reference() {
        let folder = twins_testing::repository().join("crates/twins-attack/tests/golden/minimum_norm");
        let bytes = std::fs::read(folder.join("minimum_norm.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let words = |name: &str| file.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec();
        let values = |name: &str| words(name).into_iter().map(f32::from_le_bytes).collect::<Vec<_>>();
        let classes =
            |name: &str| words(name).into_iter().map(|w| i32::from_le_bytes(w) as usize).collect::<Vec<_>>();
        let (clean, candidates) = (values("ddn.logits"), classes("malt.candidates"));
        for norm in ["linf", "l2"] {
            let slopes = values(&format!("malt.{norm}.gradient_norms"));
            let expected = values(&format!("malt.{norm}.scores"));
            let targets = classes(&format!("malt.{norm}.targets"));
            for sample in 0..8 {
                let row = sample * 5..sample * 5 + 5;
                let candidates = &candidates[row.clone()];
                let found = scores(&clean[sample * 6..][..6], candidates, &slopes[row.clone()]);
                for (found, expected) in found.iter().zip(&expected[row.clone()]) {
                    // The difference of logits of size 10, known to 1e-6, is at least 0.3: relative 1e-5.
                    assert!(
                        (found / expected - 1.0).abs() < 1e-5,
                        "{norm}, image {sample}: {found} {expected}"
                    );
                }
                assert_eq!(by_score(candidates, &found), targets[row], "{norm}, image {sample}");
            }
        }
    }
}
