//! The two passes of a resize: sums of weighted pixels in fixed point, a pair of pixels in one instruction.
//!
//! A weight has 22 bits behind the point and fits no 16-bit number. It is cut into two that do, `high · 2^11 + low`, and each half is
//! summed by itself: that is exact, and a machine multiplies eight 16-bit numbers at once and adds them in pairs.
//!
//! The innermost loops count by hand: iterators over so few numbers are not melted into them at the level of optimization that this
//! package is built with.

use std::ops::Range;

use wide::{i16x8, i32x4, i32x8, u8x16};

use super::Image;
use super::resize::{Tap, WEIGHT_BITS};

/// Bits of a weight's lower half.
const LOW_BITS: u32 = 11;
/// Added before the bits behind the point are cut off: halves are rounded upwards.
const HALF: i32 = 1 << (WEIGHT_BITS - 1);
/// Bytes that one vector holds.
const LANES: usize = 16;

/// The taps of a pass, in pairs of pixels that begin at even ones.
struct Pairs {
    /// The first pair that any tap reads.
    first: usize,
    /// Pairs from the first one to behind the last one.
    span: usize,
    /// The first pair of each tap, counted from `first`.
    starts: Vec<usize>,
    /// Pairs of every tap. Shorter taps get weights of 0, so that all loops are of one length.
    each: usize,
    /// High and low halves of each pair's weights, four times over; `each` for every tap.
    weights: Vec<[i16x8; 2]>,
}

impl Pairs {
    fn new(taps: &[Tap]) -> Self {
        let end = |tap: &Tap| (tap.first + tap.weights.len()).div_ceil(2);
        let first = taps.iter().map(|tap| tap.first / 2).min().unwrap_or(0);
        let each = taps.iter().map(|tap| end(tap) - tap.first / 2).max();
        let each = each.unwrap_or(0);
        let starts: Vec<usize> = taps.iter().map(|tap| tap.first / 2 - first).collect();
        let span = starts.iter().max().map_or(0, |last| last + each);
        let mut weights = Vec::with_capacity(taps.len() * each);
        for tap in taps {
            // Where a tap begins at an odd pixel, the even one before it has no weight.
            let padding = tap.first % 2;
            let weight = |place: usize| {
                let index = place.checked_sub(padding);
                index
                    .and_then(|index| tap.weights.get(index).copied())
                    .unwrap_or(0)
            };
            for pair in 0..each {
                let both = [weight(2 * pair), weight(2 * pair + 1)];
                weights.push([
                    four_times(both.map(|weight| weight >> LOW_BITS)),
                    four_times(both.map(|weight| weight & ((1 << LOW_BITS) - 1))),
                ]);
            }
        }
        Self {
            first,
            span,
            starts,
            each,
            weights,
        }
    }
}

/// The horizontal pass over some rows: one pixel for each tap. An image without pixels where there are no taps.
pub(super) fn across(image: &Image, rows: Range<usize>, taps: &[Tap]) -> Image {
    let height = rows.len();
    let length = image.width * image.channels;
    let source = &image.pixels[rows.start * length..rows.end * length];
    let pixels = if image.channels == 1 {
        across_channels::<1>(source, [image.width, height], taps)
    } else {
        across_channels::<3>(source, [image.width, height], taps)
    };
    Image {
        width: taps.len(),
        height,
        pixels,
        ..*image
    }
}

/// Memory that [`across`] takes beside the image and the weights, in bytes.
pub(super) fn bytes_across(width: usize, rows: usize, channels: usize, taps: &[Tap]) -> u64 {
    let result = rows as u64 * (taps.len() * channels) as u64;
    // Two rows as pairs of pixels, one as bytes.
    result + (width * (size_of::<i16x8>() + channels)) as u64
}

/// Memory that [`down`] takes beside the image and the weights, in bytes.
pub(super) fn bytes_down(width: usize, rows: usize, channels: usize, taps: &[Tap]) -> u64 {
    let length = width * channels;
    let groups = length.div_ceil(LANES) as u64;
    let vectors = groups * rows.div_ceil(2) as u64 * size_of::<[i16x8; 4]>() as u64;
    vectors + length as u64 * taps.len() as u64
}

/// Two rows at a time share the weights.
fn across_channels<const CHANNELS: usize>(
    pixels: &[u8],
    [width, height]: [usize; 2],
    taps: &[Tap],
) -> Vec<u8> {
    let (length, target_length) = (width * CHANNELS, taps.len() * CHANNELS);
    let mut target = vec![0; target_length * height];
    if target.is_empty() {
        return target;
    }
    let pairs = Pairs::new(taps);
    // What is read behind a row's end has no weight, but has to be there.
    let padded = length.max((pairs.first + pairs.span) * 2 * CHANNELS) + LANES + CHANNELS;
    let mut row = vec![0; padded];
    let mut vectors = [(); 2].map(|()| vec![i16x8::ZERO; pairs.span]);
    let begin = pairs.first * 2 * CHANNELS;
    let targets = target.chunks_mut(2 * target_length);
    for (source, target) in pixels.chunks(2 * length).zip(targets) {
        for (source, vectors) in source.chunks_exact(length).zip(&mut vectors) {
            row[..length].copy_from_slice(source);
            pair_up::<CHANNELS>(&row[begin..], vectors);
        }
        let (upper, lower) = target.split_at_mut(target_length);
        let upper = upper.as_chunks_mut::<CHANNELS>().0;
        let lower = lower.as_chunks_mut::<CHANNELS>().0;
        let [above, below] = vectors.each_ref().map(Vec::as_slice);
        let (starts, weights) = (pairs.starts.as_slice(), pairs.weights.as_slice());
        let mut weight = 0;
        let mut index = 0;
        while index < upper.len() {
            let mut sums = [[i32x4::ZERO, i32x4::splat(HALF)]; 2];
            let mut pair = starts[index];
            let end = pair + pairs.each;
            while pair < end {
                let [high, low] = weights[weight];
                add(&mut sums[0], above[pair], high, low);
                add(&mut sums[1], below[pair], high, low);
                weight += 1;
                pair += 1;
            }
            let bytes = u8x16::narrow_i16x8(values(sums[0], sums[1]), i16x8::ZERO);
            let [first, second, _, _] = bytemuck::cast::<u8x16, [[u8; 4]; 4]>(bytes);
            upper[index] = first_bytes(first);
            if index < lower.len() {
                lower[index] = first_bytes(second);
            }
            index += 1;
        }
    }
    target
}

/// The vertical pass: one row for each tap. An image without pixels where there are no taps.
pub(super) fn down(image: &Image, taps: &[Tap]) -> Image {
    let length = image.width * image.channels;
    let mut target = vec![0; length * taps.len()];
    if target.is_empty() {
        return Image {
            height: taps.len(),
            pixels: target,
            ..*image
        };
    }
    let pairs = Pairs::new(taps);
    let groups = length.div_ceil(LANES);
    let mut vectors = vec![[i16x8::ZERO; 4]; groups * pairs.span];
    let nothing = vec![0; length];
    let sources = image.pixels[pairs.first * 2 * length..].chunks(2 * length);
    for (vectors, source) in vectors.chunks_exact_mut(groups).zip(sources) {
        let (upper, lower) = source.split_at(length);
        let lower = if lower.is_empty() { &nothing } else { lower };
        let bytes = upper.chunks(LANES).zip(lower.chunks(LANES));
        for (vectors, (upper, lower)) in vectors.iter_mut().zip(bytes) {
            *vectors = interleave_all(upper, lower);
        }
    }
    let rows = target.chunks_exact_mut(length).zip(&pairs.starts);
    for ((row, start), weights) in rows.zip(pairs.weights.chunks_exact(pairs.each)) {
        let vectors = &vectors[start * groups..];
        let (whole, last) = row.as_chunks_mut::<LANES>();
        let mut group = 0;
        while group < whole.len() {
            whole[group] = column_sums(vectors, group, groups, weights);
            group += 1;
        }
        if !last.is_empty() {
            let bytes = column_sums(vectors, group, groups, weights);
            last.copy_from_slice(&bytes[..last.len()]);
        }
    }
    Image {
        height: taps.len(),
        pixels: target,
        ..*image
    }
}

/// One row's values of sixteen columns: those of every `groups`-th place from a group on, weighted.
#[inline]
fn column_sums(
    vectors: &[[i16x8; 4]],
    group: usize,
    groups: usize,
    weights: &[[i16x8; 2]],
) -> [u8; LANES] {
    let mut sums = [[i32x4::ZERO, i32x4::splat(HALF)]; 4];
    let mut place = group;
    let mut pair = 0;
    while pair < weights.len() {
        let [high, low] = weights[pair];
        let vectors = &vectors[place];
        add(&mut sums[0], vectors[0], high, low);
        add(&mut sums[1], vectors[1], high, low);
        add(&mut sums[2], vectors[2], high, low);
        add(&mut sums[3], vectors[3], high, low);
        place += groups;
        pair += 1;
    }
    let halves = [values(sums[0], sums[1]), values(sums[2], sums[3])];
    u8x16::narrow_i16x8(halves[0], halves[1]).to_array()
}

/// Adds a pair's products to the sums of the high and of the low halves.
#[inline]
fn add(sums: &mut [i32x4; 2], pixels: i16x8, high: i16x8, low: i16x8) {
    sums[0] += pixels.dot(high);
    sums[1] += pixels.dot(low);
}

/// Two sums of four values without their bits behind the point.
#[inline]
fn values(first: [i32x4; 2], second: [i32x4; 2]) -> i16x8 {
    let both = [whole(first), whole(second)];
    i16x8::from_i32x8_saturate(bytemuck::cast::<[i32x4; 2], i32x8>(both))
}

#[inline]
fn whole([high, low]: [i32x4; 2]) -> i32x4 {
    let sum: i32x4 = (high << LOW_BITS) + low;
    sum >> WEIGHT_BITS
}

/// The first of four bytes, up to all of them.
#[inline]
fn first_bytes<const COUNT: usize>(bytes: [u8; 4]) -> [u8; COUNT] {
    let mut first = [0; COUNT];
    let mut index = 0;
    while index < COUNT && index < 4 {
        first[index] = bytes[index];
        index += 1;
    }
    first
}

/// Each pair of pixels as one vector: the values of the first and of the second by turns. Behind the last pair's begin, the row has a
/// vector's bytes and a pixel's.
fn pair_up<const CHANNELS: usize>(row: &[u8], vectors: &mut [i16x8]) {
    let every_second = |row| <[u8]>::windows(row, LANES).step_by(2 * CHANNELS);
    let pixels = every_second(row).zip(every_second(&row[CHANNELS..]));
    for (vector, (first, second)) in vectors.iter_mut().zip(pixels) {
        *vector = i16x8::from_u8x16_low(u8x16::unpack_low(load(first), load(second)));
    }
}

/// Up to sixteen bytes of two rows by turns, and zeros behind them.
#[inline]
fn interleave_all(first: &[u8], second: &[u8]) -> [i16x8; 4] {
    let (first, second) = (load(first), load(second));
    let low = u8x16::unpack_low(first, second);
    let high = u8x16::unpack_high(first, second);
    [
        i16x8::from_u8x16_low(low),
        i16x8::from_u8x16_high(low),
        i16x8::from_u8x16_low(high),
        i16x8::from_u8x16_high(high),
    ]
}

/// The first 16 bytes; zeros behind fewer.
#[inline]
fn load(bytes: &[u8]) -> u8x16 {
    if let Some(whole) = bytes.first_chunk() {
        return u8x16::new(*whole);
    }
    let mut padded = [0; LANES];
    padded[..bytes.len()].copy_from_slice(bytes);
    u8x16::new(padded)
}

/// Halves of two weights, for four values at once. They fit: weights are between -1 and 2.
fn four_times(pair: [i32; 2]) -> i16x8 {
    let [first, second] = pair.map(|half| i16::try_from(half).unwrap_or(i16::MAX));
    i16x8::new([first, second, first, second, first, second, first, second])
}
