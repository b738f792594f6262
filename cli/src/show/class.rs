//! Classifies pages for a picture: from the library's map to classes with letters and colours.
//!
//! A page that the instance does not have to itself is shown by what is behind it, the image or
//! zeros, and not by whether it is mapped at this moment: the kernel maps neighbours of what is
//! read, as it likes.

use anstyle::{AnsiColor, Color, Style};
use minirt::{ImageInfo, PageKind, PageMap, PageRegion, PageRun, RegionKind};
use std::ops::Range;

/// Returns how many bytes a page of the host has.
pub(crate) fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// The class of a page. The order is that of importance: where one cell stands for many pages, it
/// shows the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Inaccessible,
    Zeros,
    Image,
    Grown,
    Equal,
    HotEqual,
    GrownOwn,
    Changed,
    HotChanged,
}

impl Class {
    pub(crate) const ALL: [Self; 9] = [
        Self::Inaccessible,
        Self::Zeros,
        Self::Image,
        Self::Grown,
        Self::Equal,
        Self::HotEqual,
        Self::GrownOwn,
        Self::Changed,
        Self::HotChanged,
    ];

    /// Returns what stands for it where there are no colours.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Inaccessible => '-',
            Self::Zeros => '.',
            Self::Image => 'i',
            Self::Grown => '+',
            Self::Equal => '=',
            Self::HotEqual => 'h',
            Self::GrownOwn => 'G',
            Self::Changed => 'C',
            Self::HotChanged => 'H',
        }
    }

    /// Returns what it means.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Inaccessible => "inaccessible",
            Self::Zeros => "zeros",
            Self::Image => "shared with the image",
            Self::Grown => "grown, zeros",
            Self::Equal => "private, equal to the image",
            Self::HotEqual => "hot set, equal",
            Self::GrownOwn => "grown, written",
            Self::Changed => "private, changed",
            Self::HotChanged => "hot set, changed",
        }
    }

    /// Returns a word for it that can name a class of elements.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Inaccessible => "inaccessible",
            Self::Zeros => "zeros",
            Self::Image => "image",
            Self::Grown => "grown",
            Self::Equal => "equal",
            Self::HotEqual => "hot-equal",
            Self::GrownOwn => "grown-own",
            Self::Changed => "changed",
            Self::HotChanged => "hot-changed",
        }
    }

    /// Returns how a terminal shows it.
    pub(crate) fn style(self) -> Style {
        let on =
            |color: AnsiColor| Style::new().fg_color(Some(AnsiColor::Black.into())).bg_color(Some(Color::Ansi(color)));
        match self {
            Self::Inaccessible | Self::Zeros => Style::new().dimmed(),
            Self::Image => on(AnsiColor::Cyan),
            Self::Grown => on(AnsiColor::White),
            Self::Equal => on(AnsiColor::Green),
            Self::HotEqual => on(AnsiColor::BrightGreen),
            Self::GrownOwn => on(AnsiColor::Magenta),
            Self::Changed => on(AnsiColor::Yellow),
            Self::HotChanged => on(AnsiColor::BrightRed),
        }
    }

    /// Returns whether the page is private: the instance has it to itself.
    pub(crate) fn is_private(self) -> bool {
        !matches!(self, Self::Inaccessible | Self::Zeros | Self::Image | Self::Grown)
    }
}

/// Neighbouring pages of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pages: Range<u64>,
    pub(crate) class: Class,
}

/// The state, a memory or the heap, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) kind: RegionKind,
    pub(crate) runs: Vec<Run>,
}

impl Region {
    /// Counts the pages of some classes.
    pub(crate) fn count(&self, wanted: impl Fn(Class) -> bool) -> u64 {
        self.runs.iter().filter(|run| wanted(run.class)).map(|run| run.pages.end - run.pages.start).sum()
    }

    /// Counts the pages that can be accessed.
    pub(crate) fn accessible(&self) -> u64 {
        self.count(|class| class != Class::Inaccessible)
    }

    /// Returns the classes of `pages` pages, in cells of `each` pages. A cell shows its most
    /// important page.
    pub(crate) fn cells(&self, pages: u64, each: u64) -> Vec<Class> {
        let mut cells = vec![Class::Inaccessible; pages.div_ceil(each) as usize];
        for Run { pages, class } in &self.runs {
            let last = (pages.end.div_ceil(each) as usize).min(cells.len());
            let first = ((pages.start / each) as usize).min(last);
            cells[first..last].iter_mut().for_each(|cell| *cell = (*cell).max(*class));
        }
        cells
    }
}

/// Returns a region's name.
pub(crate) fn name(kind: RegionKind) -> String {
    match kind {
        RegionKind::Memory(index) => format!("memory {index}"),
        RegionKind::Heap => "heap of objects".to_owned(),
        _ => "state".to_owned(),
    }
}

/// Returns the regions of an image: what each instance begins with.
pub(crate) fn of_image(info: &ImageInfo) -> Vec<Region> {
    let bytes = (info.host_cell + info.state) as u64;
    let state = Region {
        kind: RegionKind::State,
        runs: runs(&[Run { pages: 0..bytes.div_ceil(page_size()), class: Class::Image }]),
    };
    let memories = info.memories.iter().map(|memory| (RegionKind::Memory(memory.index), memory.size, &memory.extents));
    let heap = info.heap.iter().map(|heap| (RegionKind::Heap, heap.size, &heap.extents));
    let others = memories.chain(heap).map(|(kind, size, extents)| of_extents(kind, size as u64, extents));
    std::iter::once(state).chain(others).collect()
}

/// Returns a region of `size` bytes in which these ranges are not zero.
fn of_extents(kind: RegionKind, size: u64, extents: &[Range<u64>]) -> Region {
    let mut all = Vec::new();
    let mut at = 0;
    for extent in extents {
        let pages = extent.start / page_size()..extent.end.div_ceil(page_size());
        all.push(Run { pages: at..pages.start, class: Class::Zeros });
        at = pages.end;
        all.push(Run { pages, class: Class::Image });
    }
    all.push(Run { pages: at..size.div_ceil(page_size()), class: Class::Zeros });
    Region { kind, runs: runs(&all) }
}

/// Adds the room that tables have for growing: the state has `all` pages. An image does not say so,
/// and the map of an instance does.
pub(crate) fn add_room(image: &mut [Region], all: u64) {
    for region in image.iter_mut().filter(|region| region.kind == RegionKind::State) {
        let known = region.runs.last().map_or(0, |run| run.pages.end);
        region.runs.push(Run { pages: known..all, class: Class::Zeros });
        region.runs = runs(&region.runs);
    }
}

/// Returns the regions of an instance, whose image is in `image`.
pub(crate) fn of_map(map: &PageMap, image: &[Region]) -> Vec<Region> {
    map.regions.iter().map(|region| of_region(region, image)).collect()
}

fn of_region(region: &PageRegion, image: &[Region]) -> Region {
    let behind = image.iter().find(|other| other.kind == region.kind).map_or(&[][..], |region| &region.runs);
    let mut all = Vec::new();
    for run in &region.runs {
        match private(run) {
            Some(class) => all.push(Run { pages: run.pages.clone(), class }),
            None => all.extend(shared(run, behind)),
        }
    }
    Region { kind: region.kind, runs: runs(&all) }
}

/// Returns the class of pages that do not depend on what is behind them.
fn private(run: &PageRun) -> Option<Class> {
    Some(match (run.kind, run.grown, run.hot) {
        (PageKind::Inaccessible, ..) => Class::Inaccessible,
        (PageKind::Changed | PageKind::Equal, true, _) => Class::GrownOwn,
        (PageKind::Changed, false, true) => Class::HotChanged,
        (PageKind::Changed, false, false) => Class::Changed,
        (PageKind::Equal, false, true) => Class::HotEqual,
        (PageKind::Equal, false, false) => Class::Equal,
        (_, true, _) => Class::Grown,
        // This includes pages that may be written and were not: most of a region of the hot set.
        _ => return None,
    })
}

/// Returns a run of pages that are not the instance's own, by what is behind them.
fn shared(run: &PageRun, behind: &[Run]) -> Vec<Run> {
    let mut all = Vec::new();
    let mut at = run.pages.start;
    for part in behind {
        let pages = part.pages.start.max(run.pages.start)..part.pages.end.min(run.pages.end);
        if !pages.is_empty() {
            at = pages.end;
            all.push(Run { pages, class: part.class });
        }
    }
    all.push(Run { pages: at..run.pages.end, class: Class::Zeros });
    all
}

/// Makes neighbours of one class one run, and leaves empty ones out.
fn runs(all: &[Run]) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in all.iter().filter(|run| !run.pages.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.class == run.class && last.pages.end == run.pages.start => {
                last.pages.end = run.pages.end
            }
            _ => joined.push(run.clone()),
        }
    }
    joined
}

/// Returns a number of bytes as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let unit = (0..3).find(|unit| bytes < 1024 << (10 * unit)).unwrap_or(3);
    let whole = bytes >> (10 * unit);
    let tenth = (bytes >> (10 * unit.max(1) - 10)) % 1024 * 10 / 1024;
    if unit == 0 || whole >= 100 || tenth == 0 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Region, Run, add_room, bytes};
    use minirt::RegionKind;

    #[test]
    fn a_cell_shows_its_most_important_page() {
        let run = |pages, class| Run { pages, class };
        let region = Region {
            kind: RegionKind::Memory(0),
            runs: vec![run(0..3, Class::Zeros), run(3..4, Class::Changed), run(4..10, Class::Image)],
        };
        use Class::{Changed, Image, Inaccessible, Zeros};
        assert_eq!(region.cells(12, 4), [Changed, Image, Image]);
        assert_eq!(region.cells(12, 2), [Zeros, Changed, Image, Image, Image, Inaccessible]);
        assert_eq!(region.cells(3, 1), [Zeros; 3]);
    }

    #[test]
    fn tables_have_room_in_the_image_too() {
        let run = |pages, class| Run { pages, class };
        let state = Region { kind: RegionKind::State, runs: vec![run(0..2, Class::Image)] };
        let mut image = vec![state];
        add_room(&mut image, 5);
        assert_eq!(image[0].runs, [run(0..2, Class::Image), run(2..5, Class::Zeros)]);
        add_room(&mut image, 5);
        assert_eq!(image[0].accessible(), 5);
    }

    #[test]
    fn bytes_have_units() {
        let all = [0, 1023, 4096, 6144, 1 << 20, (5 << 20) + (1 << 19), 300 << 20, 4 << 30];
        assert_eq!(all.map(bytes), ["0 B", "1023 B", "4 KiB", "6 KiB", "1 MiB", "5.5 MiB", "300 MiB", "4 GiB"]);
    }
}
