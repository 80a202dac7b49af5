//! What a paper says, and how an experiment is held against it: arXiv 2307.08702.

pub mod claims;
pub mod deviations;
pub mod reference;
pub mod table_5;
