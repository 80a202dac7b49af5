//! The latents of a plan, for people.

use std::fmt::Write;

use super::{Totals, counts, render_passes};
use crate::plan::Plan;
use crate::plan::job::Pass;
use crate::text::{bytes, count, plural};

/// How many latents are wanted and cached, and the passes that make them; nothing where no model reads any.
pub(super) fn render_latents(plan: &Plan, passes: &[Pass]) -> String {
    if plan.steps.iter().all(|step| step.work.kind() != "latents") {
        return String::new();
    }
    let mut text = format!("\nlatents: {}", counts(plan, "latents"));
    if passes.is_empty() {
        text.push('\n');
        return text;
    }
    let cost = Totals::of(passes).cost;
    let _ = writeln!(
        text,
        "\n  {} through an autoencoder: {} forwards, {:.3} T multiply-adds, {} to write; once for each image, whatever reads them",
        plural(passes.len(), "pass"),
        count(cost.images),
        cost.multiply_adds as f64 / 1e12,
        bytes(cost.bytes),
    );
    text.push_str(&render_passes(passes));
    text
}
