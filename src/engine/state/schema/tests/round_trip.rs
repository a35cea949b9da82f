//! Any value reads as itself by its own schema.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::*;
use crate::engine::record::Str;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Everything {
    flag: bool,
    small: (i8, u8, i16, u16),
    wide: (i32, u32, i64, u64),
    huge: (i128, u128),
    floats: (f32, f64),
    letter: char,
    text: Str,
    unit: Unit,
    maybe: Option<Option<u32>>,
    nested: Vec<Vec<Wrapped>>,
    by_key: BTreeMap<(u8, String), Kind>,
    tree: Tree,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(u64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Coordinates(f64, i32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Newtype(Coordinates),
    Tuple(u8, String),
    Struct { a: Option<i64>, b: [u8; 3] },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree {
    value: i32,
    children: Vec<Tree>,
    next: Option<Box<Tree>>,
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unit),
        (-1e9..1e9f64, any::<i32>()).prop_map(|(x, y)| Kind::Newtype(Coordinates(x, y))),
        (any::<u8>(), text()).prop_map(|(a, b)| Kind::Tuple(a, b)),
        (any::<Option<i64>>(), any::<[u8; 3]>()).prop_map(|(a, b)| Kind::Struct { a, b }),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = any::<i32>().prop_map(|value| Tree { value, children: Vec::new(), next: None });
    leaf.prop_recursive(5, 40, 4, |inner| {
        (any::<i32>(), vec(inner.clone(), 0..4), proptest::option::of(inner)).prop_map(|(value, children, next)| Tree {
            value,
            children,
            next: next.map(Box::new),
        })
    })
}

pub(super) fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (any::<(i8, u8, i16, u16)>(), any::<(i32, u32, i64, u64)>(), any::<(i128, u128)>());
    let floats = (-1e30..1e30f32, -1e300..1e300f64);
    let plain = (any::<bool>(), numbers, floats, any::<char>(), text(), any::<Option<Option<u32>>>());
    let nested = vec(vec(any::<u64>().prop_map(Wrapped), 0..5), 0..5);
    let by_key = btree_map((any::<u8>(), text()), kind(), 0..6);
    (plain, nested, by_key, tree()).prop_map(|(plain, nested, by_key, tree)| {
        let (flag, (small, wide, huge), floats, letter, text, maybe) = plain;
        let text = Str::from(text);
        Everything { flag, small, wide, huge, floats, letter, text, unit: Unit, maybe, nested, by_key, tree }
    })
}

fn reads_as_itself<T: Serialize + DeserializeOwned + PartialEq + Debug>(schema: &Schema, value: &T) {
    let mut bytes = postcard::to_allocvec(value).unwrap();
    bytes.extend([7, 8, 9]);
    let (read, rest) = decode_with::<T>(schema, &bytes).unwrap();
    assert_eq!(&read, value);
    assert_eq!(rest, [7, 8, 9]);
    assert_eq!(to_json(schema, &bytes).unwrap().1, [7, 8, 9]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_reads_as_itself(values in vec(everything(), 1..4)) {
        let schema = Schema::of::<Vec<Everything>>();
        prop_assert_eq!(schema.opaque_because(), None);
        reads_as_itself(&schema, &values);
    }

    #[test]
    fn json_is_what_serde_json_says(tree in tree(), kinds in vec(kind(), 0..5), wide in any::<(i64, u64, f64, f32)>()) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Shown { tree: Tree, kinds: Vec<Kind>, integers: (i64, u64), named: BTreeMap<i64, Option<String>> }
        let named = BTreeMap::from([(wide.0, Some("x".to_owned())), (7, None)]);
        let value = Shown { tree, kinds, integers: (wide.0, wide.1), named };
        let bytes = postcard::to_allocvec(&value).unwrap();
        prop_assert_eq!(to_json(&Schema::of::<Shown>(), &bytes).unwrap().0, serde_json::to_value(&value).unwrap());
    }

    #[test]
    fn integers_of_any_width_are_read(numbers in any::<(i16, u16, i32, u32, i64, u64, i128, u128)>()) {
        reads_as_itself(&Schema::of::<(i16, u16, i32, u32, i64, u64, i128, u128)>(), &numbers);
    }
}

#[test]
fn the_least_and_the_greatest_numbers_are_read() {
    type Numbers = (i8, i16, u16, i32, u32, i64, u64, i128, u128);
    let least: Numbers = (i8::MIN, i16::MIN, 0, i32::MIN, 0, i64::MIN, 0, i128::MIN, 0);
    let greatest: Numbers = (i8::MAX, i16::MAX, u16::MAX, i32::MAX, u32::MAX, i64::MAX, u64::MAX, i128::MAX, u128::MAX);
    let schema = Schema::of::<Numbers>();
    reads_as_itself(&schema, &least);
    reads_as_itself(&schema, &greatest);
}

#[test]
fn what_json_has_not_is_told_all_the_same() {
    #[derive(Serialize, Deserialize)]
    struct Odd {
        huge: u128,
        nan: f64,
        tenth: f32,
        raw: bytes::Bytes,
        pairs: BTreeMap<(u8, u8), Unit>,
    }
    let odd = Odd {
        huge: u128::MAX,
        nan: f64::NAN,
        tenth: 0.1,
        raw: bytes::Bytes::from_static(&[0, 255]),
        pairs: BTreeMap::from([((1, 2), Unit)]),
    };
    let (shown, _) = to_json(&Schema::of::<Odd>(), &postcard::to_allocvec(&odd).unwrap()).unwrap();
    let huge = "340282366920938463463374607431768211455";
    assert_eq!(shown, json!({"huge": huge, "nan": "NaN", "tenth": 0.1, "raw": "00ff", "pairs": [[[1, 2], null]]}));
}
