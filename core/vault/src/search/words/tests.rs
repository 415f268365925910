#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    let fields = Fields([("text".to_owned(), text.into())].into());
    let mut words: Vec<String> = Words::of(&fields).counts.into_keys().collect();
    words.sort();
    words
}

/// Whether a search for `query` finds `text`.
fn finds(query: &str, text: &str) -> bool {
    let fields = Fields([("text".to_owned(), text.into())].into());
    let terms = terms(query, 64).unwrap();
    let words = Words::of(&fields);
    !terms.is_empty() && terms.iter().all(|term| words.have(term))
}

#[test]
fn one_word_however_it_is_spelled() {
    let alike: &[&[&str]] = &[
        &["Müller", "muller", "MÜLLER", "mu\u{308}ller", "Ｍüller"],
        &["İstanbul", "istanbul", "Istanbul", "ISTANBUL", "ıstanbul"],
        &["Straße", "STRASSE", "strasse", "STRAẞE"],
        &["Łódź", "lodz"],
        &["Ærøskøbing", "aeroskobing"],
        &["Đặng", "dang"],
        &["Όμηρος", "ομηροσ", "ΟΜΗΡΟΣ"],
        &["Пётр", "петр"],
        &["مُحَمَّد", "محمد", "محـــمد"],
        &["أحمد", "احمد"],
        &["שָׁלוֹם", "שלום"],
        &["फ़िल्म", "फिल्म"],
        &["ﬁance", "fiancé", "FIANCÉ"],
        &["한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"],
        &["co\u{ad}operate", "cooperate"],
        &["don’t", "don't", "dont"],
        &["ｶﾞｲﾄﾞ", "ガイド"],
    ];
    for spellings in alike {
        for one in *spellings {
            for other in *spellings {
                assert!(
                    finds(one, other),
                    "{one} should find {other}: {:?} {:?}",
                    terms(one, 16),
                    words(other)
                );
            }
        }
    }
}

#[test]
fn other_words_stay_other_words() {
    for (query, text) in [
        ("दिन", "दुन"),
        ("कर्म", "करम"),
        ("か", "が"),
        ("มา", "เมือง"),
        ("uller", "Müller"),
        ("cat", "dog"),
        ("東都", "東京都"),
    ] {
        assert!(!finds(query, text), "{query} should not find {text}");
    }
}

#[test]
fn the_last_word_is_a_beginning_and_the_others_are_whole() {
    assert!(finds("ada love", "Ada Lovelace"));
    assert!(finds("LOVELACE a", "Ada Lovelace"));
    assert!(!finds("love ada", "Ada Lovelace"));
    assert!(finds("grace example", "grace@example.org"));
    assert!(finds("example.org", "mail grace@example.org now"));
    assert!(finds("3.1", "π is 3.14"));
    assert!(finds("हिन", "हिन्दी"));
    assert!(finds("한", "한국어"));
}

#[test]
fn a_word_with_an_apostrophe_is_found_by_what_stands_beside_it_too() {
    for query in [
        "l'amour",
        "l’amour",
        "lamour",
        "amour",
        "AMOUR fou",
        "hui",
        "aujourd",
        "aujourd'hui",
    ] {
        assert!(finds(query, "L’amour fou, aujourd'hui"), "{query}");
    }
    assert!(finds("john car", "John's car"));
    assert!(finds("brien", "Flann O'Brien"));
    for query in ["l fou", "lamour", "s car"] {
        assert!(!finds(query, "L'amitié folle; John's car"), "{query}");
    }
}

#[test]
fn scripts_without_spaces_are_found_from_anywhere() {
    let found = [
        ("東京", "私は東京都に住む"),
        ("京都", "私は東京都に住む"),
        ("東", "私は東京都に住む"),
        ("都", "東京都"),
        ("東京都", "東京都"),
        ("カメラ", "新しいカメラを買う"),
        ("กิน", "ฉันกินข้าว"),
        ("ข้าว", "ฉันกินข้าว"),
        ("ຂ້ອຍ", "ສະບາຍດີຂ້ອຍ"),
        ("ខ្មែរ", "ភាសាខ្មែរ"),
        ("စာ", "မြန်မာစာ"),
        ("東京 2024", "2024年の東京"),
        ("🎂", "birthday 🎉🎂"),
        ("👍", "well done 👍🏽"),
        ("👍🏿", "well done 👍"),
        ("👩‍👩‍👧", "us 👩‍👩‍👧!"),
        ("🇨🇭", "home 🇫🇷🇨🇭"),
        ("❤", "❤️"),
    ];
    for (query, text) in found {
        assert!(
            finds(query, text),
            "{query} should find {text}: {:?}",
            words(text)
        );
    }
    assert_eq!(words("東京都"), ["京都", "東京", "都"]);
}

#[test]
fn words_have_a_length_and_a_number() {
    let long = "é".repeat(100);
    assert_eq!(words(&long), ["e".repeat(MAX_WORD)]);
    assert!(finds(&long, &long));
    let cut = words(&"ж".repeat(33));
    assert_eq!(cut, ["ж".repeat(32)], "between two letters");
    let many: String = (0..MAX_WORDS + 5).map(|n| format!("w{n} ")).collect();
    let fields = Fields([("text".to_owned(), Value::Text(many))].into());
    let kept = Words::of(&fields);
    assert_eq!((kept.total, kept.counts.len()), (MAX_WORDS, MAX_WORDS));
    let runs = Fields([("text".to_owned(), Value::Text("東京".repeat(MAX_WORDS)))].into());
    assert_eq!(Words::of(&runs).total, MAX_WORDS);
    assert!(terms(&"a ".repeat(17), 16).is_none());
    assert_eq!(
        terms(&"a ".repeat(16), 16).unwrap().len(),
        2,
        "one whole, one the beginning of one"
    );
    assert!(
        terms(&"東京".repeat(40), 1).is_some(),
        "what stands together is one"
    );
}

#[test]
fn only_texts_have_words() {
    let fields = [
        ("name", Value::from("Ada ada")),
        ("bytes", Value::Bytes(b"hidden".to_vec())),
        ("count", Value::Int(12)),
    ];
    let fields = Fields(fields.map(|(name, value)| (name.to_owned(), value)).into());
    let words = Words::of(&fields);
    assert_eq!(words.total, 2);
    assert_eq!(
        words.counts.into_iter().collect::<Vec<_>>(),
        [("ada".to_owned(), 2)]
    );
    assert_eq!(terms("… -- !", 16).unwrap(), []);
}

proptest! {
    #[test]
    fn every_text_finds_itself(text in "\\PC{1,30}") {
        let words = words(&text);
        prop_assert!(words.iter().all(|word| word.len() <= MAX_WORD && !word.is_empty()));
        if let Some(terms) = terms(&text, 64) && !terms.is_empty() {
            prop_assert!(finds(&text, &text));
        }
    }

    #[test]
    fn how_large_letters_are_does_not_matter(text in "[a-zäöüéñçàîß ]{1,30}") {
        prop_assert_eq!(fold(&text), fold(&text.to_uppercase()));
    }
}
