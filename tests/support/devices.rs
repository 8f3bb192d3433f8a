use burn::tensor::Device;
use burn_twins::DeviceChoice;

/// The devices named by `TWINS_DEVICES` (comma-separated); all that are compiled in and present where it is unset.
///
/// # Panics
///
/// If a device that is named cannot be opened, or there is none: a suite that silently skips proves nothing.
pub fn devices() -> Vec<(DeviceChoice, Device)> {
    let choices = match std::env::var("TWINS_DEVICES") {
        Ok(names) => named(&names),
        Err(_) => DeviceChoice::present(),
    };
    assert!(!choices.is_empty(), "no device is compiled in and present");
    let open = |choice: DeviceChoice| {
        let device = choice.open().expect("TWINS_DEVICES");
        (choice, device)
    };
    choices.into_iter().map(open).collect()
}

/// The devices of a comma-separated list.
fn named(names: &str) -> Vec<DeviceChoice> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let choices: Vec<DeviceChoice> = names.map(|name| name.parse().expect("TWINS_DEVICES")).collect();
    assert!(!choices.is_empty(), "TWINS_DEVICES names no device");
    choices
}

#[test]
fn devices_are_a_list() {
    let cpu: DeviceChoice = "cpu".parse().unwrap();
    assert_eq!(named("cpu, cpu,"), [cpu.clone(), cpu]);
}

#[test]
#[should_panic(expected = "TWINS_DEVICES names no device")]
fn a_list_of_no_device_is_refused() {
    named(" ,");
}
