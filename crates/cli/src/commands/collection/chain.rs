use pantler_core::{CollectionName, changes::Change};

use crate::{
    changes::DryRun,
    context::Context,
    error::{CommandResult, Status},
};

/// Give a chain its children, in search order; it is made if there is none
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The children given replace those that it has.\n\nExample:\n  pantler collection chain climate climate/good climate/raw"
)]
pub(crate) struct Args {
    /// The chain
    #[arg(value_name = "NAME")]
    name: CollectionName,

    /// All its children from now on
    #[arg(value_name = "CHILD", required = true)]
    children: Vec<CollectionName>,

    #[command(flatten)]
    dry_run: DryRun,
}

pub(super) fn run(context: &Context, args: &Args) -> CommandResult {
    let butler = context.open()?;
    let now = butler.environment().clock.now();
    let name = &args.name;
    let (before, after) = args.dry_run.write(&butler, |writer| {
        let before = writer.collection(name)?.map(|chain| chain.children);
        let change = Change::SetChain { chain: name.clone(), children: args.children.clone() };
        writer.apply(&[change], now)?;
        let after = writer.collection(name)?.map(|chain| chain.children);
        Ok((before, after.unwrap_or_default()))
    })?;
    let list = |children: &[CollectionName]| {
        let names: Vec<_> = children.iter().map(CollectionName::as_str).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let text = match before {
        Some(before) if before == after => format!("{name} is {} already", list(&after)),
        Some(before) => {
            let is = args.dry_run.either("is now", "would be");
            format!("{name} {is} {} (it was {})", list(&after), list(&before))
        }
        None => {
            let made = args.dry_run.either("made", "would make");
            format!("{made} the chain {name} of {}", list(&after))
        }
    };
    context.output().say(&text);
    Ok(Status::Done)
}
