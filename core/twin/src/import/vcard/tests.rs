#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn read(text: &[u8]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    each(text, &mut |entry| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

fn texts(entry: &Entry) -> BTreeMap<&str, &str> {
    let fields = entry.fields.0.iter();
    fields
        .filter_map(|(name, value)| match value {
            Value::Text(text) => Some((name.as_str(), text.as_str())),
            _ => None,
        })
        .collect()
}

fn card(lines: &str) -> Vec<u8> {
    format!("BEGIN:VCARD\r\n{lines}\r\nEND:VCARD\r\n").into_bytes()
}

/// The example of RFC 6350, section 8, shortened.
#[test]
fn the_card_of_the_standard() {
    let card = card(
        "VERSION:4.0\r\nFN:Simon Perreault\r\nN:Perreault;Simon;;;ing. jr\\,M.Sc.\r\nBDAY:--0203\r\n\
         GENDER:M\r\nORG;TYPE=work:Viagenie;Lab\r\n\
         ADR;TYPE=work:;Suite D2-630;2875 Laurier;Quebec;QC;G1V 2M2;Canada\r\n\
         TEL;VALUE=uri;TYPE=\"work,voice\";PREF=1:tel:+1-418-656-9254;ext=102\r\n\
         TEL;VALUE=uri;TYPE=\"work,cell\":tel:+1-418-262-6501\r\n\
         item1.EMAIL;TYPE=work:simon.perreault@viagenie.ca\r\nUID:urn:uuid:4fbe8971\r\nNOTE:a long \r\n\
         \x20line\\nand another\\; end\\\\\r\nNICKNAME:\r\nREV:20260101T000000Z",
    );
    let entries = read(&card).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].id.as_deref(), Some("urn:uuid:4fbe8971"));
    let expected = [
        (
            "address (work)",
            "Suite D2-630, 2875 Laurier, Quebec, QC, G1V 2M2, Canada",
        ),
        ("birthday", "--0203"),
        ("email (work)", "simon.perreault@viagenie.ca"),
        ("family name", "Perreault"),
        ("gender", "M"),
        ("given name", "Simon"),
        ("name", "Simon Perreault"),
        ("name suffix", "ing. jr,M.Sc."),
        ("note", "a long line\nand another; end\\"),
        ("organization (work)", "Viagenie, Lab"),
        ("phone (work)", "tel:+1-418-656-9254;ext=102"),
        ("phone (work) 2", "tel:+1-418-262-6501"),
    ];
    assert_eq!(texts(&entries[0]), expected.into());
}

#[test]
fn what_old_phones_write() {
    let first = card(
        "VERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;J=C3=B6rg;;;\r\n\
         FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=B6rg=20=\r\nM=C3=BCller\r\n\
         TEL;CELL:+49 170\r\nTEL;HOME;VOICE:+49 30\r\nNOTE;ENCODING=QUOTED-PRINTABLE:a=3Db\r\n\
         PHOTO;ENCODING=BASE64;JPEG:AAEC\r\n Aw==\r\n\r\nNICKNAME;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:J=F6",
    );
    let entries = read(&[b"\xef\xbb\xbf".as_slice(), &first, &card("FN:B")].concat()).unwrap();
    let expected = [
        ("family name", "Müller"),
        ("given name", "Jörg"),
        ("name", "Jörg Müller"),
        ("nickname", "Jö"),
        ("note", "a=b"),
        ("phone (cell)", "+49 170"),
        ("phone (home)", "+49 30"),
    ];
    assert_eq!(texts(&entries[0]), expected.into());
    assert_eq!(entries[0].fields.0["photo"], Value::Bytes(vec![0, 1, 2, 3]));
    assert_eq!((entries.len(), entries[1].number), (2, 2));
}

#[test]
fn pictures_are_bytes_or_files() {
    let data = |len: usize| data_encoding::BASE64.encode(&vec![7; len]);
    let text = format!(
        "FN:A\r\nPHOTO:data:image/jpeg;base64,{}\r\nLOGO;ENCODING=b:{}\r\nPHOTO;VALUE=uri:https://a.example/p.jpg",
        data(MAX_INLINE),
        data(1)
    );
    let entries = read(&card(&text)).unwrap();
    assert_eq!(
        entries[0].fields.0["photo"],
        Value::Bytes(vec![7; MAX_INLINE])
    );
    assert_eq!(entries[0].files, [("logo".to_owned(), vec![7])]);
    assert_eq!(texts(&entries[0])["photo 2"], "https://a.example/p.jpg");
}

#[test]
fn a_label_of_a_group_is_the_kind_of_what_is_in_it() {
    let text = card(
        "FN:A\r\nitem1.TEL;type=pref:1\r\nitem1.X-ABLabel:Boat\r\nTEL:2\r\nitem2.URL;type=work:u\r\n\
         Item2.X-ABLABEL:_$!<HomePage>!$_\r\nitem3.EMAIL;type=home:e\r\nitem4.X-ABLabel:portrait\r\n\
         item4.PHOTO;ENCODING=b:AAEC\r\nitem5.ADR:;;Way 1;;;;\r\nitem5.X-ABADR:de\r\nitem5.X-ABLabel:\r\n\
         X-ABLabel:alone",
    );
    let expected = [
        ("address", "Way 1"),
        ("email (home)", "e"),
        ("label", "portrait"),
        ("name", "A"),
        ("phone", "2"),
        ("phone (Boat)", "1"),
        ("url (homepage)", "u"),
        ("x-ablabel", "alone"),
        ("x-abadr", "de"),
    ];
    assert_eq!(texts(&read(&text).unwrap()[0]), expected.into());
}

#[test]
fn lines_end_as_any_program_ends_them() {
    let text = card("FN:A\r\nNOTE:long\r\n \x20line\r\nTEL;ENCODING=QUOTED-PRINTABLE:1=\r\n2");
    let text = String::from_utf8(text).unwrap();
    let expected = read(text.as_bytes()).unwrap();
    let expected = texts(&expected[0]);
    assert_eq!(expected["note"], "long line");
    assert_eq!(expected["phone"], "12");
    for end in ["\n", "\r", "\r\r\n"] {
        let read = read(text.replace("\r\n", end).as_bytes()).unwrap();
        assert_eq!(texts(&read[0]), expected, "{end:?}");
    }
}

#[test]
fn a_long_uid_is_cut_to_what_an_id_may_have() {
    let text = card(&format!("UID:{}\r\nFN:A", "u".repeat(1000)));
    let id = read(&text).unwrap()[0].id.clone().unwrap();
    assert!(id.len() <= 256, "{id}");
}

#[test]
fn the_card_of_an_agent_within_a_card_is_kept_apart() {
    let agent = "AGENT:\r\nBEGIN:VCARD\r\nN:Thomas;Susan\r\nUID:b\r\nAGENT:\r\n\
                 BEGIN:VCARD\r\nFN:C\r\nEND:VCARD\r\nTEL;CELL:2\r\nEND:VCARD";
    let text = card(&format!("FN:A\r\nUID:a\r\n{agent}\r\nTEL;CELL:1"));
    let entries = read(&[text, card("FN:B")].concat()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].id.as_deref(), Some("a"));
    let expected = [
        ("agent agent name", "C"),
        ("agent family name", "Thomas"),
        ("agent given name", "Susan"),
        ("agent phone (cell)", "2"),
        ("agent uid", "b"),
        ("name", "A"),
        ("phone (cell)", "1"),
    ];
    assert_eq!(texts(&entries[0]), BTreeMap::from(expected));
}

#[test]
fn what_is_no_card_is_named_by_its_number() {
    let good = card("FN:A");
    let many = "X:1\r\n".repeat(MAX_PROPERTIES) + "FN:A";
    for (bad, why) in [
        ("nothing", "NAME:value"),
        ("FN:A", "BEGIN:VCARD"),
        ("BEGIN:VCARD\nFN:B", "END:VCARD"),
        ("BEGIN:VCARD\nBEGIN:VCARD", "END:VCARD"),
        ("BEGIN:VCARD\nAGENT:\nBEGIN:VCARD\nEND:VCARD", "END:VCARD"),
        ("BEGIN:VCARD\nAGENT:\nFN:A\nBEGIN:VCARD", "END:VCARD"),
        ("BEGIN:VCARD\nwithout colon\nEND:VCARD", "NAME:value"),
        ("BEGIN:VCARD\nPHOTO;ENCODING=b:*\nEND:VCARD", "damaged"),
        ("BEGIN:VCARD\nN\u{fc}:x\nEND:VCARD", "NAME:value"),
        (&format!("BEGIN:VCARD\n{many}\nEND:VCARD"), "too many"),
    ] {
        let error = read(&[&good, bad.as_bytes()].concat())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("card 2: ") && error.contains(why),
            "{bad}: {error}"
        );
    }
    let latin = [
        card("FN:\u{0}").as_slice(),
        b"BEGIN:VCARD\nFN:\xfc\nEND:VCARD",
    ]
    .concat();
    let wide: Vec<u8> = "\u{feff}BEGIN:VCARD\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [latin, wide] {
        assert!(read(&text).err().unwrap().to_string().contains("UTF-8"));
    }
    assert!(read(b"").unwrap().is_empty());
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>, lines in "([A-Z]{1,3}[;:=\"\\\\,\r\n a]{0,6}){0,20}") {
        let _ = read(&bytes);
        let _ = read(&card(&lines));
    }
}
