//! Options about images, classes and the model's input, shared by the examples.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::data::{DataSource, FolderConfig, Framing, ImageDataset, NonImages, Part};
use burn_twins::models::{
    Architecture, ImportOptions, ModelCard, ModelConfig, ModelError, Net, Normalisation, NormalisationSource,
    Rename, load_pretrained,
};
use clap::Args;

/// How images come from a data source.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images")]
pub struct ImageArguments {
    /// How image files are brought to one size: as-stored, RESIZE/CROP in pixels, or imagenet for 256/224.
    #[arg(long, default_value = "as-stored")]
    pub framing: Framing,

    /// Leave out files of a folder that are no images, and list them, instead of refusing the folder.
    #[arg(long)]
    pub skip_non_images: bool,

    /// Memory for decoded image files, in MiB.
    #[arg(long, default_value_t = 512)]
    pub cache_mib: usize,
}

impl ImageArguments {
    /// Opens one part of a data source; a folder with the classes of a model, if given.
    pub fn open(
        &self,
        source: &DataSource,
        part: Part,
        classes: Option<&[String]>,
    ) -> Result<Arc<dyn ImageDataset>, Box<dyn std::error::Error>> {
        if self.framing != Framing::AsStored && !source.has_image_files() {
            return Err(format!(
                "--framing is for image files (folder:DIR, cub200:DIR, list:FILE and so on), but --data is {source}"
            )
            .into());
        }
        if self.skip_non_images && !matches!(source, DataSource::Folder(_)) {
            return Err(format!("--skip-non-images is for folder:DIR, but --data is {source}").into());
        }
        let dataset = source.open_with(part, |folder| self.configure(folder, classes))?;
        for path in dataset.skipped() {
            eprintln!("skipped, no image: {}", path.display());
        }
        Ok(dataset)
    }

    fn configure(&self, folder: FolderConfig, classes: Option<&[String]>) -> FolderConfig {
        let non_images = if self.skip_non_images { NonImages::Skip } else { NonImages::Refuse };
        let cache_bytes = self.cache_mib.saturating_mul(1 << 20);
        let folder =
            folder.with_framing(self.framing).with_non_images(non_images).with_cache_bytes(cache_bytes);
        match classes {
            Some(classes) => folder.with_classes(classes.to_vec()),
            None => folder,
        }
    }
}

/// What weights of other programs do not tell about the model.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Weights")]
pub struct InputArguments {
    /// Mean and standard deviation that the model was trained with: none, imagenet, cifar10, cifar100, or
    /// MEAN,.../STD,... [default: the file's, or the architecture's].
    #[arg(long)]
    pub normalisation: Option<InputNormalisation>,

    /// Enlarge images to N x N pixels inside the model, nearest pixel.
    #[arg(long, value_name = "N")]
    pub upsample: Option<usize>,

    /// Rename entries of the weight file: a regular expression and what replaces its matches, such as '^backbone\.=' or
    /// '^block(\d)_conv=layer$1.0.conv'. May be given several times, applied in the order given.
    #[arg(long, value_name = "REGEX=TO")]
    pub rename: Vec<Rename>,
}

/// A normalisation, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct InputNormalisation(Option<Normalisation>);

impl FromStr for InputNormalisation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = |list: &str| list.split(',').map(|number| number.trim().parse::<f32>().ok()).collect();
        Ok(Self(match text {
            "none" => None,
            "imagenet" => Some(Normalisation::imagenet()),
            "cifar10" => Some(Normalisation::cifar10()),
            "cifar100" => Some(Normalisation::cifar100()),
            _ => {
                let lists = text.split_once('/').map(|(mean, std)| (numbers(mean), numbers(std)));
                let Some((Some(mean), Some(std))) = lists else {
                    return Err("give none, imagenet, cifar10, cifar100 or MEAN,.../STD,..., for instance \
                         0.5,0.5,0.5/0.25,0.25,0.25"
                        .to_owned());
                };
                Some(Normalisation::new(mean, std).map_err(|error| error.to_string())?)
            }
        }))
    }
}

impl InputArguments {
    /// The configuration and the import that the options ask for.
    pub fn apply(&self, config: ModelConfig, options: ImportOptions) -> (ModelConfig, ImportOptions) {
        let config = config.with_upsampling(self.upsample.map(|side| [side, side]));
        let options = self.rename.iter().fold(options, |options, rename| options.with_rename(rename.clone()));
        match &self.normalisation {
            Some(InputNormalisation(given)) => (
                config.with_normalisation(given.clone()),
                options.with_normalisation(NormalisationSource::Model),
            ),
            None => (config, options),
        }
    }

    /// Loads weights for images of the data set's shape, and says what was mapped.
    pub fn load(
        &self,
        weights: &Path,
        arch: Architecture,
        images: &dyn ImageDataset,
        device: &Device,
    ) -> Result<Net, ModelError> {
        let shape @ [_, height, width] = images.image_shape();
        let config = ModelConfig::new(arch, images.classes().len()).with_image_size([height, width]);
        let (config, options) = self.apply(config, ImportOptions::new());
        let (net, report) = load_pretrained(&config, weights, &options, device)?;
        net.check_input(shape)?;
        println!(
            "{}: {} entries loaded into {arch}, {} classes",
            weights.display(),
            report.mapped.len(),
            net.num_classes()
        );
        Ok(net)
    }
}

/// The architecture of weights: the one given, or the one that a model file says.
///
/// # Errors
/// Neither is there.
pub fn architecture(
    given: Option<Architecture>,
    card: Option<&ModelCard>,
    weights: &Path,
) -> Result<Architecture, String> {
    given.or_else(|| card.map(|card| card.config().architecture())).ok_or_else(|| {
        let names: Vec<&str> = Architecture::known_names().collect();
        format!(
            "{} does not say its architecture, as model files of this library do: give --arch, one of {}",
            weights.display(),
            names.join(", ")
        )
    })
}

/// What a model file says about its model; `None` for weights of other programs.
pub fn card(weights: &Path) -> Result<Option<ModelCard>, ModelError> {
    match ModelCard::read(weights) {
        Ok(card) => Ok(Some(card)),
        Err(ModelError::NotAModelFile { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Checks that the data's labels mean what the model's logits mean.
pub fn check_classes(
    card: Option<&ModelCard>,
    weights: &Path,
    net: &Net,
    images: &dyn ImageDataset,
) -> Result<(), Box<dyn std::error::Error>> {
    let classes = images.classes();
    if let Some(card) = card {
        return Ok(card.check_classes(weights, classes)?);
    }
    if net.num_classes() == classes.len() {
        return Ok(());
    }
    Err(format!(
        "{} has {} classes and the data has {}: their labels do not mean the same; give the data that the model was \
         trained on",
        weights.display(),
        net.num_classes(),
        classes.len()
    )
    .into())
}
