use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use pantler_butler::puts::PutSession;
use pantler_core::{
    CollectionName, DataId, DatasetId, DatasetType, DatasetTypeName, TransactionName,
};
use pantler_direct::{ButlerError, DirectButler, Puts, StoreError, read_index_line};
use pantler_exec::StopFlag;
use pantler_registry::RegistryError;
use serde_json::json;

use crate::{
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    interrupt::Interrupts,
    table::count,
};

/// Store files as they are named line by line, each for itself
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is a JSON object with `file`, one member for each dimension, and `type` unless --type is\n\
                  given. Files are looked for from the current directory. When the UUID of a line is printed, its\n\
                  dataset is stored for good, whatever happens next; the program that writes the lines may wait for\n\
                  it. The same content again prints the same UUID. A line that cannot be stored is named on standard\n\
                  error, and the next one is gone on with.\n\n\
                  Meanwhile one transaction, a put session, is open on the RUN: many may put into it, nobody can\n\
                  remove from it. The session ends with the input. Killed at any moment, the same command goes on.\n\n\
                  Example:\n  printf '%s\\n' '{\"file\": \"oslo-01.csv\", \"city\": \"oslo\", \"month\": 1}' |\n    \
                  pantler put-each --type daily --run climate/raw\n\n\
                  JSON, one line for each line read: {line, id} or {line, error}"
)]
pub(crate) struct Args {
    /// The lines; `-` is standard input
    #[arg(value_name = "LINES|-", default_value = "-")]
    lines: Utf8PathBuf,

    /// The RUN, which is made if it is missing
    #[arg(long, value_name = "RUN")]
    run: CollectionName,

    /// The dataset type of what does not say its own
    #[arg(long = "type", value_name = "DATASET_TYPE")]
    dataset_type: Option<DatasetTypeName>,

    /// The session's name, which no other session may have meanwhile [default: one of its own]
    #[arg(long, value_name = "NAME")]
    name: Option<TransactionName>,

    /// End a session of that name that another process holds and is not known to be dead
    #[arg(long, requires = "name")]
    take_over: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How often it is looked whether somebody asked to stop, while no line comes.
const LOOK: Duration = Duration::from_millis(50);

/// How many lines are read ahead.
const AHEAD: usize = 64;

/// What became of the lines.
#[derive(Default)]
struct Tally {
    stored: usize,
    failed: usize,
}

impl Tally {
    /// What has become of the repository when the session has ended.
    fn state(&self) -> String {
        format!("{} stored; the session is ended", count(self.stored, "dataset"))
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    if let Some(name) = &args.dataset_type {
        registered(&butler, name)?;
    }
    let again = Next::command("transaction list").text(context.located());
    let interrupts = Interrupts::watch_work(
        "stopping after this file; once more ends at once",
        format!(
            "stopped\nnow: a put session may be open; what has its UUID is stored\nnext: {again}"
        ),
    )?;
    let lines = open_lines(context, &args.lines).map_err(|e| unreadable(context, args, e))?;
    let puts = butler
        .put_session(&args.run, args.name.as_ref(), args.take_over)
        .map_err(|error| not_opened(error, &args.run))?;
    let work = Work { context, args, butler: &butler, puts: &puts };
    let mut tally = Tally::default();
    let put = work.put_lines(&lines, interrupts.stop(), &mut tally);
    // Whatever happened to a line, the session is ended.
    let finished = puts.finish();
    if let (Err(error), Err(_)) = (&put, &finished) {
        // That the session is open is said last, with the way on.
        context.output().note(&format!("failed: {}", error.reason()));
    }
    finished?;
    put?;
    let Tally { stored, failed } = tally;
    if interrupts.stop().is_set() {
        return Err(CommandError::new(Status::Stopped, "stopped").state(tally.state()));
    }
    if failed > 0 {
        return Err(CommandError::failed(NotStored(count(failed, "line")))
            .state(format!(
                "{} stored; what failed is as it was before",
                count(stored, "other dataset")
            ))
            .next(Next::plain("the same lines again, when the reasons are gone")));
    }
    Ok(Status::Done)
}

/// Some lines named what could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("{0} could not be stored")]
struct NotStored(String);

/// A line that names no dataset.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("it is not UTF-8")]
    NotText,
    #[error("{0}")]
    Syntax(String),
    #[error("it says no `type`, and --type is not given")]
    NoType,
    #[error("a part of a file cannot be put: ingest it")]
    Part,
    #[error("`file` is `-`: only `pantler put` reads content from standard input")]
    StandardInput,
}

/// Why a line was not stored.
enum Failure {
    /// Others may be.
    Line(CommandError),
    /// It is useless to go on, or wrong before somebody has looked.
    Session(CommandError),
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        if error.status() == Status::Failed { Self::Line(error) } else { Self::Session(error) }
    }
}

struct Work<'a> {
    context: &'a Context,
    args: &'a Args,
    butler: &'a DirectButler,
    puts: &'a Puts<'a>,
}

impl Work<'_> {
    /// Stores line after line, until they end or somebody asks to stop.
    ///
    /// # Errors
    /// What makes it useless to go on with other lines.
    fn put_lines(
        &self,
        lines: &Lines,
        stop: &StopFlag,
        tally: &mut Tally,
    ) -> Result<(), CommandError> {
        let output = self.context.output();
        for number in 1.. {
            let line = next_line(lines, stop).map_err(|source| {
                unreadable(self.context, self.args, source).state(tally.state())
            })?;
            let Some(line) = line else { return Ok(()) };
            if line.trim_ascii().is_empty() {
                continue;
            }
            match self.put_line(&line) {
                Ok(id) => {
                    tally.stored += 1;
                    let answer = if self.args.json {
                        json!({"line": number, "id": id}).to_string()
                    } else {
                        id.to_string()
                    };
                    output.line(&answer).map_err(|error| error.state(tally.state()))?;
                }
                Err(failure) => {
                    let (Failure::Line(error) | Failure::Session(error)) = &failure;
                    let reason = error.reason();
                    if self.args.json {
                        output
                            .line(&json!({"line": number, "error": reason}).to_string())
                            .map_err(|error| error.state(tally.state()))?;
                    }
                    match failure {
                        Failure::Session(error) => return Err(error),
                        Failure::Line(_) => tally.failed += 1,
                    }
                    if !self.args.json {
                        output.note(&format!("failed: line {number}: {reason}"));
                    }
                }
            }
        }
        Ok(())
    }

    fn put_line(&self, line: &[u8]) -> Result<DatasetId, Failure> {
        let line =
            std::str::from_utf8(line).map_err(|_| CommandError::failed(LineError::NotText))?;
        let row = read_index_line("", line)
            .map_err(|reason| CommandError::failed(LineError::Syntax(reason)))?;
        if row.slice.is_some() {
            return Err(CommandError::failed(LineError::Part).into());
        }
        if row.file == "-" {
            return Err(CommandError::failed(LineError::StandardInput).into());
        }
        let name = row.dataset_type.as_ref().or(self.args.dataset_type.as_ref());
        let name = name.ok_or_else(|| CommandError::failed(LineError::NoType))?;
        let dataset_type = match self.butler.registry().known_dataset_type(name) {
            Some(known) => known,
            None => registered(self.butler, name)?,
        };
        let dimensions = &dataset_type.dimensions;
        let data_id = DataId::parse(self.butler.universe(), dimensions, &row.values)
            .map_err(CommandError::failed)?;
        let content = super::put::read(self.context, &row.file)?;
        match self.puts.put(&content, name, &data_id) {
            Ok(dataset) => Ok(dataset.id),
            Err(error @ StoreError::SessionEnded { .. }) => Err(Failure::Session(error.into())),
            Err(error) => Err(CommandError::from(error).into()),
        }
    }
}

/// The lines cannot be read.
fn unreadable(context: &Context, args: &Args, source: io::Error) -> CommandError {
    let path = match args.lines.as_str() {
        "-" => "standard input".into(),
        _ => context.absolute(&args.lines),
    };
    StoreError::Source { path, source }.into()
}

/// No session is open; if another one has its name, that can be ended.
fn not_opened(error: StoreError, run: &CollectionName) -> CommandError {
    let StoreError::Butler(ButlerError::Registry(RegistryError::TransactionExists { row })) =
        &error
    else {
        return error.into();
    };
    if PutSession::of_row(row).is_none_or(|session| session.run() != run) {
        return error.into();
    }
    let shown = Next::command(format_args!("transaction show {}", row.name));
    CommandError::from(error).next(Next::one_of([
        shown,
        Next::plain("the same command with another --name"),
        Next::plain("the same command with --take-over, if that process is gone"),
    ]))
}

fn registered(
    butler: &DirectButler,
    name: &DatasetTypeName,
) -> Result<Arc<DatasetType>, CommandError> {
    let found = butler.registry().read(|reader| reader.dataset_type(name))?;
    Ok(found.ok_or_else(|| RegistryError::UnknownDatasetType { name: name.clone() })?)
}

type Lines = Receiver<io::Result<Vec<u8>>>;

fn open_lines(context: &Context, path: &Utf8Path) -> io::Result<Lines> {
    if path == "-" {
        return read_ahead(io::stdin());
    }
    let file = File::open(context.absolute(path))?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    read_ahead(file)
}

/// Reads lines on a thread of its own, which waits for them as long as it takes.
fn read_ahead(from: impl Read + Send + 'static) -> io::Result<Lines> {
    let (send, lines) = sync_channel(AHEAD);
    let read = move || {
        for line in BufReader::new(from).split(b'\n') {
            // Nobody takes it: the command has ended.
            if send.send(line).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("lines".to_owned()).spawn(read)?;
    Ok(lines)
}

/// The next line; `None` if there is none, or if somebody asked to stop.
fn next_line(lines: &Lines, stop: &StopFlag) -> io::Result<Option<Vec<u8>>> {
    loop {
        if stop.is_set() {
            return Ok(None);
        }
        match lines.recv_timeout(LOOK) {
            Ok(line) => return line.map(Some),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}
