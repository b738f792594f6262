//! Programs that embed minirt (`examples/`), and guest programs with their sources (`guests/`,
//! `wat/`).
//!
//! This crate has no code of its own.
