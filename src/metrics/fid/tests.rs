//! Tests of Fréchet distances: golden values, and what has to hold for any features.

use super::curve::{Drawn, Line};
use super::distance::Normal;
use super::moments::{Moments, Shift, Sums};
use super::*;
use crate::metrics::testing::{Golden, Rows};

fn frechet() -> Frechet {
    Frechet {
        name: "fid",
        groups: 0,
        curve: None,
        seed: 0,
    }
}

fn scores(metric: &Frechet, generated: &Rows, reference: &Rows) -> Vec<Score> {
    let input = MetricInput::Distributions {
        sets: &[generated, reference],
        pairs: &[(0, 1)],
        keep_going: &|| true,
    };
    metric.evaluate(input).unwrap().remove(0)
}

fn fid(generated: &Rows, reference: &Rows) -> f64 {
    scores(&frechet(), generated, reference)[0].value
}

/// Whether two values are equal up to a share of the second.
fn near(found: f64, expected: f64, share: f64) {
    let apart = (found - expected).abs();
    assert!(apart <= share * expected.abs(), "{found} {expected}");
}

#[test]
fn golden_distances_of_given_moments() {
    let golden = Golden::open();
    let cases = [
        ("d8_full", 1e-9),
        ("d8_diagonal", 1e-9),
        ("d8_rank_deficient", 1e-6),
        ("d8_full_vs_deficient", 1e-6),
        ("d64_full", 1e-9),
        ("d64_rank_deficient", 1e-6),
    ];
    for (case, tolerance) in cases {
        let normal = |side: u32| {
            let part = |name: &str| golden.doubles(&format!("frechet.{case}.{name}{side}"));
            Normal::new(Moments {
                mean: part("mu"),
                covariance: part("sigma"),
            })
        };
        let (one, other) = (normal(1), normal(2));
        let expected = golden.number(&format!("/frechet/{case}/pytorch_fid"));
        near(one.distance(&other).unwrap(), expected, tolerance);
        near(other.distance(&one).unwrap(), expected, tolerance);
        assert!(one.distance(&one).unwrap() < 1e-8);
    }
}

#[test]
fn golden_distances_of_features() {
    let golden = Golden::open();
    let sets = |prefix: &str| ["fake", "real"].map(|name| golden.rows(&format!("{prefix}{name}")));
    let [fake, real] = sets("");
    near(fid(&fake, &real), golden.number("/fid/value"), 1e-6);
    assert!(fid(&fake, &fake) < 1e-8);
    let [fake, real] = sets("sfid.");
    near(fid(&fake, &real), golden.number("/sfid/value"), 1e-6);
}

#[test]
fn golden_curves_and_their_limits() {
    let golden = Golden::open();
    let (fake, real) = (golden.rows("curve.fake"), golden.rows("curve.real"));
    let given = Normal::new(Moments {
        mean: golden.doubles("curve.mu"),
        covariance: golden.doubles("curve.sigma"),
    });
    let normal = |set: &Rows| {
        let shift = Shift::of(set).unwrap();
        let sums = Sums::of(set, std::iter::once(0..set.count()), &shift, &|| true).unwrap();
        Normal::new(sums.moments(&shift))
    };
    let sizes = golden.numbers("/fid_curve/n");
    for (path, reference) in [
        ("against_set", normal(&real)),
        ("against_given_mu_sigma", given),
    ] {
        let expected = golden.numbers(&format!("/fid_curve/{path}/fid"));
        let mut points = Vec::new();
        for (size, expected) in sizes.iter().zip(&expected) {
            let drawn = fake.chosen(&golden.indices(&format!("curve.index.n{size}")));
            let value = normal(&drawn).distance(&reference).unwrap();
            near(value, *expected, 1e-6);
            points.push((drawn.count(), value));
        }
        let line = Line::through(&points).unwrap();
        let number = |name: &str| golden.number(&format!("/fid_curve/{path}/{name}"));
        near(line.intercept, number("intercept_fid_infinity"), 1e-6);
        let error = number("intercept_standard_error_of_the_regression");
        near(line.error, error, 1e-6);
    }
}

#[test]
fn fewer_images_than_values_and_no_variance_at_all() {
    let (few, many) = (Rows::random(12, 40, 1), Rows::random(300, 40, 2));
    let there = fid(&few, &many);
    near(fid(&many, &few), there, 1e-9);
    assert!(there > 0.0 && fid(&few, &few) < 1e-8);
    // Two points: what is left is the distance of the means and the variance of the other set.
    let still = Rows::new(2, vec![1.0; 8]);
    let moved = Rows::new(2, vec![1.0, 4.0, 1.0, 2.0]);
    near(fid(&still, &moved), 4.0 + 2.0, 1e-12);
}

#[test]
fn wide_features_in_several_tiles() {
    // By the definition: of a rotated and stretched set the singular values are known.
    let width = 600;
    let diagonal = |first: f64| {
        let mut covariance = vec![0.0; width * width];
        for (place, value) in covariance.iter_mut().step_by(width + 1).enumerate() {
            *value = first + place as f64 / 100.0;
        }
        covariance
    };
    let normal = |covariance| {
        Normal::new(Moments {
            mean: vec![0.0; width],
            covariance,
        })
    };
    let expected: f64 = (0..width)
        .map(|place| {
            let own = place as f64 / 100.0;
            ((1.0 + own).sqrt() - (4.0 + own).sqrt()).powi(2)
        })
        .sum();
    let found = normal(diagonal(1.0)).distance(&normal(diagonal(4.0)));
    near(found.unwrap(), expected, 1e-9);
    let set = Rows::random(900, width, 5);
    let shift = Shift::of(&set).unwrap();
    let one = Sums::of(&set, std::iter::once(0..900), &shift, &|| true).unwrap();
    let mut parts = Sums::new(width);
    for range in super::parts(900, 7) {
        parts.add(&Sums::of(&set, std::iter::once(range), &shift, &|| true).unwrap());
    }
    let (one, parts) = (one.moments(&shift), parts.moments(&shift));
    for (one, parts) in one.covariance.iter().zip(&parts.covariance) {
        assert!((one - parts).abs() < 1e-12);
    }
}

#[test]
fn values_do_not_depend_on_threads() {
    let (one, other) = (Rows::random(400, 300, 1), Rows::random(350, 300, 2));
    let metric = Frechet {
        groups: 3,
        curve: Some(3),
        ..frechet()
    };
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build()
            .unwrap()
            .install(|| scores(&metric, &one, &other))
    };
    assert_eq!(with(1), with(3));
}

/// The interval is right if its standard error is the deviation that values of other images have.
#[test]
fn the_interval_is_as_wide_as_values_of_other_images_are_apart() {
    let metric = Frechet {
        groups: 20,
        ..frechet()
    };
    let (mut values, mut widths) = (Vec::new(), Vec::new());
    for draw in 0..60 {
        let generated = Rows::random(200, 4, 2 * draw).times(1.3);
        let reference = Rows::random(200, 4, 2 * draw + 1);
        let score = scores(&metric, &generated, &reference).remove(0);
        let [_, high] = score.interval.unwrap();
        values.push(score.value);
        widths.push((high - score.value) / student_quantile(0.025, 19.0));
    }
    let deviation = crate::statistics::mean::deviation(&values).unwrap();
    let error = crate::statistics::mean::mean(&widths).unwrap();
    // The deviation of 60 values is itself known to a tenth.
    assert!(
        (0.7..1.4).contains(&(error / deviation)),
        "{error} {deviation}"
    );
}

#[test]
fn a_curve_falls_to_its_limit() {
    let metric = Frechet {
        curve: Some(10),
        ..frechet()
    };
    let (one, other) = (Rows::random(1000, 8, 1), Rows::random(5000, 8, 2));
    let scores = scores(&metric, &one, &other);
    let named = |name: &str| -> Vec<&Score> {
        let of_name = scores.iter().filter(|score| score.output.name == name);
        of_name.collect()
    };
    let curve = named("fid_curve");
    assert_eq!(curve.len(), 10);
    assert_eq!(curve[0].axes["images"], 100_u32.into());
    assert_eq!(curve[9].axes["images"], 1000_u32.into());
    assert!(curve[0].value > curve[9].value);
    near(curve[9].value, named("fid")[0].value, 1e-9);
    let limit = named("fid_infinity")[0];
    assert!(limit.value < curve[9].value);
    let [low, high] = limit.interval.unwrap();
    assert!(low < limit.value && limit.value < high);
    let few = Rows::random(19, 8, 3);
    let points = Drawn { points: 3, seed: 0 };
    let shift = Shift::of(&few).unwrap();
    let refused = points.points(
        &few,
        &shift,
        &Normal::new(Moments {
            mean: vec![0.0; 8],
            covariance: vec![0.0; 64],
        }),
        &|| true,
    );
    assert!(refused.is_err());
}

#[test]
fn what_cannot_be_compared_is_named() {
    let metric = frechet();
    let refused = |generated: &Rows, reference: &Rows| {
        let input = MetricInput::Distributions {
            sets: &[generated, reference],
            pairs: &[(0, 1)],
            keep_going: &|| true,
        };
        metric.evaluate(input).unwrap_err().to_string()
    };
    let set = Rows::random(5, 3, 1);
    let one = Rows::random(1, 3, 1);
    assert!(refused(&one, &set).contains("needs at least 2"));
    let other = Rows::random(5, 4, 1);
    assert!(refused(&set, &other).contains("have 4"));
    let broken = Rows::new(3, vec![0.0, 1.0, 0.0, 0.0, f32::NAN, 0.0]);
    assert!(refused(&broken, &set).contains("value 1 of"));
}
