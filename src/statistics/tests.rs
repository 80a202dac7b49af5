//! Golden values of `tests/golden/statistics`, at the tolerances of its README.

use serde_json::Value;

use super::calibration::Labeled;
use super::components::seeds_and_images;
use super::holm::holm;
use super::mcnemar::{Discordant, mcnemar};
use super::paired::{Method, Paired, of_differences, paired, paired_by};
use super::proportion::{clopper_pearson, wilson};
use super::student_quantile;

fn golden() -> Value {
    serde_json::from_str(include_str!(
        "../../tests/golden/statistics/statistics.json"
    ))
    .unwrap()
}

fn arrays() -> safetensors::SafeTensors<'static> {
    let bytes = include_bytes!("../../tests/golden/statistics/statistics.safetensors");
    safetensors::SafeTensors::deserialize(bytes).unwrap()
}

/// Scores `[5, 300]`.
fn scores(name: &str) -> Vec<Vec<f64>> {
    let arrays = arrays();
    let view = arrays.tensor(name).unwrap();
    let rows = view.data().chunks_exact(view.shape()[1]);
    rows.map(|row| row.iter().map(|&score| f64::from(score)).collect())
        .collect()
}

/// Logits `[600, 10]` and labels.
fn logits() -> (Vec<f32>, Vec<u32>) {
    let arrays = arrays();
    let logits = arrays.tensor("calibration.logits").unwrap();
    let logits = logits.data().chunks_exact(4);
    let labels = arrays.tensor("calibration.labels").unwrap();
    let labels = labels.data().chunks_exact(8);
    (
        logits
            .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
            .collect(),
        labels
            .map(|word| {
                i64::from_le_bytes(word.try_into().unwrap())
                    .try_into()
                    .unwrap()
            })
            .collect(),
    )
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn near(value: f64, expected: &Value, tolerance: f64) {
    let expected = number(expected);
    let difference = (value - expected).abs();
    assert!(difference <= tolerance, "{value:e} is not {expected:e}");
}

#[test]
fn intervals() {
    let golden = golden();
    let rows = golden["intervals"].as_array().unwrap();
    assert_eq!(rows.len(), 57);
    for row in rows {
        let (k, n) = (row["k"].as_u64().unwrap(), row["n"].as_u64().unwrap());
        let level = number(&row["level"]);
        let both = [
            ("wilson", wilson(k, n, level)),
            ("clopper_pearson", clopper_pearson(k, n, level)),
        ];
        for (name, bounds) in both {
            for (side, bound) in bounds.into_iter().enumerate() {
                near(bound, &row[name][side], 1e-9);
            }
            assert!(k > 0 || bounds[0] <= 0.0, "exactly 0 at none: {row}");
            assert!(k < n || bounds[1] >= 1.0, "exactly 1 at all: {row}");
        }
    }
}

#[test]
fn exact_mcnemar() {
    let golden = golden();
    for row in golden["mcnemar"].as_array().unwrap() {
        let count = |name: &str| row[name].as_u64().unwrap();
        let p = mcnemar(count("only_first_right"), count("only_second_right"));
        let expected = number(&row["p_exact"]);
        assert!((p / expected - 1.0).abs() < 1e-9, "{p:e}: {row}");
    }
}

#[test]
fn holm_in_the_order_of_the_input() {
    let golden = golden();
    for row in golden["holm"].as_array().unwrap() {
        for (adjusted, expected) in holm(&numbers(&row["p"]))
            .iter()
            .zip(numbers(&row["adjusted"]))
        {
            assert!((adjusted - expected).abs() <= 1e-12, "{row}");
        }
    }
}

#[track_caller]
fn bounds(result: &Paired, expected: &Value) {
    near(result.low, &expected[0], 1e-12);
    near(result.high, &expected[1], 1e-12);
}

#[test]
fn paired_over_images_and_seeds() {
    let golden = &golden()["paired"];
    let (first, second) = (scores("paired.first"), scores("paired.second"));
    let result = paired_by(&first, &second, Method::Normal).unwrap();
    near(result.difference, &golden["difference"], 1e-12);
    near(result.variance_images, &golden["image_term"], 1e-12);
    near(result.variance_seeds, &golden["seed_term"], 1e-12);
    near(result.error, &golden["standard_error"], 1e-12);
    bounds(&result, &golden["interval_95"]);
    let p = number(&golden["p_two_sided"]);
    assert!((result.p / p - 1.0).abs() < 1e-9);

    let variants = &golden["variants"];
    let once = paired_by(&first, &second, Method::NormalResidualOnce).unwrap();
    let expected = &variants["residual_counted_once"];
    near(once.error, &expected["standard_error"], 1e-12);
    bounds(&once, &expected["interval_95"]);

    let student = paired_by(&first, &second, Method::Satterthwaite).unwrap();
    let expected = &variants["student_quantile"];
    near(
        student.freedom,
        &expected["satterthwaite_degrees_of_freedom"],
        1e-9,
    );
    near(
        student_quantile(0.025, student.freedom),
        &expected["quantile"],
        1e-9,
    );
    bounds(&student, &expected["interval_95"]);

    let one = paired_by(&first[..1], &second[..1], Method::Normal).unwrap();
    let expected = &golden["one_seed_only_(seed_0)"];
    near(one.difference, &expected["difference"], 1e-12);
    near(one.error, &expected["standard_error"], 1e-12);
    bounds(&one, &expected["interval_95"]);

    // The default has the formula's terms and is wider than each of its approximations.
    let default = paired(&first, &second).unwrap();
    assert!((default.error - result.error).abs() < 1e-15);
    assert!(default.low < student.low && default.p > student.p && default.p < 0.05);
}

#[test]
fn mean_squares_are_those_of_the_analysis_of_variance() {
    let golden = &golden()["paired"];
    let (first, second) = (scores("paired.first"), scores("paired.second"));
    let differences: Vec<Vec<f64>> = first
        .iter()
        .zip(&second)
        .map(|(first, second)| first.iter().zip(second).map(|(a, b)| a - b).collect())
        .collect();
    let components = seeds_and_images(&differences).unwrap();
    let residual = &golden["variants"]["residual_counted_once"]["residual_mean_square"];
    near(components.residual, residual, 1e-12);
    // σ²_images / n + σ²_seeds / m + σ²_residual / nm is the variance with the residual counted once.
    let sum = components.images / 300.0 + components.seeds / 5.0 + components.residual / 1500.0;
    let once = of_differences(&differences, Method::NormalResidualOnce).unwrap();
    assert!((sum.sqrt() - once.error).abs() < 1e-14);
}

#[test]
fn mcnemar_of_each_seed_with_holm() {
    let golden = golden();
    let rows = golden["paired"]["mcnemar_per_seed"].as_array().unwrap();
    let (first, second) = (scores("paired.first"), scores("paired.second"));
    let discordant: Vec<Discordant> = first
        .iter()
        .zip(&second)
        .map(|(first, second)| Discordant::of(first, second).unwrap())
        .collect();
    let p: Vec<f64> = discordant.iter().map(|counts| counts.p()).collect();
    for (((row, counts), p), adjusted) in rows.iter().zip(&discordant).zip(&p).zip(holm(&p)) {
        assert_eq!(row["only_first_right"].as_u64(), Some(counts.only_first));
        assert_eq!(row["only_second_right"].as_u64(), Some(counts.only_second));
        near(*p, &row["p_exact"], 1e-9 * p);
        near(adjusted, &row["p_holm_over_seeds"], 1e-9 * p);
    }
}

#[test]
fn calibration() {
    let golden = &golden()["calibration"];
    let (logits, labels) = logits();
    let all = Labeled::new(&logits, &labels, 10).unwrap();
    near(all.nll(1.0), &golden["all_rows"]["nll"], 1e-9);
    near(all.ece(1.0), &golden["all_rows"]["ece_15"], 1e-9);

    let fitted = &golden["temperature"];
    let fit = Labeled::new(&logits[..3000], &labels[..300], 10).unwrap();
    let rest = Labeled::new(&logits[3000..], &labels[300..], 10).unwrap();
    let temperature = fit.temperature();
    near(temperature, &fitted["temperature"], 1e-6);
    let cases = [
        (fit, 1.0, "fit_rows_before"),
        (fit, temperature, "fit_rows_after"),
        (rest, 1.0, "other_rows_before"),
        (rest, temperature, "other_rows_after"),
    ];
    for (samples, temperature, name) in cases {
        near(samples.nll(temperature), &fitted[name]["nll"], 1e-9);
        near(samples.ece(temperature), &fitted[name]["ece_15"], 1e-9);
    }
    near(all.temperature(), &fitted["fitted_on_all_rows"], 1e-6);
}

#[test]
fn saturated_logits_have_a_finite_loss() {
    let golden = &golden()["calibration"]["saturated"];
    let (logits, labels) = logits();
    let logits: Vec<f32> = logits.iter().map(|logit| logit * 12.0).collect();
    let samples = Labeled::new(&logits, &labels, 10).unwrap();
    near(samples.nll(1.0), &golden["nll"], 1e-9);
    near(samples.ece(1.0), &golden["ece_15"], 1e-9);
}
