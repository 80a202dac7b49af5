//! Token ids of texts against those that transformers gives with the same vocabulary.
//!
//! Data and oracle: `tests/golden/stable_diffusion/README.md`.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use repro::models::kinds::stable_diffusion::text::tokenizer::Tokenizer;

use crate::fixture::{CliTest, root};

#[test]
fn ids_are_those_of_the_reference_by_either_form_of_the_vocabulary() {
    let cli = CliTest::new();
    let folder = root().join("tests/golden/stable_diffusion/tokenizer");
    let merges = std::fs::read_to_string(folder.join("merges.txt")).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(merges.as_bytes()).unwrap();
    cli.write("merges.txt.gz", packed.finish().unwrap());
    let recorded = std::fs::read_to_string(folder.join("ids.json")).unwrap();
    let recorded: serde_json::Value = serde_json::from_str(&recorded).unwrap();
    for vocabulary in [folder.clone(), cli.path("merges.txt.gz")] {
        let tokenizer = Tokenizer::open(&vocabulary).unwrap();
        for one in recorded.as_array().unwrap() {
            let text = one["text"].as_str().unwrap();
            let mut expected: Vec<u32> = serde_json::from_value(one["ids"].clone()).unwrap();
            expected.resize(77, 603);
            assert_eq!(tokenizer.encode(text, 77).unwrap(), expected, "{text}");
        }
    }
    let missing = Tokenizer::open(&cli.path("nowhere")).unwrap_err();
    assert!(missing.text.contains("nowhere"), "{}", missing.text);
}
