//! The lives of instances as a page for a web browser, or as a picture for a document.
//!
//! A page is one file, and asks nobody for anything: its policy forbids that. Without scripts it
//! shows the first two instances. All text is escaped by `maud`.

use super::class::{Class, Region, bytes, name, page_size};
use super::costs::us;
use super::costs::{Cost, pages_of};
use super::facts::{Facts, region};
use super::life::Stage;
use super::text::SEPARATE;
use crate::output::words::WORDS;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use minirt::RegionKind;
use std::fmt::Write;
use std::time::Duration;

/// The style of pictures, and of pages besides. They are this program's own, so they need no
/// escaping.
const STYLE: &str = include_str!("page.css");
const PAGE_STYLE: &str = include_str!("page_only.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing may be loaded from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The most cells of a region. Beyond, a cell stands for several pages.
const MOST_CELLS: u64 = 2048;
/// Cells in a row, and the size of each with the gap behind it.
const COLUMNS: u64 = 64;
const CELL: u64 = 11;
/// Room for a line of text.
const LINE: u64 = 18;

/// A region as it is drawn.
#[derive(Clone, Copy)]
struct Grid {
    kind: RegionKind,
    pages: u64,
    /// Pages in a cell.
    each: u64,
}

impl Grid {
    fn height(self) -> u64 {
        LINE + self.pages.div_ceil(self.each).div_ceil(COLUMNS) * CELL + 4
    }
}

/// Returns a file's name without the quotes of a message.
fn plain(who: &str) -> &str {
    who.trim_matches('`')
}

fn grids(facts: &Facts) -> Vec<Grid> {
    let grid =
        |(kind, pages): (RegionKind, u64)| Grid { kind, pages, each: pages.div_ceil(MOST_CELLS).next_power_of_two() };
    facts.sizes().into_iter().map(grid).collect()
}

/// Returns a page with all there is to show.
pub(crate) fn page(facts: &Facts) -> String {
    let title = format!("How instances of {} live", plain(&facts.who));
    let (first, later) = facts.lives.split_at(facts.lives.len().min(1));
    let image = Stage { after: "image".to_owned(), regions: facts.image.clone() };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(PAGE_STYLE)) }
            }
            body data-page=(page_size()) {
                h1 { (title) }
                p { "Each cell is a page of " (bytes(page_size())) ", or several where a memory is large. Point at one, or use the arrow keys in a picture, to see what it is." }
                ul class="legend" { @for class in Class::ALL { (legend(class)) } }
                details {
                    summary { "What the words mean" }
                    dl { @for (word, meaning) in WORDS { dt { (word) } dd { (meaning) "." } } }
                }
                h2 { "What every instance begins with" }
                (stage(facts, &image, &[]))
                @for life in first {
                    h2 { "The first run" }
                    @for moment in &life.stages { (stage(facts, moment, &[])) }
                }
                @if let Some(life) = later.first() {
                    h2 { "After the reset: run " span id="number" { "2" } }
                    @if later.len() > 1 {
                        div class="slider" hidden {
                            label for="run" { "Run" }
                            input id="run" type="range" min="2" max=(facts.lives.len()) value="2" step="1";
                        }
                    }
                    @for (i, moment) in life.stages.iter().enumerate() {
                        @let runs: Vec<Option<&Stage>> = later.iter().map(|life| life.stages.get(i)).collect();
                        (stage(facts, moment, &runs))
                    }
                }
                @if let Some(ended) = &facts.ended { p role="alert" { strong { (ended) } } }
                (writers(facts))
                (costs(facts))
                (list("Not in the image", &facts.missing))
                (list("What would help", &facts.advice.iter().map(ToString::to_string).collect::<Vec<_>>()))
                p id="about" role="status" aria-live="polite" { }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// Returns one picture of the image and the first two runs, as a file of its own.
pub(crate) fn picture(facts: &Facts) -> String {
    let image = Stage { after: "image".to_owned(), regions: facts.image.clone() };
    let labelled = |run: usize, stage: &Stage| Stage { after: format!("run {run}: {}", stage.after), ..stage.clone() };
    let runs = (1..).zip(facts.lives.iter().take(2));
    let stages = runs.flat_map(|(run, life)| life.stages.iter().map(move |stage| labelled(run, stage)));
    let stages: Vec<Stage> = std::iter::once(image).chain(stages).collect();
    let grids = grids(facts);
    let each = LINE + grids.iter().map(|grid| grid.height()).sum::<u64>();
    let height = LINE + each * stages.len() as u64 + legend_height();
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {} {height}", COLUMNS * CELL)) role="img" {
            title { (format!("How instances of {} live", plain(&facts.who))) }
            desc { @for stage in &stages { (stage.after) ": " (counts(stage)) ". " } }
            style { (PreEscaped(STYLE)) }
            rect width="100%" height="100%" style="fill: var(--paper)" {}
            @for (i, stage) in stages.iter().enumerate() {
                @let y = LINE + each * i as u64;
                text x="0" y=(y) class="title" { (stage.after) }
                (regions(facts, &grids, stage, &[], y))
            }
            (drawn_legend(LINE + each * stages.len() as u64))
        }
    };
    markup.into_string() + "\n"
}

fn legend(class: Class) -> Markup {
    html! {
        li data-letter=(class.letter()) data-word=(class.word()) data-meaning=(class.meaning()) data-private=(class.is_private()) {
            svg width="12" height="12" aria-hidden="true" { rect width="11" height="11" class=(class.word()) {} }
            " " (class.meaning())
        }
    }
}

/// Stands for a moment that the last run did not live to see.
const NOT_REACHED: &str = "not reached in this run";

const LEGEND_COLUMNS: usize = 3;

fn legend_height() -> u64 {
    Class::ALL.len().div_ceil(LEGEND_COLUMNS) as u64 * LINE + 8
}

fn drawn_legend(top: u64) -> Markup {
    html! {
        @for (i, class) in Class::ALL.into_iter().enumerate() {
            @let x = (i % LEGEND_COLUMNS) as u64 * 230 + 1;
            @let y = top + (i / LEGEND_COLUMNS) as u64 * LINE;
            rect x=(x) y=(y) width="10" height="10" class=(class.word()) {}
            text x=(x + 16) y=(y + 10) { (class.meaning()) }
        }
    }
}

/// Returns a heading, a picture and what it says in words. `runs` are the same moment of all later
/// runs; the last may have ended before it.
fn stage(facts: &Facts, stage: &Stage, runs: &[Option<&Stage>]) -> Markup {
    let grids = grids(facts);
    let height: u64 = grids.iter().map(|grid| grid.height()).sum();
    // No name has a line's end in it.
    let all = |text: &dyn Fn(&Stage) -> String| {
        let lines = runs.iter().map(|stage| stage.map_or_else(|| NOT_REACHED.to_owned(), text));
        Some(lines.collect::<Vec<_>>().join("\n")).filter(|_| runs.len() > 1)
    };
    let title = |stage: &Stage| format!("{}: {}", stage.after, counts(stage));
    html! {
        h3 data-runs=[all(&|stage| stage.after.clone())] { (stage.after) }
        svg class="stage" tabindex="0" role="img" viewBox=(format!("0 0 {} {height}", COLUMNS * CELL)) {
            title data-runs=[all(&title)] { (title(stage)) }
            (regions(facts, &grids, stage, runs, 0))
        }
        p class="counts" data-runs=[all(&counts)] { (counts(stage)) }
    }
}

/// Returns what a picture shows, in words.
fn counts(stage: &Stage) -> String {
    let of = |region: &Region| {
        let private = region.count(Class::is_private);
        let shared = region.count(|class| class == Class::Image);
        format!(
            "{}: {}, {private} private ({}), {shared} shared with the image",
            name(region.kind),
            pages_of(region.accessible()),
            bytes(private * page_size())
        )
    };
    stage.regions.iter().filter(|region| region.accessible() > 0).map(of).collect::<Vec<_>>().join("; ")
}

fn regions(facts: &Facts, grids: &[Grid], stage: &Stage, runs: &[Option<&Stage>], top: u64) -> Markup {
    let mut y = top;
    html! {
        @for grid in grids {
            @let from = { y += grid.height(); y - grid.height() };
            @let title = if grid.each == 1 { pages_of(grid.pages) } else { format!("{}, {} a cell", pages_of(grid.pages), grid.each) };
            text x="0" y=(from + LINE - 4) class="faint" { (name(grid.kind)) ": " (title) }
            @let cells = cells(Some(stage), *grid);
            g data-region=(name(grid.kind)) data-pages=(grid.pages) data-each=(grid.each) data-cells=(letters(&cells))
                data-runs=[all_letters(runs, *grid)] data-writers=[writers_of(facts, grid.kind)] {
                @for (i, class) in cells.iter().enumerate() {
                    @let (x, down) = (i as u64 % COLUMNS * CELL, i as u64 / COLUMNS * CELL);
                    rect x=(x) y=(from + LINE + down) width=(CELL - 1) height=(CELL - 1) class=(class.word()) {}
                }
            }
        }
    }
}

fn cells(stage: Option<&Stage>, grid: Grid) -> Vec<Class> {
    let none = || vec![Class::Inaccessible; grid.pages.div_ceil(grid.each) as usize];
    let region = stage.and_then(|stage| region(&stage.regions, grid.kind));
    region.map_or_else(none, |region| region.cells(grid.pages, grid.each))
}

fn letters(cells: &[Class]) -> String {
    cells.iter().map(|class| class.letter()).collect()
}

fn all_letters(runs: &[Option<&Stage>], grid: Grid) -> Option<String> {
    let all: Vec<String> = runs.iter().map(|stage| letters(&cells(*stage, grid))).collect();
    Some(all.join(" ")).filter(|_| runs.len() > 1)
}

fn writers_of(facts: &Facts, kind: RegionKind) -> Option<String> {
    let (_, runs) = facts.writers.pages.iter().find(|(it, _)| *it == kind)?;
    let mut text = String::new();
    for (pages, writer) in runs {
        // Writing to a string does not fail.
        let _ = write!(text, "{}-{}:{writer} ", pages.start, pages.end);
    }
    Some(text).filter(|text| !text.is_empty())
}

fn writers(facts: &Facts) -> Markup {
    html! {
        @if !facts.writers.list.is_empty() {
            h2 { "Who wrote first" }
            table id="writers" {
                thead { tr { th { "Function" } th class="number" { "Pages" } th class="number" { "Of them grown" } } }
                tbody {
                    @for writer in &facts.writers.list {
                        tr { td { (writer.name) } td class="number" { (writer.pages) } td class="number" { (writer.grown) } }
                    }
                }
            }
            p { (SEPARATE) }
            @if !facts.writers.complete { p { "Not all writes were seen." } }
        }
    }
}

fn costs(facts: &Facts) -> Markup {
    let most = facts.costs.iter().map(|cost| cost.life).max().unwrap_or_default();
    html! {
        @if facts.ended.is_none() {
            h2 { "Ways of resetting" }
            p { "The runtime chose: " strong { (facts.chosen) } ", because " (facts.why) "." }
        }
        @if !facts.costs.is_empty() {
            table id="costs" {
                thead { tr { th { "Reset by" } th class="number" { "Takes" } th class="number" { "The whole run" } td { } th class="number" { "An idle slot keeps" } } }
                tbody { @for cost in &facts.costs { (cost_row(cost, most, cost.way == facts.chosen)) } }
            }
        }
    }
}

fn cost_row(cost: &Cost, most: Duration, chosen: bool) -> Markup {
    let width = (200.0 * cost.life.as_secs_f64() / most.as_secs_f64().max(1e-9)).round().max(1.0);
    html! {
        tr {
            td { (cost.way) @if chosen { " (chosen)" } }
            td class="number" { (us(cost.reset)) }
            td class="number" { (us(cost.life)) }
            td { svg width="200" height="12" aria-hidden="true" { rect class="bar" width=(width) height="12" {} } }
            td class="number" { (bytes(cost.kept as u64)) }
        }
    }
}

fn list(title: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            h2 { (title) }
            ul { @for line in lines { li { (prose(line)) } } }
        }
    }
}

/// Returns a sentence with what stands between backticks as code.
fn prose(sentence: &str) -> Markup {
    html! {
        @for (i, part) in sentence.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::show::class::{Class, Region, Run};
    use crate::show::facts::Facts;
    use crate::show::life::{Life, Stage};
    use crate::show::writers::{Writer, Writers};
    use minirt::RegionKind;

    #[test]
    fn the_last_run_may_be_shorter_than_the_others() {
        let run = Run { pages: 0..2, class: Class::Changed };
        let regions = vec![Region { kind: RegionKind::State, runs: vec![run] }];
        let stage = |after: &str| Stage { after: after.to_owned(), regions: regions.clone() };
        let life = |stages: &[&str]| Life::until_now(stages.iter().map(|after| stage(after)).collect());
        let whole = || life(&["fresh", "get ready", "run"]);
        let lives = vec![whole(), whole(), whole(), life(&["fresh", "get ready stopped"])];
        let facts = Facts { lives, ..Facts::of_image("guest".to_owned(), regions.clone(), Vec::new()) };
        let page = page(&facts);
        assert!(page.contains("<h3 data-runs=\"get ready\nget ready\nget ready stopped\">get ready</h3>"), "{page}");
        assert!(page.contains("<h3 data-runs=\"run\nrun\nnot reached in this run\">run</h3>"));
        assert!(page.contains("data-runs=\"CC CC --\""));
    }

    #[test]
    fn code_in_a_sentence_is_code() {
        assert_eq!(super::prose("call `<f>` or `g`").into_string(), "call <code>&lt;f&gt;</code> or <code>g</code>");
    }

    #[test]
    fn names_cannot_break_out() {
        let evil = "</script><script>alert(1)</script>\"'><svg onload=alert(1)>&";
        let run = Run { pages: 0..2, class: Class::Changed };
        let regions = vec![Region { kind: RegionKind::Memory(0), runs: vec![run] }];
        let stage = Stage { after: evil.to_owned(), regions: regions.clone() };
        let writer = Writer { name: evil.to_owned(), pages: 2, grown: 0, during: evil.to_owned() };
        let pages = vec![(RegionKind::Memory(0), vec![(0..2, 0)])];
        let life = || Life { stages: vec![stage.clone()], maps: vec![], end: None };
        let facts = Facts {
            who: evil.to_owned(),
            image: regions,
            lives: vec![life(), life(), life()],
            writers: Writers { list: vec![writer], pages, grown_memory: 0, complete: true },
            chosen: "hot set",
            why: evil.to_owned(),
            costs: vec![],
            missing: vec![evil.to_owned()],
            advice: vec![],
            ended: Some(evil.to_owned()),
        };
        for text in [page(&facts), super::picture(&facts)] {
            assert!(!text.contains("<script>alert") && !text.contains("<svg onload"), "{text}");
        }
        assert_eq!(page(&facts).matches("<script").count(), 1);
        assert!(page(&facts).contains("&lt;svg onload=alert(1)&gt;"));
    }
}
