//! The keys of the shape of a U-Net, and of the diffusion that it was trained for: those that `guided-diffusion` and `unet-encoder` share.
//!
//! They bear the names of upstream's flags: openai/guided-diffusion@22e0df8:guided_diffusion/script_util.py.

use super::noise::Noise;
use crate::diffusion::{DiffusionError, Schedule};
use crate::spec::{Boolean, Choice, Count, Diagnostic, Fields, Key, List, Number, OneOf};

pub const IMAGE_SIZE: Key<Count> = Key::count("image_size", 4..=4096)
    .optional("the preset's")
    .doc("Side of the input in pixels.");
pub const IN_CHANNELS: Key<OneOf> = Key::one_of("in_channels", &[1, 3])
    .default(3)
    .doc("Channels of the input.");
pub const MODEL_CHANNELS: Key<Count> = Key::count("model_channels", 1..=65_536)
    .optional("the preset's")
    .doc("Width that `channel_mult` multiplies.");
pub const NUM_RES_BLOCKS: Key<Count> = Key::count("num_res_blocks", 1..=64)
    .optional("the preset's")
    .doc("Residual blocks in each level of the encoder.");
pub const CHANNEL_MULT: Key<List<Number>> = Key::list("channel_mult", Number::above(0.0).to(1e6))
    .optional("the preset's")
    .doc("Width of each level, as a multiple of `model_channels`.");
pub const ATTENTION_RESOLUTIONS: Key<List<Count>> =
    Key::list("attention_resolutions", Count::within(1..=4096))
        .optional("the preset's")
        .doc("Sides in pixels at which blocks have attention.");
pub const NUM_HEADS: Key<Count> = Key::count("num_heads", 1..=1024)
    .default(4)
    .doc("Attention heads, where `num_head_channels` is absent.");
pub const NUM_HEAD_CHANNELS: Key<Count> = Key::count("num_head_channels", 1..=65_536)
    .optional("none")
    .doc("Channels of one attention head.");
pub const RESBLOCK_UPDOWN: Key<Boolean> = Key::boolean("resblock_updown")
    .default(true)
    .doc("Whether residual blocks change the resolution.");
pub const USE_SCALE_SHIFT_NORM: Key<Boolean> = Key::boolean("use_scale_shift_norm")
    .default(true)
    .doc("Whether the timestep scales and shifts the normalized features.");
pub const USE_NEW_ATTENTION_ORDER: Key<Boolean> = Key::boolean("use_new_attention_order")
    .default(false)
    .doc("The order of the channels of `qkv`.");
pub const CONV_RESAMPLE: Key<Boolean> = Key::boolean("conv_resample")
    .default(true)
    .doc("Whether plain resampling layers contain a convolution.");
pub const NOISE_SCHEDULE: Key<Choice<Schedule>> = Key::choice(
    "noise_schedule",
    &[("linear", Schedule::Linear), ("cosine", Schedule::Cosine)],
)
.default(Schedule::Linear)
.doc("How the noise grows with the timestep.");
pub const DIFFUSION_STEPS: Key<Count> = Key::count("diffusion_steps", 1..=100_000)
    .default(1000)
    .doc("Steps of the diffusion.");

/// Reports what is wrong with a shape.
pub fn report_misfits(fields: &Fields<'_>, misfits: &[String]) {
    for misfit in misfits {
        fields.report(Diagnostic::new(
            "graph::model-misfit",
            fields.span(),
            format!("{}: {misfit}", fields.context()),
            "this model",
        ));
    }
}

/// The diffusion of a schedule with so many steps; reports steps that it cannot have.
pub fn noise(fields: &Fields<'_>, schedule: Schedule, steps: u32) -> Option<Noise> {
    let noise = Noise::new(schedule, steps);
    let report = |error: &DiffusionError| {
        let message = error.to_string();
        fields.invalid(DIFFUSION_STEPS.name, "spec::out-of-range", message, None);
    };
    noise.inspect_err(report).ok()
}
