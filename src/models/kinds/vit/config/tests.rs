//! Counts and shapes of published networks.

use super::*;
use crate::models::kinds::vit::presets;

fn config(preset: &str) -> Config {
    presets::find(preset).unwrap().network
}

#[test]
fn parameters_are_as_many_as_the_references_count() {
    for (preset, count) in [
        ("vit-b16", 86_567_656),
        ("vit-l16", 304_326_632),
        ("vit-l16-mae", 303_301_632),
        ("vit-b16-mocov3", 85_798_656),
        ("vit-s16-dino", 21_665_664),
        ("vit-tiny", 95_530),
        // With the mask token, which the references count too.
        ("vit-s14-dinov2", 22_056_576 - 384),
        ("vit-b14-dinov2", 86_580_480 - 768),
        ("vit-l14-dinov2", 304_368_640 - 1024),
        ("vit-g14-dinov2", 1_136_480_768 - 1536),
        ("vit-s14-dinov2-reg4", 22_058_112 - 384),
        ("vit-g14-dinov2-reg4", 1_136_480_768 + 3 * 1536),
    ] {
        assert_eq!(config(preset).parameter_count(), count, "{preset}");
    }
}

#[test]
fn multiply_adds_are_those_of_linear_layers_and_attention() {
    let blocks = config("vit-b16").blocks();
    let cost = |place: usize| blocks[place].multiply_adds;
    let embedding = 196 * 768 * 3 * 16 * 16;
    assert_eq!(cost(0), embedding);
    let linear = 197 * (768 * 3 * 768 + 768 * 768 + 2 * 768 * 3072);
    let attention = 12 * 2 * 197 * 197 * 64;
    assert_eq!(cost(1), embedding + linear + attention);
    assert_eq!(cost(12), embedding + 12 * (linear + attention));
    assert_eq!((cost(13), cost(17)), (cost(12), cost(12)));
    assert_eq!(cost(18) - cost(17), 768 * 1000);
    let large = config("vit-g14-dinov2").blocks();
    let swiglu = 257 * (4 * 1536 * 1536 + 2 * 257 * 1536 + 1536 * 8192 + 4096 * 1536);
    assert_eq!(large[1].multiply_adds - large[0].multiply_adds, swiglu);
}

#[test]
fn taps_are_the_embedding_the_blocks_the_norm_vectors_and_logits() {
    let blocks = config("vit-b16").blocks();
    let tap = |place: usize| (blocks[place].path.as_str(), blocks[place].shape);
    let tokens = TapShape::Tokens {
        count: 197,
        width: 768,
        class_token: true,
        registers: 0,
    };
    let vector = |width| TapShape::Vector { width };
    assert_eq!((tap(0), blocks.len()), (("embedding", tokens), 19));
    assert_eq!(tap(1), ("blocks.0", tokens));
    assert_eq!(tap(12), ("blocks.11", tokens));
    assert_eq!(tap(13), ("norm", tokens));
    assert_eq!(tap(14), ("class", vector(768)));
    assert_eq!(tap(15), ("class-mean", vector(2 * 768)));
    assert_eq!(tap(16), ("class-last4", vector(4 * 768)));
    assert_eq!(tap(17), ("class-last4-mean", vector(5 * 768)));
    assert_eq!(tap(18), ("head", vector(1000)));
    for (number, block) in (0..).zip(&blocks) {
        assert_eq!(block.index, BlockIndex(number));
    }
    let registers = config("vit-s14-dinov2-reg4").blocks();
    let last = registers.iter().rev();
    let last = last
        .map(|block| block.shape)
        .find(|shape| shape.tokens_before() > 0);
    let tokens = TapShape::Tokens {
        count: 261,
        width: 384,
        class_token: true,
        registers: 4,
    };
    assert_eq!(last, Some(tokens));
    let pooled = Config {
        final_norm: FinalNorm::FcNorm,
        classes: None,
        ..config("vit-tiny")
    };
    let paths: Vec<String> = pooled
        .blocks()
        .into_iter()
        .map(|block| block.path)
        .collect();
    let expected = ["embedding", "blocks.0", "blocks.1", "blocks.2", "fc_norm"];
    assert_eq!(paths, expected);
}

#[test]
fn no_parameter_is_listed_twice() {
    for preset in presets::all() {
        let mut names: Vec<String> = preset
            .network
            .state_dict()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names[0], preset.network.probe());
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{}", preset.name);
    }
}
