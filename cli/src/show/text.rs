//! The lives of instances as text: a row of cells for each moment, and tables.

use super::class::{Class, Region, bytes, name, page_size};
use super::costs::{pages_of, us};
use super::facts::{Facts, region};
use crate::output::table::columns;
use anstyle::Style;
use minirt::RegionKind;
use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
        let advice: Vec<String> = facts.advice.iter().map(ToString::to_string).collect();
        let _ = list(&mut out, "what would help", &advice);
    }
    out
}

fn legend(out: &mut String, facts: &Facts, width: usize) -> std::fmt::Result {
    let all = || std::iter::once(&facts.image).chain(facts.stages().map(|stage| &stage.regions)).flatten();
    let shown: Vec<RegionKind> = facts.sizes().iter().map(|(kind, _)| *kind).collect();
    let is_used = |class| all().any(|region| shown.contains(&region.kind) && region.count(|it| it == class) > 0);
    let used = Class::ALL.into_iter().filter(|class| is_used(*class));
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
    let title = format!("{}: {} of {}, each cell {cell}", name(kind), pages_of(pages), bytes(page_size()));
    writeln!(out, "\n{TITLE}{title}{TITLE:#}")?;
    writeln!(out, "{:width$}  changed  equal  shared  private", "", width = LABEL + cells - 1)?;
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
    write!(out, "{}", fitted(label, LABEL - 2))?;
    for cells in region.cells(pages, each).chunk_by(|a, b| a == b) {
        let (style, letters) = (cells[0].style(), cells[0].letter().to_string().repeat(cells.len()));
        write!(out, "{style}{letters}{style:#}")?;
    }
    let changed = region.count(|class| matches!(class, Class::Changed | Class::HotChanged | Class::GrownOwn));
    let private = region.count(Class::is_private);
    let shared = region.count(|class| class == Class::Image);
    writeln!(out, "  {changed:>7} {:>6} {shared:>7} {:>8}", private - changed, bytes(private * page_size()))
}

/// Returns a label and a space, with the middle left out where it is wider than `columns`.
fn fitted(label: &str, columns: usize) -> String {
    let width = label.width();
    if width <= columns {
        return format!("{label}{}", " ".repeat(columns - width + 1));
    }
    let end = columns / 2;
    let taken = |chars: &mut dyn Iterator<Item = char>, room: usize| -> Vec<char> {
        let mut at = 0;
        chars
            .take_while(|c| {
                at += c.width().unwrap_or(0);
                at <= room
            })
            .collect()
    };
    let head: String = taken(&mut label.chars(), columns - end - 1).into_iter().collect();
    let tail: String = taken(&mut label.chars().rev(), end).into_iter().rev().collect();
    let short = format!("{head}\u{2026}{tail}");
    format!("{short}{}", " ".repeat((columns + 1).saturating_sub(short.width())))
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
        let mut rows = vec![["a reset by", "takes", "the whole run", "an idle slot keeps"].map(str::to_owned).to_vec()];
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

#[cfg(test)]
mod tests {
    use super::fitted;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn labels_are_as_wide_as_they_may_be() {
        assert_eq!(fitted("1 fresh", 16), "1 fresh          ");
        assert_eq!(fitted("1 _initialize stopped", 16), "1 _init\u{2026} stopped ");
        for label in ["12345678901234567", "猫猫猫猫猫猫猫猫猫", "1 猫2猫3猫4猫5猫6猫7猫"] {
            assert_eq!(fitted(label, 16).width(), 17, "{label}");
        }
    }
}
