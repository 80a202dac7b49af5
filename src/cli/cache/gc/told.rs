//! What `repro cache gc` says.

use std::io::Write;

use serde_json::json;

use super::{Arguments, Decision};
use crate::cli::exit::Failure;
use crate::cli::{printed, table};
use crate::store::{ArtifactKind, Store};
use crate::text::{bytes, count, plural};

/// Prints what goes, or went.
pub(super) fn tell(
    arguments: &Arguments,
    store: &Store,
    decision: &Decision,
) -> Result<(), Failure> {
    let freed: u64 = decision.goes.iter().map(|one| one.bytes).sum();
    let of_checkpoints: u64 = decision.checkpoints.iter().map(|one| one.bytes).sum();
    let quarantined = store.quarantined_bytes();
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        let goes: Vec<_> = decision
            .goes
            .iter()
            .map(|one| {
                json!({
                    "kind": one.kind.name(),
                    "fingerprint": one.fingerprint.to_string(),
                    "label": one.label,
                    "bytes": one.bytes,
                    "last_use": one.last,
                })
            })
            .collect();
        let record = json!({
            "removed": arguments.remove,
            "artifacts": goes,
            "bytes": freed,
            "checkpoints": { "trainings": decision.checkpoints.len(), "bytes": of_checkpoints },
            "kept": { "artifacts": decision.stays.0, "bytes": decision.stays.1 },
            "quarantine_bytes": quarantined,
        });
        return Ok(writeln!(out, "{record:#}")?);
    }
    let mut rows = Vec::new();
    for kind in ArtifactKind::ALL {
        let of_kind = decision.goes.iter().filter(|one| one.kind == *kind);
        let (number, size) = of_kind.fold((0_usize, 0), |(number, size), one| {
            (number + 1, size + one.bytes)
        });
        if number > 0 {
            rows.push(vec![kind.name().to_owned(), count(number), bytes(size)]);
        }
    }
    if arguments.all {
        let rows: Vec<Vec<String>> = decision
            .goes
            .iter()
            .map(|one| {
                let name = one.fingerprint.short();
                let size = bytes(one.bytes);
                vec![
                    one.kind.name().to_owned(),
                    name,
                    size,
                    one.last.clone(),
                    one.label.clone(),
                ]
            })
            .collect();
        let heads = ["kind", "fingerprint", "size", "last wanted", "label"];
        writeln!(out, "{}\n", table::full(&heads, &rows))?;
    } else if !rows.is_empty() {
        writeln!(
            out,
            "{}\n",
            table::render(&["kind", "artifacts", "size"], &rows)
        )?;
    }
    let verb = if arguments.remove {
        "removed"
    } else {
        "would remove"
    };
    let (kept, kept_bytes) = decision.stays;
    writeln!(
        out,
        "{verb} {}, {}; {} stay, {}",
        plural(decision.goes.len(), "artifact"),
        bytes(freed),
        count(kept),
        bytes(kept_bytes)
    )?;
    if !decision.checkpoints.is_empty() {
        let number = plural(decision.checkpoints.len(), "training");
        let size = bytes(of_checkpoints);
        writeln!(out, "{verb} the checkpoints of {number}, {size}")?;
    }
    let (reported, reported_bytes) = decision.reported;
    if reported > 0 {
        let number = plural(reported, "artifact");
        let size = bytes(reported_bytes);
        writeln!(
            out,
            "{number} of these, {size}, stay for a report alone (`--also-reported`)"
        )?;
    }
    if quarantined > 0 && !arguments.also_quarantine {
        let size = bytes(quarantined);
        writeln!(out, "the quarantine holds {size} (`--also-quarantine`)")?;
    }
    let nothing_goes = decision.goes.is_empty() && decision.checkpoints.is_empty();
    if !arguments.remove && !nothing_goes {
        writeln!(out, "`--remove` does it")?;
    }
    Ok(())
}
