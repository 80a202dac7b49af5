//! What is made of the outputs of blocks.

use super::*;
use crate::models::TapShape;

/// Two images of what a block gives: the numbers from 0.
fn output(sizes: &[i64]) -> Tensor {
    let count: i64 = sizes.iter().product();
    Tensor::arange(2 * count, (Kind::Float, Device::Cpu)).view(&*[&[2], sizes].concat())
}

fn block(shape: TapShape) -> BlockInfo {
    BlockInfo {
        index: BlockIndex(1),
        path: "block".to_owned(),
        shape,
        multiply_adds: 0,
    }
}

/// The feature of the second image, and the shape that is announced for it.
fn reduced(shape: TapShape, reduce: Reduce) -> Option<(Vec<f32>, usize)> {
    let sizes: Vec<i64> = shape.sizes().into_iter().map(i64::from).collect();
    let found = TapRequest::of(&block(shape), reduce).reduced(&output(&sizes))?;
    assert_eq!((found.dim(), found.size()[0]), (2, 2));
    let announced = shape.reduced(reduce)?;
    Some((
        to_vec(&found.select(0, 1)),
        announced.channels * announced.height * announced.width,
    ))
}

#[test]
fn a_map_is_pooled_or_whole_channels_first() {
    let map = TapShape::map(2, 2, 4);
    // The second image has 16 to 31, its second channel 24 to 31.
    let (values, width) = reduced(map, Reduce::Pool(1)).unwrap();
    assert_eq!((values, width), (vec![19.5, 27.5], 2));
    let (values, width) = reduced(map, Reduce::Pool(2)).unwrap();
    assert_eq!(values, [16.5, 18.5, 20.5, 22.5, 24.5, 26.5, 28.5, 30.5]);
    assert_eq!(width, 8);
    let (values, width) = reduced(map, Reduce::Whole).unwrap();
    assert_eq!((values[0], values[15], width), (16.0, 31.0, 16));
    // The same of a feature map that is channels-last in memory.
    let innermost = output(&[2, 2, 4])
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2]);
    let whole = TapRequest::of(&block(map), Reduce::Whole).reduced(&innermost);
    assert_eq!(to_vec(&whole.unwrap().select(0, 1)), values);
    assert_eq!(reduced(map, Reduce::ClassToken), None);
    assert_eq!(reduced(map, Reduce::MeanToken), None);
}

#[test]
fn of_tokens_there_are_the_class_token_the_mean_of_the_others_and_all() {
    let tokens = |class_token| TapShape::Tokens {
        count: 3,
        width: 2,
        class_token,
        registers: 0,
    };
    // The tokens of the second image are (6, 7), (8, 9) and (10, 11).
    let class = reduced(tokens(true), Reduce::ClassToken).unwrap();
    assert_eq!(class, (vec![6.0, 7.0], 2));
    let mean = reduced(tokens(true), Reduce::MeanToken).unwrap();
    assert_eq!(mean, (vec![9.0, 10.0], 2));
    let mean = reduced(tokens(false), Reduce::MeanToken).unwrap();
    assert_eq!(mean, (vec![8.0, 9.0], 2));
    let registers = TapShape::Tokens {
        count: 3,
        width: 2,
        class_token: true,
        registers: 1,
    };
    let mean = reduced(registers, Reduce::MeanToken).unwrap();
    assert_eq!(mean, (vec![10.0, 11.0], 2));
    let patches = reduced(registers, Reduce::PatchMap).unwrap();
    assert_eq!(patches, (vec![10.0, 11.0], 2));
    // Two patches are no square.
    assert_eq!(tokens(true).reduced(Reduce::PatchMap), None);
    let four = TapShape::Tokens {
        count: 5,
        width: 2,
        class_token: true,
        registers: 0,
    };
    // The patch tokens of the second image are (12, 13), (14, 15), (16, 17) and (18, 19), two in a row.
    let patches = reduced(four, Reduce::PatchMap).unwrap();
    let map = vec![12.0, 14.0, 16.0, 18.0, 13.0, 15.0, 17.0, 19.0];
    assert_eq!(patches, (map, 8));
    assert_eq!(
        four.reduced(Reduce::PatchMap),
        Some(crate::heads::FeatureShape::of(2, 2, 2))
    );
    let all = reduced(tokens(true), Reduce::Whole).unwrap();
    assert_eq!(all, (vec![6.0, 8.0, 10.0, 7.0, 9.0, 11.0], 6));
    assert_eq!(tokens(false).reduced(Reduce::ClassToken), None);
    assert_eq!(reduced(tokens(true), Reduce::Pool(1)), None);
}

#[test]
fn a_vector_is_whole() {
    let vector = TapShape::Vector { width: 3 };
    let whole = reduced(vector, Reduce::Whole).unwrap();
    assert_eq!(whole, (vec![3.0, 4.0, 5.0], 3));
    for reduce in [Reduce::Pool(1), Reduce::ClassToken, Reduce::MeanToken] {
        assert_eq!(reduced(vector, reduce), None);
    }
}

#[test]
fn features_are_f32_in_the_order_of_the_taps() {
    let (map, vector) = (
        block(TapShape::map(1, 2, 2)),
        block(TapShape::Vector { width: 3 }),
    );
    let vector = BlockInfo {
        index: BlockIndex(2),
        ..vector
    };
    let taps = [
        TapRequest::of(&vector, Reduce::Whole),
        TapRequest::of(&map, Reduce::Pool(1)),
        TapRequest::of(&map, Reduce::Whole),
    ];
    let mut features = Features::new(&taps);
    features.visit(BlockIndex(1), &output(&[1, 2, 2]).to_kind(Kind::BFloat16));
    features.visit(BlockIndex(2), &output(&[3]).to_kind(Kind::Half));
    let read = features.read();
    assert_eq!(read[0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read[1], [1.5, 5.5]);
    assert_eq!(read[2].len(), 8);
}
