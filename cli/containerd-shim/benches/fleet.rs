//! A simulation of a fleet: how soon containers start on many nodes, and how many have room.
//!
//! `cargo bench --bench fleet`. It takes the figures of one node, as `cargo bench --bench start`
//! prints them, and asks what becomes of them when containers of many images come and go. Every run
//! draws the same numbers.

use std::collections::BTreeMap;

/// What is assumed of the fleet.
const NODES: usize = 20;
/// Containers that start in the whole fleet in a second.
const STARTS_PER_SECOND: f64 = 40.0;
/// The mean time for which one lives.
const LIFE_SECONDS: f64 = 60.0;
/// Different images. The first is the most popular: the n-th is wanted 1/n as often.
const IMAGES: usize = 200;
/// What a node gets from the registry in a second, in MiB.
const PULL_MIB_PER_SECOND: f64 = 50.0;
/// Images that a node keeps. The one that was used longest ago goes first.
const IMAGES_KEPT: usize = 60;
/// MiB of a node that are for containers.
const NODE_MIB: f64 = 16.0 * 1024.0;
/// Simulated seconds, of which the first sixth is not counted.
const SECONDS: f64 = 1800.0;

/// One way of running containers, with the figures of one node.
struct Way {
    name: &'static str,
    /// What is pulled.
    image_mib: f64,
    /// What a node does once for an image, besides pulling it.
    once_seconds: f64,
    start_seconds: f64,
    /// What a container takes for itself.
    own_mib: f64,
    /// What the containers of an image take together on a node.
    shared_mib: f64,
}

const WAYS: [Way; 4] = [
    Way {
        name: "runc, native",
        image_mib: 0.8,
        once_seconds: 0.0,
        start_seconds: 0.152,
        own_mib: 18.4,
        shared_mib: 10.0,
    },
    Way {
        name: "minirt, compiled by each container",
        image_mib: 0.2,
        once_seconds: 0.0,
        start_seconds: 0.172,
        own_mib: 18.5,
        shared_mib: 10.4,
    },
    Way {
        name: "minirt, precompiled",
        image_mib: 0.2,
        once_seconds: 0.031,
        start_seconds: 0.141,
        own_mib: 18.5,
        shared_mib: 10.4,
    },
    Way {
        name: "minirt, snapshot",
        image_mib: 0.2,
        once_seconds: 0.311,
        start_seconds: 0.070,
        own_mib: 2.47,
        shared_mib: 10.5,
    },
];

/// A generator of numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    /// Returns a number between 0 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns a time until something that happens once in `mean` on average.
    fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.next()).ln()
    }
}

#[derive(Default)]
struct Node {
    /// When each image is ready, and when it was used last.
    images: BTreeMap<usize, (f64, f64)>,
    /// When its link to the registry is free.
    link_free: f64,
    /// When containers end, of which images.
    running: Vec<(f64, usize)>,
}

impl Node {
    /// Starts a container, and returns how long that takes.
    fn start(&mut self, now: f64, image: usize, life: f64, way: &Way) -> (f64, bool) {
        let pulls = !self.images.contains_key(&image);
        if pulls {
            let pulled = self.link_free.max(now) + way.image_mib / PULL_MIB_PER_SECOND;
            self.link_free = pulled;
            self.images.insert(image, (pulled + way.once_seconds, now));
            if self.images.len() > IMAGES_KEPT {
                let unused = |image: &usize| !self.running.iter().any(|(_, running)| running == image);
                let oldest = self.images.iter().filter(|(image, _)| unused(image));
                let oldest = oldest.min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(image, _)| *image);
                oldest.map(|image| self.images.remove(&image));
            }
        }
        let ready = self.images.get_mut(&image).map_or(now, |(ready, used)| {
            *used = now;
            *ready
        });
        let begins = ready.max(now) + way.start_seconds;
        self.running.push((begins + life, image));
        (begins - now, pulls)
    }

    fn mib(&self, way: &Way) -> f64 {
        let images: std::collections::BTreeSet<usize> = self.running.iter().map(|(_, image)| *image).collect();
        self.running.len() as f64 * way.own_mib + images.len() as f64 * way.shared_mib
    }
}

struct Outcome {
    starts: Vec<f64>,
    pulls: usize,
    most_mib: f64,
    most_running: usize,
}

fn simulate(way: &Way) -> Outcome {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::default()).collect();
    let total: f64 = (1..=IMAGES).map(|rank| 1.0 / rank as f64).sum();
    let mut result = Outcome { starts: vec![], pulls: 0, most_mib: 0.0, most_running: 0 };
    let mut now = 0.0;
    while now < SECONDS {
        now += numbers.wait(1.0 / STARTS_PER_SECOND);
        let mut share = numbers.next() * total;
        let image = (1..=IMAGES).find(|rank| {
            share -= 1.0 / *rank as f64;
            share <= 0.0
        });
        let life = numbers.wait(LIFE_SECONDS);
        nodes.iter_mut().for_each(|node| node.running.retain(|(end, _)| *end > now));
        let Some(node) = nodes.iter_mut().min_by_key(|node| node.running.len()) else { break };
        let (time, pulls) = node.start(now, image.unwrap_or(IMAGES), life, way);
        if now > SECONDS / 6.0 {
            result.starts.push(time);
            result.pulls += usize::from(pulls);
            result.most_mib = result.most_mib.max(node.mib(way));
            result.most_running = result.most_running.max(node.running.len());
        }
    }
    result.starts.sort_by(f64::total_cmp);
    result
}

fn main() {
    println!("| | start, median | 99 of 100 | pulled per second | memory of a node | containers that fit |");
    println!("|---|--:|--:|--:|--:|--:|");
    for way in &WAYS {
        let result = simulate(way);
        let at = |part: f64| result.starts[(part * (result.starts.len() - 1) as f64) as usize] * 1e3;
        let pulled = result.pulls as f64 / (SECONDS * 5.0 / 6.0);
        let mean = result.most_mib / result.most_running as f64;
        println!(
            "| {} | {:.0} ms | {:.0} ms | {pulled:.1} | {:.0} MiB | {:.0} |",
            way.name,
            at(0.5),
            at(0.99),
            result.most_mib,
            NODE_MIB / mean
        );
    }
}
