//! Files of ONNX, made here byte by byte, and what is said of them.

use std::path::Path;

use super::declared::{self, Tap, batch, compare};
use super::file::{Description, OnnxFault, Port, Size};
use crate::imaging::Normalization;
use crate::models::{InputSpec, TapShape};
use crate::random::Stream;

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(&mut out, bytes.len());
    out.extend_from_slice(bytes);
    out
}

/// A field of a number.
fn number(field: u8, value: usize) -> Vec<u8> {
    let mut out = vec![field << 3];
    varint(&mut out, value);
    out
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// An input or an output; a size of 0 is a dynamic one.
fn port(name: &str, element: usize, sizes: &[usize]) -> Vec<u8> {
    let axes = sizes.iter().flat_map(|&size| {
        let axis = match size {
            0 => field(2, b"batch"),
            size => number(1, size),
        };
        field(1, &axis)
    });
    let shape: Vec<u8> = axes.collect();
    let tensor = [number(1, element), field(2, &shape)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

fn node(operator: &str, domain: &str) -> Vec<u8> {
    [field(4, operator.as_bytes()), field(7, domain.as_bytes())].concat()
}

/// A file of a network with one input and two outputs, and more fields of its graph.
fn file(more: &[Vec<u8>]) -> Vec<u8> {
    let graph = [
        field(1, &node("Conv", "")),
        field(5, &field(8, b"weight")),
        field(11, &port("image", 1, &[0, 3, 32, 32])),
        field(11, &port("weight", 1, &[8, 3, 3, 3])),
        field(12, &port("map", 1, &[0, 8, 16, 16])),
        field(12, &port("tokens", 1, &[0, 5, 12])),
        more.concat(),
    ]
    .concat();
    let operators = [field(1, b""), number(2, 18)].concat();
    [
        number(1, 10),
        field(2, b"pytorch"),
        field(8, &operators),
        field(7, &graph),
    ]
    .concat()
}

fn input() -> InputSpec {
    InputSpec {
        channels: 3,
        side: 32,
        normalization: Normalization::Imagenet,
        noise: None,
    }
}

fn tap(name: &str, shape: &[u32]) -> Tap {
    Tap {
        name: name.to_owned(),
        shape: shape.to_vec(),
        class_token: false,
        registers: 0,
    }
}

/// What keeps a file from being the network with these taps.
fn misfit(file: &[u8], taps: &[Tap]) -> Option<String> {
    let description = Description::read(file).unwrap();
    let message = compare(Path::new("net.onnx"), &description, input(), taps);
    message.map(|message| message.to_string())
}

#[test]
fn a_file_says_what_goes_in_and_what_comes_out() {
    let description = Description::read(&file(&[])).unwrap();
    assert_eq!(
        (description.producer.as_str(), description.operators),
        ("pytorch", 18)
    );
    // What the file brings along is not to be given.
    let [image] = description.inputs.as_slice() else {
        panic!("{description:?}");
    };
    assert_eq!(image.to_string(), "[batch, 3, 32, 32] f32");
    let outputs: Vec<String> = description.outputs.iter().map(Port::to_string).collect();
    assert_eq!(outputs, ["[batch, 8, 16, 16] f32", "[batch, 5, 12] f32"]);
    assert_eq!(batch(&description), None);
    let taps = [tap("map", &[8, 16, 16]), tap("tokens", &[5, 12])];
    assert_eq!(misfit(&file(&[]), &taps), None);
    let blocks = declared::blocks(&taps);
    assert_eq!(blocks[0].shape, TapShape::map(8, 16, 16));
    assert_eq!((blocks[1].index.0, blocks[1].path.as_str()), (2, "tokens"));
    insta::assert_snapshot!(declared::table(Path::new("net.onnx"), &description), @r#"
    [model.NAME]
    kind = "onnx"
    weights = "net.onnx"
    image_size = 32
    in_channels = 3
    normalize = "?"
    taps = [
      { name = "map", shape = [8, 16, 16] },
      { name = "tokens", shape = [5, 12] },
    ]
    "#);
}

#[test]
fn everything_that_does_not_fit_is_named() {
    let taps = [
        tap("map", &[8, 16, 17]),
        tap("tokens", &[60]),
        tap("none", &[1]),
        tap("half", &[2]),
    ];
    let half = field(12, &port("half", 10, &[0, 2]));
    insta::assert_snapshot!(misfit(&file(&[half]), &taps).unwrap(), @r"
    net.onnx is not what the experiment says
      its output `map` is [batch, 8, 16, 16] f32, and the experiment says [N, 8, 16, 17]
      its output `tokens` is [batch, 5, 12] f32, and the experiment says [N, 60]
      it has no output `none`; it has `map`, `tokens`, `half`
      its output `half` gives f16, not f32
      hint: `repro models inspect` prints the table for a file
    ");
    let second = field(11, &port("timestep", 1, &[0]));
    let message = misfit(&file(&[second]), &[]).unwrap();
    assert!(
        message.contains("it has 2 inputs, and a network of images has one"),
        "{message}"
    );
}

#[test]
fn numbers_in_other_files_and_operators_of_others_are_refused_by_name() {
    let outside = field(5, &[field(8, b"layer.weight"), number(14, 1)].concat());
    // In a branch, too.
    let branch = field(1, &node("Secret", "acme.ops"));
    let holder = field(1, &[node("If", ""), field(5, &field(6, &branch))].concat());
    let message = misfit(&file(&[outside, holder]), &[]).unwrap();
    insta::assert_snapshot!(message, @r"
    net.onnx is not what the experiment says
      the numbers of `layer.weight` are in other files
      ONNX Runtime has no operator `acme.ops::Secret`
      hint: export it with all numbers in one file (`external_data=False`); a digest of one file then stands for the network
    ");
    // A function that the file defines is an operator of the file.
    let own = field(1, &node("Gelu", "mine"));
    let function = field(25, &[field(1, b"Gelu"), field(10, b"mine")].concat());
    // The number of the field takes two bytes from 16 on.
    let function = [&[0xca, 0x01][..], &function[1..]].concat();
    assert_eq!(misfit(&[file(&[own]), function].concat(), &[]), None);
}

#[test]
fn a_batch_of_one_size_is_told() {
    let mut description = Description::read(&file(&[])).unwrap();
    description.inputs[0].sizes = Some(vec![Size::Fixed(4), Size::Fixed(3)]);
    assert_eq!(batch(&description), Some(4));
}

#[test]
fn what_is_no_file_of_onnx_is_an_error() {
    for bytes in [
        &b""[..],
        b"PK\x03\x04",
        b"\x08\x0a",
        &[0x3a, 0xff, 0xff, 0x01],
    ] {
        let error = Description::read(bytes).unwrap_err();
        assert!(matches!(error, OnnxFault::Malformed(_)), "{error}");
    }
    let mut nested = port("x", 1, &[1]);
    for _ in 0..40 {
        nested = field(1, &field(5, &field(6, &nested)));
    }
    let error = Description::read(&file(&[nested])).unwrap_err();
    assert!(matches!(error, OnnxFault::TooMuch(_)), "{error}");
    let long = field(12, &port(&"x".repeat(5_000), 1, &[1]));
    let error = Description::read(&file(&[long])).unwrap_err();
    assert!(matches!(error, OnnxFault::TooMuch(_)), "{error}");
}

#[test]
fn damaged_files_are_errors_and_never_more() {
    let sound = file(&[field(12, &port("half", 10, &[0, 2]))]);
    let mut random = Stream::new(18, "onnx");
    for _ in 0..20_000 {
        let mut bytes = sound.clone();
        for _ in 0..=random.next_below(3) {
            let place = random.next_index(bytes.len());
            match random.next_below(3) {
                0 => bytes.truncate(place.max(1)),
                1 => bytes[place] ^= 1 << random.next_below(8),
                _ => bytes.insert(place, u8::try_from(random.next_below(256)).unwrap()),
            }
        }
        if let Ok(description) = Description::read(&bytes) {
            // What is read can be judged and shown.
            let _ = compare(
                Path::new("x"),
                &description,
                input(),
                &[tap("map", &[8, 16, 16])],
            );
            let _ = declared::table(Path::new("x"), &description);
        }
    }
}
