//! The tests of the whole workspace, of its examples and of every backend, one module per topic.

mod cifar_images;
mod golden_steps;
mod level;
mod robust_mnist;

mod attack_independence;
mod attack_iterates;
mod backend_attacks;
mod backend_devices;
mod backend_pgd;
mod backend_precision;
mod backend_resume;
mod batch_memory;
mod cifar_accuracy;
mod cifar_autoattack;
mod cifar_robust;
mod convnext;
mod custom_training;
mod documentation;
mod evaluate_options;
mod evaluate_resume;
#[cfg(unix)]
mod faults;
mod finetune_folder;
mod finetune_interrupt;
mod finetune_real;
mod finetune_recipe;
mod frozen_wing;
mod import_weights;
mod layer_golden;
mod layer_shapes;
mod long_run;
mod main_job;
mod mnist_autoattack;
mod mnist_minimum_norm;
mod mnist_pgd_counts;
#[cfg(feature = "remote")]
mod remote;
mod repository;
mod study_documents;
mod thread_safety;
mod training_mode;
mod training_steps;
#[cfg(feature = "wgpu")]
mod transfers;
