//! Kills, errors of the disk, damage and strange file systems, at hundreds of places of every stage of a run: each time the run ends
//! right, or with an error that names the place and an exit code, and the next one ends as a run that nothing happened to.
//!
//! [`disk`] makes the disk of a program fail; [`stages`] has the smallest experiment of each stage, and what must be the same after all;
//! [`kills`], [`errors`] and [`surroundings`] try, and [`matrix`] and [`brought`] flip bytes in every region of every kind of file. Places
//! are drawn from seeds. What tests of the default tier do a few times, ignored ones do a hundred times, and those called `nightly_` hundreds;
//! these print the tables of `docs/reliability.md`.

mod brought;
mod disk;
mod errors;
mod kills;
mod matrix;
mod stages;
mod surroundings;
