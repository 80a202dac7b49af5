//! Mutations: what damage and malice do to a sound file, drawn from a seed.

use repro::random::Stream;

/// Numbers at which things go wrong.
const NUMBERS: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    16,
    31,
    32,
    63,
    64,
    100,
    127,
    128,
    255,
    256,
    1000,
    32_767,
    65_535,
    65_536,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
];
/// Words of texts, each of which means something somewhere.
const WORDS: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\",
    "\n",
    "=",
    ".",
    "'",
    "0",
    "-1",
    "1e999",
    "nan",
    "null",
    "true",
    "[head.h]\n",
    "{% for a in range(9999) %}",
    "{{ ",
    " }}",
    "SELECT * FROM ",
    "..",
    "\u{202e}",
    "9223372036854775808",
];
/// No input is longer, in bytes.
const LONGEST: usize = 1 << 16;

/// A changed copy of a file; `other` is one to take pieces from.
pub fn mutated(stream: &mut Stream, file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..=stream.next_index(6) {
        change(stream, &mut bytes, other);
    }
    bytes.truncate(LONGEST);
    bytes
}

/// A place in a file; as often as not near its begin or end, where lengths are.
fn place(stream: &mut Stream, length: usize) -> usize {
    let near = length.min(200);
    match stream.next_index(4) {
        0 => stream.next_index(near + 1),
        1 => length - stream.next_index(near + 1),
        _ => stream.next_index(length + 1),
    }
}

fn range(stream: &mut Stream, length: usize) -> std::ops::Range<usize> {
    let start = place(stream, length);
    let most = [4, 16, 64, 4096][stream.next_index(4)];
    start..(start + stream.next_index(most) + 1).min(length)
}

fn change(stream: &mut Stream, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = place(stream, bytes.len());
    match stream.next_index(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << stream.next_index(8);
            }
        }
        1 => {
            let value = stream.next_index(256);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(value).unwrap();
            }
        }
        // A length, in any width and order.
        2 | 3 => {
            let number = NUMBERS[stream.next_index(NUMBERS.len())];
            let width = [1, 2, 4, 8][stream.next_index(4)];
            let mut value = number.to_le_bytes()[..width].to_vec();
            if stream.next_index(2) == 0 {
                value.reverse();
            }
            for (byte, value) in bytes.iter_mut().skip(at).zip(value) {
                *byte = value;
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let range = range(stream, bytes.len());
            bytes.drain(range);
        }
        6 => {
            let range = range(stream, bytes.len());
            let piece = bytes[range].to_vec();
            let times = [1, 2, 50][stream.next_index(3)];
            if piece.len() * times + bytes.len() < 2 * LONGEST {
                bytes.splice(at..at, piece.repeat(times));
            }
        }
        7 => {
            let range = range(stream, other.len());
            bytes.splice(at..at, other[range].iter().copied());
        }
        // A number that is written out.
        8 => {
            let digits: Vec<usize> = (0..bytes.len())
                .filter(|&at| bytes[at].is_ascii_digit())
                .collect();
            if digits.is_empty() {
                return;
            }
            let at = digits[stream.next_index(digits.len())];
            let number = NUMBERS[stream.next_index(NUMBERS.len())].to_string();
            bytes.splice(at..=at, number.bytes());
        }
        _ => {
            let word = WORDS[stream.next_index(WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
    }
}

/// Makes the checksums of a PNG or a tar archive right again, so that what lies behind them is reached.
pub fn repair(bytes: &mut [u8]) {
    if bytes.starts_with(b"\x89PNG") {
        let mut at = 8;
        while let Some(head) = bytes.get(at..at + 8) {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let Some(end) = (at + 8)
                .checked_add(length)
                .filter(|end| end + 4 <= bytes.len())
            else {
                return;
            };
            let mut checksum = flate2::Crc::new();
            checksum.update(&bytes[at + 4..end]);
            bytes[end..end + 4].copy_from_slice(&checksum.sum().to_be_bytes());
            at = end + 4;
        }
    } else if bytes.get(257..262) == Some(b"ustar") {
        for block in bytes.chunks_exact_mut(512) {
            if &block[257..262] == b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    } else if bytes.starts_with(b"repro note") {
        let line = bytes.iter().rposition(|byte| *byte == b'\n');
        if let Some((text, digest)) = line.and_then(|line| bytes.split_at_mut_checked(line + 1))
            && digest.len() == 64
        {
            digest.copy_from_slice(blake3::hash(text).to_hex().as_bytes());
        }
    } else if bytes.starts_with(b"repro blocks")
        && let Some((content, digest)) = bytes.split_last_chunk_mut::<32>()
    {
        *digest = *blake3::hash(content).as_bytes();
    }
}
