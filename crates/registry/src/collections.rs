//! Collections: RUNs, TAGGED ones and chains of them.

use std::collections::{HashMap, HashSet};

use pantler_core::{Collection, CollectionName, CollectionType, RunId};

use crate::{
    LockKind, Reader, RegistryError, Writer, expectations::DELETE_COLLECTION, sqlite::Row,
};

pub(crate) const DISCARD_RUN: &str = "DELETE FROM collection
    WHERE name = ?1 AND type = 'RUN'
    AND NOT EXISTS (SELECT 1 FROM dataset WHERE run = collection.id)
    AND NOT EXISTS (SELECT 1 FROM collection_child WHERE child = collection.id)
    AND NOT EXISTS (SELECT 1 FROM artifact_transaction_modified_run WHERE run_name = ?1)
    AND NOT EXISTS (SELECT 1 FROM artifact_transaction_insert_only_run WHERE run_name = ?1)
    AND NOT EXISTS (SELECT 1 FROM artifact_transaction_input_run WHERE run_name = ?1)";

pub(crate) const DELETE_CHILDREN: &str = "DELETE FROM collection_child WHERE parent = ?1";

fn collection_type(row: &Row<'_, '_>, column: usize) -> Result<CollectionType, RegistryError> {
    let text = row.text(column)?;
    CollectionType::ALL
        .into_iter()
        .find(|t| t.name() == text)
        .ok_or_else(|| row.corrupt(format_args!("unknown collection type {text:?}")))
}

impl Reader {
    /// All collections, by name.
    ///
    /// # Errors
    /// What the database says.
    pub fn collections(&self) -> Result<Vec<Collection>, RegistryError> {
        let mut children: HashMap<i64, Vec<CollectionName>> = HashMap::new();
        let sql = "SELECT p.parent, c.name FROM collection_child p
            JOIN collection c ON c.id = p.child ORDER BY p.parent, p.position";
        self.db().each(sql, (), |row| {
            children.entry(row.get(0)?).or_default().push(row.parsed(1)?);
            Ok::<_, RegistryError>(())
        })?;
        self.db().all("SELECT id, name, type FROM collection ORDER BY name", (), |row| {
            let id = row.get(0)?;
            Ok(Collection {
                id: RunId::new(id),
                name: row.parsed(1)?,
                collection_type: collection_type(row, 2)?,
                children: children.remove(&id).unwrap_or_default(),
            })
        })
    }

    /// The collection called `name`.
    ///
    /// # Errors
    /// What the database says.
    pub fn collection(&self, name: &CollectionName) -> Result<Option<Collection>, RegistryError> {
        let Some((id, collection_type)) = self.collection_id(name)? else { return Ok(None) };
        let sql = "SELECT c.name FROM collection_child p JOIN collection c ON c.id = p.child
            WHERE p.parent = ?1 ORDER BY p.position";
        let children = match collection_type {
            CollectionType::Run | CollectionType::Tagged => Vec::new(),
            CollectionType::Chained => self.db().all(sql, [id], |row| row.parsed(0))?,
        };
        Ok(Some(Collection { id: RunId::new(id), name: name.clone(), collection_type, children }))
    }

    /// The RUNs and TAGGED collections that `names` stand for, in the order in which they
    /// are searched: chains are replaced by what they contain, and each collection comes once.
    ///
    /// # Errors
    /// [`RegistryError::UnknownCollection`], and what the database says.
    pub fn resolve(&self, names: &[CollectionName]) -> Result<Vec<Collection>, RegistryError> {
        let mut resolved = Vec::new();
        let mut seen = HashSet::new();
        let mut pending: Vec<CollectionName> = names.iter().rev().cloned().collect();
        while let Some(name) = pending.pop() {
            if seen.contains(&name) {
                continue;
            }
            let collection = self
                .collection(&name)?
                .ok_or_else(|| RegistryError::UnknownCollection { name: name.clone() })?;
            seen.insert(name);
            match collection.collection_type {
                CollectionType::Run | CollectionType::Tagged => resolved.push(collection),
                CollectionType::Chained => pending.extend(collection.children.into_iter().rev()),
            }
        }
        Ok(resolved)
    }

    pub(crate) fn collection_id(
        &self,
        name: &CollectionName,
    ) -> Result<Option<(i64, CollectionType)>, RegistryError> {
        let sql = "SELECT id, type FROM collection WHERE name = ?1";
        self.db().first(sql, [name.as_str()], |row| Ok((row.get(0)?, collection_type(row, 1)?)))
    }

    /// The id of a collection that must be there and of a type.
    pub(crate) fn expect_collection(
        &self,
        name: &CollectionName,
        wanted: CollectionType,
    ) -> Result<i64, RegistryError> {
        match self.collection_id(name)? {
            None => Err(RegistryError::UnknownCollection { name: name.clone() }),
            Some((id, found)) if found == wanted => Ok(id),
            Some((_, found)) => {
                Err(RegistryError::WrongCollectionType { name: name.clone(), found, wanted })
            }
        }
    }

    /// The name of a collection whose id stands in another row.
    pub(crate) fn collection_name(&self, id: i64) -> Result<CollectionName, RegistryError> {
        if let Some(name) = self.collection_names.borrow().get(&id) {
            return Ok(name.clone());
        }
        let sql = "SELECT name FROM collection WHERE id = ?1";
        let name: CollectionName = self
            .db()
            .first(sql, [id], |row| row.parsed(0))?
            .ok_or_else(|| self.db().corrupt(format_args!("there is no collection of id {id}")))?;
        self.collection_names.borrow_mut().insert(id, name.clone());
        Ok(name)
    }
}

impl Writer {
    pub(crate) fn insert_run(&self, name: &CollectionName) -> Result<(), RegistryError> {
        if self.take_discarded(name) {
            self.discard_run_if_unused(name)?;
        }
        match self.collection_id(name)? {
            Some((_, collection_type)) => {
                Err(RegistryError::CollectionExists { name: name.clone(), collection_type })
            }
            None => self.insert_collection(name, CollectionType::Run),
        }
    }

    pub(crate) fn ensure_run(&self, name: &CollectionName) -> Result<(), RegistryError> {
        self.take_discarded(name);
        self.ensure(name, CollectionType::Run).map(drop)
    }

    pub(crate) fn ensure_collection(
        &self,
        name: &CollectionName,
        collection_type: CollectionType,
    ) -> Result<(), RegistryError> {
        match collection_type {
            CollectionType::Run => self.ensure_run(name),
            other => self.ensure(name, other).map(drop),
        }
    }

    /// The id of a collection of this type, which is made if there is none of its name.
    fn ensure(
        &self,
        name: &CollectionName,
        collection_type: CollectionType,
    ) -> Result<i64, RegistryError> {
        match self.expect_collection(name, collection_type) {
            Err(RegistryError::UnknownCollection { .. }) => {
                self.insert_collection(name, collection_type)?;
                self.expect_collection(name, collection_type)
            }
            result => result,
        }
    }

    pub(crate) fn remove_collection(&self, name: &CollectionName) -> Result<(), RegistryError> {
        let (id, collection_type) = self
            .collection_id(name)?
            .ok_or_else(|| RegistryError::UnknownCollection { name: name.clone() })?;
        if let Some(chain) = self.chains_of(name)?.into_iter().next() {
            return Err(RegistryError::InChain { name: name.clone(), chain });
        }
        match collection_type {
            CollectionType::Run => return Err(RegistryError::RemovesRun { name: name.clone() }),
            CollectionType::Tagged => self.delete_members(id)?,
            CollectionType::Chained => {
                self.db().execute(DELETE_CHILDREN, [id])?;
            }
        }
        self.db().execute(DELETE_COLLECTION, [id])?;
        self.collection_names.borrow_mut().remove(&id);
        Ok(())
    }

    fn take_discarded(&self, name: &CollectionName) -> bool {
        let mut runs = self.discarded_runs.borrow_mut();
        let before = runs.len();
        runs.retain(|run| run != name);
        runs.len() < before
    }

    /// Removes a RUN that nothing is in, names or locks.
    pub(crate) fn discard_run_if_unused(&self, name: &CollectionName) -> Result<(), RegistryError> {
        self.db().execute(DISCARD_RUN, [name.as_str()]).map(drop)
    }

    fn insert_collection(
        &self,
        name: &CollectionName,
        collection_type: CollectionType,
    ) -> Result<(), RegistryError> {
        if collection_type != CollectionType::Run
            && let Some((transaction, lock)) = self.locks_of_run(name)?.into_iter().next()
        {
            // It will make a RUN of this name.
            return Err(RegistryError::RunLocked { run: name.clone(), transaction, lock });
        }
        let sql = "INSERT INTO collection (name, type) VALUES (?1, ?2)";
        self.db().execute(sql, (name.as_str(), collection_type.name())).map(drop)
    }

    pub(crate) fn extend_chain(
        &self,
        chain: &CollectionName,
        first: &CollectionName,
        last: &[CollectionName],
    ) -> Result<(), RegistryError> {
        self.refuse_modified(std::iter::once(first).chain(last))?;
        let id = self.ensure(chain, CollectionType::Chained)?;
        let before = self.collection(chain)?.map_or_else(Vec::new, |c| c.children);
        let mut children: Vec<CollectionName> =
            before.into_iter().filter(|name| name != first && !last.contains(name)).collect();
        // Ids count openings: a RUN that was opened later stays in front.
        let own = self.collection(first)?.map(|c| c.id);
        let mut newer = 0;
        for name in &children {
            let other = self.collection(name)?;
            let later =
                other.is_some_and(|c| c.collection_type == CollectionType::Run && Some(c.id) > own);
            if !later {
                break;
            }
            newer += 1;
        }
        children.insert(newer, first.clone());
        for name in last {
            if !children.contains(name) {
                children.push(name.clone());
            }
        }
        self.refuse_cycles(chain, std::iter::once(first).chain(last))?;
        self.replace_children(id, &children)
    }

    pub(crate) fn set_chain(
        &self,
        chain: &CollectionName,
        children: &[CollectionName],
    ) -> Result<(), RegistryError> {
        self.refuse_modified(children)?;
        let id = self.ensure(chain, CollectionType::Chained)?;
        self.refuse_cycles(chain, children)?;
        let mut seen = HashSet::new();
        let children: Vec<_> =
            children.iter().filter(|child| seen.insert(*child)).cloned().collect();
        self.replace_children(id, &children)
    }

    /// Their datasets are not there yet, or are being taken away: a revert would leave
    /// such a RUN because a chain names it.
    fn refuse_modified<'n>(
        &self,
        children: impl IntoIterator<Item = &'n CollectionName>,
    ) -> Result<(), RegistryError> {
        for run in children {
            let locks = self.locks_of_run(run)?;
            if let Some((transaction, lock)) =
                locks.into_iter().find(|(_, lock)| *lock == LockKind::Modified)
            {
                return Err(RegistryError::RunLocked { run: run.clone(), transaction, lock });
            }
        }
        Ok(())
    }

    fn refuse_cycles<'n>(
        &self,
        chain: &CollectionName,
        children: impl IntoIterator<Item = &'n CollectionName>,
    ) -> Result<(), RegistryError> {
        for child in children {
            if self.contains(child, chain)? {
                let (chain, child) = (chain.clone(), child.clone());
                return Err(RegistryError::ChainCycle { chain, child });
            }
        }
        Ok(())
    }

    fn replace_children(&self, id: i64, children: &[CollectionName]) -> Result<(), RegistryError> {
        self.db().execute(DELETE_CHILDREN, [id])?;
        let mut insert = self.db().bulk(
            "INSERT INTO collection_child (parent, position, child)
            SELECT ?1, ?2, id FROM collection WHERE name = ?3",
        )?;
        for (position, child) in (0_i64..).zip(children) {
            insert.bind(1, id)?;
            insert.bind(2, position)?;
            insert.bind(3, child.as_str())?;
            insert.run()?;
        }
        Ok(())
    }

    /// Whether `outer` is or contains `inner`, directly or through chains.
    fn contains(
        &self,
        outer: &CollectionName,
        inner: &CollectionName,
    ) -> Result<bool, RegistryError> {
        let mut seen = HashSet::new();
        let mut pending = vec![outer.clone()];
        while let Some(name) = pending.pop() {
            if name == *inner {
                return Ok(true);
            }
            let Some(collection) = self.collection(&name)? else {
                return Err(RegistryError::UnknownCollection { name });
            };
            if seen.insert(name) {
                pending.extend(collection.children);
            }
        }
        Ok(false)
    }
}
