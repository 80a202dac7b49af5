//! From the plan and the store to what a report shows. Features and heads are as they are; nothing is trained.
//!
//! [`report`] gathers, [`files`] writes, and [`place`] says what may be replaced; `drawing` has the graph, `materials` the datasets and
//! models, `pictures` the curves and images, `outcomes` the scores of single samples, `queries` what templates ask, `png` figures in
//! another format, [`warnings`] what looks like a slip.

mod drawing;
pub mod files;
pub mod from_results;
mod materials;
mod outcomes;
pub(crate) mod pictures;
pub mod place;
pub(crate) mod png;
mod queries;
pub mod report;
pub mod warnings;
