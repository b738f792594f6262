//! What the command line says, as inert data: nothing here opens, reads or runs anything.

use super::wasm_options::{self, WasmOption};
use clap::{Args, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

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

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a module: its `_start`, or with --invoke any function it exports
    Run(RunArgs),
    /// Compile a module to an artifact, which starts without being compiled again
    Compile(CompileArgs),
    /// Run an initialiser, and freeze what it leaves as an artifact, which starts from there
    Snapshot(SnapshotArgs),
    /// Show what a module asks for and offers, and what its instances start from
    Inspect(InspectArgs),
    /// Measure what a module's instances cost
    Bench(BenchArgs),
    /// Print what makes a shell complete minirt's command lines
    Completions(CompletionsArgs),
    /// Print the manual page of minirt, or of one of its commands
    Man(ManArgs),
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

/// What a guest is given of the host.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    /// Give the guest a folder of the host, under the name GUEST or else HOST; repeatable
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = parse_dir)]
    pub(crate) dirs: Vec<Dir>,

    /// Give the guest an environment variable; without a value, the host's; repeatable
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = parse_env)]
    pub(crate) env: Vec<EnvVar>,
}

/// The options of `minirt compile`.
#[derive(Args, Debug)]
pub(crate) struct CompileArgs {
    /// Where to write the artifact; if not given, beside the module, as .cwasm
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

/// The options of `minirt snapshot`.
#[derive(Args, Debug)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// The exported function to call first: it takes and returns nothing. Open files are not part of what is frozen
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
    pub(crate) file: String,

    /// The guest's arguments
    #[arg(value_name = "ARGS", last = true)]
    pub(crate) arguments: Vec<String>,
}

/// The options of `minirt inspect`.
#[derive(Args, Debug)]
pub(crate) struct InspectArgs {
    /// Trust FILE if it is an artifact
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

/// The options of `minirt bench`.
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Call this exported function, which takes nothing, in every instance; it can use WASI, with empty streams
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,

    /// Besides, have the host write to so many pages of 4 KiB of every instance's memory
    #[arg(long, value_name = "PAGES", default_value_t = 1)]
    pub(crate) dirty: u32,

    /// How many instances to make of each kind
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,

    /// The module (binary or text, `-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
}

/// The options of `minirt run`.
#[derive(Args, Debug)]
#[command(override_usage = "minirt run [OPTIONS] FILE [ARGS]...", after_help = wasm_options::help())]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// Call this exported function with ARGS, and print its results, one a line
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,

    /// Instantiate FILE first and offer its exports for import under NAME; repeatable, in order
    #[arg(long = "preload", value_name = "NAME=FILE", value_parser = parse_preload)]
    pub(crate) preloads: Vec<Preload>,

    /// Limit what the guest may use, or switch features: see below; repeatable
    #[arg(short = 'W', value_name = "NAME[=VALUE]", value_delimiter = ',')]
    pub(crate) wasm: Vec<WasmOption>,

    /// Compile the module even if it has been compiled before, and do not keep the result (as MINIRT_CACHE=off does)
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Trust FILE, and what is preloaded, if it is an artifact: it is machine code, and runs as it is
    #[arg(long)]
    pub(crate) allow_precompiled: bool,

    /// Fill instances by copying instead of mapping a copy-on-write image
    #[arg(long)]
    pub(crate) no_images: bool,

    /// The module (binary or text, `-` for standard input), and from there on the guest's arguments
    // One list, because only then do flags after FILE belong to the guest.
    #[arg(value_name = "FILE", required = true, trailing_var_arg = true)]
    words: Vec<String>,
}

impl RunArgs {
    /// The module to run.
    pub(crate) fn file(&self) -> &str {
        // clap has seen that there is at least one word.
        &self.words[0]
    }

    /// The arguments for the guest.
    pub(crate) fn guest_args(&self) -> &[String] {
        &self.words[1..]
    }
}

/// A folder for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dir {
    /// Where it is.
    pub(crate) host: PathBuf,
    /// What the guest calls it.
    pub(crate) guest: String,
}

/// An environment variable for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVar {
    /// Its name.
    pub(crate) name: String,
    /// Its value; `None` means the host's.
    pub(crate) value: Option<String>,
}

/// A module that others may import from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preload {
    /// What others import it as.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) file: String,
}

fn parse_dir(text: &str) -> Result<Dir, &'static str> {
    let (host, guest) = text.split_once("::").unwrap_or((text, text));
    if host.is_empty() || guest.is_empty() {
        return Err("both the host's folder and the guest's name for it must be given, as in `./data::/data`");
    }
    Ok(Dir { host: host.into(), guest: guest.to_owned() })
}

fn parse_env(text: &str) -> Result<EnvVar, &'static str> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("the name is missing before the `=`");
    }
    Ok(EnvVar { name: name.to_owned(), value })
}

fn parse_preload(text: &str) -> Result<Preload, &'static str> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok(Preload { name: name.to_owned(), file: file.to_owned() })
        }
        _ => Err("a name and a file are needed with `=` between them, as in `env=env.wasm`"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, Dir, EnvVar, Preload, RunArgs, parse_dir, parse_env, parse_preload};
    use clap::{CommandFactory, Parser};

    fn run(words: &[&str]) -> RunArgs {
        let all = ["minirt", "run"].iter().chain(words);
        match Cli::try_parse_from(all).expect("a good command line").command {
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
        assert_eq!(args.file(), "a.wasm");
        assert_eq!(args.guest_args(), ["--invoke", "g", "--help", "-5", "--", "x"]);
    }

    #[test]
    fn a_folder_has_its_own_name_unless_another_is_given() {
        assert_eq!(parse_dir("data"), Ok(Dir { host: "data".into(), guest: "data".into() }));
        assert_eq!(parse_dir("data::/d"), Ok(Dir { host: "data".into(), guest: "/d".into() }));
        assert!(parse_dir("::/d").is_err());
        assert!(parse_dir("data::").is_err());
    }

    #[test]
    fn a_variable_may_have_an_empty_value_but_no_empty_name() {
        assert_eq!(parse_env("A=b=c"), Ok(EnvVar { name: "A".into(), value: Some("b=c".into()) }));
        assert_eq!(parse_env("A="), Ok(EnvVar { name: "A".into(), value: Some(String::new()) }));
        assert_eq!(parse_env("A"), Ok(EnvVar { name: "A".into(), value: None }));
        assert!(parse_env("=b").is_err());
    }

    #[test]
    fn a_preload_needs_a_name_and_a_file() {
        assert_eq!(parse_preload("m=a=b"), Ok(Preload { name: "m".into(), file: "a=b".into() }));
        assert!(parse_preload("m").is_err());
        assert!(parse_preload("m=").is_err());
        assert!(parse_preload("=f").is_err());
    }
}
