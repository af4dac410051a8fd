mod item;
mod lines;

use std::io;

use camino::Utf8PathBuf;
use pantler_butler::puts::PutSession;
use pantler_core::{CollectionName, DatasetTypeName, TransactionName};
use pantler_direct::{ButlerError, DirectButler, Puts, StoreError};
use pantler_exec::StopFlag;
use pantler_registry::RegistryError;
use serde_json::json;

use self::{
    item::{Failure, Item, registered},
    lines::Lines,
};
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
                  given. Files are looked for from the current directory. Each line is answered by one line: the\n\
                  UUID, and then its dataset is stored for good, whatever happens next; `-` if it is not stored, and\n\
                  standard error says why; `?` if that is not known, and then the command ends. The program that\n\
                  writes the lines may wait for the answer. Empty lines are passed over. The same content again gives\n\
                  the same UUID.\n\n\
                  Meanwhile one transaction, a put session, is open on the RUN: many may put into it, nobody can\n\
                  remove from it. The session ends with the input, or at Ctrl-C; what is stored stays. Killed at any\n\
                  moment, the same command goes on.\n\n\
                  Example:\n  printf '%s\\n' '{\"file\": \"oslo-01.csv\", \"city\": \"oslo\", \"month\": 1}' |\n    \
                  pantler put-each --type daily --run climate/raw\n\n\
                  JSON, a line for each: {line, id} or {line, error, next, stored}; next is a command or null, stored\n\
                  is false, or null if that is not known"
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

    /// Say what would be done, and change nothing
    #[arg(long, conflicts_with = "json")]
    dry_run: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of the lines.
#[derive(Default)]
struct Tally {
    stored: usize,
    failed: usize,
}

impl Tally {
    /// What has become of the repository when the session has ended.
    fn state(&self) -> String {
        match self.stored {
            0 => "nothing is stored; the session is ended".to_owned(),
            1 => "1 dataset is stored; the session is ended".to_owned(),
            n => format!("{n} datasets are stored; the session is ended"),
        }
    }

    /// An error if a line failed.
    fn result(&self) -> CommandResult {
        if self.failed == 0 {
            return Ok(Status::Done);
        }
        Err(CommandError::failed(NotStored(count(self.failed, "line")))
            .state(match self.stored {
                0 => "what failed is as it was before".to_owned(),
                1 => "1 other dataset is stored; what failed is as it was before".to_owned(),
                n => format!("{n} other datasets are stored; what failed is as it was before"),
            })
            .next(Next::plain("the same lines again, when the reasons are gone")))
    }
}

/// Some lines named what could not be stored.
#[derive(Debug, thiserror::Error)]
#[error("{0} could not be stored")]
struct NotStored(String);

pub(crate) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    if let Some(name) = &args.dataset_type {
        registered(&butler, name)?;
    }
    // Before there is anything to be ended in order: a pipe may have no writer yet.
    let lines =
        Lines::open(context, &args.lines).map_err(|source| unreadable(context, args, source))?;
    let work = Work { context, args, butler: &butler };
    let mut tally = Tally::default();
    if args.dry_run {
        let planned = work.plan_lines(&lines, &mut tally).and_then(|()| tally.result());
        return planned.map_err(|error| error.state("nothing has changed"));
    }
    let again = Next::command("transaction list").text(context.located());
    let interrupts = Interrupts::watch_work(
        "stopping after this file; once more ends at once",
        format!(
            "stopped\nnow: a put session may be open; what was answered is stored\nnext: {again}"
        ),
    )?;
    let puts = butler
        .put_session(&args.run, args.name.as_ref(), args.take_over)
        .map_err(|error| not_opened(error, &args.run))?;
    let put = work.put_lines(&puts, &lines, interrupts.stop(), &mut tally);
    // Whatever happened to a line, the session is ended.
    let finished = puts.finish();
    if let (Err(error), Err(_)) = (&put, &finished) {
        // That the session is open is said last, with the way on.
        context.output().note(&format!("failed: {}", error.reason()));
    }
    finished?;
    put?;
    if interrupts.stop().is_set() {
        return Err(CommandError::new(Status::Stopped, "stopped").state(tally.state()));
    }
    tally.result()
}

struct Work<'a> {
    context: &'a Context,
    args: &'a Args,
    butler: &'a DirectButler,
}

impl Work<'_> {
    /// Stores line after line, until they end or somebody asks to stop.
    ///
    /// # Errors
    /// What makes it useless to go on with other lines.
    fn put_lines(
        &self,
        puts: &Puts<'_>,
        lines: &Lines,
        stop: &StopFlag,
        tally: &mut Tally,
    ) -> Result<(), CommandError> {
        self.each(lines, stop, tally, |number, item| {
            let id = item.put(puts)?;
            Ok(if self.args.json {
                json!({"line": number, "id": id}).to_string()
            } else {
                id.to_string()
            })
        })
    }

    /// Says of line after line what it would do.
    fn plan_lines(&self, lines: &Lines, tally: &mut Tally) -> Result<(), CommandError> {
        let stop = StopFlag::new();
        self.each(lines, &stop, tally, |_, item| item.plan(self.butler, &self.args.run))
    }

    fn each(
        &self,
        lines: &Lines,
        stop: &StopFlag,
        tally: &mut Tally,
        work: impl Fn(usize, Item) -> Result<String, Failure>,
    ) -> Result<(), CommandError> {
        for number in 1.. {
            let line = lines.next(stop).map_err(|source| {
                unreadable(self.context, self.args, source).state(tally.state())
            })?;
            let Some(line) = line else { return Ok(()) };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let default_type = self.args.dataset_type.as_ref();
            let done = Item::read(self.context, self.butler, default_type, &line)
                .and_then(|item| work(number, item));
            let answered = match &done {
                Ok(answer) => {
                    tally.stored += 1;
                    self.context.output().line(answer)
                }
                Err(failure) => {
                    tally.failed += 1;
                    self.refuse(number, failure)
                }
            };
            if let Err(Failure::Session(error)) = done {
                return Err(error);
            }
            answered.map_err(|error| error.state(tally.state()))?;
        }
        Ok(())
    }

    /// Answers a line that was not stored.
    fn refuse(&self, number: usize, failure: &Failure) -> Result<(), CommandError> {
        let output = self.context.output();
        let error = failure.error();
        let (reason, next) = (error.reason(), error.next_text(self.context.located()));
        if self.args.json {
            let stored = (error.status() != Status::Unknown).then_some(false);
            let line = json!({"line": number, "error": reason, "next": next, "stored": stored});
            return output.line(&line.to_string());
        }
        // One that ends everything is said at the end.
        if let Failure::Line(_) = failure {
            let next = next.map_or_else(String::new, |next| format!("\n  next: {next}"));
            output.note(&format!("failed: line {number}: {reason}{next}"));
        }
        output.line(if error.status() == Status::Unknown { "?" } else { "-" })
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
