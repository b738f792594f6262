//! `minirt show`: what the pages of a module's instances are, from the image to the next run, and
//! what that costs.

use crate::guest::cache::Cache;
use crate::guest::input::{Input, shown};
use crate::guest::outcome::Outcome;
use crate::guest::source::Source;
use crate::options::args::ShowArgs;
use crate::output::artifact_file;
use crate::output::printable;
use crate::output::report::{Report, note, print_styled};
use crate::show::class::Region;
use crate::show::facts::Facts;
use crate::show::life::{BeforeEnd, Life, Subject};
use crate::show::writers::Writers;
use crate::show::{advice, class, costs, page, text};
use minirt::{Config, RegionKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long instances are watched, if there were two.
const TIME: Duration = Duration::from_secs(5);

/// Where and how the facts are shown.
#[derive(Clone)]
struct Output {
    html: Option<PathBuf>,
    svg: Option<PathBuf>,
    width: Option<u16>,
    times: bool,
}

impl Output {
    fn write(&self, facts: &Facts) -> Result<(), Report> {
        match (&self.html, &self.svg) {
            (Some(out), _) => write(out, &page::page(facts)),
            (None, Some(out)) => write(out, &page::picture(facts)),
            (None, None) => {
                let width = self.width.or_else(columns).or_else(terminal_width).unwrap_or(80).max(60);
                print_styled(&text::text(facts, width.into(), self.times))
            }
        }
    }
}

/// Shows the module that the command line names.
///
/// # Errors
/// Returns what ends its instances early, after what was seen of them; or an error if it cannot be
/// loaded, or what is shown cannot be written.
pub(crate) fn show(args: &ShowArgs) -> Result<(), Outcome> {
    let output = Output { html: args.html.clone(), svg: args.svg.clone(), width: args.width, times: !args.no_times };
    let (facts, end) = watch(args, &output)?;
    output.write(&facts)?;
    match end {
        Some(Outcome::Exit(code)) => {
            note(&format!("the guest exits with the code {code}"));
            Err(Outcome::Exit(code))
        }
        Some(end) => Err(end),
        None => Ok(()),
    }
}

/// Finds out all there is to show, and what ended an instance early.
fn watch(args: &ShowArgs, output: &Output) -> Result<(Facts, Option<Outcome>), Outcome> {
    let input = Input::open(args.guest.file())?;
    let source = Source { trusted: args.guest.allow_precompiled, cache: Cache::open(args.guest.no_cache)? };
    let subject = Subject::load(args, &input, &source, &mut Config::new())?;
    let info = subject.module.image_info();
    let image = class::of_image(&info);
    let who = shown(args.guest.file());
    let until_now = Facts::of_image(who, image.clone(), advice::missing(&info));
    let subject = subject.before_end(before_end(output.clone(), until_now.clone()));
    let (mut lives, mut chosen) = (Vec::new(), "nothing");
    let start = Instant::now();
    while lives.len() < args.runs as usize && (lives.len() < 2 || start.elapsed() < TIME) {
        let (life, way) = costs::live(&subject, &image)?;
        chosen = way;
        let over = life.end.is_some();
        lives.push(life);
        if over {
            break;
        }
    }
    let writers = {
        let attributing = Subject::load(args, &input, &source, Config::new().attribute_writes(true))?;
        let life = attributing.live(&image)?;
        let during: Vec<String> = life.stages.iter().map(|stage| stage.after.clone()).collect();
        Writers::of(&during.into_iter().zip(&life.maps).collect::<Vec<_>>())
    };
    let mut image = image;
    let state = lives.iter().flat_map(|life: &Life| &life.stages).flat_map(|stage| &stage.regions);
    let state = state.filter(|region| region.kind == RegionKind::State);
    class::add_room(&mut image, state.map(Region::accessible).max().unwrap_or(0));
    let why = costs::why(chosen, &lives);
    let end = lives.last_mut().and_then(|life| life.end.take());
    let measured = !args.no_times && end.is_none();
    let costs = if measured { costs::measure(args, &input, &source)? } else { Vec::new() };
    let advice = if end.is_none() { advice::advice(args, &subject, &writers, measured) } else { Vec::new() };
    let ended = end.as_ref().map(|end| match end {
        Outcome::Exit(code) => format!("The guest exited with the code {code}."),
        Outcome::Report(report) => report.plain(),
    });
    Ok((Facts { image, lives, writers, chosen, why, costs, advice, ended, ..until_now }, end))
}

/// Shows what was seen of a guest that cannot be stopped.
fn before_end(output: Output, until_now: Facts) -> BeforeEnd {
    Arc::new(move |seen, report| {
        let lives = seen.into_iter().map(Life::until_now).collect();
        let facts = Facts { lives, ended: Some(report.plain()), ..until_now.clone() };
        if let Err(unwritten) = output.write(&facts) {
            unwritten.end();
        }
    })
}

/// Writes a file that appears when it is complete.
fn write(out: &Path, text: &str) -> Result<(), Report> {
    artifact_file::write(out, text.as_bytes()).map_err(|error| {
        let what = format!("`{}` cannot be written", printable::path(out));
        Report::new(what, error.to_string(), "name a file in a folder that exists and that you can write to")
    })
}

/// Returns the width that a user sets for all programs.
fn columns() -> Option<u16> {
    std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0)
}

fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}
