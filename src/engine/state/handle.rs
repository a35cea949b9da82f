//! What the handles of all kinds of state hold.

use std::marker::PhantomData;

/// Which state of a store, and what it holds for a key. Unbound until obtained.
pub(super) struct Slot<S> {
    index: u32,
    /// Whether the state is one that expires, and so lies in another kind of table.
    expires: bool,
    stored: PhantomData<fn() -> S>,
}

impl<S> Slot<S> {
    pub(super) fn new(index: usize, expires: bool) -> Self {
        let index = u32::try_from(index).expect("a function has fewer than 2^32 states");
        Self { index, expires, stored: PhantomData }
    }

    /// As one that expires and then holds a `T`, if it is one.
    #[inline]
    pub(super) fn expiring<T>(self) -> Option<Slot<T>> {
        self.expires.then_some(Slot { index: self.index, expires: true, stored: PhantomData })
    }

    #[inline]
    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Slot<S> {}

impl<S> Default for Slot<S> {
    /// Of no store.
    fn default() -> Self {
        Self { index: u32::MAX, expires: false, stored: PhantomData }
    }
}

/// `Clone`, `Copy`, `Default` and `Debug` of handles, whatever their types are.
macro_rules! handle {
    ($name:ident<$($parameter:ident),*>) => {
        impl<$($parameter),*> Clone for $name<$($parameter),*> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<$($parameter),*> Copy for $name<$($parameter),*> {}

        impl<$($parameter),*> Default for $name<$($parameter),*> {
            /// A handle that `open` will replace.
            fn default() -> Self {
                Self { slot: Slot::default() }
            }
        }

        impl<$($parameter),*> std::fmt::Debug for $name<$($parameter),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

/// [`KeyedState`](super::KeyedState) of handles with a slot.
macro_rules! keyed_state {
    ($name:ident<$($parameter:ident: $bound:ident),*>, $timed:ty) => {
        impl<$($parameter: $bound),*> super::KeyedState for $name<$($parameter),*> {
            fn keys<K: Key>(&self, states: &KeyedStates<K>) -> Vec<K> {
                match self.slot.expiring::<$timed>() {
                    Some(slot) => states.expiring_keys(slot),
                    None => states.keys(self.slot),
                }
            }
        }
    };
}

pub(super) use {handle, keyed_state};
