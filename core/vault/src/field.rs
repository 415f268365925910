//! What one field is: the value that it was last given, and what was done to that since.
//!
//! Sets: each change that adds an element, or assigns a set that has it, is a dot: (log, position). A removal names for
//! each log how far its writer had seen the element added. The element is in if some log has added it further than
//! every removal has seen: who adds at the same time as another removes has added.
//!
//! Counters: a count names the assignment that it counts from, and all that its log has counted from there, so that of
//! each log only the newest decides.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::change::Kind;
use twin_ops::edit::{Covers, Dot, Edit, position};
use twin_ops::op::LogId;
use twin_ops::set::Set;
use twin_ops::value::Value;

use crate::merge::{Version, Write};

/// How sets and counters name a change.
const fn dot(at: &Write) -> Dot {
    Dot {
        log: at.log,
        position: position(at.seq, at.index),
    }
}

/// An element's additions or removals: for its encoding and each log, the furthest position.
type Furthest<E> = BTreeMap<(E, LogId), u64>;

fn raise<E: Ord>(furthest: &mut Furthest<E>, element: E, log: LogId, position: u64) -> bool {
    let key = (element, log);
    let raises = furthest.get(&key).is_none_or(|known| *known < position);
    if raises {
        furthest.insert(key, position);
    }
    raises
}

/// Tells which changes of a field decide something, when it is shown them from the highest down. What it lets go decides
/// nothing either when the floor of the record or the field rises, for it is outdone by what is higher.
#[derive(Default)]
pub(crate) struct Sieve {
    is_assigned: bool,
    added: Furthest<Vec<u8>>,
    removed: Furthest<Vec<u8>>,
    counted: BTreeSet<(LogId, Option<Dot>)>,
}

impl Sieve {
    /// Whether an assignment decides.
    pub const fn assign(&mut self) -> bool {
        !std::mem::replace(&mut self.is_assigned, true)
    }

    /// Whether an edit decides.
    pub fn edit(&mut self, at: &Write, edit: &Edit) -> bool {
        if self.is_assigned {
            return false;
        }
        let Dot { log, position } = dot(at);
        match edit {
            Edit::Elements { added, removed } => {
                let mut decides = false;
                for (element, _) in added.encoded() {
                    let seen = self.removed.get(&(element.to_vec(), log));
                    if seen.is_none_or(|seen| *seen < position) {
                        decides |= raise(&mut self.added, element.to_vec(), log, position);
                    }
                }
                for (element, covers) in removed.encoded() {
                    for (log, seen) in covers {
                        decides |= raise(&mut self.removed, element.to_vec(), *log, *seen);
                    }
                }
                decides
            }
            Edit::Count { base, .. } => self.counted.insert((log, *base)),
            Edit::Unknown(_) => false,
        }
    }
}

/// A field of a record whose changes are settled.
pub(crate) struct Field<'v> {
    /// Where it last got a value, or lost it.
    base: Option<Dot>,
    /// That value, unless it lost it.
    floor: Option<&'v Value>,
    /// What was done to it since, highest first.
    edits: Vec<(Dot, &'v Edit)>,
}

impl<'v> Field<'v> {
    /// The field of this name. A put that does not name it takes it away.
    pub fn of<K>(settled: &'v [Version<K>], name: &str) -> Self {
        let mut field = Self {
            base: None,
            floor: None,
            edits: Vec::new(),
        };
        for Version { at, change, .. } in settled {
            if let Some(edit) = change.edits.0.get(name) {
                field.edits.push((dot(at), edit));
            }
            let value = change.fields.0.get(name);
            if value.is_some() || change.kind == Kind::Put {
                field.base = Some(dot(at));
                field.floor = value.filter(|value| **value != Value::Null);
                break;
            }
        }
        field
    }

    /// What it holds; [`Value::Null`] if it is not there. Edits that do not fit what it was given count for nothing;
    /// where it was given nothing, the highest edit decides whether it is a set or a counter.
    pub fn value(&self) -> Value {
        match self.floor {
            Some(Value::Set(_)) => Value::Set(self.elements()),
            Some(Value::Counter(from)) => Value::Counter(self.counted(*from)),
            Some(other) => other.clone(),
            None => match self.edits.iter().find(|(_, edit)| says_something(edit)) {
                Some((_, Edit::Elements { .. })) => Value::Set(self.elements()),
                Some((_, Edit::Count { .. })) => Value::Counter(self.counted(0)),
                _ => Value::Null,
            },
        }
    }

    fn elements(&self) -> Set {
        let (added, values) = self.added();
        let removed = self.removed();
        let is_in = |key: &(&[u8], LogId), position: &u64| {
            removed.get(key).is_none_or(|seen| seen < position)
        };
        let mut set = Set::default();
        for (key, position) in &added {
            if is_in(key, position)
                && let Some(value) = values.get(key.0)
            {
                set.insert((*value).clone());
            }
        }
        set
    }

    /// The furthest additions of each element, and the elements.
    fn added(&self) -> (Furthest<&'v [u8]>, BTreeMap<&'v [u8], &'v Value>) {
        let given = match (self.base, self.floor) {
            (Some(base), Some(Value::Set(set))) => Some((base, set)),
            _ => None,
        };
        let edited = self.edits.iter().filter_map(|(dot, edit)| match edit {
            Edit::Elements { added, .. } => Some((*dot, added)),
            _ => None,
        });
        let mut furthest = Furthest::new();
        let mut values = BTreeMap::new();
        for (Dot { log, position }, set) in edited.chain(given) {
            for (element, value) in set.encoded() {
                raise(&mut furthest, element, log, position);
                values.insert(element, value);
            }
        }
        (furthest, values)
    }

    /// How far removals of each element have seen it added.
    fn removed(&self) -> Furthest<&'v [u8]> {
        let mut furthest = Furthest::new();
        for (_, edit) in &self.edits {
            let Edit::Elements { removed, .. } = edit else {
                continue;
            };
            for (element, covers) in removed.encoded() {
                for (log, seen) in covers {
                    raise(&mut furthest, element, *log, *seen);
                }
            }
        }
        furthest
    }

    fn counted(&self, from: i64) -> i64 {
        let mut newest: BTreeMap<LogId, i64> = BTreeMap::new();
        for (dot, edit) in &self.edits {
            if let Edit::Count { base, total } = edit
                && *base == self.base
            {
                newest.entry(dot.log).or_insert(*total);
            }
        }
        // Wide enough for all logs that there can be, so that the order of adding up does not show.
        let sum = newest.values().fold(i128::from(from), |sum, total| {
            sum.saturating_add(i128::from(*total))
        });
        let limit = if sum < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(sum).unwrap_or(limit)
    }

    /// What a removal of each of these elements takes back, by what is known here. Those that nobody has added are left
    /// out.
    pub fn covers(&self, elements: &Set) -> Vec<(Value, Covers)> {
        let (added, _) = self.added();
        let mut known: BTreeMap<&[u8], Covers> = BTreeMap::new();
        for ((element, log), position) in added.into_iter().chain(self.removed()) {
            let seen = known.entry(element).or_default().entry(log).or_default();
            *seen = position.max(*seen);
        }
        let elements = elements.encoded();
        elements
            .filter_map(|(bytes, element)| Some((element.clone(), known.remove(bytes)?)))
            .collect()
    }

    /// A count by `log`, which has counted before or not.
    pub fn count(&self, log: &LogId, by: i64) -> Edit {
        let before = self.edits.iter().find_map(|(dot, edit)| match edit {
            Edit::Count { base, total } if dot.log == *log && *base == self.base => Some(*total),
            _ => None,
        });
        Edit::Count {
            base: self.base,
            total: before.unwrap_or(0).saturating_add(by),
        }
    }
}

/// Whether an edit can decide what a field is that was given nothing.
fn says_something(edit: &Edit) -> bool {
    match edit {
        Edit::Elements { added, removed } => {
            let mut removed = removed.encoded();
            !added.is_empty() || removed.any(|(_, covers)| !covers.is_empty())
        }
        Edit::Count { .. } => true,
        Edit::Unknown(_) => false,
    }
}
