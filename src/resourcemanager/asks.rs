//! What a container may be: the key that asks belong together by, and the bounds of its size.

use crate::resource::Resource;

/// The rack of every node, until there is a rack table.
pub(crate) const DEFAULT_RACK: &str = "/default-rack";

/// What makes asks belong together: one container of the key answers one of the `*` row and of the local rows it satisfies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AskKey {
    /// Smaller numbers first.
    pub(crate) priority: u32,
    /// Chosen by the master.
    pub(crate) allocation_request_id: u64,
    /// One container, rounded up. Ordered, unlike [`Resource`].
    capability: (u64, u32, Vec<(String, u64)>),
}

impl AskKey {
    /// The key of asks for `capability`.
    pub(crate) fn new(priority: u32, allocation_request_id: u64, capability: &Resource) -> Self {
        let named = capability.named.iter().map(|(name, amount)| (name.clone(), *amount)).collect();
        Self { priority, allocation_request_id, capability: (capability.memory_mb, capability.vcores, named) }
    }

    /// One container's resources.
    pub(crate) fn capability(&self) -> Resource {
        let (memory_mb, vcores, named) = &self.capability;
        Resource { memory_mb: *memory_mb, vcores: *vcores, named: named.iter().cloned().collect() }
    }
}

/// An ask that no cluster of this configuration can ever satisfy. YARN's `InvalidResourceRequestException`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid resource request: {asked} is more than the largest container allowed, {largest}; ask for less or raise \
         the ResourceManager's maximum allocation"
)]
pub(crate) struct InvalidAsk {
    /// What was asked for.
    asked: Resource,
    /// The limit.
    largest: Resource,
}

/// Smallest and largest container, and the rounding between.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Memory is rounded up to multiples of this.
    pub(crate) minimum_mb: u64,
    /// No container may be larger.
    pub(crate) maximum: Resource,
}

impl Bounds {
    /// `asked`, rounded up to what is granted.
    ///
    /// # Errors
    /// [`InvalidAsk`] if that is over the maximum.
    pub(crate) fn round(&self, asked: &Resource) -> Result<Resource, InvalidAsk> {
        let mut granted = asked.clone();
        granted.memory_mb = asked.memory_mb.max(1).next_multiple_of(self.minimum_mb.max(1));
        granted.vcores = asked.vcores.max(1);
        granted.named.retain(|_, amount| *amount > 0);
        let named_fit =
            granted.named.iter().all(|(name, amount)| self.maximum.named.get(name).is_none_or(|most| amount <= most));
        if asked.memory_mb > self.maximum.memory_mb || granted.vcores > self.maximum.vcores || !named_fit {
            return Err(InvalidAsk { asked: asked.clone(), largest: self.maximum.clone() });
        }
        granted.memory_mb = granted.memory_mb.min(self.maximum.memory_mb);
        Ok(granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_rounded_up_and_more_than_the_maximum_is_an_error() {
        let bounds = Bounds { minimum_mb: 64, maximum: Resource::new(1000, 4) };
        assert_eq!(bounds.round(&Resource::new(65, 0)).unwrap(), Resource::new(128, 1));
        assert_eq!(bounds.round(&Resource::new(990, 1)).unwrap(), Resource::new(1000, 1));
        let error = bounds.round(&Resource::new(1001, 1)).unwrap_err().to_string();
        assert!(error.contains("<memory:1001 MB, vCores:1>") && error.contains("<memory:1000 MB"), "{error}");
        assert!(bounds.round(&Resource::new(1, 5)).is_err());
    }
}
