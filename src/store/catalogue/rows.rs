//! Answers: the calls of a selection, as rows of facts or as keys.

use std::collections::BTreeMap;

use rusqlite::{ErrorCode, params_from_iter};

use super::Catalogue;
use super::column::{self, Column};
use super::selection::{Condition, Selection, Spelt};
use crate::error::{Error, Result};
use crate::model::{Digest, Fact, Key};

impl Catalogue {
    /// Shows the calls of a selection one by one, a fact for each of `columns`; memory does not grow with their number
    /// unless they have to be sorted. One question, however many columns.
    ///
    /// # Errors
    ///
    /// Where the catalogue cannot be read or an SQL expression is wrong, and what `show` fails with.
    pub fn each(
        &self,
        selection: &Selection,
        columns: &[Column],
        mut show: impl FnMut(Vec<Fact>) -> Result<()>,
    ) -> Result<()> {
        let Spelt { text, bound } = question(selection, columns);
        let failed = |error| self.not_answered(selection, error);
        let mut statement = self.connection.prepare(&text).map_err(failed)?;
        let mut rows = statement.query(params_from_iter(bound)).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            show(facts(row, columns).map_err(failed)?)?;
        }
        Ok(())
    }

    /// The same, all at once.
    ///
    /// # Errors
    ///
    /// As [`Catalogue::each`].
    pub fn rows(&self, selection: &Selection, columns: &[Column]) -> Result<Vec<Vec<Fact>>> {
        let mut rows = Vec::new();
        self.each(selection, columns, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    /// The keys of the calls of a selection.
    ///
    /// # Errors
    ///
    /// As [`Catalogue::each`].
    pub fn keys(&self, selection: &Selection) -> Result<Vec<Key>> {
        let mut spelt = Spelt { text: "SELECT call.key FROM call".to_owned(), bound: Vec::new() };
        spelt.tail(selection);
        let keys = self.list(selection, spelt, |row| row.get(0).map(|key| Key(Digest(key))))?;
        Ok(keys)
    }

    /// How many calls a selection has.
    ///
    /// # Errors
    ///
    /// As [`Catalogue::each`].
    pub fn count(&self, selection: &Selection) -> Result<u64> {
        let Spelt { text, bound } = Spelt::ids(selection);
        let counted = self.list(selection, Spelt { text: format!("SELECT count(*) FROM ({text})"), bound }, |row| {
            row.get::<_, i64>(0)
        })?;
        Ok(counted.first().map_or(0, |count| (*count).max(0) as u64))
    }

    /// The names of all tags that calls of a selection have, in order.
    ///
    /// # Errors
    ///
    /// As [`Catalogue::each`].
    pub fn tag_names(&self, selection: &Selection) -> Result<Vec<String>> {
        self.of_all(selection, "SELECT DISTINCT tag.name FROM tag", "ORDER BY tag.name", |row| row.get(0))
    }

    /// The most arguments that a call of a selection has, the command itself counted.
    ///
    /// # Errors
    ///
    /// As [`Catalogue::each`].
    pub fn most_arguments(&self, selection: &Selection) -> Result<u32> {
        let most = self.of_all(selection, "SELECT coalesce(max(n) + 1, 0) FROM argument", "", |row| row.get(0))?;
        Ok(most.first().copied().unwrap_or(0))
    }

    /// Something about the rows of a table that belong to the calls of a selection.
    fn of_all<T>(
        &self,
        selection: &Selection,
        beginning: &str,
        end: &str,
        read: impl Fn(&rusqlite::Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let spelt = if selection.chooses() {
            let Spelt { text, bound } = Spelt::ids(selection);
            Spelt { text: format!("{beginning} WHERE call IN ({text}) {end}"), bound }
        } else {
            // Every row belongs to one of them, and none needs to be looked up.
            Spelt { text: format!("{beginning} {end}"), bound: Vec::new() }
        };
        self.list(selection, spelt, read)
    }

    fn list<T>(
        &self,
        selection: &Selection,
        spelt: Spelt,
        read: impl Fn(&rusqlite::Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let listed = (|| -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare(&spelt.text)?;
            let rows = statement.query_map(params_from_iter(spelt.bound), |row| read(row))?;
            rows.collect()
        })();
        listed.map_err(|error| self.not_answered(selection, error))
    }

    /// What to say where a question has no answer: the user's own SQL may be to blame.
    pub(super) fn not_answered(&self, selection: &Selection, error: rusqlite::Error) -> Error {
        let theirs = |condition: &Condition| matches!(condition, Condition::Where(_));
        let is_of_sql = matches!(error, rusqlite::Error::SqlInputError { .. })
            || matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::Unknown | ErrorCode::AuthorizationForStatementDenied | ErrorCode::TypeMismatch)
            );
        match selection.conditions.iter().any(theirs) && is_of_sql {
            true => Error::usage("`--where` is not understood").because(message(&error)),
            false => self.failed(error),
        }
    }
}

/// What SQLite says, without the statement, of which the user wrote but a part.
fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    }
}

type IsSo = fn(&Column) -> bool;

/// What there can be more of than SQLite has columns, and which therefore comes packed, all of a call at once.
const PACKED: [(IsSo, &str); 2] = [
    (|column| matches!(column, Column::Argument(_)), column::COMMAND_LINE),
    (|column| matches!(column, Column::Tag(_)), column::TAGS),
];

/// The facts of a row that [`question`] asked for.
fn facts(row: &rusqlite::Row, columns: &[Column]) -> rusqlite::Result<Vec<Fact>> {
    let is_packed = |column: &Column| PACKED.iter().any(|(is_so, _)| is_so(column));
    let mut packed = columns.iter().filter(|column| !is_packed(column)).count()..;
    let [arguments, tags] = PACKED.map(|(is_so, _)| columns.iter().any(is_so).then(|| packed.next()).flatten());
    let arguments = match arguments {
        Some(place) => column::arguments(row.get_ref(place)?)?,
        None => Vec::new(),
    };
    let tags = match tags {
        Some(place) => column::tags(row.get_ref(place)?)?,
        None => BTreeMap::new(),
    };
    let mut next = 0;
    let fact = |column: &Column| match column {
        Column::Argument(number) => Ok(column::argument_fact(&arguments, *number)),
        Column::Tag(name) => Ok(tags.get(name).map_or(Fact::Nothing, |value| Fact::Text(value.clone()))),
        column => {
            next += 1;
            Ok(column.fact(row.get_ref(next - 1)?)?)
        }
    };
    columns.iter().map(fact).collect()
}

/// The one statement that answers for all columns of all rows.
fn question(selection: &Selection, columns: &[Column]) -> Spelt {
    let mut spelt = Spelt::default();
    let others = columns.iter().filter(|column| !PACKED.iter().any(|(is_so, _)| is_so(column)));
    let mut expressions: Vec<String> = others.map(|column| column.expression(&mut spelt.bound)).collect();
    let packed = PACKED.iter().filter(|(is_so, _)| columns.iter().any(is_so));
    expressions.extend(packed.map(|(_, expression)| (*expression).to_owned()));
    spelt.text = format!("SELECT {} FROM call", expressions.join(", "));
    if selection.limit.is_none() {
        spelt.tail(selection);
        return spelt;
    }
    // First which ones, then what is asked of these few: SQLite would compute all columns of whatever it sorts.
    spelt.text.push_str(" WHERE call.id IN (");
    let text = std::mem::take(&mut spelt.text);
    spelt.text = "SELECT call.id FROM call".to_owned();
    spelt.tail(selection);
    // Behind `+`, no index gives the order: SQLite would walk all of it to find the few.
    let order = spelt.order(selection).replace("call.", "+call.");
    spelt.text = format!("{text}{}) ORDER BY {order}", spelt.text);
    spelt
}
