//! Who may depend on whom: the arrows of the design, held to what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::project::{Project, metadata};

/// A crate and other crates, row by row.
type Rules<'a> = &'a [(&'a str, &'a [&'a str])];

/// Each crate of the workspace and the ones it may name in its Cargo.toml.
const ARROWS: Rules = &[
    ("twin-identity", &[]),
    ("twin-ops", &["twin-identity"]),
    ("twin-vault", &["twin-ops", "twin-identity"]),
    ("twin-sync", &["twin-ops", "twin-identity"]),
    ("twin-login", &["twin-identity"]),
    ("twin-net", &["twin-sync", "twin-identity"]),
    (
        "twin",
        &[
            "twin-vault",
            "twin-net",
            "twin-login",
            "twin-sync",
            "twin-ops",
            "twin-identity",
        ],
    ),
    // a relay is no device: it has no twin
    ("twin-cli", &["twin", "twin-net", "twin-site"]),
    ("twin-site", &["twin-login", "twin-identity"]),
    ("xtask", &[]),
    ("twin-tests", ALL),
    ("twin-disk", &[]),
];

/// What a crate may name besides, for its own tests only.
const FOR_TESTS: Rules = &[
    // a site is tested with the HTTPS client that a phone uses
    ("twin-site", &["twin-net"]),
    // devices of a twin talk to the relay's store, under keys of an epoch
    ("twin-net", &["twin-ops"]),
];

/// The tests look into every room.
const ALL: &[&str] = &[
    "twin-identity",
    "twin-ops",
    "twin-vault",
    "twin-sync",
    "twin-login",
    "twin-net",
    "twin",
    "twin-site",
    "twin-disk",
];

/// Each crate and what must not be in it, at any depth (tests aside): rooms without sockets, files or a runtime stay so,
/// and a site that only verifies logins is spared the network stack and the database.
const FREE_OF: Rules = &[
    ("twin-identity", &["libp2p-core", "libsqlite3-sys", "tokio"]),
    ("twin-ops", &["libp2p-core", "libsqlite3-sys", "tokio"]),
    ("twin-sync", &["libp2p-core", "libsqlite3-sys", "tokio"]),
    ("twin-login", &["libp2p-core", "libsqlite3-sys", "tokio"]),
    ("twin-vault", &["libp2p-core", "tokio"]),
    ("twin-site", &["libp2p-core", "libsqlite3-sys"]),
];

/// Each crate and what it may name for its tests and measurements only, where cargo-deny cannot tell these apart.
const NOT_SHIPPED: Rules = &[
    // the example `vault` measures beside plain SQLite
    ("twin", &["rusqlite"]),
];

/// Fails with one sentence for each broken arrow.
pub fn check(project: &Project) -> Result {
    let graph = Graph::read(&metadata(&project.root, &["--locked"])?);
    let broken: Vec<String> = graph
        .forbidden_edges(ARROWS, FOR_TESTS)
        .into_iter()
        .chain(graph.forbidden_reach(FREE_OF))
        .chain(graph.forbidden_names(NOT_SHIPPED))
        .collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(broken.join("\n")))
    }
}

/// Crates and who depends on whom, by name.
#[derive(Default)]
struct Graph {
    /// The crates of this workspace.
    ours: BTreeSet<String>,
    /// Every dependency, for tests or not.
    all: BTreeMap<String, BTreeSet<String>>,
    /// Those that end up in what is built for a person.
    shipped: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let mut graph = Self::default();
        let names: BTreeMap<&str, &str> = list(&metadata["packages"])
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let name = |id: &Value| {
            id.as_str()
                .and_then(|id| names.get(id))
                .map(|name| (*name).to_owned())
        };
        graph.ours = list(&metadata["workspace_members"])
            .filter_map(name)
            .collect();
        for node in metadata
            .pointer("/resolve/nodes")
            .into_iter()
            .flat_map(list)
        {
            let Some(from) = name(&node["id"]) else {
                continue;
            };
            for dependency in list(&node["deps"]) {
                let Some(to) = name(&dependency["pkg"]) else {
                    continue;
                };
                let shipped = list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
                graph.add(&from, &to, shipped);
            }
        }
        graph
    }

    fn add(&mut self, from: &str, to: &str, shipped: bool) {
        self.all
            .entry(from.to_owned())
            .or_default()
            .insert(to.to_owned());
        if shipped {
            self.shipped
                .entry(from.to_owned())
                .or_default()
                .insert(to.to_owned());
        }
    }

    fn forbidden_edges(&self, arrows: Rules, for_tests: Rules) -> Vec<String> {
        let arrows: BTreeMap<&str, &[&str]> = arrows.iter().copied().collect();
        let for_tests: BTreeMap<&str, &[&str]> = for_tests.iter().copied().collect();
        let mut broken = Vec::new();
        for from in &self.ours {
            let Some(allowed) = arrows.get(from.as_str()) else {
                broken.push(format!("{from} is not in the table of rooms; add it to ARROWS in bindings/xtask/src/rooms.rs"));
                continue;
            };
            let for_tests = for_tests.get(from.as_str()).copied().unwrap_or_default();
            for to in self
                .all
                .get(from)
                .into_iter()
                .flatten()
                .filter(|to| self.ours.contains(*to))
            {
                let shipped = self
                    .shipped
                    .get(from)
                    .is_some_and(|shipped| shipped.contains(to));
                let has = |rule: &[&str]| rule.contains(&to.as_str());
                if !has(allowed) && (shipped || !has(for_tests)) {
                    broken.push(format!(
                        "{from} must not depend on {to}: the design has no arrow from one to the other"
                    ));
                }
            }
        }
        broken
    }

    /// What ends up in a crate because that crate itself names it.
    fn forbidden_names(&self, rules: Rules) -> Vec<String> {
        rules
            .iter()
            .flat_map(|(from, banned)| banned.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| {
                self.shipped
                    .get(*from)
                    .is_some_and(|named| named.contains(*to))
            })
            .map(|(from, to)| format!("{from} must not name {to}, except for its tests"))
            .collect()
    }

    fn forbidden_reach(&self, rules: Rules) -> Vec<String> {
        let mut broken = Vec::new();
        for (from, banned) in rules {
            let reached = self.reach(from);
            for to in *banned {
                if let Some(path) = reached.get(*to) {
                    broken.push(format!(
                        "{from} must be free of {to}, but it comes in by {path}"
                    ));
                }
            }
        }
        broken
    }

    /// Every crate built into `from`, with the way that leads to it.
    fn reach(&self, from: &str) -> BTreeMap<String, String> {
        let mut reached = BTreeMap::from([(from.to_owned(), from.to_owned())]);
        let mut open = vec![from.to_owned()];
        while let Some(crate_name) = open.pop() {
            let path = reached.get(&crate_name).cloned().unwrap_or_default();
            for to in self.shipped.get(&crate_name).into_iter().flatten() {
                if !reached.contains_key(to) {
                    reached.insert(to.clone(), format!("{path} -> {to}"));
                    open.push(to.clone());
                }
            }
        }
        reached
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = &[("low", &[]), ("high", &["low"])];

    fn graph(edges: &[(&str, &str, bool)]) -> Graph {
        let mut graph = Graph {
            ours: ["low", "high"].map(String::from).into(),
            ..Graph::default()
        };
        for (from, to, shipped) in edges {
            graph.add(from, to, *shipped);
        }
        graph
    }

    #[test]
    fn the_workspace_keeps_to_the_design() -> Result {
        check(&Project::find()?)
    }

    #[test]
    fn an_arrow_against_the_design_is_named() {
        assert!(
            graph(&[("high", "low", true), ("low", "serde", true)])
                .forbidden_edges(RULES, &[])
                .is_empty()
        );
        let broken = graph(&[("low", "high", false)]).forbidden_edges(RULES, &[]);
        assert_eq!(
            broken,
            ["low must not depend on high: the design has no arrow from one to the other"]
        );
    }

    #[test]
    fn what_is_for_tests_is_for_tests_only() {
        let for_tests: Rules = &[("low", &["high"])];
        let edges = |shipped| graph(&[("low", "high", shipped)]).forbidden_edges(RULES, for_tests);
        assert!(edges(false).is_empty() && edges(true).len() == 1);
    }

    #[test]
    fn a_crate_that_is_in_no_row_is_named() {
        let broken = graph(&[]).forbidden_edges(&[("low", &[])], &[]);
        assert!(
            broken.len() == 1
                && broken
                    .iter()
                    .all(|line| line.starts_with("high is not in the table"))
        );
    }

    #[test]
    fn what_must_stay_out_is_found_at_any_depth_but_not_in_tests() {
        let rules: Rules = &[("low", &["libp2p-core"])];
        let deep = graph(&[
            ("low", "a", true),
            ("a", "b", true),
            ("b", "libp2p-core", true),
        ]);
        assert_eq!(
            deep.forbidden_reach(rules),
            ["low must be free of libp2p-core, but it comes in by low -> a -> b -> libp2p-core"]
        );
        assert!(
            graph(&[("low", "libp2p-core", false)])
                .forbidden_reach(rules)
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_shipped_may_still_be_measured_beside() {
        let rules: Rules = &[("high", &["sqlite"])];
        let named = |shipped| graph(&[("high", "sqlite", shipped)]).forbidden_names(rules);
        assert!(named(false).is_empty());
        assert_eq!(
            named(true),
            ["high must not name sqlite, except for its tests"]
        );
        let deeper = graph(&[("high", "low", true), ("low", "sqlite", true)]);
        assert!(deeper.forbidden_names(rules).is_empty());
    }

    #[test]
    fn cargos_own_words_are_understood() {
        let metadata = serde_json::json!({
            "packages": [{"id": "1", "name": "low"}, {"id": "2", "name": "high"}],
            "workspace_members": ["1", "2"],
            "resolve": {"nodes": [
                {"id": "1", "deps": [{"pkg": "2", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "2", "deps": [{"pkg": "1", "dep_kinds": [{"kind": "dev"}, {"kind": null}]}]},
            ]},
        });
        let graph = Graph::read(&metadata);
        assert_eq!(graph.forbidden_edges(RULES, &[]).len(), 1);
        assert!(
            graph.reach("high").contains_key("low") && !graph.reach("low").contains_key("high")
        );
    }
}
