//! What follows the seed of a head: pieces, views and the validation split; alone, in company, in little memory.

use super::*;

#[test]
fn seeds_see_other_orders_and_hold_out_other_samples_alone_and_in_company() {
    // 5,000 samples of 8 values are several windows.
    let (mut train_rows, test_rows) = (samples(5000, false, 1), samples(50, false, 2));
    let first = train_rows.views[0].clone();
    train_rows
        .views
        .push(first.iter().map(|value| -value).collect());
    let data = (&train_rows, &test_rows);
    for (holdout, views) in [
        (0.0, Views::Apart),
        (0.2, Views::Apart),
        (0.0, Views::Mixed),
        (0.2, Views::InTurn),
    ] {
        let mut training = training(2);
        training.holdout = holdout;
        training.views = views;
        let alone = [3, 4].map(|seed| one(&training, seed, data));
        for memory in [PLENTY, 400_000, 60_000] {
            let jobs = [(&training, 3), (&training, 4)];
            let together = run(&jobs, data, memory, &NOWHERE, u32::MAX).unwrap();
            for (alone, together) in alone.iter().zip(together) {
                let together = together.unwrap();
                assert_eq!(
                    alone.weights, together.weights,
                    "{holdout} {views:?} {memory}"
                );
                assert_eq!(alone.epochs, together.epochs);
                assert_eq!(alone.predictions, together.predictions);
            }
        }
    }
}

#[test]
fn the_windows_of_an_epoch_are_read_for_each_seed() {
    let sizes = order::Sizes::new(8, 32);
    assert_ne!(sizes.windows(5000, 3, 0), sizes.windows(5000, 4, 0));
}
