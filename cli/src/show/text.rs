//! The lives of instances as text: a row of cells for each moment, and tables.

use super::class::{Class, Region, bytes, name, page_size};
use super::costs::pages_of;
use super::facts::{Facts, region};
use crate::output::table::columns;
use anstyle::Style;
use minirt::RegionKind;
use std::fmt::Write;
use std::time::Duration;

/// Characters in front of the cells, and behind them.
const LABEL: usize = 18;
const COUNTS: usize = 32;

/// The most functions that are listed.
const MOST: usize = 20;

/// Where first writers are known from.
pub(crate) const SEPARATE: &str =
    "Seen in a run of its own, in which each page was write-protected until its first write.";

const TITLE: Style = Style::new().bold();

/// Returns all as lines of at most `width` characters, but for names and sentences.
pub(crate) fn text(facts: &Facts, width: usize, times: bool) -> String {
    let mut out = format!("{TITLE}{}{TITLE:#}\n", facts.who);
    // Writing to a string does not fail.
    let _ = legend(&mut out, facts, width);
    for (kind, pages) in facts.sizes() {
        let _ = map(&mut out, facts, kind, pages, width);
    }
    let _ = writers(&mut out, facts);
    if facts.ended.is_none() {
        let _ = costs(&mut out, facts, times);
        let _ = list(&mut out, "not in the image", &facts.missing);
        let advice = facts.advice.iter().map(|advice| match advice.gain.filter(|_| times) {
            Some((now, then)) => format!("{} (measured: {} a run instead of {})", advice.text, us(then), us(now)),
            None => advice.text.clone(),
        });
        let _ = list(&mut out, "what would help", &advice.collect::<Vec<_>>());
    }
    out
}

fn legend(out: &mut String, facts: &Facts, width: usize) -> std::fmt::Result {
    let all = || std::iter::once(&facts.image).chain(facts.stages().map(|stage| &stage.regions)).flatten();
    let used = Class::ALL.into_iter().filter(|class| all().any(|region| region.count(|it| it == *class) > 0));
    let mut at = 0;
    for class in used {
        let entry = class.meaning().chars().count() + 5;
        if at > 0 && at + entry > width {
            out.push('\n');
            at = 0;
        }
        let style = class.style();
        write!(out, "{}{style}{}{style:#} {}", if at == 0 { "" } else { "   " }, class.letter(), class.meaning())?;
        at += entry;
    }
    out.push('\n');
    Ok(())
}

fn map(out: &mut String, facts: &Facts, kind: RegionKind, pages: u64, width: usize) -> std::fmt::Result {
    let room = (width - LABEL - COUNTS) as u64;
    let each = pages.div_ceil(room);
    let cells = pages.div_ceil(each) as usize;
    let cell = if each == 1 { "a page".to_owned() } else { pages_of(each) };
    let title = format!("{}: {} of 4 KiB, each cell {cell}", name(kind), pages_of(pages));
    writeln!(out, "\n{TITLE}{title}{TITLE:#}")?;
    writeln!(out, "{:width$}  changed  equal  shared      own", "", width = LABEL + cells - 1)?;
    row(out, "image", region(&facts.image, kind), pages, each)?;
    let last = facts.lives.len();
    for (run, life) in (1..).zip(&facts.lives).filter(|(run, _)| *run <= 2 || *run == last) {
        for stage in &life.stages {
            row(out, &format!("{run} {}", stage.after), region(&stage.regions, kind), pages, each)?;
        }
    }
    Ok(())
}

fn row(out: &mut String, label: &str, region: Option<&Region>, pages: u64, each: u64) -> std::fmt::Result {
    let Some(region) = region else { return Ok(()) };
    let label: String = label.chars().take(LABEL - 2).collect();
    write!(out, "{label:<width$}", width = LABEL - 1)?;
    for cells in region.cells(pages, each).chunk_by(|a, b| a == b) {
        let (style, letters) = (cells[0].style(), cells[0].letter().to_string().repeat(cells.len()));
        write!(out, "{style}{letters}{style:#}")?;
    }
    let changed = region.count(|class| matches!(class, Class::Changed | Class::HotChanged | Class::GrownOwn));
    let own = region.count(Class::is_own);
    let shared = region.count(|class| class == Class::Image);
    writeln!(out, "  {changed:>7} {:>6} {shared:>7} {:>8}", own - changed, bytes(own * page_size()))
}

fn writers(out: &mut String, facts: &Facts) -> std::fmt::Result {
    if facts.writers.list.is_empty() {
        return Ok(());
    }
    let mut rows = vec![["who wrote first", "pages", "of them grown"].map(str::to_owned).to_vec()];
    let list = &facts.writers.list;
    rows.extend(list.iter().take(MOST).map(|it| vec![it.name.clone(), it.pages.to_string(), it.grown.to_string()]));
    write!(out, "\n{}", columns(&rows))?;
    if list.len() > MOST {
        writeln!(out, "... and {} more", list.len() - MOST)?;
    }
    writeln!(out, "{SEPARATE}")?;
    if !facts.writers.complete {
        writeln!(out, "Not all writes were seen: the process has no mappings left, or the host had all of a memory.")?;
    }
    Ok(())
}

fn costs(out: &mut String, facts: &Facts, times: bool) -> std::fmt::Result {
    if times && !facts.costs.is_empty() {
        let mut rows = vec![["a reset by", "takes", "the whole run", "keeps"].map(str::to_owned).to_vec()];
        let row = |cost: &super::costs::Cost| {
            let mark = if cost.way == facts.chosen { " (chosen)" } else { "" };
            vec![format!("{}{mark}", cost.way), us(cost.reset), us(cost.life), bytes(cost.kept as u64)]
        };
        rows.extend(facts.costs.iter().map(row));
        write!(out, "\n{}", columns(&rows))?;
    }
    writeln!(out, "\nreset by: {}\n  because {}", facts.chosen, facts.why)
}

fn list(out: &mut String, title: &str, lines: &[String]) -> std::fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    lines.iter().take(MOST).try_for_each(|line| writeln!(out, "  {line}"))?;
    if lines.len() > MOST { writeln!(out, "  ... and {} more", lines.len() - MOST) } else { Ok(()) }
}

/// Returns a time in microseconds.
pub(crate) fn us(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}
