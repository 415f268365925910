//! What the tests of bad input have in common.

use twin_tests::e2e::{Device, Finished};

/// Makes sure that the program failed with one line of error that has these words in it, and did not crash.
pub fn complains(finished: Finished, words: &[&str]) {
    let finished = finished.badly();
    let error = finished.errors.to_lowercase();
    assert!(error.starts_with("twin: "), "{error}");
    for word in words {
        assert!(error.contains(word), "“{word}” is not in: {error}");
    }
}

/// Makes a twin with two records that must never be lost.
pub fn settle(device: &Device<'_>, name: &str) {
    device.create(name);
    device.run(["put", "home/notes/one", "word=kept", "number:=1"]);
    device.run(["put", "home/notes/two", "word=kept", "number:=2"]);
}

/// Makes sure that these two are still there, and that the device can still write.
pub fn is_whole(device: &Device<'_>) {
    for (id, number) in [("one", 1), ("two", 2)] {
        let fields = device.fields(&format!("home/notes/{id}"));
        assert_eq!(
            fields,
            serde_json::json!({"word": "kept", "number": number})
        );
    }
    device.run(["put", "home/other/new", "word=written"]);
}
