//! A plan as jobs of a cluster: what is submitted, the scripts that do it, and what became of it.
//!
//! [`cut`] divides the jobs of a plan into [`Task`]s, each a `repro job` with what it needs of a machine. A submission is made in rounds:
//! [`rounds`] chooses the tasks of the next one and groups them into arrays along the edges of the plan, [`script`] is their text, and
//! [`record`] what is kept of all this in the folder of the submission. Afterwards [`ending`] says how a task ended, by its log and by
//! what the cluster knows, and [`judge`] what follows: more memory, more time, another node, or nothing more.
//!
//! What a task was for is in the cache or it is not; how its job ended decides nothing but how it is tried again.
//!
//! **Architecture invariant:** no I/O, no clock, no process. `cli` writes the files and starts the programs of the cluster.

pub mod cut;
pub mod ending;
pub mod judge;
pub mod queue;
pub mod record;
pub mod rounds;
pub mod script;
pub mod settings;

pub use record::{Submission, Task};
pub use settings::ExecutorSettings;
