//! What of a plan comes from a remote, for people.

use crate::plan::{JobKind, Plan, Step};
use crate::text::{bytes, plural};

/// How much is brought, and how much stays where it is; nothing where no remote has anything.
pub(super) fn render_remote(plan: &Plan) -> String {
    let in_remote = plan.steps.iter().filter_map(Step::remote_bytes);
    let (all, all_bytes) = in_remote.fold((0, 0), |(number, size), one| (number + 1, size + one));
    if all == 0 {
        return String::new();
    }
    let transfers = plan.jobs.iter().filter(|job| job.kind == JobKind::Transfer);
    let (brought, brought_bytes) = transfers.fold((0, 0), |(number, size), job| {
        (number + job.steps.len(), size + job.cost.bytes)
    });
    let stays = match all - brought {
        0 => String::new(),
        number => format!(
            "; {} ({}) not downloaded, since nothing here reads them",
            plural(number, "other"),
            bytes(all_bytes - brought_bytes)
        ),
    };
    format!(
        "\nfrom the remote: {}, {}{stays}\n",
        plural(brought, "artifact"),
        bytes(brought_bytes)
    )
}
