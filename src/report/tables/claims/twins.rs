//! The claims about pairs of cells that differ in one thing: blocks and pools on CUB, and random resized crops.

use super::bank::{Bank, Half, Weights};
use super::decision::decide;
use super::elsewhere::{All, Seen, Side};
use super::rules::Found;
use crate::report::error::ReportError;
use crate::report::input::ReportInput;
use crate::report::number::listed;
use crate::text::plural;

/// The paper's own network.
const OF_THE_PAPER: &str = "adm-256-uncond";

/// How large a ratio rounds to 3.
const THREE_TIMES: f64 = 2.5;

/// Axes that name how features were made without saying what they are.
const NAMES: [&str; 4] = ["extraction", "view", "draw", "noise_seed"];

impl<'a> All<'a> {
    /// The results of the paper's network on CUB.
    fn on_cub(&self) -> Result<Vec<&Seen<'a>>, Found> {
        let on: Vec<&Seen<'a>> = self.seen.iter().filter(|seen| seen.is_on("cub")).collect();
        if on.is_empty() {
            return Err(Found::NotApplicable(
                "no results on the dataset kind cub".to_owned(),
            ));
        }
        let own: Vec<&Seen<'a>> = on
            .into_iter()
            .filter(|seen| seen.network == OF_THE_PAPER && Side::Diffusion.admits(seen))
            .collect();
        if own.is_empty() {
            return Err(Found::NotApplicable(format!(
                "no results of the paper's network, {OF_THE_PAPER}"
            )));
        }
        Ok(own)
    }

    /// The mean difference of cells that are equal in all but some axes; nothing is picked.
    fn matched(&self, pairs: &[[&Seen<'a>; 2]], what: &str) -> Result<Found, ReportError> {
        let bank = match self.bank(pairs.as_flattened())? {
            Ok(bank) => bank,
            Err(reason) => return Ok(Found::NotApplicable(reason)),
        };
        let share = 1.0 / pairs.len() as f64;
        let weights: Weights = pairs.iter().flat_map(|_| [share, -share]).collect();
        let measured = bank.measure(bank.unsplit(), &weights);
        Ok(
            match decide(1, &[measured.map(|estimate| vec![estimate])]) {
                Some(decision) => Found::Tested {
                    measured: format!(
                        "{what}, as a mean over {}: {}",
                        plural(pairs.len(), "pair of cells that differ in nothing else"),
                        self.signed(Bank::value(bank.whole(), &weights))
                    ),
                    decision,
                    samples: bank.samples(),
                    runs: bank.runs(),
                },
                None => Found::NotApplicable("there are fewer than two images".to_owned()),
            },
        )
    }

    /// Whether block 19 is above block 24 on CUB.
    pub(super) fn block_19(&self) -> Result<Found, ReportError> {
        let own = match self.on_cub() {
            Ok(own) => own,
            Err(lacking) => return Ok(lacking),
        };
        let left_out = ["extraction", "block"];
        let at = |block: &str| -> Vec<&Seen<'a>> {
            let own = own.iter().copied();
            own.filter(|seen| seen.text("block") == block).collect()
        };
        let (left, right) = (at("19"), at("24"));
        let pairs: Vec<[&Seen<'a>; 2]> = left
            .into_iter()
            .flat_map(|left| right.iter().map(move |right| [left, *right]))
            .filter(|[left, right]| left.without(&left_out) == right.without(&left_out))
            .collect();
        if pairs.is_empty() {
            return Ok(Found::NotApplicable(
                "no results at blocks 19 and 24 with all else equal".to_owned(),
            ));
        }
        self.matched(&pairs, "block 19 less block 24")
    }

    /// Whether two pools differ by a factor that rounds to 3 on CUB.
    pub(super) fn pools(&self) -> Result<Found, ReportError> {
        let own = match self.on_cub() {
            Ok(own) => own,
            Err(lacking) => return Ok(lacking),
        };
        let left_out = ["extraction", "pool"];
        let is_pair = |left: &Seen<'_>, right: &Seen<'_>| {
            left.text("pool") != right.text("pool")
                && left.without(&left_out) == right.without(&left_out)
        };
        let indices = || 0..own.len();
        let pairs: Vec<(usize, usize)> = indices()
            .flat_map(|left| indices().map(move |right| (left, right)))
            .filter(|&(left, right)| is_pair(own[left], own[right]))
            .collect();
        if pairs.is_empty() {
            return Ok(Found::NotApplicable(
                "no results at two pools with all else equal".to_owned(),
            ));
        }
        let bank = match self.bank(&own)? {
            Ok(bank) => bank,
            Err(reason) => return Ok(Found::NotApplicable(reason)),
        };
        let largest = |half: &Half| {
            let ratio = |&(left, right): &(usize, usize)| half.means[left] / half.means[right];
            pairs
                .iter()
                .copied()
                .max_by(|one, other| ratio(one).total_cmp(&ratio(other)))
        };
        let measured: Vec<Option<Vec<_>>> = bank
            .splits()
            .map(|split| {
                let (left, right) = largest(split.named_on)?;
                let mut weights = vec![0.0; own.len()];
                weights[left] = 1.0;
                weights[right] = -THREE_TIMES;
                Some(vec![bank.measure(split, &weights)?])
            })
            .collect();
        let Some(decision) = decide(1, &measured) else {
            return Ok(Found::NotApplicable(
                "there are too few images to halve".to_owned(),
            ));
        };
        let means = &bank.whole().means;
        let ratio =
            largest(bank.whole()).map_or(f64::NAN, |(left, right)| means[left] / means[right]);
        Ok(Found::Tested {
            measured: format!(
                "the largest ratio of two pools, all else equal, is {ratio:.2}; the better less {THREE_TIMES} times the other {}",
                listed(
                    &decision
                        .contrasts
                        .iter()
                        .map(|value| self.signed(*value))
                        .collect::<Vec<_>>()
                )
            ),
            decision,
            samples: bank.samples(),
            runs: bank.runs(),
        })
    }

    /// Whether results without random resized crops are above those with them.
    pub(super) fn crops(&self, input: &ReportInput) -> Result<Found, ReportError> {
        let is_cropped = |seen: &&Seen<'a>| input.cropped.contains(&seen.text("extraction"));
        let own = || self.seen.iter().filter(|seen| Side::Diffusion.admits(seen));
        if !own().any(|seen| is_cropped(&seen)) {
            return Ok(Found::NotApplicable(
                "no results of trained diffusion networks with random resized crops".to_owned(),
            ));
        }
        let plain = || own().filter(|seen| !is_cropped(seen));
        let pairs: Vec<[&Seen<'a>; 2]> = own()
            .filter(is_cropped)
            .flat_map(|cropped| {
                plain()
                    .filter(|plain| plain.without(&NAMES) == cropped.without(&NAMES))
                    .map(move |plain| [plain, cropped])
            })
            .collect();
        if pairs.is_empty() {
            return Ok(Found::NotApplicable(
                "no results with and without random resized crops and all else equal".to_owned(),
            ));
        }
        self.matched(&pairs, "without crops less with crops")
    }
}
