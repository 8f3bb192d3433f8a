//! A training does not grow: tracked passes that are never differentiated would keep their memory.

use std::sync::{Arc, Mutex};

use twins_testing::{in_own_process, resident_memory};
use twins_train::{AwpConfig, EpochMetrics, Method, TrainConfig};
use twins_train_testing::{Net, Squares, config, trainer};

#[test]
fn a_thousand_steps_do_not_grow() {
    in_own_process("memory::a_thousand_steps_do_not_grow", || {
        grows_not(config(Method::TwinsTrades));
        grows_not(config(Method::AutoLora).with_awp(AwpConfig::new(0.01)));
    });
}

fn grows_not(config: TrainConfig) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = seen.clone();
    // 60 steps per epoch.
    trainer(config.with_epochs(21))
        .with_observer(move |_: &EpochMetrics| {
            record.lock().unwrap().push(resident_memory().expect("Linux reports it"))
        })
        .fit(Net::new(4, 1), Squares::dataset(1067, 1))
        .unwrap();
    let seen = seen.lock().unwrap();
    let (warm, end) = (seen[3], *seen.last().unwrap());
    let grown = end.saturating_sub(warm);
    println!("resident after 240 steps {warm}, after 1260 {end}");
    // One kept forward pass of 16 images holds about 50 kB of activations: 1020 steps of it would be 51 MB. The allocator's
    // own noise is below 8 MB.
    assert!(grown < 8 << 20, "grew by {grown} bytes");
}
