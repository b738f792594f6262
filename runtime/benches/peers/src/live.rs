//! What live instances hold: memory, page tables, mappings. Each contestant counts in a process of
//! its own, so that nothing of one is taken for another's.

use crate::contestants::{NAMES, peer};
use crate::modules::{SMALL, Table, toucher};
use crate::options::{COUNT_LIVE, CountLive};
use crate::report::{Sheet, kib, nothing, short};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// What a process holds, or what an instance adds to it.
pub(crate) struct Holding {
    /// Bytes in memory, shared ones included.
    pub(crate) resident: f64,
    /// Of these, bytes that no file and no other process has.
    pub(crate) own: f64,
    /// Bytes of the kernel's page tables, which come on top.
    pub(crate) page_tables: f64,
    mappings: f64,
}

pub(crate) fn measure() -> Result<()> {
    let columns = ["resident", "of which its own", "page tables", "mappings"];
    let mut sheet = Sheet::new(&["table", "runtime", "instances"], columns);
    for table in [Table::None, Table::Idle] {
        for name in NAMES {
            for instances in [1000, 10_000] {
                eprintln!("  {name}, table: {}, {instances} instances", table.name());
                let count = CountLive { peer: name.to_owned(), table, instances };
                let cells = match count_in_child(&count) {
                    Ok(holding) => holding.cells(),
                    Err(error) => {
                        eprintln!("    {error:#}");
                        std::array::from_fn(|_| nothing())
                    }
                };
                sheet.row([table.name().to_owned(), count.peer, instances.to_string()].into_iter().chain(cells));
            }
        }
    }
    println!("KiB and mappings that each instance adds, with a memory of 64 KiB of which it has dirtied one page.\n");
    println!("{sheet}");
    Ok(())
}

fn count_in_child(count: &CountLive) -> Result<Holding> {
    let mut child = Command::new(std::env::current_exe()?);
    let output = child
        .args([COUNT_LIVE, &count.peer, count.table.name(), &count.instances.to_string()])
        .output()
        .context("could not start a child process")?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Holding::parse(&String::from_utf8(output.stdout)?)
}

/// Counts in a child process, and prints what the parent reads.
pub(crate) fn count_in_this_process(count: &CountLive) -> Result<()> {
    let live = u32::try_from(count.instances)? + 1;
    let program = peer(&count.peer, Some(live))?.load(&toucher(SMALL, count.table)?)?;
    let mut stores = Vec::with_capacity(live as usize);
    // What only the first instance needs is not counted.
    stores.push(program.live()?);
    let before = Holding::of_this_process()?;
    for number in 0..count.instances {
        stores.push(program.live().with_context(|| format!("after {number} instances"))?);
    }
    let after = Holding::of_this_process()?;
    let each = |of: fn(&Holding) -> f64| (of(&after) - of(&before)) / count.instances as f64;
    println!("{} {} {} {}", each(|h| h.resident), each(|h| h.own), each(|h| h.page_tables), each(|h| h.mappings));
    Ok(())
}

impl Holding {
    pub(crate) fn of_this_process() -> Result<Self> {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup")?;
        let status = std::fs::read_to_string("/proc/self/status")?;
        let mappings = std::fs::read_to_string("/proc/self/maps")?.lines().count();
        Ok(Self {
            resident: field(&rollup, "Rss:")?,
            own: field(&rollup, "Anonymous:")?,
            page_tables: field(&status, "VmPTE:")?,
            mappings: mappings as f64,
        })
    }

    fn parse(line: &str) -> Result<Self> {
        let numbers: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [resident, own, page_tables, mappings] = numbers[..] else {
            anyhow::bail!("a child process said `{line}`");
        };
        Ok(Self { resident, own, page_tables, mappings })
    }

    fn cells(&self) -> [String; 4] {
        [kib(self.resident), kib(self.own), kib(self.page_tables), short(self.mappings)]
    }
}

/// Returns the bytes in a line of a file in /proc, which has them in kB.
fn field(text: &str, name: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    let kib: f64 = value.with_context(|| format!("the kernel does not tell `{name}`"))?.parse()?;
    Ok(kib * 1024.0)
}
