//! What is done to an instance of a module: calls, and what a host does besides. It follows from
//! the seed.

use crate::rng::Rng;
use crate::shape::Shape;
use minirt_runtimes::value::{Outcome, State, Value};
use minirt_runtimes::{Guest, HowToWrite};

/// The export that says how many loops and calls are left; see `generate`.
pub(crate) const FUEL: &str = "minirt-fuzz fuel";

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A call, with fuel for this many loops and calls.
    Call { name: String, arguments: Vec<Value>, results: usize, fuel: u32 },
    /// The host writes to a memory, at a place modulo its size.
    Write { memory: String, at: u64, bytes: Vec<u8>, how: HowToWrite },
    /// The host lets a memory grow by a page.
    Grow { memory: String },
    /// The host collects what is not needed.
    Collect,
}

/// What a step led to.
#[derive(Clone, Debug)]
pub(crate) struct After {
    pub(crate) outcome: Outcome,
    pub(crate) state: State,
}

impl Step {
    pub(crate) fn run(&self, guest: &mut dyn Guest) -> After {
        let outcome = match self {
            Self::Call { name, arguments, results, fuel } => {
                guest.set_i32(FUEL, *fuel);
                guest.call(name, arguments, *results)
            }
            Self::Write { memory, at, bytes, how } => {
                guest.write(memory, *at, bytes, *how);
                Outcome::Returned(Vec::new())
            }
            Self::Grow { memory } => {
                let before = guest.grow(memory).map_or(u64::MAX, |pages| pages);
                Outcome::Returned(vec![Value::I64(before)])
            }
            Self::Collect => {
                guest.collect();
                Outcome::Returned(Vec::new())
            }
        };
        After { outcome, state: guest.look() }
    }
}

/// Plans calls of every function in several rounds, with a host's work between them.
pub(crate) fn plan(seed: u64, shape: &Shape) -> Vec<Step> {
    let (mut rng, mut collections) = (Rng::new(seed, 3), Rng::new(seed, 6));
    let fuel = 1 << (3 + rng.below(9));
    let mut steps = Vec::new();
    for _ in 0..2 + rng.below(2) {
        for function in shape.functions.iter().take(8) {
            if rng.one_in(8) && !shape.memories.is_empty() {
                steps.push(host_step(&mut rng, shape));
            }
            if shape.holds_objects && collections.one_in(4) {
                steps.push(Step::Collect);
            }
            let arguments = function.params.iter().filter_map(|ty| rng.value(*ty)).collect();
            steps.push(Step::Call { name: function.name.clone(), arguments, results: function.results, fuel });
        }
    }
    steps
}

fn host_step(rng: &mut Rng, shape: &Shape) -> Step {
    let memory = shape.memories[rng.below(shape.memories.len() as u64) as usize].clone();
    if rng.one_in(4) {
        return Step::Grow { memory };
    }
    let len = if rng.one_in(4) { 5000 } else { 1 + rng.below(16) as usize };
    let how = rng.pick(&[HowToWrite::Method, HowToWrite::Slice]);
    Step::Write { memory, at: rng.next(), bytes: rng.bytes(len), how }
}
