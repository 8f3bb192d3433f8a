use burn::tensor::Tensor;
use twins_attack::{Attack, Samples, predictions};

use crate::error::ReportError;
use crate::html::escape;
use crate::picture::data_uri;
use twins_nn::ImageClassifier;

/// Images with the adversary's version of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Gallery {
    shape: [usize; 3],
    classes: Vec<String>,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    number: u64,
    clean: Vec<f32>,
    adversarial: Vec<f32>,
    label: usize,
    /// The class that the model sees in the clean image, and in the adversary's.
    predicted: [usize; 2],
}

impl Gallery {
    /// Attacks the samples and keeps `count` of them: those that the attack fooled first, up to half, then those that
    /// withstood, in the samples' order; the model is used as `model.valid()`.
    ///
    /// # Errors
    ///
    /// Those of the attack.
    pub fn of<M: ImageClassifier + Sync>(
        model: &M,
        samples: &Samples,
        classes: &[String],
        attack: &dyn Attack,
        count: usize,
    ) -> Result<Self, ReportError> {
        let victim = model.valid();
        let logits = |images: Tensor<4>| victim.logits(images);
        let clean = predictions(&logits, samples)?;
        let output = attack.run(&logits, samples)?;
        let pixels: Vec<f32> = output.adversarial.into_data().iter::<f32>().collect();
        let row = pixels.len() / samples.len();
        let right = |index: &usize| clean[*index] == samples.labels()[*index];
        let (fooled, others): (Vec<usize>, Vec<usize>) =
            (0..samples.len()).partition(|index| right(index) && output.fooled[*index]);
        let some = fooled.iter().take(count.div_ceil(2)).copied();
        let (standing, wrong): (Vec<usize>, Vec<usize>) = others.into_iter().partition(right);
        let rest = standing.into_iter().chain(fooled.iter().skip(count.div_ceil(2)).copied()).chain(wrong);
        let samples_shown = some
            .chain(rest)
            .take(count)
            .map(|index| Sample {
                number: samples.ids()[index],
                clean: samples.image(index).to_vec(),
                adversarial: pixels[index * row..(index + 1) * row].to_vec(),
                label: samples.labels()[index],
                predicted: [clean[index], output.predictions[index]],
            })
            .collect();
        Ok(Self { shape: samples.image_shape(), classes: classes.to_vec(), samples: samples_shown })
    }

    pub(crate) fn to_html(&self) -> Result<String, ReportError> {
        let largest = self
            .samples
            .iter()
            .flat_map(|sample| sample.adversarial.iter().zip(&sample.clean))
            .fold(0.0f32, |largest, (adversarial, clean)| largest.max((adversarial - clean).abs()));
        let factor = if largest > 0.0 { 0.5 / largest } else { 1.0 };
        let samples: String =
            self.samples.iter().map(|sample| self.sample(sample, factor)).collect::<Result<_, _>>()?;
        Ok(format!(
            "<p>From left to right: the clean image, the adversary's, their difference magnified {factor:.1} times \
             (grey where nothing changed).</p>\n<div class=\"gallery\">\n{samples}</div>\n"
        ))
    }

    fn sample(&self, sample: &Sample, factor: f32) -> Result<String, ReportError> {
        let difference: Vec<f32> =
            sample.adversarial.iter().zip(&sample.clean).map(|(a, c)| 0.5 + factor * (a - c)).collect();
        let images =
            [("clean", &sample.clean), ("adversarial", &sample.adversarial), ("difference", &difference)]
                .map(|(alt, pixels)| {
                    data_uri(pixels, self.shape).map(|uri| format!("<img alt=\"{alt}\" src=\"{uri}\"/>"))
                })
                .into_iter()
                .collect::<Result<String, _>>()?;
        let [clean, adversarial] = sample.predicted;
        Ok(format!(
            "<div class=\"sample\"><div class=\"images\">{images}</div>\n<p>image {}: <b>{}</b>; predicted {} when clean, \
             <b>{}</b> when attacked</p></div>\n",
            sample.number,
            self.class(sample.label),
            self.class(clean),
            self.class(adversarial),
        ))
    }

    fn class(&self, index: usize) -> String {
        self.classes.get(index).map_or_else(|| index.to_string(), |name| escape(name))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use twins_attack::{Norm, PgdConfig, ThreatModel};

    use super::*;
    use crate::two_pixels::TwoPixels;

    #[test]
    fn fooled_images_come_first_and_class_names_are_escaped() {
        let device = Device::flex();
        let model = TwoPixels::new(&device);
        // Withstands, misclassified when clean, fooled.
        let images = [[[[0.9, 0.1]]], [[[0.1, 0.2]]], [[[0.5, 0.4]]]];
        let samples = Samples::new(Tensor::from_floats(images, &device), vec![0; 3]).unwrap();
        let attack = PgdConfig::fgsm(ThreatModel::new(Norm::Linf, 0.1).unwrap()).build().unwrap();
        let classes = ["<b>".to_owned(), "\"&".to_owned()];
        let gallery = Gallery::of(&model, &samples, &classes, &attack, 2).unwrap();
        let numbers: Vec<u64> = gallery.samples.iter().map(|sample| sample.number).collect();
        assert_eq!(numbers, [2, 0]);
        assert_eq!(gallery.samples[0].predicted, [0, 1]);
        let html = gallery.to_html().unwrap();
        // The largest change is epsilon, 0.1.
        assert!(html.contains("magnified 5.0 times"), "{html}");
        assert!(html.contains("image 2: <b>&lt;b&gt;</b>; predicted &lt;b&gt; when clean"), "{html}");
        assert!(html.contains("<b>&quot;&amp;</b> when attacked"), "{html}");
        assert_eq!(html.matches("data:image/png;base64,").count(), 6);
    }
}
