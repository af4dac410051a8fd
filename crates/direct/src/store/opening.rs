//! Opening a storing transaction, or taking over the one that a dead process left.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pantler_butler::{
    storing::{Item, ItemDataset, Role, Source, Storing, StoringChain, StoringRun},
    transaction::{Open, TransactionKind as _},
};
use pantler_core::{
    ArtifactKey, CollectionName, CollectionType, DatasetId, DatasetRef, Location, OpeningId,
    TransactionName, WriteId, changes::Change, transaction::TransactionRow,
};
use pantler_datastore::{RunPrefix, key};
use pantler_registry::{RegistryError, Writer};

use super::{
    StoreError,
    planned::{Planned, PlannedDataset},
};
use crate::{ButlerError, DirectButler};

struct OpenRun {
    prefix: RunPrefix,
    run: StoringRun,
}

/// Opens a transaction that stores `planned`; its items are in that order, and take the
/// datasets over: there may be millions.
pub(super) fn open<R: Role>(
    butler: &DirectButler,
    name: Option<&TransactionName>,
    planned: &mut [Planned<'_>],
) -> Result<Open<Storing<R>>, StoreError> {
    let opening = butler.environment().new_opening();
    let own = own_name(R::KIND, opening);
    butler.begin_with(name.unwrap_or(&own), opening, None, |writer| {
        describe(butler, writer, opening, planned)
    })
}

/// As [`open`], after `before` has looked at the database and changed what must be there;
/// the commit then extends `chain`.
pub(super) fn open_after<R: Role, E>(
    butler: &DirectButler,
    name: Option<&TransactionName>,
    planned: &mut [Planned<'_>],
    before: impl FnOnce(&Writer) -> Result<(), E>,
    chain: Option<StoringChain>,
) -> Result<Open<Storing<R>>, E>
where
    E: From<ButlerError> + From<RegistryError> + From<StoreError>,
{
    let opening = butler.environment().new_opening();
    let own = own_name(R::KIND, opening);
    butler.begin_with(name.unwrap_or(&own), opening, None, |writer| {
        before(writer)?;
        Ok(describe::<R>(butler, writer, opening, planned)?.with_chain(chain))
    })
}

/// Does what [`open`] does in the database, after `prepare`, and undoes it. On a butler
/// that was opened to read only it does nothing.
pub(super) fn attempt<R: Role>(
    butler: &DirectButler,
    name: Option<&TransactionName>,
    planned: &mut [Planned<'_>],
    prepare: &[Change],
) -> Result<(), StoreError> {
    if !butler.registry().is_writeable() {
        return Ok(());
    }
    let opening = butler.environment().new_opening();
    let own = own_name(R::KIND, opening);
    butler.try_begin(name.unwrap_or(&own), opening, None, |writer| {
        writer.apply(prepare, butler.environment().clock.now())?;
        describe::<R>(butler, writer, opening, planned)
    })
}

/// A name that no other opening takes.
pub(crate) fn own_name(kind: &str, opening: OpeningId) -> TransactionName {
    TransactionName::new(format!("{kind}/{opening}")).expect("a kind and a UUID make a name")
}

/// Inside of the opening database transaction: makes sure of the RUNs, whose ids are
/// part of the keys.
fn describe<R: Role>(
    butler: &DirectButler,
    writer: &Writer,
    opening: OpeningId,
    planned: &mut [Planned<'_>],
) -> Result<Storing<R>, StoreError> {
    let write = WriteId::of_opening(opening, 1);
    let mut runs: BTreeMap<CollectionName, OpenRun> = BTreeMap::new();
    let mut items = Vec::with_capacity(planned.len());
    let mut new = Vec::with_capacity(planned.len());
    for artifact in planned {
        for planned in &artifact.datasets {
            let name = &planned.dataset.run;
            if !runs.contains_key(name) {
                runs.insert(name.clone(), ensure_run(butler, writer, name)?);
            }
            if let Some(run) = runs.get_mut(name) {
                run.run.modified |= planned.registered;
            }
        }
        let Some(first) = artifact.datasets.first() else { continue };
        let prefix = &runs[&first.dataset.run].prefix;
        let location = location(artifact, first, prefix, &write);
        let datasets = std::mem::take(&mut artifact.datasets);
        items.push(item(artifact, location, datasets, &mut new));
    }
    expect_free(butler, writer, &items)?;
    let runs = runs.into_values().map(|run| run.run).collect();
    Ok(Storing::new(runs, items, new))
}

/// Refuses files in place that a record or an open transaction names: one that is being
/// removed would go, and its new record stay. From here on they are this transaction's.
fn expect_free(butler: &DirectButler, writer: &Writer, items: &[Item]) -> Result<(), StoreError> {
    let in_place = items.iter().filter(|item| !item.is_written());
    let keys: BTreeSet<&ArtifactKey> = in_place.filter_map(|item| item.location.key()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    for row in writer.transactions()? {
        let manifest = writer.manifest(row.opening)?;
        // One that cannot be decoded was made by another program, of other keys.
        let Ok(open) = butler.kinds().decode(&row.kind, &row.data, &manifest) else { continue };
        if let Some(key) = open.managed().keys.iter().find(|key| keys.contains(key)) {
            let (key, transaction) = (key.clone(), row.name);
            return Err(StoreError::KeyTaken { key, transaction });
        }
    }
    let locations = keys.into_iter().map(|key| key.clone().into()).collect();
    let now = butler.environment().clock.now();
    Ok(writer.apply(&[Change::ExpectUnnamed(locations)], now)?)
}

fn ensure_run(
    butler: &DirectButler,
    writer: &Writer,
    name: &CollectionName,
) -> Result<OpenRun, StoreError> {
    let there = writer.collection(name)?;
    let made = there.is_none();
    let run_there = there.filter(|there| there.collection_type == CollectionType::Run);
    let collection = if run_there.is_some() {
        run_there
    } else {
        // It is made, or what has the name is refused.
        let now = butler.environment().clock.now();
        writer.apply(&[Change::EnsureRun(name.clone())], now)?;
        writer.collection(name)?
    };
    let unknown = || RegistryError::UnknownCollection { name: name.clone() };
    let id = collection.ok_or_else(unknown)?.id;
    let run = StoringRun { name: name.clone(), made, modified: false };
    Ok(OpenRun { prefix: key::run_prefix(name, id), run })
}

/// Where an artifact is already, or will be; whether it is written.
fn location(
    planned: &Planned<'_>,
    first: &PlannedDataset,
    prefix: &RunPrefix,
    write: &WriteId,
) -> (Location, bool) {
    if let Some(location) = planned.content.existing() {
        return (location, false);
    }
    let dataset_type = &first.dataset.dataset_type;
    let extension = planned.content.extension();
    let extension = extension.as_deref().unwrap_or_else(|| dataset_type.storage_class.extension());
    let data_id = &first.dataset.data_id;
    (key::dataset_key(prefix, &dataset_type.name, data_id, write, extension).into(), true)
}

/// What stands in the manifest; datasets that are to be registered go to `new`.
fn item(
    planned: &Planned<'_>,
    (location, is_written): (Location, bool),
    datasets: Vec<PlannedDataset>,
    new: &mut Vec<DatasetRef>,
) -> Item {
    let dataset = |planned: PlannedDataset| {
        let PlannedDataset { dataset, label, slice, registered, .. } = planned;
        let (id, storage_class) = (dataset.id, dataset.dataset_type.storage_class);
        if !registered {
            new.push(dataset);
        }
        ItemDataset { id, label, storage_class, slice, registered }
    };
    let datasets = datasets.into_iter().map(dataset).collect();
    let mut item = match location {
        Location::Artifact(key) if is_written => Item::written_at(key, datasets),
        location => Item::existing(location, datasets),
    };
    item.source = planned.content.source().map(|source| Box::new(source.clone()));
    item.expected = planned.expected;
    item
}

/// Decodes an open transaction of this kind.
pub(super) fn decode<R: Role>(
    butler: &DirectButler,
    row: &TransactionRow,
) -> Result<Storing<R>, StoreError> {
    if row.kind != R::KIND {
        return Err(StoreError::OtherWork { row: Box::new(row.clone()) });
    }
    let manifest = butler.registry().read(|reader| reader.manifest(row.opening))?;
    let decoded = Storing::decode(&row.data, &manifest);
    Ok(decoded.map_err(|source| ButlerError::Decode { name: row.name.clone(), source })?)
}

/// Work that an open transaction does already.
pub(super) struct Adopted<'a> {
    /// In the order of its items.
    pub(super) planned: Vec<Planned<'a>>,
    /// Its ids, by those that were planned.
    pub(super) ids: HashMap<DatasetId, DatasetId>,
}

/// Puts `planned` into the order of the items of an open transaction, if it is the same
/// work: the same datasets in the same artifacts, from files that have not changed. The
/// folder of the files may have moved; the dataset ids are those of the transaction.
pub(super) fn adopt<'a, R: Role>(
    row: &TransactionRow,
    left: &mut Storing<R>,
    planned: Vec<Planned<'a>>,
) -> Result<Adopted<'a>, StoreError> {
    let other = || StoreError::OtherWork { row: Box::new(row.clone()) };
    let runs: BTreeSet<&CollectionName> = left.runs().iter().map(|run| &run.name).collect();
    let wanted = planned.iter().flat_map(|planned| planned.datasets.iter());
    if !wanted.map(|dataset| &dataset.dataset.run).all(|run| runs.contains(run)) {
        return Err(other());
    }
    let mut by_label: HashMap<String, Planned<'a>> =
        planned.into_iter().map(|planned| (planned.label(), planned)).collect();
    let mut adopted = Vec::with_capacity(by_label.len());
    let mut ids = HashMap::with_capacity(by_label.len());
    for item in left.items_mut() {
        let planned = by_label.remove(item.label()).ok_or_else(other)?;
        if !is_same(item, &planned) {
            return Err(other());
        }
        item.source = planned.content.source().map(|source| Box::new(source.clone()));
        let pairs = planned.datasets.iter().zip(&item.datasets);
        ids.extend(pairs.map(|(planned, own)| (planned.id(), own.id)));
        adopted.push(planned);
    }
    if by_label.is_empty() { Ok(Adopted { planned: adopted, ids }) } else { Err(other()) }
}

fn is_same(item: &Item, planned: &Planned<'_>) -> bool {
    let unchanged = |a: &Source, b: &Source| (a.size, a.modified) == (b.size, b.modified);
    let same_source = match (&item.source, planned.content.source()) {
        (Some(a), Some(b)) => unchanged(a, b),
        (None, None) => true,
        _ => false,
    };
    let existing = planned.content.existing();
    let same_place = match &existing {
        None => item.is_written(),
        Some(location) => !item.is_written() && *location == item.location,
    };
    let labels = item.datasets.iter().map(|d| (&*d.label, d.slice.as_deref()));
    let wanted = planned.datasets.iter().map(|d| (&*d.label, d.slice.as_deref()));
    same_source && same_place && item.expected == planned.expected && labels.eq(wanted)
}
