//! YARN's REST wire form, as the ResourceManager speaks it and clients read it: exact key names, exact nesting.
//!
//! ```text
//! client ─ SubmissionContext ─► rest::cluster ─► submission::Submission ─► resourcemanager
//!        ◄─ Application, Node, RemoteException ─
//! ```
//!
//! JSON is JAXB's "natural" form: one root key (none for the submission context and the new-application reply), lists under
//! a singular inner key, `{}` for an empty list, no nulls. Where clients send one object in place of a list of one, both are
//! read. Keys that YARN does not have are extensions and marked so.

mod error;
mod moment;
mod report;
mod submission;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::error::{RemoteException, RemoteExceptionBody};
pub use self::moment::{format_moment, parse_moment};
pub use self::report::{
    AppState, Application, ApplicationAttempt, ApplicationAttempts, ApplicationEnvelope, Applications,
    ApplicationsEnvelope, ClusterInfo, ClusterInfoEnvelope, Container, Containers, Node, NodeEnvelope, Nodes,
    NodesEnvelope, PendingRequest, Utilization,
};
pub use self::submission::{
    Commands, ContainerSpec, Credentials, InvalidSubmission, LocalResourceEntry, NewApplication, SubmissionContext,
    Tags,
};
use crate::resource::Resource;

/// Base path of the ResourceManager's REST interface.
pub const BASE: &str = "/ws/v1/cluster";

/// A resource object: `{"memory":N,"vCores":N,"resourceInformations":{…}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceObject {
    /// In MiB.
    pub memory: u64,
    /// Virtual cores.
    pub v_cores: u32,
    /// Every kind with its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_informations: Option<ResourceInformations>,
}

/// The inner list of a [`ResourceObject`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceInformations {
    /// One element a kind.
    #[serde(deserialize_with = "one_or_many")]
    pub resource_information: Vec<ResourceInformation>,
}

/// One kind of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceInformation {
    /// Always empty here.
    pub attributes: BTreeMap<String, String>,
    /// Largest container.
    pub maximum_allocation: u64,
    /// Smallest container.
    pub minimum_allocation: u64,
    /// `memory-mb`, `vcores`, or another.
    pub name: String,
    /// `COUNTABLE`.
    pub resource_type: String,
    /// `Mi` for memory.
    pub units: String,
    /// How much.
    pub value: u64,
}

impl From<&Resource> for ResourceObject {
    fn from(resource: &Resource) -> Self {
        let information = |name: &str, units: &str, value| ResourceInformation {
            name: name.to_owned(),
            units: units.to_owned(),
            value,
            resource_type: "COUNTABLE".to_owned(),
            minimum_allocation: 0,
            maximum_allocation: i64::MAX.unsigned_abs(),
            attributes: BTreeMap::new(),
        };
        let mut informations = vec![
            information("memory-mb", "Mi", resource.memory_mb),
            information("vcores", "", u64::from(resource.vcores)),
        ];
        informations.extend(resource.named.iter().map(|(name, amount)| information(name, "", *amount)));
        Self {
            memory: resource.memory_mb,
            v_cores: resource.vcores,
            resource_informations: Some(ResourceInformations { resource_information: informations }),
        }
    }
}

impl From<&ResourceObject> for Resource {
    fn from(object: &ResourceObject) -> Self {
        let mut resource = Self::new(object.memory, object.v_cores);
        for information in object.resource_informations.iter().flat_map(|list| &list.resource_information) {
            if !matches!(information.name.as_str(), "memory-mb" | "vcores") && information.value > 0 {
                resource.named.insert(information.name.clone(), information.value);
            }
        }
        resource
    }
}

/// A map in JAXB's form: `{"entry":[{"key":K,"value":V}]}`; a single entry may stand without the list, and `null`, `""` or `{}`
/// mean empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<V>(pub BTreeMap<String, V>);

impl<V> Default for Entries<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V> Entries<V> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
struct Entry<V> {
    key: String,
    value: V,
}

impl<V: Serialize> Serialize for Entries<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct List<'a, V> {
            entry: Vec<Entry<&'a V>>,
        }
        let entry = self.0.iter().map(|(key, value)| Entry { key: key.clone(), value }).collect();
        List { entry }.serialize(serializer)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct List<V> {
            #[serde(default = "Vec::new", deserialize_with = "one_or_many", bound = "V: Deserialize<'de>")]
            entry: Vec<Entry<V>>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<V> {
            #[serde(bound = "V: Deserialize<'de>")]
            List(List<V>),
            Text(String),
            Nothing(()),
        }
        match Form::deserialize(deserializer)? {
            Form::List(list) => Ok(Self(list.entry.into_iter().map(|entry| (entry.key, entry.value)).collect())),
            Form::Text(text) if text.is_empty() => Ok(Self::default()),
            Form::Text(text) => Err(de::Error::custom(format!("expected a list of entries, not `{text}`"))),
            Form::Nothing(()) => Ok(Self::default()),
        }
    }
}

/// Reads a list, or one element in place of a list of one, or `null` for none.
pub(crate) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct OneOrMany<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an element or a list of them")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_none<E: de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::deserialize(de::value::StrDeserializer::new(text))?])
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            Ok(vec![T::deserialize(de::value::MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = sequence.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_in_each_form_clients_send() {
        for json in [r#"{"entry":[{"key":"A","value":"1"}]}"#, r#"{"entry":{"key":"A","value":"1"}}"#] {
            let entries: Entries<String> = serde_json::from_str(json).unwrap();
            assert_eq!(entries.0, BTreeMap::from([("A".to_owned(), "1".to_owned())]), "{json}");
            assert_eq!(serde_json::to_string(&entries).unwrap(), r#"{"entry":[{"key":"A","value":"1"}]}"#);
        }
        for json in ["null", r#""""#, "{}", r#"{"entry":[]}"#, r#"{"entry":null}"#] {
            assert!(serde_json::from_str::<Entries<String>>(json).unwrap().is_empty(), "{json}");
        }
    }

    #[test]
    fn a_resource_keeps_its_named_kinds_over_the_wire() {
        let mut resource = Resource::new(2048, 2);
        resource.named.insert("yarn.io/gpu".to_owned(), 4);
        let json = serde_json::to_value(ResourceObject::from(&resource)).unwrap();
        assert_eq!(json["vCores"], 2);
        assert_eq!(json["resourceInformations"]["resourceInformation"][0]["units"], "Mi");
        let object: ResourceObject = serde_json::from_value(json).unwrap();
        assert_eq!(Resource::from(&object), resource);
    }
}
