//! Defines the errors of reading an artifact.

use std::fmt;

/// Why a file cannot be used as an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It is something else.
    NotAnArtifact,
    /// It was made by another version of minirt.
    OtherVersion {
        /// The version that made it.
        found: String,
        /// This version.
        here: String,
    },
    /// It was made for another kind of machine.
    OtherMachine {
        /// The machine that it was made for.
        found: String,
        /// This machine.
        here: String,
    },
    /// It was made for smaller host pages, so that it cannot be mapped.
    OtherPageSize {
        /// Bytes in a page, as it was made for.
        found: u64,
        /// Bytes in a page of this system.
        here: u64,
    },
    /// Its code follows other rules than code that is made here, and the two cannot be mixed.
    OtherSettings {
        /// The settings that differ, as it was made with.
        found: Vec<String>,
        /// The same settings, as they are here.
        here: Vec<String>,
    },
    /// It needs something of the processor that this one does not have.
    MissingFeatures(Vec<String>),
    /// It is not as it was written.
    Damaged(String),
}

impl ArtifactError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArtifact => write!(f, "this is not an artifact of minirt; compile the module first"),
            Self::OtherVersion { found, here } => {
                write!(f, "the artifact was made by {found}, and this is {here}; compile the module again")
            }
            Self::OtherMachine { found, here } => {
                write!(f, "the artifact was made for {found}, and this is {here}; compile the module here")
            }
            Self::OtherPageSize { found, here } => {
                let (found, here) = (found / 1024, here / 1024);
                write!(f, "the artifact was made for pages of {found} KiB, and here they have {here} KiB")?;
                write!(f, "; compile the module here, or for pages of 64 KiB, which can be used everywhere")
            }
            Self::OtherSettings { found, here } => {
                let (found, here) = (found.join(", "), here.join(", "));
                write!(f, "the artifact was made with {found}, and here it is {here}; compile the module again")
            }
            Self::MissingFeatures(features) => {
                let features = features.join(", ");
                write!(f, "the artifact needs a processor with {features}; compile the module on this machine")
            }
            Self::Damaged(what) => write!(f, "the artifact is damaged: {what}; compile the module again"),
        }
    }
}

impl std::error::Error for ArtifactError {}
