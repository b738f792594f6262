//! Defines the command line, as inert data: nothing here opens, reads or runs anything.

use super::grants::{self, Dir, EnvVar, Preload};
use super::size;
use super::wasm_options::{self, WasmOption};
use crate::output::words;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, ColorChoice, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A small WebAssembly runtime.
#[derive(Debug, Parser)]
#[command(name = "minirt", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// When to use colours: auto is on a terminal, unless NO_COLOR or CLICOLOR_FORCE say otherwise
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Defines the commands: each with its description, its options, and its name. clap's derive would
/// put the options of all together, and that takes longer than the rest of a command line.
macro_rules! commands {
    ($($about:literal, $Command:ident($Args:ident) = $name:literal;)*) => {
        /// A command.
        #[derive(Debug)]
        pub(crate) enum Command {
            $(#[doc = $about] $Command($Args),)*
        }

        impl Subcommand for Command {
            fn augment_subcommands(command: clap::Command) -> clap::Command {
                command$(.subcommand(
                    // The options are put together when the command is the one that is wanted.
                    clap::Command::new($name).about($about).defer(|command| $Args::augment_args(command).about($about)),
                ))*
            }

            fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                [$($name),*].contains(&name)
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, matches)) => $Args::from_arg_matches(matches).map(Self::$Command),)*
                    _ => Err(clap::Error::new(ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

commands! {
    "Run a module: its `_start`, or with --invoke any function it exports", Run(RunArgs) = "run";
    "Compile a module to an artifact, which starts without being compiled again", Compile(CompileArgs) = "compile";
    "Run an initialiser, and freeze what it leaves as an artifact, which starts from there",
        Snapshot(SnapshotArgs) = "snapshot";
    "Show what a module asks for and offers, and what its instances start from", Inspect(InspectArgs) = "inspect";
    "Measure what a module's instances cost", Bench(BenchArgs) = "bench";
    "Show what the pages of a module's instances are, from the image to the next run, and what that costs",
        Show(ShowArgs) = "show";
    "Show or clear the cache of compiled modules", Cache(CacheArgs) = "cache";
    "Print what makes a shell complete minirt's command lines", Completions(CompletionsArgs) = "completions";
    "Print the manual page of minirt, or of one of its commands", Man(ManArgs) = "man";
}

/// The options of `minirt completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// The options of `minirt man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The command, if not minirt as a whole
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

/// The options of `minirt cache`.
#[derive(Args, Debug)]
pub(crate) struct CacheArgs {
    /// The action; without a word, show all about it
    #[arg(value_name = "ACTION")]
    pub(crate) action: Option<CacheAction>,
}

/// An action on the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheAction {
    /// Print where it is
    Dir,
    /// Print how many bytes are in it
    Size,
    /// Remove all that is in it
    Clear,
}

/// The parts of the host that a guest is given.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// Give the guest a directory of the host, under the name GUEST or else HOST; repeatable
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = OsStringValueParser::new().try_map(|text| grants::parse_dir(&text)))]
    pub(crate) dirs: Vec<Dir>,

    /// Give the guest an environment variable; without a value, the host's; repeatable
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(|text| grants::parse_env(&text)))]
    pub(crate) env: Vec<EnvVar>,

    /// Give the guest this name for itself, its first argument, instead of the file's
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<OsString>,
}

/// The options of commands that run a guest, and the words from FILE on.
#[derive(Args, Debug)]
pub(crate) struct GuestArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// Instantiate FILE first and offer its exports for import under NAME; repeatable, in order
    #[arg(long = "preload", value_name = "NAME=FILE", value_parser = OsStringValueParser::new().try_map(|text| grants::parse_preload(&text)))]
    pub(crate) preloads: Vec<Preload>,

    /// Limit what the guest may use, or switch features: see below; repeatable
    #[arg(short = 'W', value_name = "NAME[=VALUE]", value_delimiter = ',')]
    pub(crate) wasm: Vec<WasmOption>,

    /// Compile the module even if it has been compiled before, and do not keep the result (as
    /// MINIRT_CACHE=off does)
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Trust FILE, and what is preloaded, if it is an artifact: it is machine code, and runs as it
    /// is
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// The module (binary or text, `-` for standard input), and from there on the guest's arguments
    // One list, because only then do flags after FILE belong to the guest.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    words: Vec<OsString>,
}

impl GuestArgs {
    /// Returns the module.
    pub(crate) fn file(&self) -> &Path {
        // clap has seen that there is at least one word.
        Path::new(&self.words[0])
    }

    /// Returns the arguments for the guest.
    pub(crate) fn guest_args(&self) -> &[OsString] {
        &self.words[1..]
    }
}

/// The options of `minirt compile`.
#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// Compile for another kind of machine than this one: x86_64-unknown-linux-gnu or
    /// aarch64-unknown-linux-gnu. The artifact uses what every processor of that kind has: on
    /// x86-64, the level x86-64-v2
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,

    /// How large pages may be where the artifact is used, from 4k to 64k; without it, 4k
    #[arg(long, value_name = "SIZE", requires = "target", value_parser = page_size)]
    pub(crate) page_size: Option<u64>,

    /// Where to write the result, `-` for standard output; if not given, beside the module, as
    /// .cwasm, .clif or .asm
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,

    /// What to make of the module: an artifact, or text for people: the code in Cranelift's
    /// language, or machine code
    #[arg(long, value_name = "WHAT", default_value = "artifact")]
    pub(crate) emit: Emit,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The output of `minirt compile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    // Documentation of these would make the help twice as long.
    Artifact,
    Clif,
    Asm,
}

/// Who learns the names of the guest's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    // The file /tmp/perf-PID.map, where `perf report` looks.
    Perfmap,
    // A list in memory, where the debugger looks.
    Gdb,
}

fn page_size(text: &str) -> Result<u64, String> {
    let size = size::parse(text).filter(|bytes| bytes.is_power_of_two() && (4 << 10..=64 << 10).contains(bytes));
    size.ok_or_else(|| "pages have 4k, 8k, 16k, 32k or 64k".to_owned())
}

/// The options of `minirt snapshot`.
#[derive(Args, Debug)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// The exported function to call first: it takes and returns nothing. Open files are not part
    /// of what is frozen
    #[arg(long, value_name = "NAME")]
    pub(crate) init: String,

    /// Where to write the artifact
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,

    /// Trust FILE if it is an artifact: it is machine code, and runs as it is
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The guest's arguments
    #[arg(value_name = "ARGS", last = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// The options of `minirt inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Show the machine code of this function instead, by its index or name, beside its
    /// instructions
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) asm: Option<String>,

    /// Trust FILE if it is an artifact
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// The options of `minirt bench`.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Call this exported function, which takes nothing, in every instance; it can use WASI, with
    /// empty streams
    #[arg(long, value_name = "NAME", conflicts_with = "call")]
    pub(crate) invoke: Option<String>,

    /// Measure requests instead: call this exported function with ARGS in instances that --init has
    /// initialised, each in an instance of its own, which is initialised for it or starts from a
    /// snapshot
    #[arg(long, value_name = "NAME")]
    pub(crate) call: Option<String>,

    /// Before any --call, call this exported function, which takes and returns nothing [default:
    /// only `_initialize`, if there is one]
    #[arg(long, value_name = "NAME", requires = "call")]
    pub(crate) init: Option<String>,

    /// Besides, have the host write to so many pages of 4 KiB of every instance's memory
    #[arg(long, value_name = "PAGES", default_value_t = 1, conflicts_with = "call")]
    pub(crate) dirty: u32,

    /// How many instances to make of each kind
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Arguments for --call
    #[arg(value_name = "ARGS", requires = "call", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// The options of `minirt show`.
#[derive(Args, Debug)]
#[command(override_usage = "minirt show [OPTIONS] FILE [ARGS]...", after_help = words::help() + "\n" + &wasm_options::help())]
pub(crate) struct ShowArgs {
    /// Call this exported function with ARGS instead of `_start`; repeatable, in order
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Vec<String>,

    /// How many instances to watch, one after the other. The guest's streams are empty, but it can
    /// write to what --dir gives
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,

    /// Do not measure times
    #[arg(long)]
    pub(crate) no_times: bool,

    /// Write a page for a web browser to OUT, instead of text
    #[arg(long, value_name = "OUT")]
    pub(crate) html: Option<PathBuf>,

    /// Write a picture, of the first two instances, to OUT, instead of text
    #[arg(long, value_name = "OUT", conflicts_with = "html")]
    pub(crate) svg: Option<PathBuf>,

    /// How many characters wide the text is; if not given, as COLUMNS says, or the terminal, or 80
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(60..))]
    pub(crate) width: Option<u16>,

    #[command(flatten)]
    pub(crate) guest: GuestArgs,
}

/// The options of `minirt run`.
#[derive(Args, Debug)]
#[command(override_usage = "minirt run [OPTIONS] FILE [ARGS]...", after_help = wasm_options::help())]
pub(crate) struct RunArgs {
    /// Call this exported function with ARGS, and print its results, one a line; if it takes none,
    /// ARGS are the guest's alone
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,

    /// Tell the profiler `perf` the names of the guest's functions, in a file where it looks for
    /// them, or the debugger `gdb`, which shows them in backtraces
    #[arg(long, value_name = "HOW")]
    pub(crate) profile: Option<Profile>,

    /// Fill instances by copying instead of mapping a copy-on-write image
    #[arg(long)]
    pub(crate) no_images: bool,

    #[command(flatten)]
    pub(crate) guest: GuestArgs,
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, RunArgs};
    use clap::{CommandFactory, Parser};
    use std::path::Path;

    fn run(words: &[&str]) -> RunArgs {
        let all = ["minirt", "run"].iter().chain(words);
        match Cli::try_parse_from(all).expect("a valid command line").command {
            Command::Run(args) => args,
            other => panic!("{other:?} is not what was written"),
        }
    }

    #[test]
    fn the_definitions_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_after_the_file_belong_to_the_guest() {
        let args = run(&["--invoke", "f", "a.wasm", "--invoke", "g", "--help", "-5", "--", "x"]);
        assert_eq!(args.invoke.as_deref(), Some("f"));
        assert_eq!(args.guest.file(), Path::new("a.wasm"));
        assert_eq!(args.guest.guest_args(), ["--invoke", "g", "--help", "-5", "--", "x"]);
    }
}
