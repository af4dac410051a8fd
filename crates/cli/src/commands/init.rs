use camino::Utf8PathBuf;
use pantler_core::Universe;
use pantler_direct::{CreateOptions, create};

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status, quoted},
};

const UNIVERSE: &str = "\
a repository needs a universe: a file that says by what its data is labelled, such as

  version: 1
  name: climate
  elements:
    city:
      key: string
      metadata:
        title: {type: string, required: true}
    month: {key: integer}
";

/// Make a repository
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  pantler init repo --universe universe.yaml")]
pub(crate) struct Args {
    /// The folder: empty or not there yet
    #[arg(value_name = "REPO")]
    place: Utf8PathBuf,

    /// The file that defines the dimensions
    #[arg(long, value_name = "FILE")]
    universe: Option<Utf8PathBuf>,
}

/// A universe file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the universe file {path}")]
struct UniverseFileError {
    path: Utf8PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let Some(path) = &args.universe else {
        let place = quoted(args.place.as_str());
        return Err(CommandError::usage(UNIVERSE.trim_end())
            .next(Next::plain(format!("pantler init {place} --universe universe.yaml"))));
    };
    let unusable = |source: Box<dyn std::error::Error + Send + Sync>| {
        CommandError::failed(UniverseFileError { path: path.clone(), source })
            .state("nothing has changed")
    };
    let text = std::fs::read_to_string(path).map_err(|e| unusable(e.into()))?;
    let universe = Universe::from_yaml(&text).map_err(|e| unusable(e.into()))?;
    let place = context.absolute(&args.place);
    create(&place, &universe, &CreateOptions::default())?;
    context.output().say(&format!("made the repository {place}"));
    Ok(Status::Done)
}
