//! Damaged bytes and damaged schemas.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::*;
use super::round_trip::{Everything, everything};

#[derive(Debug, Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);

#[derive(Debug, Serialize, Deserialize)]
enum Nested {
    Leaf,
    List(Vec<Nested>),
    Boxed { inner: Box<Nested> },
}

fn read_all<T: Serialize + serde::de::DeserializeOwned>(schema: &Schema, bytes: &[u8]) {
    if let Ok((_, rest)) = decode_with::<T>(schema, bytes) {
        let (_, same_rest) = to_json(schema, bytes).expect("what the type takes can be shown");
        assert_eq!(rest, same_rest);
    }
    let _ = to_json(schema, bytes);
}

static EVERYTHING: LazyLock<Schema> = LazyLock::new(Schema::of::<Everything>);
static NESTED: LazyLock<Schema> = LazyLock::new(Schema::of::<Nested>);

proptest! {
    #[test]
    fn random_bytes_are_a_value_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        read_all::<Everything>(&EVERYTHING, &bytes);
        read_all::<Nested>(&NESTED, &bytes);
        read_all::<Chain>(&Schema::of::<Chain>(), &bytes);
        read_all::<Vec<()>>(&Schema::of::<Vec<()>>(), &bytes);
        read_all::<HashMap<u8, Vec<String>>>(&Schema::of::<HashMap<u8, Vec<String>>>(), &bytes);
    }

    #[test]
    fn a_damaged_value_is_a_value_or_an_error(value in everything(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = postcard::to_allocvec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        read_all::<Everything>(&EVERYTHING, &bytes);
    }

    #[test]
    fn the_schema_of_another_type_is_no_danger(value in everything()) {
        let bytes = postcard::to_allocvec(&value).unwrap();
        let _ = decode_with::<Everything>(&NESTED, &bytes);
        let _ = decode_with::<Nested>(&EVERYTHING, &bytes);
        let _ = decode_with::<BTreeMap<String, u64>>(&EVERYTHING, &bytes);
    }
}

#[test]
fn a_length_is_believed_as_far_as_there_are_bytes() {
    let endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let expected = "value[65536]: has more than 65536 elements without content";
    assert_eq!(decode_with::<Vec<()>>(&Schema::of::<Vec<()>>(), &endless).unwrap_err().to_string(), expected);
    assert_eq!(to_json(&Schema::of::<Vec<()>>(), &endless).unwrap_err().to_string(), expected);
    let text = decode_with::<String>(&Schema::of::<String>(), &endless).unwrap_err().to_string();
    assert_eq!(text, "value: should have 18446744073709551615 bytes more, and there are 0");
    let numbers = decode_with::<Vec<u64>>(&Schema::of::<Vec<u64>>(), &endless).unwrap_err().to_string();
    assert_eq!(numbers, "value[0]: ends too early");
}

#[test]
fn depth_has_a_limit_that_a_stack_holds() {
    let deep = |schema: &Schema, byte: u8| {
        let bytes = vec![byte; 100_000];
        let shown = to_json(schema, &bytes).unwrap_err().to_string();
        assert!(shown.ends_with("is nested more than 192 levels deep"), "{}", &shown[shown.len() - 100..]);
        bytes
    };
    let schema = Schema::of::<Chain>();
    let bytes = deep(&schema, 1);
    assert!(decode_with::<Chain>(&schema, &bytes).unwrap_err().to_string().ends_with("levels deep"));
    let schema = Schema::of::<Nested>();
    let bytes = deep(&schema, 2);
    assert!(decode_with::<Nested>(&schema, &bytes).unwrap_err().to_string().ends_with("levels deep"));
    let bytes = deep(&schema, 1);
    assert!(decode_with::<Nested>(&schema, &bytes).unwrap_err().to_string().ends_with("levels deep"));
}

#[test]
fn a_reader_that_wraps_options_without_end_is_stopped() {
    let bytes = postcard::to_allocvec(&7u64).unwrap();
    let error = decode_with::<Chain>(&Schema::of::<u64>(), &bytes).unwrap_err().to_string();
    assert_eq!(error, "value: is nested more than 192 levels deep");
}

#[test]
fn a_damaged_schema_is_an_error() {
    let read = |root: &str, types: &str| {
        let text = format!(r#"{{"type_name": "x", "body": {{"Described": {{"root": {root}, "types": {types}}}}}}}"#);
        let schema: Schema = serde_json::from_str(&text).unwrap();
        let shown = to_json(&schema, &[0; 8]).unwrap_err().to_string();
        let read = decode_with::<u64>(&schema, &[0; 8]).unwrap_err().to_string();
        let _ = schema.compatibility(&schema);
        (shown, read)
    };
    let (shown, decoded) = read(r#"{"named": "Gone"}"#, "{}");
    assert_eq!(shown, "value: the schema does not say what `Gone` is");
    assert_eq!(decoded, shown);
    let (shown, decoded) = read(r#"{"named": "A"}"#, r#"{"A": {"struct": {"newtype": {"named": "A"}}}}"#);
    assert_eq!(shown, "value: is nested more than 192 levels deep");
    assert_eq!(decoded, "value: the schema names a type that holds nothing but itself");
}
