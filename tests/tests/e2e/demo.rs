//! `twin demo`: the whole story, and what happens when one of its programs is killed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tempfile::TempDir;
use twin_tests::e2e::{Finished, Namespace, Program, eventually};

/// A machine without any network, with a folder of its own for temporary files.
struct Machine {
    namespace: Namespace,
    temporary: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            namespace: Namespace::new(),
            temporary: TempDir::new().unwrap(),
        }
    }

    fn demo(&self, words: &[&str]) -> Program {
        let mut command = self
            .namespace
            .command(std::env::var_os("TWIN_BIN").unwrap());
        command.arg("demo").args(words);
        command.env("TMPDIR", self.temporary.path());
        Program::in_pipes(command)
    }

    fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.temporary.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect()
    }
}

/// The programs that `parent` has started and that still run, by their command lines.
fn children(parent: u32) -> BTreeMap<u32, String> {
    let mut children = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Some(id) = entry
            .unwrap()
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // It may end at any moment.
        let read = |name: &str| fs::read(format!("/proc/{id}/{name}")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&read("stat")).into_owned();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let fields: Vec<&str> = after_name.split(' ').collect();
        if fields.get(1) != Some(&parent.to_string().as_str()) || fields[0] == "Z" {
            continue;
        }
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        children.insert(id, words);
    }
    children
}

/// Kills the child of `demo` whose command line holds `words`.
fn kill_child(demo: &Program, words: &str) {
    let id = eventually(&format!("a child that runs “{words}”"), || {
        let children = children(demo.id()).into_iter();
        children
            .into_iter()
            .find(|(_, line)| line.contains(words))
            .map(|(id, _)| id)
    });
    twin_tests::e2e::kill(id);
}

fn failed_clearly(finished: Finished) -> String {
    let finished = finished.badly();
    assert!(finished.errors.starts_with("twin: "), "{}", finished.errors);
    assert!(!finished.errors.contains("os error"), "{}", finished.errors);
    finished.errors
}

#[test]
fn it_tells_the_whole_story_without_a_network() {
    let machine = Machine::new();
    let finished = machine.demo(&[]).finish().well();
    assert!(finished.errors.is_empty(), "{}", finished.errors);
    let story = finished.output;
    let (_, end) = story
        .split_once("what happened")
        .expect("a table at the end");
    for word in [
        "a twin is born",
        "linked",
        "while apart",
        "hold the same",
        "logs in",
        "all of it",
        "bytes sent",
    ] {
        assert!(end.contains(word), "{word}: {end}");
    }
    for command in [
        "phone $ twin create",
        "laptop $ twin link offer",
        "phone $ twin link accept",
        "phone $ twin put",
        "laptop $ twin put",
        "phone $ twin run",
        "laptop $ twin sync",
        "site $ twin site",
        "phone $ twin login",
    ] {
        assert!(story.contains(command), "{command}: {story}");
    }
    assert!(story.matches('█').count() > 200, "no QR codes are shown");
    assert_eq!(machine.leftovers(), [""; 0]);
}

#[test]
fn it_can_be_read_by_a_program() {
    let machine = Machine::new();
    let finished = machine.demo(&["--json"]).finish().well();
    assert_eq!(finished.output.lines().count(), 1, "{}", finished.output);
    let told = finished.json();
    assert_eq!(told["steps"].as_array().unwrap().len(), 5);
    let steps = told["steps"].as_array().unwrap().iter();
    let sum: u64 = steps.map(|step| step["ms"].as_u64().unwrap()).sum();
    assert!(sum <= told["total_ms"].as_u64().unwrap());
    for process in told["traffic"].as_array().unwrap() {
        assert!(process["sent"].as_u64().unwrap() > 0, "{process}");
        assert!(process["received"].as_u64().unwrap() > 0, "{process}");
    }
}

/// Waits for a line of the story, kills the program that runs `words`, and gives the sentence that it ended with.
fn killed_after(line: &str, words: &str) -> String {
    let machine = Machine::new();
    let demo = machine.demo(&[]);
    demo.expect(line);
    kill_child(&demo, words);
    let error = failed_clearly(demo.finish_by_itself());
    assert_eq!(machine.leftovers(), [""; 0]);
    error
}

#[test]
fn killing_who_is_being_linked_ends_it() {
    // Who of the two is missed first is chance.
    let error = killed_after("laptop asks: Join the twin", "link offer");
    assert!(
        error.contains("laptop ended") || error.contains("phone ended"),
        "{error}"
    );
}

#[test]
fn killing_the_phone_while_it_links_ends_it() {
    let error = killed_after("phone $ twin link accept", "link accept");
    assert!(
        error.contains("phone") || error.contains("laptop"),
        "{error}"
    );
}

#[test]
fn killing_the_phone_that_is_online_ends_it() {
    let error = killed_after("phone $ twin run", " run ");
    assert!(
        error.contains("phone") || error.contains("laptop"),
        "{error}"
    );
}

#[test]
fn killing_the_laptop_that_syncs_ends_it() {
    let error = killed_after("laptop $ twin sync", " sync ");
    assert!(error.contains("laptop"), "{error}");
}

#[test]
fn killing_the_site_ends_it() {
    let error = killed_after("site $ twin site", " site ");
    assert!(error.contains("site"), "{error}");
}

#[test]
fn killing_the_phone_that_logs_in_ends_it() {
    let error = killed_after("phone $ twin login", " login ");
    assert!(error.contains("phone"), "{error}");
}

#[test]
fn killing_the_phone_long_after_the_meeting_is_noticed() {
    let error = killed_after("site $ twin site", " run ");
    assert!(error.contains("phone"), "{error}");
}

#[test]
fn stopping_it_midway_leaves_nothing() {
    let machine = Machine::new();
    let demo = machine.demo(&[]);
    demo.expect("laptop asks: Join the twin");
    let before = children(demo.id());
    assert!(!before.is_empty());
    demo.terminate();
    let error = failed_clearly(demo.finish_by_itself());
    assert!(error.contains("stopped"), "{error}");
    gone(before.keys());
    assert_eq!(machine.leftovers(), [""; 0]);
}

#[test]
fn kept_running_until_it_is_stopped() {
    let machine = Machine::new();
    let mut demo = machine.demo(&["--keep"]);
    demo.expect("export TWIN_HOME=");
    let home = demo.expect("/phone").replace("/phone", "");
    demo.expect("Stop with Ctrl-C");
    let running = children(demo.id());
    for words in [" run ", " site "] {
        assert!(
            running.values().any(|line| line.contains(words)),
            "{running:?}"
        );
    }
    demo.interrupt();
    demo.finish_by_itself().well();
    gone(running.keys());
    assert!(
        Path::new(&home).join("phone").is_dir(),
        "it said that the folder stays"
    );
}

#[test]
fn kept_running_it_notices_a_death() {
    let machine = Machine::new();
    let demo = machine.demo(&["--keep"]);
    demo.expect("Stop with Ctrl-C");
    kill_child(&demo, " site ");
    let error = failed_clearly(demo.finish_by_itself());
    assert!(error.contains("site has ended"), "{error}");
}

fn gone<'a>(ids: impl IntoIterator<Item = &'a u32>) {
    for id in ids {
        eventually("the end of a program that was started", || {
            (!Path::new(&format!("/proc/{id}")).exists()).then_some(())
        });
    }
}
