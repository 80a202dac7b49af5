//! `repro cache audit`: cached features are computed again, and what is not as it would be now is named.

use repro::store::{Begin, FeaturePart, FeatureValues, Fingerprint, Made, Store, wait_quietly};

use crate::fixture::CliTest;
use crate::small::small;

#[test]
fn rows_are_computed_again_within_rounding() {
    let cli = small();
    cli.run(&["cache", "audit", "small.toml"]).expect_code(4);
    cli.run(&["run", "small.toml", "--until", "taps"])
        .expect_code(0);
    let audit = [
        "cache",
        "audit",
        "small.toml",
        "--rows",
        "5",
        "--device",
        "cpu",
        "--json",
    ];
    let sets = cli.run(&audit).expect_code(0).json();
    let sets = sets.as_array().unwrap();
    assert_eq!(sets.len(), 4);
    for set in sets {
        assert_eq!(
            (&set["rows"], &set["passed"]),
            (&5.into(), &true.into()),
            "{set}"
        );
    }
    // All rows, and none of an experiment that has no features here.
    let all = cli.run(&["cache", "audit", "small.toml", "--rows", "1000", "--json"]);
    assert_eq!(all.expect_code(0).json()[0]["rows"], 60);
    let none = cli.run(&[
        "cache",
        "audit",
        "small.toml",
        "--set",
        "model.unet.weights.synthetic=2",
    ]);
    let none = none.expect_code(0).stdout;
    assert!(none.starts_with("0 sets of cached features"), "{none}");
}

/// The features of the experiment again in the cache `forged`, with sound digests, and with a value of one image changed.
fn forge(cli: &CliTest, image: usize) -> Fingerprint {
    let store = Store::open_read_only(cli.path(".repro")).unwrap();
    let forged = Store::open(cli.path("forged")).unwrap();
    let listing = store.listing().unwrap();
    let (fingerprint, entry) = listing.artifacts.iter().next().unwrap();
    let reader = store.features(fingerprint).unwrap();
    let Begin::Writer(mut writer) = forged
        .begin(&entry.recipe, &entry.label, &mut wait_quietly)
        .unwrap()
    else {
        panic!("it is there");
    };
    for (part, number) in reader.parts().iter().zip(0..) {
        let texts = |all: Vec<&str>| all.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut values = part.values_f32().unwrap().to_vec();
        values[image * part.width()] += 1.0;
        writer
            .write_features(
                number,
                FeaturePart {
                    ids: &texts(part.ids().collect()),
                    splits: &texts(part.splits().collect()),
                    labels: part.labels(),
                    views: &texts(part.views().collect()),
                    draws: part.draws(),
                    width: part.width(),
                    values: FeatureValues::F32(values),
                },
            )
            .unwrap();
    }
    writer.finish(Made::default()).unwrap();
    *fingerprint
}

#[test]
fn features_that_another_program_would_have_made_are_named() {
    let cli = small();
    cli.run(&["run", "small.toml", "--until", "taps"])
        .expect_code(0);
    let fingerprint = forge(&cli, 7);
    let cache = ["--cache", "forged"];
    // Every digest is right: only the images can tell.
    cli.run(&[&["cache", "verify"][..], &cache].concat())
        .expect_code(0);
    let audit = [
        &["cache", "audit", "small.toml", "--rows", "60", "--json"][..],
        &cache,
    ]
    .concat();
    let found = cli
        .run(&audit)
        .expect_code(1)
        .expect_in_stderr(&["1 set of features differ"]);
    let found = found.json();
    assert_eq!(found[0]["fingerprint"], fingerprint.to_string());
    assert_eq!(found[0]["passed"], false);
    let loose = [&audit[..], &["--tolerance", "1e9"]].concat();
    cli.run(&loose).expect_code(0);
}
