//! What only SQLite needs: opening, pragmas, how a transaction begins and ends, and
//! what its errors mean. Everything else speaks SQL through [`Db`].

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use camino::Utf8Path;
use pantler_core::KeyValue;
use pantler_seam::{Event, How, traced};
use rusqlite::{
    CachedStatement, Connection, ErrorCode, OpenFlags, Params,
    config::DbConfig,
    ffi,
    types::{FromSql, ToSql, ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use crate::{
    OpenOptions, RegistryError,
    faults::{self, Point},
    network,
};

/// How a database file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Existing,
}

/// More statements than a repository of a hundred dimension groups has.
const STATEMENTS: usize = 256;

/// Opens `path` with all the pragmas that the rest of the crate relies on.
pub(crate) fn open(
    path: &Utf8Path,
    mode: Mode,
    options: &OpenOptions,
) -> Result<Connection, RegistryError> {
    if mode == Mode::Existing && !path.exists() {
        return Err(RegistryError::Missing { path: path.to_owned() });
    }
    if let Some(kind) = network::file_system(path) {
        return Err(RegistryError::NetworkFileSystem { path: path.to_owned(), kind });
    }
    let flags = match (options.read_only, mode) {
        (true, _) => OpenFlags::SQLITE_OPEN_READ_ONLY,
        (false, Mode::Existing) => OpenFlags::SQLITE_OPEN_READ_WRITE,
        (false, Mode::Create) => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let start = Instant::now();
    let at = |source| classify(path, start.elapsed(), source);
    // With `./`, no relative path can look like `:memory:` or `file:…`.
    let file = Utf8Path::new(".").join(path);
    let connection =
        Connection::open_with_flags(&file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(at)?;
    set_up(&connection, options).map_err(at)?;
    Ok(connection)
}

fn set_up(connection: &Connection, options: &OpenOptions) -> rusqlite::Result<()> {
    // First, since the others may find the database locked.
    connection.busy_timeout(options.busy_timeout)?;
    // A misspelt column in quotes is an error, not a string.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Plans do not depend on the values of parameters: otherwise a statement is planned
    // again, and that means parsed, whenever other values are bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if journal != "wal" && !options.read_only {
        connection.pragma_update(None, "journal_mode", "wal")?;
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // Negative: in KiB.
    connection.pragma_update(None, "cache_size", -65_536)?;
    if let Some(pages) = options.max_page_count {
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn classify(path: &Utf8Path, waited: Duration, source: rusqlite::Error) -> RegistryError {
    let path = path.to_owned();
    if source.sqlite_error().is_some_and(|e| e.extended_code == ffi::SQLITE_BUSY_SNAPSHOT) {
        return RegistryError::Serialization { path };
    }
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            RegistryError::Busy { path, waited }
        }
        Some(ErrorCode::DiskFull) => RegistryError::Full { path },
        Some(ErrorCode::DatabaseCorrupt) => {
            RegistryError::Corrupt { path, detail: source.to_string() }
        }
        Some(ErrorCode::NotADatabase) => RegistryError::NotADatabase { path },
        Some(ErrorCode::ReadOnly) => RegistryError::ReadOnly { path },
        _ => RegistryError::Sql { path, source },
    }
}

/// A connection on which statements run, with what its errors need to say.
#[derive(Clone, Copy)]
pub(crate) struct Db<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) path: &'c Utf8Path,
    pub(crate) busy_timeout: Duration,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) faults: Option<&'c crate::testing::Faults>,
}

impl<'c> Db<'c> {
    pub(crate) const fn new(
        connection: &'c Connection,
        path: &'c Utf8Path,
        busy_timeout: Duration,
    ) -> Self {
        Self {
            connection,
            path,
            busy_timeout,
            #[cfg(any(test, feature = "testing"))]
            faults: None,
        }
    }

    /// How what comes next must fail, in tests.
    #[inline]
    fn planned(self, point: Point) -> Option<How> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(how) = self.faults.and_then(|faults| faults.next(point)) {
            return Some(how);
        }
        #[cfg(not(any(test, feature = "testing")))]
        let _: Self = self;
        pantler_seam::fault(point.name(), point.hows())
    }

    /// Fails, if that is planned.
    #[inline]
    fn reach(self, point: Point) -> Result<(), RegistryError> {
        self.planned(point).map_or(Ok(()), |how| Err(self.error(faults::error(how))))
    }

    /// Begins a snapshot. It is taken with the first row read.
    pub(crate) fn begin_read(self) -> Result<Begun<'c>, RegistryError> {
        self.begin("BEGIN")
    }

    /// Begins to write; waits for other writers up to the busy timeout.
    pub(crate) fn begin_write(self) -> Result<Begun<'c>, RegistryError> {
        self.reach(Point::Begin)?;
        self.begin("BEGIN IMMEDIATE")
    }

    fn begin(self, sql: &'static str) -> Result<Begun<'c>, RegistryError> {
        let start = Instant::now();
        let connection = self.connection;
        let begun = connection.prepare_cached(sql).and_then(|mut begin| begin.execute(()));
        match begun {
            Ok(_) => Ok(Begun { connection }),
            Err(error) => Err(classify(self.path, start.elapsed(), error)),
        }
    }

    /// Commits; if the operating system fails in it, nobody knows whether the
    /// commit record reached the disk.
    pub(crate) fn commit(self, transaction: Begun<'_>) -> Result<(), RegistryError> {
        let committed = match self.planned(Point::Commit) {
            None => traced(Event::Commit, || transaction.commit()),
            Some(how @ How::Lost) => traced(Event::Commit, || transaction.commit())
                .and_then(|()| Err(faults::error(how))),
            // Dropped, it is rolled back.
            Some(how) => Err(faults::error(how)),
        };
        committed.map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::SystemIoFailure) => {
                RegistryError::CommitUnknown { path: self.path.to_owned(), source }
            }
            _ => self.error(source),
        })
    }

    pub(crate) fn error(self, source: rusqlite::Error) -> RegistryError {
        classify(self.path, self.busy_timeout, source)
    }

    pub(crate) fn corrupt(self, detail: impl fmt::Display) -> RegistryError {
        RegistryError::Corrupt { path: self.path.to_owned(), detail: detail.to_string() }
    }

    /// Runs statements that are run once.
    pub(crate) fn batch(self, sql: &str) -> Result<(), RegistryError> {
        self.reach(Point::Statement)?;
        self.connection.execute_batch(sql).map_err(|e| self.error(e))
    }

    /// Runs a statement and returns the number of rows that it changed.
    pub(crate) fn execute(self, sql: &str, params: impl Params) -> Result<usize, RegistryError> {
        self.reach(Point::Statement)?;
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(|e| self.error(e))
    }

    /// Calls `f` with each row.
    pub(crate) fn each<E: From<RegistryError>>(
        self,
        sql: &str,
        params: impl Params,
        mut f: impl FnMut(&Row<'_, '_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reach(Point::Query)?;
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.error(e))?;
        let mut rows = statement.query(params).map_err(|e| self.error(e))?;
        while let Some(inner) = rows.next().map_err(|e| self.error(e))? {
            f(&Row { inner, db: self })?;
        }
        Ok(())
    }

    /// The values of all rows.
    pub(crate) fn all<T>(
        self,
        sql: &str,
        params: impl Params,
        mut f: impl FnMut(&Row<'_, '_>) -> Result<T, RegistryError>,
    ) -> Result<Vec<T>, RegistryError> {
        let mut values = Vec::new();
        self.each(sql, params, |row| {
            values.push(f(row)?);
            Ok::<_, RegistryError>(())
        })?;
        Ok(values)
    }

    /// The value of the first row, if there is one.
    pub(crate) fn first<T>(
        self,
        sql: &str,
        params: impl Params,
        f: impl FnOnce(&Row<'_, '_>) -> Result<T, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        self.reach(Point::Query)?;
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.error(e))?;
        let mut rows = statement.query(params).map_err(|e| self.error(e))?;
        match rows.next().map_err(|e| self.error(e))? {
            Some(inner) => f(&Row { inner, db: self }).map(Some),
            None => Ok(None),
        }
    }

    /// A statement to run many times.
    pub(crate) fn bulk(self, sql: &str) -> Result<Bulk<'c>, RegistryError> {
        let statement = self.connection.prepare_cached(sql).map_err(|e| self.error(e))?;
        Ok(Bulk { statement, db: self })
    }
}

/// A database transaction, rolled back when it is dropped. Its statements are kept
/// prepared, which those of [`rusqlite::Transaction`] are not: there are several for
/// each acknowledged put.
#[must_use = "what is dropped is rolled back"]
pub(crate) struct Begun<'c> {
    connection: &'c Connection,
}

impl Begun<'_> {
    fn commit(self) -> rusqlite::Result<()> {
        self.end("COMMIT")
    }

    fn end(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(()).map(drop)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // After a commit, or an error that rolled back by itself, there is none.
        if !self.connection.is_autocommit() {
            drop(self.end("ROLLBACK"));
        }
    }
}

/// A prepared statement that is run many times; parameters count from 1.
pub(crate) struct Bulk<'c> {
    statement: CachedStatement<'c>,
    db: Db<'c>,
}

impl Bulk<'_> {
    pub(crate) fn bind(&mut self, index: usize, value: impl ToSql) -> Result<(), RegistryError> {
        self.statement.raw_bind_parameter(index, value).map_err(|e| self.db.error(e))
    }

    pub(crate) fn bind_key(&mut self, index: usize, key: &KeyValue) -> Result<(), RegistryError> {
        self.bind(index, Key(key))
    }

    /// Runs it and returns the number of rows that it changed.
    pub(crate) fn run(&mut self) -> Result<usize, RegistryError> {
        self.db.reach(Point::Statement)?;
        self.statement.raw_execute().map_err(|e| self.db.error(e))
    }

    /// The value of the first row, if there is one.
    pub(crate) fn first<T>(
        &mut self,
        f: impl FnOnce(&Row<'_, '_>) -> Result<T, RegistryError>,
    ) -> Result<Option<T>, RegistryError> {
        self.db.reach(Point::Query)?;
        let mut rows = self.statement.raw_query();
        match rows.next().map_err(|e| self.db.error(e))? {
            Some(inner) => f(&Row { inner, db: self.db }).map(Some),
            None => Ok(None),
        }
    }
}

/// A key as a parameter, without copying it.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a>(pub(crate) &'a KeyValue);

impl ToSql for Key<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            KeyValue::Integer(value) => ToSqlOutput::from(*value),
            KeyValue::String(value) => ToSqlOutput::from(&**value),
        })
    }
}

/// A row of a result; columns count from 0. What cannot be read is damage: only
/// checked values were written.
pub(crate) struct Row<'r, 's> {
    inner: &'r rusqlite::Row<'s>,
    db: Db<'r>,
}

impl Row<'_, '_> {
    pub(crate) fn get<T: FromSql>(&self, column: usize) -> Result<T, RegistryError> {
        self.inner.get(column).map_err(|e| self.db.corrupt(e))
    }

    pub(crate) fn value(&self, column: usize) -> Result<ValueRef<'_>, RegistryError> {
        self.inner.get_ref(column).map_err(|e| self.db.corrupt(e))
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, RegistryError> {
        self.value(column)?.as_str().map_err(|e| self.db.corrupt(e))
    }

    /// A checked name or the like.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        column: usize,
    ) -> Result<T, RegistryError> {
        self.text(column)?.parse().map_err(|e: T::Err| self.db.corrupt(e))
    }

    pub(crate) fn uuid(&self, column: usize) -> Result<Uuid, RegistryError> {
        self.get(column).map(Uuid::from_bytes)
    }

    pub(crate) fn key(&self, column: usize) -> Result<KeyValue, RegistryError> {
        match self.value(column)? {
            ValueRef::Integer(value) => Ok(KeyValue::Integer(value)),
            ValueRef::Text(_) => Ok(KeyValue::String(self.text(column)?.into())),
            other => {
                Err(self.db.corrupt(format_args!("a dimension value is {}", other.data_type())))
            }
        }
    }

    /// How many columns there are.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn columns(&self) -> usize {
        self.inner.as_ref().column_count()
    }

    pub(crate) fn corrupt(&self, detail: impl fmt::Display) -> RegistryError {
        self.db.corrupt(detail)
    }
}
