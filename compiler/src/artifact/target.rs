//! Says what an artifact was made with and for, and decides whether it can be used here.

use super::error::ArtifactError;
use super::wire::{Damaged, Reader, Wire, Writer, structs};
use crate::instance::builtin;
use crate::settings::Metering;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::settings::Value;
use xxhash_rust::xxh3::xxh3_64;

/// Settings of Cranelift that change how code is made, and not how it works together with other
/// code. All others count, also those of later versions: compiling once too often does no harm.
const WITHOUT_EFFECT: [&str; 10] = [
    "opt_level",
    "enable_verifier",
    "enable_alias_analysis",
    "enable_incremental_compilation_cache_checks",
    "regalloc_algorithm",
    "regalloc_checker",
    "regalloc_verbose_logs",
    "machine_code_cfg_info",
    "bb_padding_log2_minus_one",
    "log2_min_function_alignment",
];

/// Where code finds what it shares with the runtime.
const LAYOUT: &str = include_str!("../instance/layout/fields.rs");

/// The versions, machine and settings that code was made with and for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Of minirt and Cranelift, and a digest of the list of builtins.
    pub(super) version: String,
    /// The target triple.
    pub(super) machine: String,
    /// The settings that must be equal, as `name = value`.
    pub(super) settings: Vec<String>,
    /// The features of the processor that it may use. It also runs where there are more.
    pub(super) features: Vec<String>,
}

structs! { Target { version machine settings features } }

impl Target {
    /// Returns the target of what is made with `isa`, and metered like this.
    pub(crate) fn of(isa: &dyn TargetIsa, metering: Metering) -> Self {
        let is_feature = |flag: &Value| flag.name.starts_with("has_") && flag.as_bool().is_some();
        let (features, others): (Vec<Value>, Vec<Value>) = isa.isa_flags().into_iter().partition(is_feature);
        let features = features.into_iter().filter(|flag| flag.as_bool() == Some(true));
        let shared = isa.flags().iter().filter(|flag| !WITHOUT_EFFECT.contains(&flag.name));
        let setting = |flag: Value| format!("{} = {}", flag.name, flag.value_string());
        let Metering { fuel, epochs } = metering;
        // As the embedder's configuration calls them.
        let metered = [format!("consume_fuel = {fuel}"), format!("epoch_interruption = {epochs}")];
        // Builds of one version can differ in what code may call, and where it looks.
        let contract = [builtin::CONTRACT, LAYOUT].concat();
        let contract = xxh3_64(contract.as_bytes());
        let (minirt, cranelift) = (env!("CARGO_PKG_VERSION"), cranelift_codegen::VERSION);
        Self {
            version: format!("minirt {minirt} with Cranelift {cranelift} and builtins {contract:016x}"),
            machine: isa.triple().to_string(),
            settings: shared.chain(others).map(setting).chain(metered).collect(),
            features: features.map(|flag| flag.name.to_owned()).collect(),
        }
    }

    /// Checks that what was made for `self` can be used `here`.
    ///
    /// # Errors
    /// Returns the first difference that matters.
    pub(super) fn check(&self, here: &Self) -> Result<(), ArtifactError> {
        if self.version != here.version {
            return Err(ArtifactError::OtherVersion { found: self.version.clone(), here: here.version.clone() });
        }
        if self.machine != here.machine {
            return Err(ArtifactError::OtherMachine { found: self.machine.clone(), here: here.machine.clone() });
        }
        if self.settings != here.settings {
            let (found, here) = (only(&self.settings, &here.settings), only(&here.settings, &self.settings));
            return Err(ArtifactError::OtherSettings { found, here });
        }
        let missing = only(&self.features, &here.features);
        if missing.is_empty() { Ok(()) } else { Err(ArtifactError::MissingFeatures(missing)) }
    }
}

/// Returns the items of one list that are not in the other.
fn only(one: &[String], other: &[String]) -> Vec<String> {
    one.iter().filter(|item| !other.contains(item)).cloned().collect()
}
