//! An evaluation of images that are read when they are needed is that of images in memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};
use twins_attack::{
    AttackError, Journal, Norm, Replica, SampleSource, SampleStream, Samples, Silent, SourceError,
};
use twins_attack_testing::{Folder, Golden, Killer, autoattack, evaluate, host, resumable};

/// The synthetic images, three times, and how often they were read.
struct Source {
    samples: Samples,
    reads: AtomicUsize,
}

impl Source {
    fn new(golden: &Golden) -> Self {
        let images = Tensor::cat(vec![golden.tensor::<4>("images"); 3], 0);
        let samples = Samples::new(images, golden.indices("label").repeat(3)).unwrap();
        Self { samples, reads: AtomicUsize::new(0) }
    }
}

impl SampleSource for Source {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.samples.image_shape()
    }

    fn label(&self, index: usize) -> usize {
        self.samples.labels()[index]
    }

    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.samples.image(index).to_vec())
    }
}

#[test]
fn report_and_images_are_those_of_samples_in_memory() {
    let golden = Golden::read();
    let (net, source) = (golden.net(), Source::new(&golden));
    let victim = |x: Tensor<4>| net.forward(x);
    let replicas = [Replica::new(&victim, Device::flex()), Replica::new(&victim, Device::flex())];
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let whole = evaluate(&golden, &source.samples, norm);
        let stream = SampleStream::new(&source, &Device::flex()).unwrap().with_batch_size(5).unwrap();
        let folder = Folder::new();
        let autoattack = resumable(autoattack(norm), &folder);
        source.reads.store(0, Ordering::Relaxed);
        // Broken off twice, and resumed with another number of replicas.
        for (count, outcomes) in [(1, 7), (2, 30)] {
            let mut killer = Killer::after_outcomes(outcomes);
            let ended = autoattack.evaluate_stream(&replicas[..count], &stream, &mut killer);
            assert!(matches!(ended, Err(AttackError::Stopped)));
        }
        let report = autoattack.evaluate_stream(&replicas[..1], &stream, &mut Silent).unwrap();
        // The cost of the checks depends on the size of the first batch.
        let stages = |report: &twins_attack::Report| -> Vec<_> {
            let stages = report.stages.iter();
            stages.map(|s| (s.attack.clone(), s.robust, s.forwards, s.verification)).collect()
        };
        assert_eq!(stages(&report), stages(&whole.report), "{norm}");
        assert_eq!(report.samples, whole.report.samples, "{norm}");

        // At most once for each of four attacks, and for the clean pass and the check of each of the three starts; some are
        // attacked twice.
        let reads = source.reads.load(Ordering::Relaxed);
        assert!(reads <= 24 * (4 + 3) + 3 * (5 + 5) + 2 * 3 * 10, "{reads}");

        let journal = Journal::read(folder.journal()).unwrap().unwrap();
        let adversarial = host(whole.adversarial.clone());
        let row = adversarial.len() / source.len();
        for (index, expected) in adversarial.chunks(row).enumerate() {
            let clean = source.samples.image(index).to_vec();
            assert_eq!(journal.image(index).unwrap().unwrap_or(clean), expected, "{norm} {index}");
        }
        // The journal also has them for an evaluation in memory, which then returns them.
        let again = autoattack.evaluate(&victim, &source.samples, &mut Silent).unwrap();
        assert_eq!(host(again.adversarial), adversarial, "{norm}");
    }
}

type Fault = fn() -> Result<Vec<f32>, SourceError>;

/// An image in the middle that cannot be used.
struct Faulty(Fault, AtomicBool);

impl SampleSource for Faulty {
    fn len(&self) -> usize {
        30
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 1, 2]
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn id(&self, index: usize) -> u64 {
        100 + index as u64
    }

    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> {
        // Also if it comes to light after the clean pass.
        if index == 17 && self.1.load(Ordering::Relaxed) { (self.0)() } else { Ok(vec![0.9, 0.1]) }
    }
}

#[test]
fn images_that_cannot_be_used_are_named() {
    let cases: [(Fault, &str); 5] = [
        (|| Err("no such file".into()), "sample 117 could not be read: no such file"),
        (|| Ok(vec![0.5; 3]), "sample 117 has 3 values"),
        (|| Ok(vec![0.5, f32::NAN]), "image 117 has a pixel that is not a number"),
        (|| Ok(vec![-0.5, 2.0]), "the images lie in [-0.5, 2]"),
        // Valid, and another one than in the clean pass.
        (|| Ok(vec![0.9, 0.2]), "the image of sample 117 has changed since the evaluation began"),
    ];
    for (fault, expected) in cases {
        for late in [false, true] {
            if !late && expected.contains("has changed") {
                continue;
            }
            let source = Faulty(fault, AtomicBool::new(!late));
            let victim = |x: Tensor<4>| {
                if x.is_tracked() {
                    source.1.store(true, Ordering::Relaxed);
                }
                x.flatten::<2>(1, 3)
            };
            let stream = SampleStream::new(&source, &Device::flex()).unwrap().with_batch_size(4).unwrap();
            let replicas = [Replica::new(&victim, Device::flex())];
            let result = autoattack(Norm::Linf).evaluate_stream(&replicas, &stream, &mut Silent);
            let text = result.map(|_| ()).unwrap_err().to_string();
            assert!(text.contains(expected), "{late}: {text}");
        }
    }
}

/// Two images of class 0. The second one has this target and this point to start from.
struct Second {
    target: Option<usize>,
    start: Option<Vec<f32>>,
}

impl SampleSource for Second {
    fn len(&self) -> usize {
        2
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 1, 2]
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn id(&self, index: usize) -> u64 {
        100 + index as u64
    }

    fn target(&self, index: usize) -> Option<usize> {
        if index == 1 { self.target } else { Some(1) }
    }

    fn start(&self, index: usize) -> Option<&[f32]> {
        if index == 1 { self.start.as_deref() } else { None }
    }

    fn load(&self, _index: usize) -> Result<Vec<f32>, SourceError> {
        Ok(vec![0.9, 0.1])
    }
}

#[test]
fn targets_and_starts_that_cannot_be_used_are_named() {
    for (target, start, expected) in [
        (Some(0), None, "sample 101 has its own label 0 as target"),
        (Some(2), None, "sample 101 has label 2"),
        (None, Some(vec![0.5; 3]), "sample 101 has 3 values, and its image has 2"),
        (None, Some(vec![0.5, f32::NAN]), "sample 101 has the value NaN"),
    ] {
        let source = Second { target, start };
        let victim = |x: Tensor<4>| x.flatten::<2>(1, 3);
        let stream = SampleStream::new(&source, &Device::flex()).unwrap();
        let replicas = [Replica::new(&victim, Device::flex())];
        let result = autoattack(Norm::Linf).evaluate_stream(&replicas, &stream, &mut Silent);
        let text = result.map(|_| ()).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

/// A source of this many images of this shape.
struct Shaped(usize, [usize; 3]);

impl SampleSource for Shaped {
    fn len(&self) -> usize {
        self.0
    }

    fn image_shape(&self) -> [usize; 3] {
        self.1
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn load(&self, _index: usize) -> Result<Vec<f32>, SourceError> {
        Ok(vec![0.0; self.1.iter().product()])
    }
}

#[test]
fn a_source_without_images_or_values_is_refused() {
    for source in [Shaped(0, [1, 2, 2]), Shaped(2, [1, 0, 2])] {
        let stream = SampleStream::new(&source, &Device::flex());
        assert!(matches!(stream, Err(AttackError::EmptyBatch)));
    }
}
