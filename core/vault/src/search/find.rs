//! Finding records by words.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use twin_ops::space::SpaceName;

use crate::error::{Result, VaultError};
use crate::index::{collection, places};
use crate::read::Record;
use crate::segment::{Direction, Merged, Segment, Source, is_damage, weight_of};
use crate::vault::Vault;

use super::keep::FULL_WEIGHT;
use super::word_key;
use super::words::{Term, Words, terms};

/// The most bytes of a search.
pub const MAX_QUERY: usize = 256;
/// The most words of a search.
pub const MAX_QUERY_WORDS: usize = 16;
/// The most records that a search answers with.
pub const MAX_HITS: usize = 1000;

/// How many records with a word are looked at if it is in more of them. If another word of the search is in fewer, all
/// records with both are found.
const MAX_POSTINGS: usize = 10_000;
/// How many of the best are opened at least, to put those of one rank in the order of their time.
const OPENED: usize = 512;
/// How much less a word counts that only begins as the last word of the search does.
const BEGINNING: f64 = 0.5;

/// A record that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its collection.
    pub collection: String,
    /// The record.
    pub record: Record,
    /// How well it fits: more is better; comparable within one search only.
    pub score: f64,
}

/// Where to search.
#[derive(Clone, Copy)]
struct Where<'v> {
    source: Source<'v>,
    segments: &'v [Segment],
    names: &'v BTreeMap<u16, &'v str>,
}

/// The places under a term, with their weights.
struct Postings {
    weights: BTreeMap<i64, f64>,
    /// Whether these are all.
    all: bool,
}

impl Vault {
    /// The records of a space, or of one of its collections, that have all these words in their texts, the best first:
    /// those with rarer words, with more of them, and with little else; then those changed last. The last word may be
    /// the beginning of one. Letters are taken without marks, large or small.
    ///
    /// What was written since the last search is taken up first. What a twin keeps for itself, in spaces and collections
    /// whose names begin with `~`, is not searched.
    ///
    /// # Errors
    /// [`VaultError::InvalidQuery`] for a search of more than [`MAX_QUERY`] bytes or [`MAX_QUERY_WORDS`] words, or of none.
    pub fn search(
        &mut self,
        space: &SpaceName,
        query: &str,
        within: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Hit>> {
        if query.len() > MAX_QUERY {
            return Err(VaultError::InvalidQuery(
                "a search has at most 256 bytes: use fewer words",
            ));
        }
        let terms = terms(query, MAX_QUERY_WORDS).ok_or(VaultError::InvalidQuery(
            "a search has at most 16 words: use fewer of them",
        ))?;
        if terms.is_empty() {
            return Err(VaultError::InvalidQuery(
                "there is no word in this search: give at least one letter or digit",
            ));
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        let find = |vault: &Self| vault.find_words(space, &terms, within, limit);
        match self.index_all() {
            Err(VaultError::DiskFull) => return self.index_in_passing(find),
            ready => ready?,
        }
        match self.read(find) {
            Err(error) if is_damage(&error) => {
                self.drop_segments()?;
                self.index_all()?;
                self.read(find)
            }
            found => found,
        }
    }

    fn find_words(
        &self,
        space: &SpaceName,
        terms: &[Term],
        within: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Hit>> {
        let space = self.state.space(space);
        let names: BTreeMap<u16, &str> = self
            .state
            .collections
            .get(&space)
            .into_iter()
            .flatten()
            .filter(|(name, _)| within.is_none_or(|only| only == *name))
            .map(|(name, number)| (*number, name.as_str()))
            .collect();
        let row = self.file.search_row()?;
        let place = Where {
            source: self.source(&self.state.blocks),
            segments: &row.segments,
            names: &names,
        };
        let ranked = place.ranked(terms)?;
        self.open_hits(&names, terms, ranked, limit.min(MAX_HITS))
    }

    /// Opens the best, and leaves out what has changed since it was taken up.
    fn open_hits(
        &self,
        names: &BTreeMap<u16, &str>,
        terms: &[Term],
        ranked: Vec<(i64, f64)>,
        limit: usize,
    ) -> Result<Vec<Hit>> {
        let mut hits: Vec<Hit> = Vec::new();
        let mut last = f64::INFINITY;
        for (opened, (place, score)) in ranked.into_iter().enumerate() {
            // Of one rank all have to be seen to find the newest, but not without end.
            if hits.len() >= limit && (score < last || opened >= OPENED.max(limit)) {
                break;
            }
            last = score;
            let versions = self
                .left_out
                .unless_damaged(place, self.versions_at(place))?;
            let Some(record) = versions.flatten().and_then(Record::of) else {
                continue;
            };
            let words = Words::of(&record.fields);
            if let Some(name) = names.get(&collection(place))
                && terms.iter().all(|term| words.have(term))
            {
                hits.push(Hit {
                    collection: (*name).to_owned(),
                    record,
                    score,
                });
            }
        }
        hits.sort_by(|a, b| {
            let newest = |hit: &Hit| Reverse(hit.record.changed);
            b.score
                .total_cmp(&a.score)
                .then_with(|| newest(a).cmp(&newest(b)))
                .then_with(|| a.record.id.cmp(&b.record.id))
                .then_with(|| a.collection.cmp(&b.collection))
        });
        hits.truncate(limit);
        Ok(hits)
    }
}

impl Where<'_> {
    /// Where records are with all the terms, the best first.
    fn ranked(&self, terms: &[Term]) -> Result<Vec<(i64, f64)>> {
        let records: u64 = self.segments.iter().map(|segment| segment.records).sum();
        let records = records as f64;
        let mut postings = Vec::with_capacity(terms.len());
        for term in terms {
            postings.push((term, self.postings(term)?));
        }
        // From the rarest on. Of what is in too many records only a part is here: it decides nothing.
        postings.sort_by_key(|(_, postings)| (!postings.all, postings.weights.len()));
        let Some((_, rarest)) = postings.first() else {
            return Ok(Vec::new());
        };
        let mut ranked = Vec::new();
        'places: for place in rarest.weights.keys() {
            let mut score = 0.0;
            for (term, postings) in &postings {
                let weight = match postings.weights.get(place) {
                    Some(weight) => *weight,
                    None if postings.all => continue 'places,
                    None => match self.weight_beyond(term, *place)? {
                        Some(weight) => weight,
                        None => continue 'places,
                    },
                };
                let with = if postings.all {
                    postings.weights.len() as f64
                } else {
                    records
                };
                score += weight * rarity(records, with);
            }
            ranked.push((*place, score));
        }
        ranked.sort_by(|(a, one), (b, other)| other.total_cmp(one).then(a.cmp(b)));
        Ok(ranked)
    }

    /// The weight of a term that is in more records than were looked at. Whether a record has a word that only begins
    /// so shows when it is opened.
    fn weight_beyond(&self, term: &Term, place: i64) -> Result<Option<f64>> {
        if term.prefix {
            return Ok(Some(0.0));
        }
        let weight = weight_of(self.source, self.segments, &word_key(&term.word), place)?;
        Ok(weight.map(share))
    }

    fn postings(&self, term: &Term) -> Result<Postings> {
        let word = word_key(&term.word);
        let mut postings = Postings {
            weights: BTreeMap::new(),
            all: true,
        };
        // The records of one collection are beside each other under each word.
        let mut names = self.names.keys();
        let (first, last) = match (names.next(), names.next()) {
            (Some(only), None) if !term.prefix => places(*only),
            _ => (i64::MIN, i64::MAX),
        };
        let mut found = Merged::new(self.source, self.segments, Direction::Up, (&word, first))?;
        while let Some(next) = found.next()? {
            let exact = next.key == word;
            if !(exact || (term.prefix && next.key.starts_with(&word))) || next.place > last {
                break;
            }
            if !self.names.contains_key(&collection(next.place)) {
                continue;
            }
            if postings.weights.len() >= MAX_POSTINGS {
                postings.all = false;
                break;
            }
            let weight = share(next.weight) * if exact { 1.0 } else { BEGINNING };
            let best = postings.weights.entry(next.place).or_insert(weight);
            *best = best.max(weight);
        }
        Ok(postings)
    }
}

fn share(weight: u8) -> f64 {
    f64::from(weight) / FULL_WEIGHT
}

/// How rare a word is that is in `with` of all records (BM25).
fn rarity(records: f64, with: f64) -> f64 {
    let without = (records - with).max(0.0);
    (1.0 + (without + 0.5) / (with + 0.5)).ln()
}
