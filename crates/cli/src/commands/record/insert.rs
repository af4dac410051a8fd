use camino::Utf8PathBuf;
use pantler_core::{DimensionRecord, ElementName, changes::Change};
use pantler_direct::read_records_of;

use crate::{
    arguments::{Assignment, texts},
    changes::DryRun,
    context::Context,
    error::{CommandError, CommandResult, Next, Status},
    table::count,
};

/// Insert records of a dimension element; those that are there with the same content stay
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file ends with .csv (a table whose header names the fields), .json or .yaml (a list of mappings, or\n\
                  a record file as projects name them). All of its records are inserted, or none.\n\n\
                  Examples:\n  pantler record insert city city=oslo title=Oslo latitude=59.9\n  \
                  pantler record insert city --file cities.csv"
)]
pub(crate) struct Args {
    /// The element
    #[arg(value_name = "ELEMENT")]
    element: ElementName,

    /// The fields of one record: dimensions and metadata
    #[arg(value_name = "KEY=VALUE")]
    fields: Vec<Assignment>,

    /// A file of records
    #[arg(long, value_name = "FILE", conflicts_with = "fields")]
    file: Option<Utf8PathBuf>,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let universe = butler.universe();
    let element = universe.element(args.element.as_str()).map_err(CommandError::usage)?;
    let records = match &args.file {
        Some(file) => read_records_of(&context.absolute(file), universe, element)?,
        None if args.fields.is_empty() => {
            return Err(CommandError::usage("no record is given")
                .next(Next::plain("give its fields as KEY=VALUE, or --file FILE")));
        }
        None => {
            let record = DimensionRecord::from_texts(universe, element, &texts(&args.fields)?);
            vec![record.map_err(CommandError::usage)?]
        }
    };
    let number = records.len();
    let now = butler.environment().clock.now();
    let before = args.dry_run.write(&butler, |writer| {
        let count = || writer.dimension_records(element).map(|records| records.len());
        let before = count()?;
        writer.apply(&[Change::EnsureDimensionRecords(records)], now)?;
        Ok(number.saturating_sub(count()?.saturating_sub(before)))
    })?;
    let inserted = args.dry_run.either("inserted", "would insert");
    let what = format!("{} record", element.name);
    let rest = match before {
        0 => String::new(),
        before => format!("; {} there already", count(before, &what)),
    };
    context.output().say(&format!("{inserted} {}{rest}", count(number - before, &what)));
    Ok(Status::Done)
}
