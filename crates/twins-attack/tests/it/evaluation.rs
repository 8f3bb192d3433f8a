//! Evaluations by any list of attacks: coverage, several threat models, equal names, custom attacks.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};
use twins_attack::{
    ApgdConfig, Attack, AttackError, Attempt, AutoAttackConfig, Coverage, Criterion, Depth, FabConfig, Model,
    Norm, Observer, PgdConfig, Progress, Report, RobustnessEvaluation, Sample, Samples, Silent, SquareConfig,
    Start, Targets, ThreatModel, Version, Warning,
};
use twins_attack_testing::{Folder, Golden, Killer, host, resumable, timeless};

type Attacks = Vec<Box<dyn Attack>>;

fn threat(norm: Norm, epsilon: f32) -> ThreatModel {
    ThreatModel::new(norm, epsilon).unwrap()
}

fn linf(epsilon: f32) -> ThreatModel {
    threat(Norm::Linf, epsilon)
}

/// The brightest of the pixels is the class.
fn brightest(images: Tensor<4>) -> Tensor<2> {
    images.flatten::<2>(1, 3)
}

/// Two pixels. Sample i is as far from the boundary as 0.05 (i + 1) in Linf, and √2 times as far in L2.
fn margins(count: usize) -> Samples {
    let pixels = |i: usize| [0.55 + 0.05 * i as f32, 0.45 - 0.05 * i as f32];
    let pixels: Vec<f32> = (0..count).flat_map(pixels).collect();
    let images = Tensor::from_data(TensorData::new(pixels, [count, 1, 1, 2]), &Device::flex());
    Samples::new(images, vec![0; count]).unwrap()
}

fn pgd(epsilon: f32) -> PgdConfig {
    PgdConfig::new(linf(epsilon), 5, epsilon / 3.0)
}

fn built(config: PgdConfig) -> Box<dyn Attack> {
    Box::new(config.build().unwrap())
}

fn evaluate(attacks: Attacks, coverage: Coverage, samples: &Samples) -> Report {
    let evaluation = RobustnessEvaluation::new(attacks).unwrap().with_coverage(coverage);
    evaluation.evaluate(&brightest, samples, &mut Silent).unwrap().report
}

#[test]
fn a_sample_broken_at_a_small_epsilon_is_not_attacked_at_a_larger_one() {
    let curve = || [0.07, 0.12, 0.22].map(|epsilon| built(pgd(epsilon))).into();
    let samples = margins(8);
    let report = evaluate(curve(), Coverage::Survivors, &samples);
    let robust: Vec<usize> = report.threats.iter().map(|threat| threat.robust.correct).collect();
    assert_eq!(robust, [7, 6, 4]);
    assert_eq!((report.clean.correct, report.robust.correct), (8, 4));
    let attacked: Vec<usize> = report.stages.iter().map(|stage| stage.attacked).collect();
    assert_eq!(attacked, [8, 7, 6]);
    assert_eq!(report.stages.iter().map(|stage| stage.robust).collect::<Vec<_>>(), robust);
    // Each epsilon by itself has the same result.
    for (epsilon, robust) in [0.07, 0.12, 0.22].into_iter().zip(robust) {
        let single = evaluate(vec![built(pgd(epsilon))], Coverage::Survivors, &samples);
        assert_eq!(single.robust.correct, robust, "{epsilon}");
        assert_eq!(report.robust_accuracy_at(linf(epsilon)), Some(robust as f64 / 8.0));
    }
    let text = report.to_string();
    assert!(text.contains("Linf 0.07, Linf 0.12, Linf 0.22") && text.contains("pgd-5 (Linf 0.12)"), "{text}");
    assert!(text.contains("Linf 0.22: robust accuracy 50.00 %"), "{text}");
}

#[test]
fn every_attack_is_made_on_every_sample_and_reports_its_own_accuracy() {
    let attacks = || -> Attacks { vec![built(pgd(0.22)), built(PgdConfig::fgsm(linf(0.22)))] };
    let samples = margins(8);
    let survivors = evaluate(attacks(), Coverage::Survivors, &samples);
    let every = evaluate(attacks(), Coverage::EveryAttack, &samples);
    assert_eq!(survivors.robust, every.robust);
    let own = |report: &Report| report.stages.iter().map(|s| (s.attacked, s.own_robust)).collect::<Vec<_>>();
    assert_eq!(own(&survivors), [(8, None), (4, None)]);
    assert_eq!(own(&every), [(8, Some(4)), (8, Some(4))]);
    for (place, attack) in attacks().into_iter().enumerate() {
        let single = evaluate(vec![attack], Coverage::Survivors, &samples);
        assert_eq!(every.stages[place].own_robust, Some(single.robust.correct), "{place}");
    }
    assert!(every.to_string().contains("by itself"), "{every}");
    let json = serde_json::to_value(&every).unwrap();
    assert_eq!((&json["coverage"], &json["stages"][1]["own_robust"]), (&"every-attack".into(), &4.into()));
}

#[test]
fn of_several_adversarial_examples_the_nearest_is_kept() {
    let fab = FabConfig::new(linf(0.3)).with_depth(Depth::Nearest).build().unwrap();
    let samples = margins(4);
    for attacks in
        [vec![built(pgd(0.3)), Box::new(fab.clone())], vec![Box::new(fab.clone()), built(pgd(0.3))]]
    {
        let evaluation = RobustnessEvaluation::new(attacks).unwrap().with_coverage(Coverage::EveryAttack);
        let evaluation = evaluation.evaluate(&brightest, &samples, &mut Silent).unwrap();
        let points = host(evaluation.adversarial);
        for (i, record) in evaluation.report.samples.iter().enumerate() {
            let (distance, nearest) = (record.distance.unwrap(), 0.05 * (i + 1) as f32);
            // FAB oversteps the boundary by 5 %.
            assert!(distance >= nearest - 1e-6 && distance <= 1.06 * nearest, "{i}: {distance}");
            assert_eq!(distance, linf(1.0).distance(samples.image(i), &points[2 * i..2 * i + 2]));
        }
    }
}

#[test]
fn a_minimum_norm_attack_gives_a_monotone_curve() {
    let fab = FabConfig::new(threat(Norm::L2, 1.0)).with_depth(Depth::Nearest).build().unwrap();
    let report = evaluate(vec![Box::new(fab)], Coverage::Survivors, &margins(8));
    let at = |epsilon: f32| report.robust_accuracy_at(threat(Norm::L2, epsilon)).unwrap();
    let curve: Vec<f64> = (1..=100).map(|i| at(0.01 * i as f32)).collect();
    assert!(curve.is_sorted_by(|a, b| a >= b), "{curve:?}");
    for i in 0..8 {
        let distance = 0.05 * 2.0_f32.sqrt() * (i + 1) as f32;
        assert_eq!(at(0.97 * distance), (8 - i) as f64 / 8.0, "{i}");
        assert_eq!(at(1.08 * distance), (7 - i) as f64 / 8.0, "{i}");
    }
    assert_eq!(report.robust_accuracy_at(linf(0.1)), None);
}

#[test]
fn a_union_of_two_norms_has_the_robust_accuracy_of_each_and_of_both() {
    // Class 1 depends on the first pixel, which an L2 attack changes more easily. Class 2 depends on the mean of the
    // others, which a Linf attack changes more easily.
    let victim = |images: Tensor<4>| {
        let pixels = images.flatten::<2>(1, 3);
        let (first, others) = (pixels.clone().narrow(1, 0, 1), pixels.clone().narrow(1, 1, 15).mean_dim(1));
        Tensor::cat(vec![pixels.narrow(1, 0, 1) * 0.0 + 0.5, first, others], 1)
    };
    let images: Vec<f32> = [[0.42, 0.2], [0.2, 0.46], [0.42, 0.46], [0.1, 0.1], [0.48, 0.2]]
        .into_iter()
        .flat_map(|[first, others]| [vec![first], vec![others; 15]].concat())
        .collect();
    let images = Tensor::from_data(TensorData::new(images, [5, 1, 4, 4]), &Device::flex());
    let samples = Samples::new(images, vec![0; 5]).unwrap();
    let threats = [linf(0.05), threat(Norm::L2, 0.1)];
    let run = |threats: &[ThreatModel]| {
        let config = AutoAttackConfig::new(threats[0], Version::Standard)
            .with_threats(threats.to_vec())
            .with_steps(10)
            .with_queries(60);
        let evaluation = RobustnessEvaluation::autoattack(config).unwrap();
        evaluation.evaluate(&victim, &samples, &mut Silent).unwrap().report
    };
    let both = run(&threats);
    let singles = threats.map(|threat| run(&[threat]));
    let broken = |report: &Report| -> Vec<bool> {
        report.samples.iter().map(|record| record.broken_by.is_some()).collect()
    };
    assert_eq!(broken(&singles[0]), [false, true, true, false, true]);
    assert_eq!(broken(&singles[1]), [true, false, true, false, true]);
    assert_eq!(broken(&both), [true, true, true, false, true]);
    assert_eq!(both.robust.correct, 1);
    for (place, single) in singles.iter().enumerate() {
        assert_eq!(both.threats[place].robust, single.robust);
        assert_eq!(both.threats[place].threat, threats[place]);
    }
    assert_eq!(both.stages[4].attack, "apgd-ce (L2 0.1)");
    // Fewer targets than published: reported once for each attack.
    let fewer = |report: &Report| {
        report.warnings.iter().filter(|warning| matches!(warning, Warning::FewerTargets { .. })).count()
    };
    assert_eq!((fewer(&both), fewer(&singles[0])), (2, 2));
    assert!(both.to_string().contains("all: robust accuracy"), "{both}");
    let json = serde_json::to_value(&both).unwrap();
    let sample = both.samples.iter().position(|record| record.broken_by.is_some()).unwrap();
    assert_eq!(json["samples"][sample]["distances"][1]["norm"], "l2");
}

#[test]
fn a_second_attack_of_the_same_name_draws_anew() {
    // Without steps of any length the attack is its random start.
    let random = || built(PgdConfig::new(linf(0.2), 2, 0.0).with_start(Start::Uniform));
    let images: Vec<f32> = (0..60).flat_map(|i| [0.5, 0.5 - 0.005 * i as f32]).collect();
    let images = Tensor::from_data(TensorData::new(images, [60, 1, 1, 2]), &Device::flex());
    let samples = Samples::new(images, vec![0; 60]).unwrap();
    let twice = evaluate(vec![random(), random()], Coverage::EveryAttack, &samples);
    let names: Vec<&str> = twice.stages.iter().map(|stage| stage.attack.as_str()).collect();
    assert_eq!(names, ["pgd-2", "pgd-2 #2"]);
    let by = |name: &str| twice.samples.iter().filter(|s| s.broken_by.as_deref() == Some(name)).count();
    // Half of the starts that could break a sample do, so a quarter is left to the second stage.
    assert!(by("pgd-2") > 5 && by("pgd-2 #2") > 2, "{twice}");
    let once = evaluate(vec![random()], Coverage::EveryAttack, &samples);
    assert_eq!(once.stages[0].own_robust, twice.stages[0].own_robust);
    // The draws at another epsilon are those of an evaluation at that epsilon alone.
    let wider = || built(PgdConfig::new(linf(0.3), 2, 0.0).with_start(Start::Uniform));
    let both = evaluate(vec![random(), wider()], Coverage::EveryAttack, &samples);
    let single = evaluate(vec![wider()], Coverage::EveryAttack, &samples);
    assert_eq!(both.stages[1].own_robust, single.stages[0].own_robust);
}

#[test]
fn a_targeted_attack_succeeds_at_its_target_alone_and_breaks_at_any_other_class() {
    // Every change that leads to class 2 also leads to class 1, except for the last pixel.
    let victim = |images: Tensor<4>| {
        let pixel = |i| images.clone().flatten::<2>(1, 3).narrow(1, i, 1);
        let first = pixel(1) * 0.4 + pixel(2) * 0.2 + 0.28;
        Tensor::cat(vec![pixel(0), first, pixel(1)], 1)
    };
    // The first image reaches class 2, the second ends in class 1, and the others stay in class 0, the last one of them if
    // the attack is targeted.
    let images = [[[[0.7, 0.65, 0.5]]], [[[0.55, 0.24, 0.5]]], [[[0.9, 0.1, 0.5]]], [[[0.57, 0.1, 0.5]]]];
    let images = Tensor::<4>::from_floats(images, &Device::flex());
    let samples = Samples::new(images, vec![0; 4]).unwrap().with_targets(vec![2; 4]).unwrap();
    let evaluate = |attacks, coverage| {
        let evaluation = RobustnessEvaluation::new(attacks).unwrap().with_coverage(coverage);
        evaluation.evaluate(&victim, &samples, &mut Silent).unwrap().report
    };
    let targeted = || {
        let config = pgd(0.1).with_targets(Targets::Given);
        built(config.with_criterion(Criterion::ClassifiedAsTarget))
    };
    for coverage in [Coverage::Survivors, Coverage::EveryAttack] {
        let report = evaluate(vec![targeted(), built(pgd(0.1))], coverage);
        let [first, second] = &report.stages[..] else { panic!("{report}") };
        assert_eq!((first.attacked, first.success, first.success_rate()), (4, 1, Some(0.25)));
        assert_eq!((first.broken, first.robust, report.robust.correct), (2, 2, 1));
        // The image of class 1 is checked, though it is not claimed.
        let verification = first.verification;
        assert_eq!((verification.claimed, verification.refuted(), verification.forwards), (1, 0, 2));
        let own = (coverage == Coverage::EveryAttack).then_some(2);
        assert_eq!((first.own_robust, second.broken - second.success), (own, 0));
    }
    let output = targeted().run(&victim, &samples).unwrap();
    let report = evaluate(vec![targeted()], Coverage::Survivors);
    assert_eq!(report.robust.fraction(), output.robust_accuracy());
    assert_eq!(report.stages[0].success_rate(), output.success_rate());
    assert_eq!(report.samples[1].broken_by.as_deref(), Some("pgd-5"));
}

#[test]
fn classes_are_counted_one_by_one() {
    let images = Tensor::<4>::from_floats(
        [[[[0.6, 0.5]]], [[[0.9, 0.1]]], [[[0.5, 0.6]]], [[[0.6, 0.5]]]],
        &Device::flex(),
    );
    let samples = Samples::new(images, vec![0, 0, 1, 1]).unwrap();
    let report = evaluate(vec![built(pgd(0.1))], Coverage::Survivors, &samples);
    let counts: Vec<_> =
        report.classes.iter().map(|c| (c.class, c.clean.correct, c.robust.correct, c.robust.total)).collect();
    assert_eq!(counts, [(0, 2, 1, 2), (1, 1, 0, 2)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["classes"][1]["clean"]["correct"], 1);
    let table = report.classes_table(&["cat".to_owned()]);
    assert!(table.contains("cat                    2/2    100.00         1/2     50.00"), "{table}");
    assert!(table.lines().last().unwrap().starts_with("1 "), "{table}");
    assert!(!report.to_string().contains("\nclass "), "{report}");
}

#[test]
fn without_attacks_clean_accuracy_is_measured() {
    let images = Tensor::<4>::from_floats([[[[0.6, 0.5]]], [[[0.1, 0.9]]]], &Device::flex());
    let samples = Samples::new(images, vec![0, 0]).unwrap();
    let evaluation = RobustnessEvaluation::clean().evaluate(&brightest, &samples, &mut Silent).unwrap();
    let report = evaluation.report;
    assert_eq!((report.clean.correct, report.robust.correct, report.stages.len()), (1, 1, 0));
    let record = &report.samples[1];
    assert_eq!((record.broken_by.as_deref(), record.distance), (Some("clean"), Some(0.0)));
}

#[test]
fn bad_lists_are_named() {
    let message = |attacks| RobustnessEvaluation::new(attacks).unwrap_err().to_string();
    assert!(message(vec![]).contains("the list of attacks is empty"));
    let zero = PgdConfig::new(linf(0.0), 1, 0.1).build().unwrap();
    assert!(message(vec![built(pgd(0.1)), Box::new(zero)]).contains("epsilon is 0"));
}

/// A user's custom attack, which queries random corners of the ball.
#[derive(Debug)]
struct Corners {
    threat: ThreatModel,
    tries: usize,
}

impl Attack for Corners {
    fn name(&self) -> String {
        "corners".to_owned()
    }

    fn threat_model(&self) -> ThreatModel {
        self.threat
    }

    fn uses_gradients(&self) -> bool {
        false
    }

    fn passes(&self, _classes: usize) -> u64 {
        self.tries as u64
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
        Box::pin(async move {
            let mut draws = sample.draws(3, &self.name());
            let mut finding = sample.nothing_found();
            for _ in 0..self.tries {
                let mut corner: Vec<f32> =
                    sample.image.iter().map(|x| x + self.threat.epsilon() * draws.sign()).collect();
                self.threat.project(&sample.image, &mut corner);
                let response = model.logits(&corner).await;
                if response.fooled {
                    finding = response.finding_at(corner);
                    break;
                }
            }
            Ok(finding)
        })
    }
}

#[test]
fn an_attack_of_a_user_is_evaluated_like_any_other() {
    let corners = || -> Box<dyn Attack> { Box::new(Corners { threat: linf(0.12), tries: 50 }) };
    let samples = margins(8);
    let report = evaluate(vec![built(pgd(0.07)), corners()], Coverage::Survivors, &samples);
    let robust: Vec<usize> = report.threats.iter().map(|threat| threat.robust.correct).collect();
    assert_eq!(robust, [7, 6]);
    assert_eq!(report.samples[1].broken_by.as_deref(), Some("corners (Linf 0.12)"));
    assert_eq!(report.stages[1].settings, format!("{:?}", corners()));
    // The gradient attack had a smaller radius.
    assert!(!report.to_string().contains("gradients may be masked"), "{report}");
    let refuted =
        |report: &Report| report.warnings.iter().any(|warning| matches!(warning, Warning::Refuted { .. }));
    assert!(!refuted(&report), "{report}");
    // Without gradients it breaks what a gradient attack of the same threat model did not.
    let weak = built(PgdConfig::new(linf(0.12), 1, 0.0));
    let report = evaluate(vec![weak, corners()], Coverage::Survivors, &samples);
    let expected = Warning::SquareEffective { attack: "corners".to_owned(), samples: 2, of: 8 };
    assert!(report.warnings.contains(&expected) && !refuted(&report), "{report}");
    assert!(report.to_string().contains("of all 8 samples, corners broke 2 that withstood"), "{report}");
}

#[test]
fn an_attack_without_gradients_causes_a_warning_above_a_fifth_of_a_per_cent() {
    let warning = |breakable: usize| {
        let pixels = |i: usize| if i < breakable { [0.55, 0.45] } else { [0.9, 0.1] };
        let pixels: Vec<f32> = (0..500).flat_map(pixels).collect();
        let images = Tensor::from_data(TensorData::new(pixels, [500, 1, 1, 2]), &Device::flex());
        let samples = Samples::new(images, vec![0; 500]).unwrap();
        let weak = built(PgdConfig::new(linf(0.12), 1, 0.0));
        let corners = Box::new(Corners { threat: linf(0.12), tries: 50 });
        let report = evaluate(vec![weak, corners], Coverage::Survivors, &samples);
        assert_eq!(report.robust.correct, 500 - breakable);
        report.warnings.into_iter().find(|warning| matches!(warning, Warning::SquareEffective { .. }))
    };
    assert_eq!(warning(1), None);
    let expected = Warning::SquareEffective { attack: "corners".to_owned(), samples: 2, of: 500 };
    assert_eq!(warning(2), Some(expected));
}

#[test]
fn images_without_a_gradient_are_counted() {
    // The logits differ by 40, 80, 120 and so on. Above about 100, the smaller probability is zero in single precision.
    let steep = |images: Tensor<4>| brightest(images) * 400.0;
    let evaluation = RobustnessEvaluation::new(vec![built(pgd(0.1))]).unwrap();
    let report = evaluation.evaluate(&steep, &margins(8), &mut Silent).unwrap().report;
    assert!(report.warnings.contains(&Warning::ZeroGradient { samples: 6, of: 8 }), "{report}");
}

/// The progress of a stage: attack; stage, finished and surviving samples; the fraction of the calls.
type StageProgress = (String, [(usize, usize); 3], f64);

/// The last progress of each stage.
#[derive(Default)]
struct Watcher(Vec<StageProgress>);

impl Observer for Watcher {
    fn progress(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let Progress { attack, stage, finished, surviving, fraction, .. } = *progress;
        self.0.truncate(stage.0);
        self.0.push((attack.to_owned(), [stage, finished, surviving], fraction));
        ControlFlow::Continue(())
    }
}

#[test]
fn progress_counts_samples_and_the_calls_that_are_left() {
    let attacks = vec![built(pgd(0.22)), built(PgdConfig::fgsm(linf(0.22)))];
    let evaluation = RobustnessEvaluation::new(attacks).unwrap();
    let mut watcher = Watcher::default();
    let report = evaluation.evaluate(&brightest, &margins(8), &mut watcher).unwrap().report;
    // Half of the samples survive PGD, and FGSM makes two calls for each of them.
    let made = report.stages[0].forwards as f64;
    let expected = [
        ("pgd-5".to_owned(), [(0, 2), (8, 8), (4, 8)], made / (made + 8.0)),
        ("fgsm".to_owned(), [(1, 2), (4, 4), (4, 8)], 1.0),
    ];
    assert_eq!(watcher.0, expected);
}

/// Several attacks in two norms, one name twice.
fn several() -> Attacks {
    let apgd = |threat, steps| Box::new(ApgdConfig::new(threat).with_steps(steps).build().unwrap());
    let square = SquareConfig::new(linf(0.01)).with_queries(40).build().unwrap();
    vec![
        apgd(linf(0.005), 4),
        apgd(linf(0.01), 4),
        Box::new(square),
        apgd(linf(0.01), 8),
        Box::new(Corners { threat: linf(0.02), tries: 5 }),
        apgd(threat(Norm::L2, 0.2), 6),
    ]
}

#[test]
fn any_list_is_resumed_from_its_journal() {
    let golden = Golden::read();
    let net = golden.net();
    let victim = |x: Tensor<4>| net.forward(x);
    let samples = golden.samples().with_batch_size(3).unwrap();
    for coverage in [Coverage::Survivors, Coverage::EveryAttack] {
        let evaluation = || RobustnessEvaluation::new(several()).unwrap().with_coverage(coverage);
        let whole = evaluation().evaluate(&victim, &samples, &mut Silent).unwrap();
        assert!(whole.report.robust.correct > 0 && whole.report.robust.correct < 6, "{}", whole.report);
        for outcomes in [1, 7, 12, 20] {
            let folder = Folder::new();
            let evaluation = resumable(evaluation(), &folder);
            let stopped = evaluation.evaluate(&victim, &samples, &mut Killer::after_outcomes(outcomes));
            assert!(matches!(stopped, Err(AttackError::Stopped)), "{coverage} {outcomes}");
            let resumed = evaluation.evaluate(&victim, &samples, &mut Silent).unwrap();
            assert_eq!(timeless(&resumed), timeless(&whole), "{coverage} {outcomes}");
            assert_eq!(host(resumed.adversarial), host(whole.adversarial.clone()));
        }
    }
}
