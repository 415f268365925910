use proptest::prelude::*;
use twin_identity::cbor;
use twin_ops::edit::{Dot, Edit, Edits, Removed, position};
use twin_ops::set::Set;
use twin_ops::value::Unknown;

use super::*;

type Versions = Vec<Version<usize>>;

fn element() -> impl Strategy<Value = Value> {
    (0i64..2).prop_map(Value::Int)
}

fn set() -> impl Strategy<Value = Set> {
    prop::collection::vec(element(), 0..3).prop_map(|all| Set::of(all).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        2 => (0i64..100).prop_map(Value::Int),
        1 => set().prop_map(Value::Set),
        1 => prop_oneof![Just(i64::MIN), Just(0), Just(i64::MAX)].prop_map(Value::Counter),
    ]
}

/// Names changes of a history, or others that are not in it.
fn some_dot() -> impl Strategy<Value = Dot> {
    (0u8..2, 0u64..3, 0u64..10).prop_map(|(log, seq, index)| Dot {
        log: LogId::from_bytes([log; 32]),
        position: position(seq, index),
    })
}

/// Also those that no honest writer makes.
fn edit() -> impl Strategy<Value = Edit> {
    let covers = prop::collection::vec(some_dot(), 0..3);
    let removed = prop::collection::vec((element(), covers), 0..3);
    let totals = prop_oneof![Just(i64::MIN), -3i64..4, Just(i64::MAX)];
    prop_oneof![
        3 => (set(), removed).prop_map(|(added, gone)| {
            let mut removed = Removed::default();
            for (element, covers) in gone {
                let covers = covers.into_iter().map(|dot| (dot.log, dot.position));
                removed.insert(element, covers.collect());
            }
            Edit::Elements { added, removed }
        }),
        3 => (prop::option::of(some_dot()), totals)
            .prop_map(|(base, total)| Edit::Count { base, total }),
        1 => Just(Edit::Unknown(Unknown::from_bytes(&[0x81, 9]).unwrap())),
    ]
}

fn change() -> impl Strategy<Value = RecordChange> {
    let kind = prop_oneof![
        2 => Just(Kind::Put),
        6 => Just(Kind::Patch),
        1 => Just(Kind::Delete),
    ];
    let fields = prop::collection::btree_map("[abc]", value(), 0..3);
    let edits = prop::collection::btree_map("[abc]", edit(), 0..3);
    (kind, 0u64..5, fields, edits).prop_map(|(kind, stamp, mut fields, mut edits)| {
        match kind {
            Kind::Put => edits.clear(),
            Kind::Patch => edits.retain(|name, _| !fields.contains_key(name)),
            Kind::Delete => {
                fields.clear();
                edits.clear();
            }
        }
        RecordChange {
            kind,
            stamp: Stamp(stamp),
            collection: "c".to_owned(),
            id: "r".to_owned(),
            fields: Fields(fields),
            edits: Edits(edits),
        }
    })
}

/// Changes with ties of stamps, devices and logs, and an order of arrival in which some come twice.
fn history() -> impl Strategy<Value = (Versions, Vec<usize>)> {
    let change = (change(), 0u8..3, 0u8..2, 0u64..3);
    prop::collection::vec(change, 0..10).prop_flat_map(|changes| {
        let versions: Versions = (0..)
            .zip(changes)
            .map(|(key, (change, device, log, seq))| Version {
                at: Write {
                    stamp: change.stamp,
                    device: DeviceId::from_bytes([device; 32]),
                    log: LogId::from_bytes([log; 32]),
                    seq,
                    index: key as u64,
                },
                key,
                change,
            })
            .collect();
        let some = prop::collection::vec(0..versions.len().max(1), 0..5);
        let len = versions.len();
        some.prop_flat_map(move |twice| {
            let all: Vec<usize> = (0..len)
                .chain(twice.into_iter().filter(|i| *i < len))
                .collect();
            Just(all).prop_shuffle()
        })
        .prop_map(move |order| (versions.clone(), order))
    })
}

/// The definition at the head of this module, word for word and without a thought for cost.
fn reference(all: &Versions) -> Option<Fields> {
    let highest = all.iter().max_by_key(|version| version.at)?;
    if highest.change.kind == Kind::Delete {
        return None;
    }
    let puts = all
        .iter()
        .filter(|version| version.change.kind == Kind::Put);
    let floor = puts.map(|version| version.at).max();
    let counts = |version: &&Version<usize>| floor.is_none_or(|floor| version.at >= floor);
    let mut fields = BTreeMap::new();
    for name in ["a", "b", "c"] {
        let gives = |version: &&Version<usize>| {
            let change = &version.change;
            change.kind == Kind::Put || change.fields.0.contains_key(name)
        };
        let above = all.iter().filter(counts);
        let base = above.filter(gives).max_by_key(|version| version.at);
        let value = base.and_then(|version| version.change.fields.0.get(name));
        let edits: Vec<(Write, &Edit)> = all
            .iter()
            .filter(counts)
            .filter(|version| base.is_none_or(|base| version.at > base.at))
            .filter_map(|version| Some((version.at, version.change.edits.0.get(name)?)))
            .collect();
        if let Some(value) = reference_field(base.map(|base| dot(&base.at)), value, &edits) {
            fields.insert(name.to_owned(), value);
        }
    }
    Some(Fields(fields))
}

fn dot(at: &Write) -> Dot {
    Dot {
        log: at.log,
        position: at.seq * 4096 + at.index,
    }
}

fn logs() -> [LogId; 2] {
    [0, 1].map(|log| LogId::from_bytes([log; 32]))
}

fn reference_field(
    base: Option<Dot>,
    value: Option<&Value>,
    edits: &[(Write, &Edit)],
) -> Option<Value> {
    let says = |edit: &Edit| match edit {
        Edit::Elements { added, removed } => {
            !added.is_empty() || removed.encoded().any(|(_, covers)| !covers.is_empty())
        }
        Edit::Count { .. } => true,
        Edit::Unknown(_) => false,
    };
    let said = edits.iter().filter(|(_, edit)| says(edit));
    match (value, said.max_by_key(|(at, _)| *at)) {
        (Some(Value::Set(set)), _) => Some(reference_set(base, set, edits)),
        (Some(Value::Counter(from)), _) => Some(reference_counter(base, *from, edits)),
        (None | Some(Value::Null), Some((_, Edit::Elements { .. }))) => {
            Some(reference_set(base, &Set::default(), edits))
        }
        (None | Some(Value::Null), Some(_)) => Some(reference_counter(base, 0, edits)),
        (None | Some(Value::Null), None) => None,
        (Some(other), _) => Some(other.clone()),
    }
}

fn reference_set(base: Option<Dot>, given: &Set, edits: &[(Write, &Edit)]) -> Value {
    let mut dots: Vec<(Value, Dot)> = Vec::new();
    let mut seen: Vec<(Vec<u8>, LogId, u64)> = Vec::new();
    dots.extend(given.iter().map(|element| (element.clone(), base.unwrap())));
    for (at, edit) in edits {
        if let Edit::Elements { added, removed } = edit {
            dots.extend(added.iter().map(|element| (element.clone(), dot(at))));
            for (element, covers) in removed.encoded() {
                seen.extend(covers.iter().map(|(log, p)| (element.to_vec(), *log, *p)));
            }
        }
    }
    let is_in = |(element, dot): &&(Value, Dot)| {
        let element = cbor::encode(element);
        let mut taken = seen.iter();
        !taken.any(|(of, log, p)| *of == element && *log == dot.log && *p >= dot.position)
    };
    let elements = dots.iter().filter(is_in);
    Value::Set(Set::of(elements.map(|(element, _)| element.clone())).unwrap())
}

fn reference_counter(base: Option<Dot>, from: i64, edits: &[(Write, &Edit)]) -> Value {
    let newest = logs().map(|log| {
        let counts = edits.iter().filter(|(at, _)| at.log == log);
        let counts = counts.filter_map(|(at, edit)| match edit {
            Edit::Count { base: named, total } if *named == base => Some((at, *total)),
            _ => None,
        });
        counts
            .max_by_key(|(at, _)| **at)
            .map_or(0, |(_, total)| i128::from(total))
    });
    let sum = i128::from(from) + newest.iter().sum::<i128>();
    Value::Counter(sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_order_and_duplication_gives_the_same((all, order) in history()) {
        let mut kept = Versions::new();
        for next in order {
            kept.push(all[next].clone());
            settle(&mut kept);
        }
        let mut at_once = all.clone();
        settle(&mut at_once);
        prop_assert_eq!(&kept, &at_once);
        prop_assert_eq!(fields(kept), reference(&all));
    }

    #[test]
    fn a_snapshot_stands_for_all_that_it_was_taken_from((all, order) in history(), mask: u16) {
        // What is below a line, and what comes later or was never seen by who drew it.
        let is_below = |version: &Version<usize>| mask & (1 << version.at.index) != 0;
        let mut snapshot: Versions = all.iter().filter(|version| is_below(version)).cloned().collect();
        settle(&mut snapshot);
        // Copies are kept elsewhere; they may come before, after or among what they are copies of.
        let copies = snapshot.iter().map(|copy| Version { key: copy.key + 100, ..copy.clone() });
        let copies: Versions = copies.collect();
        let mut settled = all.clone();
        settle(&mut settled);
        let at = |versions: &Versions| versions.iter().map(|version| version.at).collect::<Vec<_>>();
        let rest = all.iter().filter(|version| !is_below(version)).cloned();
        let mut without: Versions = copies.iter().cloned().chain(rest).collect();
        settle(&mut without);
        prop_assert_eq!(at(&without), at(&settled));
        prop_assert_eq!(fields(without), reference(&all));
        let mut mixed: Versions = order.iter().map(|next| all[*next].clone()).collect();
        let place = usize::from(mask) % (mixed.len() + 1);
        mixed.splice(place..place, copies);
        settle(&mut mixed);
        prop_assert_eq!(at(&mixed), at(&settled));
        // If nothing above decides anything, what decides is the snapshot.
        if settled.iter().all(is_below) {
            prop_assert_eq!(at(&snapshot), at(&settled));
        }
    }

    #[test]
    fn replicas_that_exchange_what_they_kept_agree((all, order) in history(), cut in 0usize..10) {
        let (one, other) = order.split_at(cut.min(order.len()));
        let take = |some: &[usize]| {
            let mut kept: Versions = some.iter().map(|next| all[*next].clone()).collect();
            settle(&mut kept);
            kept
        };
        let mut kept = take(one);
        kept.extend(take(other));
        settle(&mut kept);
        prop_assert_eq!(fields(kept), reference(&all));
    }

    #[test]
    fn no_more_is_kept_than_decides((mut all, _) in history()) {
        all.iter_mut().for_each(|version| version.change.edits.0.clear());
        settle(&mut all);
        // The highest of all, the highest put, three fields.
        prop_assert!(all.len() <= 5);
    }

    #[test]
    fn what_goes_and_what_stays_is_all_there_was((all, order) in history()) {
        let mut kept = Versions::new();
        let mut gone = Vec::new();
        for next in order {
            kept.push(all[next].clone());
            gone.extend(settle(&mut kept));
        }
        let keys: BTreeSet<usize> = kept.iter().chain(&gone).map(|version| version.key).collect();
        prop_assert_eq!(keys, all.iter().map(|version| version.key).collect());
    }
}

/// The `n`th change of a record, by the first or the second log.
fn nth(n: u64, log: u8, kind: Kind, edit: Option<Edit>) -> Version<usize> {
    Version {
        at: Write {
            stamp: Stamp(n),
            device: DeviceId::from_bytes([log; 32]),
            log: LogId::from_bytes([log; 32]),
            seq: n,
            index: 0,
        },
        key: n as usize,
        change: RecordChange {
            kind,
            stamp: Stamp(n),
            collection: "c".to_owned(),
            id: "r".to_owned(),
            fields: Fields::default(),
            edits: Edits(
                edit.map(|edit| ("a".to_owned(), edit))
                    .into_iter()
                    .collect(),
            ),
        },
    }
}

#[test]
fn of_many_edits_as_many_are_kept_as_there_are_logs() {
    let one = || Set::of([Value::Int(1)]).unwrap();
    let mut counted = vec![nth(1, 0, Kind::Put, None)];
    let mut added = counted.clone();
    let mut toggled = counted.clone();
    for n in 2..200 {
        let log = (n % 2) as u8;
        let id = LogId::from_bytes([log; 32]);
        let count = Field::of(&counted, "a").count(&id, 1);
        counted.push(nth(n, log, Kind::Patch, Some(count)));
        settle(&mut counted);

        let add = Edit::Elements {
            added: one(),
            removed: Removed::default(),
        };
        added.push(nth(n, log, Kind::Patch, Some(add.clone())));
        settle(&mut added);

        let mut removed = Removed::default();
        for (element, covers) in Field::of(&toggled, "a").covers(&one()) {
            removed.insert(element, covers);
        }
        let edit = if removed.is_empty() || n % 3 == 0 {
            add
        } else {
            Edit::Elements {
                added: Set::default(),
                removed,
            }
        };
        toggled.push(nth(n, log, Kind::Patch, Some(edit)));
        settle(&mut toggled);
        // The put, the newest of each log; of removals, one that knows them all, and additions since.
        assert!(
            counted.len() <= 3 && added.len() <= 3 && toggled.len() <= 4,
            "{n}"
        );
    }
    let counted = fields(counted).unwrap();
    assert_eq!(counted.0.get("a"), Some(&Value::Counter(198)));
}
