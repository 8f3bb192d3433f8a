//! Importing weights into a network.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;

use crate::architectures::naming::Naming;
use crate::error::ModelError;
use crate::import::affine::in_form_of;
use crate::import::checkpoint::Checkpoint;
use crate::import::entry::Entry;
use crate::import::locate::{Location, locate};
use crate::import::mismatch::ImportMismatch;
use crate::import::options::{ImportOptions, NormalisationSource};
use crate::import::plan::Plan;
use crate::import::rename::rename;
use crate::import::report::{ImportReport, MappedEntry, WeightFormat};
use crate::import::shortcuts::with_shortcuts_of;
use crate::model_file::card::ModelCard;
use crate::network::config::ModelConfig;
use crate::network::net::Net;
use crate::network::normalisation::Normalisation;
use crate::network::slots::{Layout, Slot, slots, values as own_values};

/// Loads the weights of a PyTorch or safetensors file, a model file of this crate, or a burnpack record into a network.
///
/// The import is strict: the file must contain every parameter and running statistic in the right shape, and no other
/// entries. Entries that no network needs are ignored: batch counters, an optimiser's state, an attacker's copy of the
/// model. The mean and standard deviation of the input, if the file has them, become the normalisation of the model.
///
/// Prefixes of the file's keys, such as `module.` and `model.`, are detected and removed. Dense weights are transposed.
/// If the file has one set of batch-normalisation values, it is loaded into both wings. A CIFAR ResNet whose
/// configuration does not specify [`Shortcuts`](crate::Shortcuts) gets those of the file. The same applies to a network
/// whose configuration does not specify whether the wings share gamma and beta. A model file replaces the configuration,
/// except for an up-sampling that the configuration specifies, and the normalisation with
/// [`NormalisationSource::Model`].
///
/// Pickles are parsed and never executed. The returned network uses the wing of a newly initialised network, and shares
/// no values with the argument.
///
/// # Errors
///
/// [`ModelError::Mismatch`] lists every difference by the file's names. [`ModelError::RenameCollision`] means that the
/// options give two entries the same name. Other variants mean that the file cannot be read, contains values that are
/// not valid weights, or refers to code. The network is consumed; the file is read completely and checked before any
/// value is replaced.
pub fn load_weights(
    net: Net,
    path: impl AsRef<Path>,
    options: &ImportOptions,
) -> Result<(Net, ImportReport), ModelError> {
    import(net, &open(path.as_ref(), options)?, options)
}

/// Builds the network of `config` with the number of classes in the file, and loads the weights.
///
/// The number of classes in `config` is not used. Otherwise, this is the same as [`load_weights`].
///
/// # Errors
///
/// The same as [`load_weights`].
pub fn load_pretrained(
    config: &ModelConfig,
    path: impl AsRef<Path>,
    options: &ImportOptions,
    device: &Device,
) -> Result<(Net, ImportReport), ModelError> {
    let checkpoint = open(path.as_ref(), options)?;
    let mut config = config.clone();
    // Images that are too small for the network may be enlarged as the file says.
    if let Some(card) = ModelCard::of_checkpoint(&checkpoint)?
        && card.config().architecture() == config.architecture()
        && config.upsampling().is_none()
    {
        config = config.with_images_of(card.config());
    }
    let net = with_shortcuts_of(config.init(device)?, &checkpoint, options)?;
    let location = find(&net, &checkpoint, options)?;
    let head = format!("{}{}", location.prefix, location.naming.key(&net.head_bias_path()));
    let classes = match checkpoint.entries.get(&head) {
        Some(entry) if entry.shape.len() == 1 => entry.shape[0],
        // The import below reports the error in the head.
        _ => config.num_classes(),
    };
    // A head that is not in the file keeps its initial values, if the options allow it. Therefore its size is checked before it is made.
    let weight = head.replace(".bias", ".weight");
    let outputs = match checkpoint.format {
        WeightFormat::Burnpack => 1,
        _ => 0,
    };
    let [inputs, _] = net.body().head().weight.lazy_shape().dims();
    let plausible =
        checkpoint.entries.get(&weight).is_some_and(|entry| entry.shape.get(outputs) == Some(&classes))
            && (classes as u64).saturating_mul(4 * inputs as u64) <= most_bytes(&checkpoint);
    let net = if plausible {
        let config = net.config().clone().with_num_classes(classes);
        config.check()?;
        Net::new(net.spec().clone(), config, device)
    } else {
        net
    };
    import(net, &checkpoint, options)
}

/// Opens a file and renames its entries as the options specify.
fn open(path: &Path, options: &ImportOptions) -> Result<Checkpoint, ModelError> {
    let mut checkpoint = Checkpoint::open(path)?;
    rename(&mut checkpoint, options.renames())?;
    Ok(checkpoint)
}

fn find(net: &Net, checkpoint: &Checkpoint, options: &ImportOptions) -> Result<Location, ModelError> {
    let namings = match checkpoint.format {
        WeightFormat::Burnpack => &[Naming::Burn],
        _ => net.namings(),
    };
    locate(checkpoint, &slots(net.body()), namings, options.entry())
}

/// The parameters and statistics to load, with dense weights in the order of the file.
fn places(net: &Net, checkpoint: &Checkpoint) -> Vec<Slot> {
    let mut slots = slots(net.body());
    if checkpoint.format == WeightFormat::Burnpack {
        slots.iter_mut().for_each(|slot| slot.layout = Layout::AsIs);
    }
    slots
}

/// Loads the weights of an opened file, whose entries have been renamed.
pub(crate) fn import(
    net: Net,
    checkpoint: &Checkpoint,
    options: &ImportOptions,
) -> Result<(Net, ImportReport), ModelError> {
    let card = ModelCard::of_checkpoint(checkpoint)?;
    if let Some(card) = &card {
        card.expect(&checkpoint.path, net.architecture(), net.num_classes())?;
    }
    let affine = net.config().affine();
    let mut net = in_form_of(with_shortcuts_of(net, checkpoint, options)?, checkpoint)?;
    let location = find(&net, checkpoint, options)?;
    let slots = places(&net, checkpoint);
    let [channels, ..] = net.input_shape();
    let plan = Plan::new(checkpoint, &slots, &location, channels, options);
    if !plan.mismatch.is_empty() {
        return Err(mismatch(&net, checkpoint, plan.mismatch));
    }
    check_size(checkpoint, &plan)?;
    let mut values = read(checkpoint, &plan)?;
    for (frozen, adaptive) in &plan.copies {
        if let Some(copy) = values.get(adaptive).cloned() {
            values.insert(frozen.clone(), copy);
        }
    }
    if !plan.kept.is_empty() {
        let own = own_values(&net.body().valid());
        for path in &plan.kept {
            let floats = own.get(path).map(|data| data.iter::<f32>().collect());
            values.extend(floats.map(|floats| (path.clone(), floats)));
        }
    }
    let normalisation = match (options.normalisation(), &card) {
        (NormalisationSource::File, Some(card)) => card.config().normalisation().cloned(),
        (NormalisationSource::File, None) => normaliser(checkpoint, &plan)?,
        (NormalisationSource::Model, _) => None,
    };
    if let Some(card) = &card {
        let config = config_of(card, net.config(), options.normalisation());
        net = net.with_config(config);
    }
    if let Some(normalisation) = &normalisation {
        net = net.with_normalisation(normalisation.clone())?;
    }
    let report = ImportReport {
        path: checkpoint.path.clone(),
        format: checkpoint.format,
        entry: location.entry,
        prefix: location.prefix,
        mapped: plan
            .reads
            .iter()
            .map(|(slot, key, entry)| MappedEntry {
                key: key.clone(),
                renamed_from: checkpoint.renamed_from.get(key).cloned(),
                module_path: slot.path.clone(),
                shape: entry.shape.clone(),
            })
            .collect(),
        kept: plan.kept,
        ignored: plan.ignored,
        copied_to_frozen: plan.copies.len(),
        normalisation,
        shortcuts: net.config().shortcuts(),
    };
    let net = net.rebuilt(values);
    // A choice of the caller overrides the form of the file.
    let net = match affine {
        Some(affine) => net.with_affine(affine)?,
        None => net,
    };
    Ok((net, report))
}

/// The configuration in a model file, except for what the caller has chosen.
fn config_of(card: &ModelCard, chosen: &ModelConfig, normalisation: NormalisationSource) -> ModelConfig {
    let mut config = card.config().clone().with_affine(chosen.affine());
    if normalisation == NormalisationSource::Model {
        config = config.with_normalisation(chosen.normalisation().cloned());
    }
    if chosen.upsampling().is_some() {
        config = config.with_images_of(chosen);
    }
    config
}

fn mismatch(net: &Net, checkpoint: &Checkpoint, mismatch: ImportMismatch) -> ModelError {
    ModelError::Mismatch {
        path: checkpoint.path.clone(),
        arch: net.architecture(),
        mismatch: Box::new(mismatch),
    }
}

/// The memory for the weights of a file: twice its size and 16 MiB. While they are read, the largest of them is in memory three times.
fn most_bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint.length.saturating_mul(2).saturating_add(16 << 20)
}

/// Refuses views and compressed archives that expand to far more than the size of the file, before any memory is
/// allocated for them. Other files store every weight in full, or in half the size with half precision.
fn check_size(checkpoint: &Checkpoint, plan: &Plan) -> Result<(), ModelError> {
    let bytes = plan.reads.iter().map(|(_, _, entry)| (entry.num_elements() as u64).saturating_mul(4));
    let needed = bytes.fold(0, u64::saturating_add);
    if needed <= most_bytes(checkpoint) {
        return Ok(());
    }
    Err(ModelError::NotACheckpoint {
        path: checkpoint.path.clone(),
        reason: format!("it declares {needed} bytes of weights and has {}", checkpoint.length),
    })
}

/// Reads all values, in the module's order, by path.
fn read(checkpoint: &Checkpoint, plan: &Plan) -> Result<HashMap<String, Vec<f32>>, ModelError> {
    let mut values = HashMap::new();
    for (slot, key, entry) in &plan.reads {
        let floats = checked(checkpoint, slot, key, entry)?;
        let [rows, columns] = match entry.shape[..] {
            [rows, columns] => [rows, columns],
            _ => [1, floats.len()],
        };
        values.insert(slot.path.clone(), slot.reordered(floats, rows, columns));
    }
    Ok(values)
}

fn checked(checkpoint: &Checkpoint, slot: &Slot, key: &str, entry: &Entry) -> Result<Vec<f32>, ModelError> {
    let bad = |problem: String| ModelError::BadValues {
        path: checkpoint.path.clone(),
        key: key.to_owned(),
        problem,
    };
    let floats = entry.floats().map_err(&bad)?;
    if let Some(place) = floats.iter().position(|value| !value.is_finite()) {
        let count = floats.iter().filter(|value| !value.is_finite()).count();
        return Err(bad(format!(
            "holds {count} values that are not finite, the first {} at {place}",
            floats[place]
        )));
    }
    let lowest = floats.iter().copied().fold(f32::INFINITY, f32::min);
    if matches!(slot.parameter(), "running_var" | "frozen_var") && lowest < 0.0 {
        return Err(bad(format!("holds a negative variance, {lowest}")));
    }
    Ok(floats)
}

fn normaliser(checkpoint: &Checkpoint, plan: &Plan) -> Result<Option<Normalisation>, ModelError> {
    let Some((mean, std)) = plan.normaliser else {
        return Ok(None);
    };
    let bad = |problem: String| ModelError::BadValues {
        path: checkpoint.path.clone(),
        key: "of the input's normalisation".to_owned(),
        problem,
    };
    let (mean, std) = (mean.floats().map_err(bad)?, std.floats().map_err(bad)?);
    Normalisation::new(mean, std).map(Some).map_err(|error| bad(error.to_string()))
}
