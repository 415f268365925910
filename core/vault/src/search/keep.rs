//! Keeping the segments up with the records.
//!
//! Nothing is taken up when it is written: that would make writing slow. What is still to be taken up is known all the
//! same, whoever wrote it and whenever it began to count, because every change of a record goes through the table of late
//! records: late ones since [`SearchRow::late`]; places that have left that table; and sweeps over all places, when
//! there is nothing yet, a collection has other indexed fields, or everything is made anew.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::error::{Result, VaultError};
use crate::index::{collection, places};
use crate::read::{Record, Versions};
use crate::schema::SCHEMAS;
use crate::segment::{Batch, Blocks, Source, forget, is_damage, merge_some};
use crate::vault::Vault;

use super::row::SearchRow;
use super::words::Words;
use super::{Names, field_key, order, word_key};

/// How many records are taken up in one transaction before a search.
pub(super) const STEP: usize = 4096;
/// How much a word weighs that is in a record again and again, and by how much long records weigh less (BM25).
const SATURATION: f64 = 1.2;
const LENGTH: f64 = 0.75;
/// How many words a record is thought to have.
const USUAL_WORDS: f64 = 32.0;
/// The highest weight.
pub(super) const FULL_WEIGHT: f64 = 127.0;

/// What a step gathers.
struct Step<'v> {
    vault: &'v Vault,
    row: SearchRow,
    names: Names,
    batch: Batch,
}

impl Vault {
    /// Takes up to `budget` records up that were touched since searching was last made ready; `true` if there may be
    /// more. A search does this first by itself; done before, when nothing else is to be done, it answers sooner.
    pub fn index_records(&mut self, budget: usize) -> Result<bool> {
        self.catch_up()?;
        if !self.wants_indexing()? {
            return Ok(false);
        }
        let took = self.write(|vault| vault.index_some(budget));
        match took {
            Err(error) if is_damage(&error) => {
                self.drop_segments()?;
                Ok(true)
            }
            took => took.map(|()| true),
        }
    }

    /// Takes up everything.
    pub(super) fn index_all(&mut self) -> Result<()> {
        while self.index_records(STEP)? {}
        Ok(())
    }

    /// Runs `work` with everything taken up, on a disk that has no room for that: afterwards the file is as it was.
    ///
    /// # Errors
    /// [`VaultError::DiskFull`] if there is more to be taken up than one step does.
    pub(super) fn index_in_passing<T>(
        &mut self,
        work: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let mut done = None;
        let undone: Result<()> = self.write(|vault| {
            vault.index_some(STEP)?;
            if !vault.wants_indexing()? {
                done = Some(work(vault)?);
            }
            Err(VaultError::DiskFull)
        });
        // They may be of segments that are no more.
        self.state.blocks.clear();
        match (done, undone) {
            (Some(done), _) => Ok(done),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(VaultError::DiskFull),
        }
    }

    /// Forgets the segments, of which one is damaged.
    pub(super) fn drop_segments(&mut self) -> Result<()> {
        log::warn!("what is kept for searching is damaged, and is made anew");
        self.write(Self::clear_search)
    }

    /// Forgets the segments; the next search begins anew. Inside a transaction.
    pub(crate) fn clear_search(&mut self) -> Result<()> {
        self.state.blocks.clear();
        self.file.clear_search()
    }

    /// Forgets the words of the records at these places, whose content is erased. What is left of them has changed, and so is
    /// taken up anew. Inside a transaction.
    pub(crate) fn forget_words(&mut self, places: &BTreeSet<i64>) -> Result<()> {
        let mut row = self.file.search_row()?;
        if row.begins() {
            // Of blocks that are here nonetheless no row tells any more.
            return self.clear_search();
        }
        self.state.blocks.clear();
        match forget(&self.file, &mut row.segments, places) {
            Ok(true) => self.file.put(&row),
            Err(error) if !is_damage(&error) => Err(error),
            Ok(false) | Err(_) => self.clear_search(),
        }
    }

    /// Where opened blocks are from, and are kept.
    pub(super) const fn source<'a>(&'a self, opened: &'a Blocks) -> Source<'a> {
        Source {
            file: &self.file,
            opened: Some(opened),
        }
    }

    fn wants_indexing(&self) -> Result<bool> {
        let row = self.file.search_row()?;
        let late = &self.state.late;
        // Mostly nothing is new, and then there is no need to go through what is late.
        let late = late.last() != row.late && late.after(row.late)?.next().is_some();
        Ok(late || !row.sweeps.is_empty() || self.file.store.first_todo()?.is_some())
    }

    /// Inside a transaction.
    fn index_some(&mut self, budget: usize) -> Result<()> {
        let row = self.file.search_row()?;
        if row.begins() {
            // What no row tells of any more is of no use, and its numbers are given again.
            self.clear_search()?;
        }
        let mut step = Step {
            vault: self,
            row,
            names: self.collection_names(),
            batch: Batch::default(),
        };
        step.run(budget)?;
        let mut row = step.row;
        merge_some(&self.file, &mut row.segments, &mut row.next)?;
        self.file.put(&row)
    }

    /// Goes through a collection again if it has other indexed fields than those that were taken up.
    pub(super) fn notice_fields(&mut self, number: u16, fields: &[String]) -> Result<()> {
        let row = self.file.search_row()?;
        if row.fields.get(&number).is_none_or(|known| known == fields) {
            return Ok(());
        }
        self.write(|vault| {
            let mut row = vault.file.search_row()?;
            row.set_fields(number, fields.to_vec());
            vault.file.put(&row)
        })
    }
}

impl SearchRow {
    fn set_fields(&mut self, number: u16, fields: Vec<String>) {
        let before = self.fields.insert(number, fields);
        if before.is_some_and(|before| self.fields.get(&number) != Some(&before)) {
            self.sweeps.push(places(number));
        }
    }
}

impl Step<'_> {
    fn run(&mut self, budget: usize) -> Result<()> {
        let mut left = budget.max(1);
        while left > 0
            && let Some(number) = self.vault.file.store.first_todo()?
        {
            let todo = self.vault.file.todo(number)?;
            for place in &todo {
                self.take_place(*place)?;
            }
            self.vault.file.store.remove_todo(number)?;
            left = left.saturating_sub(todo.len());
        }
        if left > 0 {
            let late = &self.vault.state.late;
            let fresh: Vec<i64> = late.after(self.row.late)?.collect();
            for place in &fresh {
                self.take_place(*place)?;
            }
            self.row.late = late.last();
            left = left.saturating_sub(fresh.len());
        }
        while left > 0
            && let Some((first, last)) = self.row.sweeps.pop()
        {
            let mut next = None;
            let vault = self.vault;
            vault.each_found((first, last), |place, versions| {
                self.take(place, versions)?;
                left -= 1;
                if left > 0 {
                    return Ok(ControlFlow::Continue(()));
                }
                next = place.checked_add(1).filter(|next| *next <= last);
                Ok(ControlFlow::Break(()))
            })?;
            // A schema may have asked for a sweep meanwhile, which then waits below this one.
            self.row.sweeps.extend(next.map(|next| (next, last)));
        }
        self.flush()
    }

    fn take_place(&mut self, place: i64) -> Result<()> {
        match self.vault.versions_at(place) {
            Ok(Some(versions)) => self.take(place, Ok(versions)),
            Ok(None) => Ok(()),
            Err(error) => self.take(place, Err(error)),
        }
    }

    /// Takes up the record at a place.
    fn take(&mut self, place: i64, versions: Result<Versions>) -> Result<()> {
        let left_out = &self.vault.left_out;
        let Some(versions) = left_out.unless_damaged(place, versions)? else {
            return Ok(());
        };
        let number = collection(place);
        let Some((space, name)) = self.names.get(&number).cloned() else {
            return Ok(());
        };
        if name == SCHEMAS
            && let Some(of) = versions.first().map(|version| version.change.id.clone())
            && let Some(its) = self.vault.state.collection(&space, &of)
            && self.row.fields.contains_key(&its)
        {
            let fields = self.vault.indexed_fields(&space, &of)?;
            self.row.set_fields(its, fields);
        }
        self.batch.mark(place);
        if name.starts_with('~') {
            return self.flush_full();
        }
        if !self.row.fields.contains_key(&number) {
            let fields = self.vault.indexed_fields(&space, &name)?;
            self.row.fields.insert(number, fields);
        }
        if let Some(record) = Record::of(versions) {
            let words = Words::of(&record.fields);
            for (word, count) in &words.counts {
                self.batch
                    .add(word_key(word), place, weight(*count, words.total));
            }
            for field in self.row.fields.get(&number).into_iter().flatten() {
                let value = record.fields.0.get(field).and_then(order::sorted);
                if let Some(value) = value {
                    let key = [field_key(number, field), value].concat();
                    self.batch.add(key, place, 0);
                }
            }
        }
        self.flush_full()
    }

    fn flush_full(&mut self) -> Result<()> {
        if self.batch.is_full() {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let segment = batch.write(&self.vault.file, self.row.next)?;
        self.row.next += 1;
        self.row.segments.push(segment);
        Ok(())
    }
}

/// How much a word weighs that is `count` times in a record of `total` words.
fn weight(count: u32, total: usize) -> u8 {
    let count = f64::from(count);
    let length = u32::try_from(total).map_or(USUAL_WORDS, f64::from) / USUAL_WORDS;
    let part = count / (count + SATURATION * (1.0 - LENGTH + LENGTH * length));
    // Below 127, as a part is below one.
    ((part * FULL_WEIGHT) as u8).max(1)
}
