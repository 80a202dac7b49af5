//! The kinds of datasets: one folder or file each.
//!
//! Adding a kind is one new file and two lines below: `mod name;` and `&name::KIND,`.

mod aircraft;
mod cars;
mod cifar10;
mod cub;
mod dogs;
mod fashion_mnist;
mod flowers;
mod image_folder;
mod imagenet;
mod nabirds;
mod npz;
mod samples;
mod subset;
mod table;

use super::DatasetKind;

pub(crate) use table::rows_at_once;

/// Every dataset kind.
pub const ALL: &[&DatasetKind] = &[
    &aircraft::KIND,
    &cars::KIND,
    &cifar10::KIND,
    &cub::KIND,
    &dogs::KIND,
    &fashion_mnist::KIND,
    &flowers::KIND,
    &image_folder::KIND,
    &imagenet::KIND,
    &nabirds::KIND,
    &npz::KIND,
    &samples::KIND,
    &subset::KIND,
    &table::KIND,
];
