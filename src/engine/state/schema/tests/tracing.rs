//! What is found out about a type.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::{NonZeroI64, NonZeroU8};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::*;
use crate::engine::record::Str;

fn shown<T: Serialize + DeserializeOwned>() -> String {
    let schema = Schema::of::<T>();
    match schema.opaque_because() {
        None => schema.to_string(),
        Some(because) => format!("opaque: {because}"),
    }
}

#[test]
fn plain_types_are_what_serde_says() {
    assert_eq!(shown::<(u8, i128, f32, char, bool, ())>(), "(u8, i128, f32, char, bool, ())");
    assert_eq!(shown::<Str>(), "String");
    assert_eq!(shown::<Arc<str>>(), "String");
    assert_eq!(shown::<usize>(), "u64");
    assert_eq!(shown::<Option<Vec<Box<(u64, String)>>>>(), "Option<Vec<(u64, String)>>");
    assert_eq!(shown::<HashMap<Str, BTreeMap<i32, HashSet<u8>>>>(), "Map<String, Map<i32, Vec<u8>>>");
    assert_eq!(shown::<[u16; 32]>(), "[u16; 32]");
    assert_eq!(shown::<bytes::Bytes>(), "bytes");
    assert_eq!(shown::<Duration>(), "Duration { secs: u64, nanos: u32 }");
    assert_eq!(shown::<SystemTime>(), "SystemTime { secs_since_epoch: u64, nanos_since_epoch: u32 }");
    assert_eq!(shown::<Range<i8>>(), "Range { start: i8, end: i8 }");
    assert_eq!(shown::<Result<u8, String>>(), "Result = Ok(u8) | Err(String)");
}

#[test]
fn types_that_refuse_the_first_sample_are_given_another() {
    assert_eq!(shown::<NonZeroU8>(), "u8");
    assert_eq!(shown::<Vec<NonZeroI64>>(), "Vec<i64>");
    assert!(shown::<IpAddr>().starts_with("IpAddr = V4([u8") || shown::<IpAddr>().starts_with("IpAddr = V4((u8"));

    /// As dates of other crates: text that must parse.
    #[derive(Serialize, Deserialize)]
    #[serde(try_from = "String", into = "String")]
    #[derive(Clone)]
    struct Zero(#[expect(dead_code, reason = "only read by serde")] u32);
    impl TryFrom<String> for Zero {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            text.parse().map(Zero).map_err(|_| "no number".to_owned())
        }
    }
    impl From<Zero> for String {
        fn from(_: Zero) -> Self {
            "0".to_owned()
        }
    }
    assert_eq!(shown::<Zero>(), "opaque: no number");
}

#[derive(Serialize, Deserialize)]
struct Pair<T> {
    left: T,
    right: T,
}

#[derive(Serialize, Deserialize)]
struct Pairs {
    bytes: Pair<u8>,
    words: Pair<String>,
    more_bytes: Option<Pair<u8>>,
    nothing: PhantomData<u64>,
}

#[test]
fn two_types_of_one_name_are_told_apart() {
    let schema = Schema::of::<Pairs>();
    assert_eq!(
        schema.definitions(),
        [
            "Pair { left: u8, right: u8 }",
            "Pair#2 { left: String, right: String }",
            "Pairs { bytes: Pair, words: Pair#2, more_bytes: Option<Pair>, nothing: PhantomData }",
            "PhantomData",
        ]
    );
}

#[derive(Serialize, Deserialize)]
enum Expression {
    Sum(Box<Expression>, Box<Expression>),
    Call { name: String, arguments: Vec<Expression>, scope: Scope },
    Not(Box<Expression>),
    Literal(Literal),
    Nothing,
}

#[derive(Serialize, Deserialize)]
enum Literal {
    Parenthesised(Box<Expression>),
    Number(f64),
    Text(Str),
}

#[derive(Serialize, Deserialize)]
struct Scope {
    outer: Option<Box<Scope>>,
    variables: BTreeMap<String, Expression>,
}

#[test]
fn recursive_types_are_followed_once_whichever_variant_comes_first() {
    assert_eq!(Schema::of::<Expression>().opaque_because(), None);
    assert_eq!(
        Schema::of::<Expression>().definitions(),
        [
            "Expression = Sum(Expression, Expression) | Call { name: String, arguments: Vec<Expression>, scope: Scope } \
             | Not(Expression) | Literal(Literal) | Nothing",
            "Literal = Parenthesised(Expression) | Number(f64) | Text(String)",
            "Scope { outer: Option<Scope>, variables: Map<String, Expression> }",
        ]
    );
}

/// The first variants of both lead to each other: filling has to find the way out.
#[derive(Serialize, Deserialize)]
enum Hen {
    Laid(Box<Egg>),
    Was(Box<Egg>),
}

#[derive(Serialize, Deserialize)]
enum Egg {
    By(Box<Hen>),
    Of { hen: Box<Hen> },
    First,
}

#[test]
fn mutual_recursion_finds_its_end() {
    assert_eq!(
        Schema::of::<Hen>().definitions(),
        ["Egg = By(Hen) | Of { hen: Hen } | First", "Hen = Laid(Egg) | Was(Egg)"]
    );
}

#[derive(Serialize, Deserialize)]
struct Endless {
    inner: Box<Endless>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
}

#[derive(Serialize)]
struct Asymmetric(u64);

impl<'de> Deserialize<'de> for Asymmetric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.len() as u64))
    }
}

#[derive(Serialize)]
struct Panics(u64);

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert!(number > 1_000, "a number of these is large");
        Ok(Self(number))
    }
}

#[test]
fn what_cannot_be_traced_is_opaque_and_says_why() {
    assert_eq!(shown::<Endless>(), "opaque: it holds itself without an end");
    assert_eq!(
        shown::<Untagged>(),
        "opaque: its Deserialize asks for data that describes itself (an untagged or internally tagged enum, or flatten)"
    );
    assert_eq!(
        shown::<Asymmetric>(),
        "opaque: its Serialize writes something else than its Deserialize reads: value: should have 1 bytes more, and there are 0"
    );
    assert_eq!(shown::<Panics>(), "opaque: its Deserialize panicked over a sample value");
}

#[test]
fn opaque_states_go_to_the_same_type_only() {
    let (opaque, other) = (Schema::of::<Untagged>(), Schema::of::<u64>());
    assert_eq!(opaque.compatibility(&opaque.clone()), Compatibility::Same);
    assert_ne!(opaque.fingerprint(), other.fingerprint());
    let Compatibility::Incompatible(reasons) = opaque.compatibility(&other) else { panic!("they differ") };
    assert!(reasons[0].contains("Untagged and is read as u64"), "{reasons:?}");
    let error = to_json(&opaque, &[1]).unwrap_err().to_string();
    assert!(error.ends_with("flatten)"), "{error}");
}

#[test]
fn schemas_outlive_the_program_as_json_and_as_postcard() {
    for schema in [Schema::of::<Expression>(), Schema::of::<Pairs>(), Schema::of::<Untagged>()] {
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
        let bytes = postcard::to_allocvec(&schema).unwrap();
        assert_eq!(postcard::from_bytes::<Schema>(&bytes).unwrap(), schema);
    }
}

#[test]
fn the_fingerprint_of_a_schema_stays() {
    // It stands in files: a change of these numbers is a change of the format.
    let fingerprints = (Schema::of::<Pair<u8>>().fingerprint(), Schema::of::<Expression>().fingerprint());
    assert_eq!(fingerprints, (11394872837613366734, 8899041675695182657));
}
