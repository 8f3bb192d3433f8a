use twins_files::shortened;

use crate::html::escape::escape;
use crate::html::page::paragraph;
use crate::measure::gallery::{Gallery, GalleryImage};
use crate::measure::png::PngUri;
use crate::record::run_record::RunRecord;

/// Names of classes with more characters are shortened, so that a caption stays a few lines long.
const LONGEST_NAME: usize = 80;

/// Clean images, adversarial examples and their differences, run by run.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let shown = runs.iter().filter_map(|run| Some((run, run.gallery.as_ref()?)));
    let galleries = shown.filter(|(_, gallery)| !gallery.images.is_empty()).map(|(run, gallery)| {
        let text = format!(
            "{}. From left to right: the clean image, the adversarial example, and their difference, magnified {:.1} times \
             (grey where nothing changed).",
            gallery.attack, gallery.magnification
        );
        let images: String = gallery.images.iter().map(|image| sample(run, gallery, image)).collect();
        let heading = escape(&run.name);
        format!("<h3>{heading}</h3>\n{}<div class=\"gallery\">\n{images}</div>\n", paragraph(&text))
    });
    galleries.collect()
}

fn sample(run: &RunRecord, gallery: &Gallery, image: &GalleryImage) -> String {
    let class = |index: usize| match run.classes.get(index) {
        Some(name) => shortened(name, LONGEST_NAME),
        None => format!("class {index}"),
    };
    let GalleryImage { index, label, clean_prediction, adversarial_prediction, .. } = image;
    let (label, clean, adversarial) =
        (class(*label), class(*clean_prediction), class(*adversarial_prediction));
    let pictures = [
        (&image.clean, format!("Test image {index} of class {label}, predicted {clean}")),
        (&image.adversarial, format!("Adversarial example of image {index}, predicted {adversarial}")),
        (&image.difference, format!("Difference of the two, magnified {:.1} times", gallery.magnification)),
    ];
    let pictures: String = pictures.iter().map(|(uri, text)| picture(uri, text)).collect();
    format!(
        "<figure class=\"sample\"><div class=\"images\">{pictures}</div>\n<figcaption>Image {index}: <b>{}</b>. Predicted \
         {} when clean, <b>{}</b> when attacked.</figcaption></figure>\n",
        escape(&label),
        escape(&clean),
        escape(&adversarial),
    )
}

fn picture(uri: &PngUri, text: &str) -> String {
    format!("<img alt=\"{}\" src=\"{}\"/>", escape(text), uri.as_str())
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    #[test]
    fn pictures_say_what_they_show_and_class_names_are_escaped() {
        let uri = PngUri::encode(&[0.5], [1, 1, 1]).unwrap();
        let image = GalleryImage {
            index: 17,
            label: 0,
            clean_prediction: 1,
            adversarial_prediction: 5,
            clean: uri.clone(),
            adversarial: uri.clone(),
            difference: uri,
        };
        let gallery = Gallery { attack: "FGSM".to_owned(), magnification: 4.98, images: vec![image] };
        let config = TrainConfig::new(Method::At);
        let mut run = RunRecord::new("at", &config, Provenance::starting_now(0)).unwrap();
        run = run.with_classes(&["<b>\"&".to_owned(), "long ".repeat(2000)]);
        run.gallery = Some(gallery);
        let html = section_of(&[run]);
        for part in [
            "FGSM. From left to right",
            "magnified 5.0 times",
            "alt=\"Test image 17 of class &lt;b&gt;&quot;&amp;, predicted long long",
            "alt=\"Adversarial example of image 17, predicted class 5\"",
            "<b>class 5</b> when attacked",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        let longest = html.split(['<', '>', '"']).map(|text| text.chars().count()).max().unwrap();
        assert!(longest < 300, "{longest} characters: {html}");
    }
}
