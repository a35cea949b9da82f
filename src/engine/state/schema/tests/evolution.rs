//! What a later program's types make of state that an earlier one wrote.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::*;

/// Writes `value`, and reads it as a `T`.
fn migrate<W: Serialize + DeserializeOwned, T: DeserializeOwned>(value: &W) -> Result<T, String> {
    let bytes = postcard::to_allocvec(value).unwrap();
    let (read, rest) = decode_with(&Schema::of::<W>(), &bytes).map_err(|error| error.to_string())?;
    assert_eq!(rest, [0u8; 0]);
    Ok(read)
}

fn told<W: Serialize + DeserializeOwned, T: Serialize + DeserializeOwned>() -> String {
    Schema::of::<W>().compatibility(&Schema::of::<T>()).to_string()
}

mod first {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    pub(super) struct Visits {
        pub(super) count: u32,
        pub(super) page: String,
        pub(super) obsolete: Vec<(u8, Option<String>)>,
        pub(super) last: Visit,
    }

    #[derive(Serialize, Deserialize)]
    pub(super) enum Visit {
        Anonymous,
        Old(u8),
        Named { user: String, seconds: u16 },
    }

    impl Visits {
        pub(super) fn sample(last: Visit) -> Self {
            Self { count: 3, page: "/".to_owned(), obsolete: vec![(1, None), (2, Some("x".to_owned()))], last }
        }
    }
}

mod later {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Visits {
        pub(super) page: String,
        #[serde(default = "one")]
        pub(super) weight: f64,
        pub(super) last: Visit,
        pub(super) count: u64,
        pub(super) referrer: Option<String>,
    }

    fn one() -> f64 {
        1.0
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Visit {
        Robot {
            name: String,
        },
        Named {
            #[serde(default)]
            host: String,
            seconds: i64,
            user: Option<String>,
        },
        Anonymous,
    }
}

#[test]
fn fields_may_be_added_removed_reordered_and_widened() {
    let last = first::Visit::Named { user: "ada".to_owned(), seconds: 9 };
    let read: later::Visits = migrate(&first::Visits::sample(last)).unwrap();
    let last = later::Visit::Named { host: String::new(), seconds: 9, user: Some("ada".to_owned()) };
    assert_eq!(read, later::Visits { page: "/".to_owned(), weight: 1.0, last, count: 3, referrer: None });

    let read: later::Visits = migrate(&first::Visits::sample(first::Visit::Anonymous)).unwrap();
    assert_eq!(read.last, later::Visit::Anonymous);
}

#[test]
fn each_change_is_told_in_words() {
    let Compatibility::Migrates(changes) = Schema::of::<first::Visits>().compatibility(&Schema::of::<later::Visits>())
    else {
        panic!("they are compatible")
    };
    assert_eq!(
        changes,
        [
            "value: field `weight` is new, and takes its default",
            "value.last: variant `Anonymous` has another place",
            "value.last: variant `Old` is gone (a value of it fails)",
            "value.last: variant `Named` has another place",
            "value.last::Named: field `host` is new, and takes its default",
            "value.last::Named.seconds: u16 became i64",
            "value.last::Named.user: String became optional",
            "value.last::Named: fields have another order",
            "value.count: u32 became u64",
            "value: field `referrer` is new, and takes its default",
            "value: fields have another order",
            "value: field `obsolete` is dropped",
        ]
    );
}

#[test]
fn a_value_of_a_variant_that_is_gone_fails_and_says_where() {
    let error = migrate::<_, later::Visits>(&first::Visits::sample(first::Visit::Old(1))).unwrap_err();
    assert_eq!(error, "value.last::Old: unknown variant `Old`, expected one of `Robot`, `Named`, `Anonymous`");
}

#[test]
fn a_new_field_without_default_fails_and_says_which() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Before {
        items: Vec<Item>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct Item {
        id: u8,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct After {
        items: Vec<NewItem>,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct NewItem {
        id: u8,
        price: u64,
    }
    let error = migrate::<_, After>(&Before { items: vec![Item { id: 1 }] }).unwrap_err();
    assert_eq!(error, "value.items[0]: missing field `price`");
    assert_eq!(
        told::<Before, After>(),
        "incompatible: value.items[]: field `price` is new and has no default: give it #[serde(default)]"
    );
}

#[test]
fn renamed_fields_and_variants_are_read_by_their_aliases() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        id: u64,
        clicks: u32,
        kind: Kind,
        last: Kind,
    }
    #[derive(Serialize, Deserialize)]
    enum Kind {
        Known,
        Robot { agent: String },
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        #[serde(alias = "id", alias = "user_id", alias = "zz")]
        user: u64,
        #[serde(alias = "clicks", alias = "a")]
        visits: u32,
        kind: NewKind,
        last: NewKind,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum NewKind {
        #[serde(alias = "Known")]
        Customer,
        Visitor,
        #[serde(alias = "Robot", alias = "Zombie")]
        Machine {
            #[serde(alias = "agent")]
            name: String,
        },
    }
    assert_eq!(
        Schema::of::<After>().definitions(),
        [
            "After { user: u64, visits: u32, kind: NewKind, last: NewKind }",
            "NewKind = Customer | Visitor | Machine { name: String }"
        ]
    );
    let Compatibility::Migrates(changes) = Schema::of::<Before>().compatibility(&Schema::of::<After>()) else {
        panic!("they are compatible")
    };
    assert_eq!(
        changes,
        [
            "value: field `id` is called `user`",
            "value: field `clicks` is called `visits`",
            "value.kind: variant `Known` is read under another name",
            "value.kind: variant `Robot` is read under another name",
            "value.kind::Robot: field `agent` is called `name`",
        ]
    );
    let before = Before { id: 1, clicks: 2, kind: Kind::Known, last: Kind::Robot { agent: "x".to_owned() } };
    let last = NewKind::Machine { name: "x".to_owned() };
    let after = After { user: 1, visits: 2, kind: NewKind::Customer, last };
    assert_eq!(migrate(&before), Ok(after));
}

#[test]
fn what_a_type_needs_is_known_where_the_type_is() {
    /// All fields have defaults, one way or another.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Settings {
        level: u8,
        name: String,
    }
    #[derive(Serialize, Deserialize)]
    struct Nothing;
    #[derive(Serialize, Deserialize)]
    struct Strict {
        level: u8,
    }
    let (nothing, settings) = (Schema::of::<Nothing>(), Schema::of::<Settings>());
    assert!(matches!(nothing.compatibility(&settings), Compatibility::Migrates(changes) if changes.len() == 2));
    assert_eq!(migrate::<_, Settings>(&Nothing).unwrap().name, "");
    let strict = Schema::of::<Strict>();
    assert!(matches!(nothing.compatibility(&strict), Compatibility::Incompatible(_)));
    // A recorded schema does not know.
    let recorded: Schema = serde_json::from_str(&serde_json::to_string(&strict).unwrap()).unwrap();
    assert_eq!(recorded, strict);
    assert_eq!(
        nothing.compatibility(&recorded).to_string(),
        "migrates: value: field `level` is new (without #[serde(default)] every value fails)"
    );
}

#[test]
fn names_of_types_and_newtypes_mean_nothing_to_the_bytes() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        id: u64,
        pair: (u8, u8),
        raw: Vec<u8>,
        kind: Kind,
    }
    #[derive(Serialize, Deserialize)]
    enum Kind {
        A,
        B(u8),
    }
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "Renamed")]
    struct After {
        id: Id,
        pair: Both,
        raw: bytes::Bytes,
        kind: MoreKinds,
    }
    #[derive(Serialize, Deserialize)]
    struct Id(Wrapped);
    #[derive(Serialize, Deserialize)]
    struct Wrapped(u64);
    #[derive(Serialize, Deserialize)]
    struct Both(u8, u8);
    #[derive(Serialize, Deserialize)]
    enum MoreKinds {
        A,
        B(u8),
        C(u8),
    }
    assert_eq!(told::<Before, After>(), "same");
    let value = Before { id: 7, pair: (1, 2), raw: vec![3, 4], kind: Kind::B(5) };
    let read: After = migrate(&value).unwrap();
    assert_eq!((read.id.0.0, read.pair.0, read.pair.1, &read.raw[..]), (7, 1, 2, &[3u8, 4][..]));
    assert!(matches!(read.kind, MoreKinds::B(5)));
    let bytes = postcard::to_allocvec(&value).unwrap();
    assert!(postcard::from_bytes::<After>(&bytes).is_ok(), "what is called the same is read without the schema");
    let back: Before = migrate(&read).unwrap();
    assert_eq!((back.id, back.raw), (7, vec![3, 4]));
    assert!(matches!(back.kind, Kind::B(5) | Kind::A));
}

#[test]
fn what_cannot_be_read_is_refused_with_both_types() {
    assert_eq!(told::<u64, String>(), "incompatible: value: was u64 and is String");
    assert_eq!(
        told::<BTreeMap<u8, (u8, String)>, BTreeMap<u8, (u8, String, u8)>>(),
        "incompatible: value[value]: was (u8, String) of 2 elements and is (u8, String, u8) of 3"
    );
    assert_eq!(
        told::<Vec<Option<u8>>, Vec<u8>>(),
        "incompatible: value[]: was optional and is u8: keep the Option, and give it a default where it is used"
    );
    assert_eq!(told::<u64, u8>(), "migrates: value: u64 became u8 (a value that does not fit fails)");
    assert_eq!(migrate::<u64, u8>(&255), Ok(255));
    assert_eq!(migrate::<u64, u8>(&256).unwrap_err(), "value: invalid value: integer `256`, expected u8");
    assert_eq!(migrate::<f64, f32>(&0.5).unwrap_err(), "value: f64 does not fit into f32");
}

#[test]
fn values_find_their_place_in_wider_shapes() {
    assert_eq!(migrate::<[u8; 3], Vec<u16>>(&[1, 2, 3]), Ok(vec![1, 2, 3]));
    assert_eq!(told::<[u8; 3], Vec<u8>>(), "migrates: value: (u8, u8, u8) became Vec<u8>");
    assert_eq!(migrate::<u32, f64>(&u32::MAX), Ok(f64::from(u32::MAX)));
    assert_eq!(migrate::<u64, f64>(&1).unwrap_err(), "value: u64 does not fit into f64");
    assert!(told::<u64, f64>().starts_with("incompatible"));
    assert_eq!(
        migrate::<(u8, String), (Option<u8>, Option<String>)>(&(1, "x".into())),
        Ok((Some(1), Some("x".into())))
    );
    assert_eq!(migrate::<(), Option<u8>>(&()), Ok(None));
    let error = migrate::<Vec<u8>, [u8; 2]>(&vec![1, 2, 3]).unwrap_err();
    assert_eq!(error, "value: has 3 elements, and the type takes 2");
}

/// For each pair of number types: what is called compatible reads the least and the greatest values as what they are.
#[test]
fn numbers_that_are_called_wider_are() {
    fn pair<W, R>(values: &[W])
    where
        W: Serialize + DeserializeOwned + Copy + Debug + ToString,
        R: Serialize + DeserializeOwned + ToString,
    {
        match Schema::of::<W>().compatibility(&Schema::of::<R>()) {
            Compatibility::Same => {}
            Compatibility::Migrates(changes) if changes[0].contains("does not fit") => {
                assert!(values.iter().any(|value| migrate::<W, R>(value).is_err()), "{changes:?}");
            }
            Compatibility::Migrates(changes) => {
                for value in values {
                    let read = migrate::<W, R>(value).unwrap_or_else(|error| panic!("{changes:?}: {error}"));
                    assert_eq!(read.to_string(), value.to_string(), "{changes:?}");
                }
            }
            Compatibility::Incompatible(_) => {
                assert!(values.iter().any(|value| migrate::<W, R>(value).is_err()), "{}", told::<W, R>());
            }
        }
    }
    macro_rules! each {
        ($($written:ident)+) => { $(each!(@ $written: i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64);)+ };
        (@ $written:ident: $($read:ident)+) => { $(pair::<$written, $read>(&[$written::MIN, $written::MAX]);)+ };
    }
    each!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);
    pair::<f32, f64>(&[0.5, f32::INFINITY]);
    pair::<f64, f32>(&[0.1]);
    pair::<f64, u32>(&[0.5]);
    pair::<char, String>(&['ä']);
}

#[test]
fn recursive_types_are_compared_to_their_end() {
    #[derive(Serialize, Deserialize)]
    struct Node {
        value: u8,
        next: Option<Box<Node>>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wider {
        next: Option<Box<Wider>>,
        value: u32,
    }
    assert_eq!(told::<Node, Wider>(), "migrates: value.value: u8 became u32; value: fields have another order");
    let node = Node { value: 1, next: Some(Box::new(Node { value: 2, next: None })) };
    let wider = Wider { value: 1, next: Some(Box::new(Wider { value: 2, next: None })) };
    assert_eq!(migrate(&node), Ok(wider));
}
