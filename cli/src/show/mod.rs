//! Watches an instance's pages in the course of its life, measures, and draws them.

pub(crate) mod class;
pub(crate) mod life;
pub(crate) mod writers;
pub(crate) mod costs;
pub(crate) mod advice;
pub(crate) mod facts;
pub(crate) mod text;
pub(crate) mod page;
