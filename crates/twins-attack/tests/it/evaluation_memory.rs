//! The memory of an evaluation is bounded by the batch size, not by the number of images. Measured in a process of its own.

#![cfg(target_os = "linux")]

use std::ops::ControlFlow;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, ExistingJournal, Journal, Norm, Observer, Outcome, Progress, Replica, RobustnessEvaluation,
    SampleSource, SampleStream, Silent, SourceError, SquareConfig, ThreatModel,
};
use twins_testing::{peak_memory, resident_memory};

const MIB: f64 = 1_048_576.0;
const SIZES: &str = "TWINS_EVALUATION_MEMORY";

/// Images that are computed, of three classes: the channel of the label is brighter, by so little in one of five that the
/// attack breaks it.
struct Computed {
    count: usize,
    side: usize,
}

impl SampleSource for Computed {
    fn len(&self) -> usize {
        self.count
    }

    fn image_shape(&self) -> [usize; 3] {
        [3, self.side, self.side]
    }

    fn label(&self, index: usize) -> usize {
        index % 3
    }

    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> {
        let margin = if index.is_multiple_of(5) { 0.02 } else { 0.3 };
        let pixels = self.side * self.side;
        let mut state = index as u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 65536.0
        };
        let value =
            |i: usize, noise: f32| 0.2 + 0.1 * noise + if i / pixels == index % 3 { margin } else { 0.0 };
        Ok((0..3 * pixels).map(|i| value(i, noise())).collect())
    }
}

fn channel_means(images: Tensor<4>) -> Tensor<2> {
    let [n, channels, height, width] = images.dims();
    images.reshape([n, channels, height * width]).mean_dim(2).reshape([n, channels]) * 10.0
}

/// In MiB.
fn mebibytes(memory: Option<u64>) -> f64 {
    memory.expect("Linux reports it") as f64 / MIB
}

/// Notes the memory in use.
struct Measured {
    outcomes: usize,
    /// Resident MiB: the most in the first fifth of the outcomes, and in all.
    early: f64,
    most: f64,
    fifth: usize,
}

impl Observer for Measured {
    fn outcome(&mut self, _outcome: &Outcome) -> ControlFlow<()> {
        self.outcomes += 1;
        ControlFlow::Continue(())
    }

    fn progress(&mut self, _progress: &Progress<'_>) -> ControlFlow<()> {
        let now = mebibytes(resident_memory());
        self.most = self.most.max(now);
        if self.outcomes <= self.fifth {
            self.early = self.early.max(now);
        }
        ControlFlow::Continue(())
    }
}

/// What a process of its own does: an evaluation with APGD and Square, and then the reading of its journal and a resumption.
#[test]
#[ignore = "a part of the others"]
fn child() {
    let Ok(sizes) = std::env::var(SIZES) else { return };
    let sizes: Vec<usize> = sizes.split(' ').map(|size| size.parse().unwrap()).collect();
    let [count, side, batch_size] = sizes[..] else { panic!("{sizes:?}") };
    let source = Computed { count, side };
    let stream = SampleStream::new(&source, &Device::flex()).unwrap().with_batch_size(batch_size).unwrap();
    let threat = ThreatModel::new(Norm::Linf, 8.0 / 255.0).unwrap();
    let apgd = ApgdConfig::new(threat).with_steps(2).build().unwrap();
    let square = SquareConfig::new(threat).with_queries(2).build().unwrap();
    let path = std::env::temp_dir().join(format!("twins-memory-{}", std::process::id()));
    let evaluation = RobustnessEvaluation::new(vec![Box::new(apgd), Box::new(square)]).unwrap();
    let evaluation = evaluation.with_journal(&path, "", ExistingJournal::Resume);
    let mut measured = Measured { outcomes: 0, early: 0.0, most: 0.0, fifth: count / 5 };
    let begin = std::time::Instant::now();
    let replicas = [Replica::new(&channel_means, Device::flex())];
    let report = evaluation.evaluate_stream(&replicas, &stream, &mut measured).unwrap();
    let seconds = begin.elapsed().as_secs_f64();
    let journal = Journal::read(&path).unwrap().unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert_eq!(journal.outcomes().len(), measured.outcomes);
    // All outcomes are known: what is left is the clean pass.
    let resumed = evaluation.evaluate_stream(&replicas, &stream, &mut Silent).unwrap();
    assert_eq!(resumed.samples, report.samples);
    assert!(journal.image(0).unwrap().is_some());
    Journal::remove(path).unwrap();
    let broken = count - report.robust.correct;
    println!(
        "MEASURED {} {} {} {} {broken} {bytes} {seconds}",
        measured.early,
        measured.most,
        mebibytes(peak_memory()),
        measured.outcomes
    );
}

struct Peaks {
    early: f64,
    most: f64,
    /// Including the resumption.
    peak: f64,
}

fn measure(count: usize, side: usize, batch_size: usize) -> Peaks {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "evaluation_memory::child"])
        .env(SIZES, format!("{count} {side} {batch_size}"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.split_once("MEASURED ")).expect(&text).1;
    let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    let [early, most, peak, outcomes, broken, bytes, seconds] = numbers[..] else { panic!("{line}") };
    println!(
        "{count} images of 3 x {side} x {side}, batch {batch_size}: {most:.0} MiB under attack ({early:.0} in the first fifth), \
         {peak:.0} at most; {outcomes} outcomes, {broken} broken, journal {:.1} MiB, {seconds:.0} s",
        bytes / MIB
    );
    assert_eq!(broken as usize, count / 5);
    // 100 bytes an outcome, and four for the distance and each value of an image that was found; and the clean logits.
    let values = (3 * side * side) as f64;
    let expected = 100.0 * outcomes + 4.0 * (1.0 + values) * broken + 12.0 * count as f64;
    assert!((bytes - expected).abs() < 1000.0, "{bytes} {expected}");
    Peaks { early, most, peak }
}

#[test]
fn memory_does_not_grow_with_the_number_of_images() {
    // All images: 94 MiB. What grows is some hundred bytes for each image, 1 MiB; the rest is the allocator's.
    let Peaks { early, most, .. } = measure(2000, 64, 20);
    assert!(most - early < 8.0, "{early} {most}");
}

#[test]
#[ignore = "about ten minutes, and 1.2 GB in the folder of temporary files"]
fn ten_thousand_images_of_224_pixels_take_less_than_1_5_gib() {
    // All images: 5.6 GiB.
    let Peaks { early, most, peak } = measure(10_000, 224, 100);
    assert!(most - early < 64.0, "{early} {most}");
    assert!(peak < 1536.0, "{peak}");
}
