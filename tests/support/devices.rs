use burn::tensor::Device;
use burn_twins::DeviceChoice;

/// The devices named by `TWINS_DEVICES` (comma-separated); all that are compiled in and present where it is unset.
///
/// # Panics
///
/// If a device that is named cannot be opened: a suite that silently skips proves nothing.
pub fn devices() -> Vec<(DeviceChoice, Device)> {
    let choices = match std::env::var("TWINS_DEVICES") {
        Ok(names) => {
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(|name| name.parse().expect("TWINS_DEVICES")).collect()
        }
        Err(_) => DeviceChoice::present(),
    };
    let open = |choice: DeviceChoice| {
        let device = choice.open().expect("TWINS_DEVICES");
        (choice, device)
    };
    choices.into_iter().map(open).collect()
}
