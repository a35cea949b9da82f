use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

use super::*;
use crate::testing::fuzz::fuzz;

fn read(message: &str) -> Result<Vec<(String, u64)>, String> {
    let mut records = Vec::new();
    JsonLines::new().deserialize(message.as_bytes(), &mut records).map_err(|error| error.to_string())?;
    Ok(records)
}

#[test]
fn a_line_is_a_value_or_blank() {
    assert_eq!(read(r#" ["a", 1] "#).unwrap(), [("a".to_owned(), 1)]);
    assert_eq!(read(" \t\r").unwrap(), []);
    assert_eq!(read(r#"["a", -1]"#).unwrap_err(), "invalid value: integer `-1`, expected u64 at column 8");
    assert_eq!(read(r#"["a", 1] x"#).unwrap_err(), "trailing characters at column 10");
    assert_eq!(read(r#"["a","#).unwrap_err(), "EOF while parsing a value at column 5");
    let mut records = Vec::<(String, u64)>::new();
    let error = JsonLines::new().deserialize(b"[\"a\xff\", 1]", &mut records).unwrap_err();
    assert_eq!(error.to_string(), "invalid unicode code point at column 4");
}

#[test]
fn what_is_written_is_read_again_and_keeps_to_its_line() {
    let record = ("line\nend \"quoted\" ä".to_owned(), 7);
    let mut message = Vec::new();
    JsonLines::new().serialize(&record, &mut message).unwrap();
    assert!(!message.contains(&b'\n'));
    assert_eq!(read(std::str::from_utf8(&message).unwrap()).unwrap(), [record]);
}

/// Whatever the reader here says is what serde_json says.
fn check<T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) {
    let mut reader = Reader::new(text);
    if let Ok(value) = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)) {
        assert_eq!(serde_json::from_str::<T>(text).map_err(|error| error.to_string()), Ok(value), "{text}");
    }
}

/// Takes a number or a text, but asks for a number.
#[derive(Debug, PartialEq)]
struct Either(String);

impl<'de> Deserialize<'de> for Either {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Either;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("either")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Either, E> {
                Ok(Either(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Either, E> {
                Ok(Either(text.to_owned()))
            }
        }
        deserializer.deserialize_u64(Visitor)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    New(i64),
    Tuple(u8, String),
    Struct { a: Option<bool>, b: f64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    A { x: i8 },
    B { y: Option<char> },
}

#[derive(Debug, PartialEq, Deserialize)]
struct All {
    a: Option<u64>,
    b: Option<String>,
    #[serde(default)]
    c: Vec<Shape>,
    d: Option<Tagged>,
    e: Option<BTreeMap<u8, ()>>,
    f: Option<(i32, f32)>,
    g: Option<Either>,
    h: Option<BTreeMap<Either, u8>>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

impl Eq for Either {}

impl PartialOrd for Either {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Either {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

fn check_all(text: &str) {
    check::<serde_json::Value>(text);
    check::<IgnoredAny>(text);
    check::<All>(text);
    check::<Shape>(text);
    check::<Vec<Either>>(text);
    check::<BTreeMap<String, IgnoredAny>>(text);
    check::<(u64, String)>(text);
    check::<Option<f64>>(text);
}

#[test]
fn what_lies_near_the_edges_of_json_is_read_as_serde_json_does() {
    for text in [
        "",
        " ",
        "nul",
        "nulll",
        "null x",
        "true",
        "tru",
        "01",
        "-",
        "-0",
        "-01",
        "1.",
        "1.e3",
        "1.5e",
        "1e5",
        "1E-5",
        "-1.5",
        "1e999",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "0.1",
        "2.718281828459045235360287",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]x",
        "{",
        "{}",
        "{\"a\"}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{\"a\":1,\"a\":2}",
        "{\"g\":\"1\"}",
        "{\"h\":{\"x\":1}}",
        "{\"e\":{\"1\":null}}",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\udcb6\"",
        "\"\\ud83d\"",
        "\"a\tb\"",
        "\"\u{7f}\"",
        "\"Unit\"",
        "\"New\"",
        "{\"New\":-5}",
        "{\"Unit\":null}",
        "{\"Tuple\":[1,\"x\"]}",
        "{\"Struct\":{\"b\":1}}",
        "{\"Struct\":[null,1]}",
        "{\"New\":1,\"Unit\":null}",
        "{\"d\":{\"kind\":\"A\",\"x\":-1}}",
        "{\"d\":{\"y\":\"\\n\",\"kind\":\"B\"}}",
        "[7,\"x\"]",
        "[7,\"x\",1]",
        "\u{feff}1",
    ] {
        check_all(text);
    }
    for depth in [99, 100, 101, 127, 128, 129] {
        check_all(&("[".repeat(depth) + &"]".repeat(depth)));
        check_all(&("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)));
    }
}

#[test]
fn what_the_reader_leaves_alone_is_read_all_the_same() {
    assert_eq!(from_json::<String>(br#""\ud83d\udcb6""#), Ok("\u{1f4b6}".to_owned()));
    assert_eq!(from_json::<BTreeMap<u8, ()>>(br#"{"7": null}"#), Ok(BTreeMap::from([(7, ())])));
    assert_eq!(from_json::<i128>(b"170141183460469231731687303715884105727"), Ok(i128::MAX));
    let raw: Box<RawValue> = from_json(b" {\"a\": [1.50]} ").unwrap();
    assert_eq!(raw.get(), "{\"a\": [1.50]}");
}

/// JSON of any kind.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-zA-Z \"\\\\/\n\u{0}\u{e9}\u{1f4b6}]{0,40}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec(("[a-h]|kind|New|Tuple|Struct|[a-z\"\n]{0,20}", inner), 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_and_any_damage_to_it_is_read_as_serde_json_does(
        value in json(),
        pretty: bool,
        damage in proptest::option::of((any::<proptest::sample::Index>(), any::<proptest::sample::Index>(), any::<u8>())),
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let mut bytes = text.unwrap().into_bytes();
        match damage {
            // Nothing ordinary is left to serde_json.
            None => assert!(IgnoredAny::deserialize(&mut Reader::new(std::str::from_utf8(&bytes).unwrap())).is_ok()),
            Some((at, what, byte)) => {
                let at = at.index(bytes.len());
                let known = b"\"\\{}[]:,0-.e nu";
                bytes[at] = if byte < 200 { known[what.index(known.len())] } else { byte };
            }
        }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            check_all(text);
        }
        let read = from_json::<serde_json::Value>(&bytes).map_err(|_| ());
        assert_eq!(read, serde_json::from_slice(&bytes).map_err(|_| ()));
    }
}

#[test]
fn fuzz_lines_of_json() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        name: String,
        price: f64,
        tags: Vec<Option<i64>>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Event {
        Bid { auction: u64, inner: Inner },
        Other(Box<Inner>),
    }
    let lines = [
        r#"{"Bid":{"auction":7,"inner":{"name":"a\u00e9\n","price":-1.5e3,"tags":[1,null,-9]}}}"#,
        r#"{"Other":{"tags":[],"price":0,"name":"","more":{"a":[{"b":null}]}}}"#,
    ];
    fuzz("json", &lines.map(|line| line.as_bytes().to_vec()), |line| {
        let ours = from_json::<Event>(line);
        let theirs = serde_json::from_slice::<Event>(line);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "serde_json says {theirs:?}, and we {}", ours.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            assert_eq!(ours, theirs);
        }
    });
}
