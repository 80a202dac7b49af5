//! Made-up scores, paired by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::store::AxisValue;

fn scored(runs: Vec<(Vec<AxisValue>, Vec<f64>)>) -> Scored {
    let count = runs[0].1.len();
    Scored {
        ids: Arc::new((0..count).map(|sample| format!("test/{sample}")).collect()),
        runs,
    }
}

fn seed(value: u32) -> Vec<AxisValue> {
    vec![value.into()]
}

#[test]
fn runs_of_equal_seeds_belong_together() {
    let first = scored(vec![
        (seed(0), vec![1.0, 1.0, 0.0, 1.0]),
        (seed(1), vec![1.0, 1.0, 1.0, 1.0]),
        (seed(2), vec![0.0, 0.0, 0.0, 0.0]),
    ]);
    let second = scored(vec![
        (seed(1), vec![1.0, 0.0, 0.0, 1.0]),
        (seed(0), vec![0.0, 1.0, 1.0, 0.0]),
    ]);
    let found = difference(&first, &second).unwrap();
    // Seed 0: 1, 0, -1, 1; seed 1: 0, 1, 1, 0. Mean 3/8; of the first common run two against one.
    assert!((found.value - 0.375).abs() < 1e-15);
    assert_eq!((found.samples, found.runs), (4, 2));
    assert_eq!(found.discordant, Some(([2, 1], 1.0)));
    // The order of the two decides the sign alone.
    let turned = difference(&second, &first).unwrap();
    assert!((turned.value + found.value).abs() < 1e-15 && (turned.p - found.p).abs() < 1e-12);
}

#[test]
fn a_run_without_a_seed_stands_beside_every_seed() {
    let many = scored(vec![
        (seed(0), vec![1.0, 1.0, 0.0]),
        (seed(1), vec![1.0, 0.0, 0.0]),
    ]);
    let one = scored(vec![(vec!["none".into()], vec![0.0, 0.0, 0.0])]);
    let found = difference(&many, &one).unwrap();
    assert!((found.value - 0.5).abs() < 1e-15);
    assert_eq!(found.runs, 2);
    let apart = scored(vec![
        (seed(7), vec![0.0, 0.0, 0.0]),
        (seed(8), vec![0.0, 0.0, 0.0]),
    ]);
    assert_eq!(
        difference(&many, &apart).unwrap_err(),
        "they have no run in common"
    );
}

#[test]
fn other_images_are_not_compared() {
    let one = scored(vec![(seed(0), vec![1.0, 0.0])]);
    let other = Scored {
        ids: Arc::new(vec!["test/0".to_owned(), "train/1".to_owned()]),
        ..one.clone()
    };
    assert!(
        difference(&one, &other)
            .unwrap_err()
            .contains("same images")
    );
}

#[test]
fn every_axis_that_varies_is_a_factor_of_its_own() {
    // Weights move all images together, seeds do nothing: five draws of weights with three seeds each are five runs, not fifteen.
    let mut runs: BTreeMap<Vec<AxisValue>, Vec<f64>> = BTreeMap::new();
    for weights in 0..5_u32 {
        for seed in 0..3_u32 {
            let level = f64::from(weights) * 0.1;
            let scores = (0..40).map(|image| level + f64::from(image % 2)).collect();
            runs.insert(vec![weights.into(), seed.into()], scores);
        }
    }
    let cell = scored(runs.into_iter().collect());
    let found = mean(&cell).unwrap();
    // Images: variance 10/39 of 40; weights: variance 0.025 of 5; t of 39 and of 4 degrees of freedom are 2.0227 and 2.7764.
    let reach =
        (2.022_691_f64.powi(2) * (10.0 / 39.0 / 40.0) + 2.776_445_f64.powi(2) * 0.005).sqrt();
    assert!((found.value - 0.7).abs() < 1e-12);
    assert!((found.interval[1] - 0.7 - reach).abs() < 1e-5, "{found:?}");
    // The p is where the interval would end at zero.
    let at = [(10.0 / 39.0 / 40.0, 39.0), (0.005, 4.0)];
    assert!((super::reach(&at, found.p / 2.0) - 0.7).abs() < 1e-9);
    // Satterthwaite's degrees of freedom by hand: the square of the sum over the sum of squares by their own.
    let (keys, scores): (Vec<RunKey>, Vec<Vec<f64>>) = cell.runs.iter().cloned().unzip();
    let other = crossed(&keys, &scores, By::Satterthwaite).unwrap();
    let [(images, _), (weights, _)] = at;
    let freedom = (images + weights).powi(2) / (images * images / 39.0 + weights * weights / 4.0);
    let error = (images + weights).sqrt();
    assert!((other.p - student_two_sided(0.7 / error, freedom)).abs() < 1e-12);
    assert!(other.p < found.p);
}
