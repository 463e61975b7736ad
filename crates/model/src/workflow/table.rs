//! Parts by id: loaded or not, changed or not.
//!
//! Owns the bookkeeping that lets a state be kept at the cost of what changed. Refuses to know what the parts are.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

/// Parts by id, of which some may not be loaded.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    slots: HashMap<K, Slot<V>, RandomState>,
}

#[derive(Clone, Debug)]
struct Slot<V> {
    /// `None`: it is known that there is none.
    value: Option<V>,
    changed: bool,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { slots: HashMap::default() }
    }
}

impl<K: Eq + Hash + Clone + Ord, V> Table<K, V> {
    /// The part of an id, if it is loaded and there.
    pub fn get(&self, id: &K) -> Option<&V> {
        self.slots.get(id)?.value.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        let slot = self.slots.get_mut(id)?;
        slot.changed |= slot.value.is_some();
        slot.value.as_mut()
    }

    /// Whether it is known that there is one or none.
    pub fn is_loaded(&self, id: &K) -> bool {
        self.slots.contains_key(id)
    }

    /// Notes what is kept under an id.
    pub fn load(&mut self, id: K, value: Option<V>) {
        self.slots.entry(id).or_insert(Slot { value, changed: false });
    }

    /// Puts a part, in place of one that is there.
    pub fn put(&mut self, id: K, value: V) -> &mut V {
        let slot = self.slots.entry(id).or_insert(Slot { value: None, changed: true });
        slot.changed = true;
        slot.value.insert(value)
    }

    /// The part of an id that is loaded, to be changed; it is made where there is none.
    pub fn get_or_make(&mut self, id: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.slots.contains_key(id) {
            self.slots.insert(id.clone(), Slot { value: None, changed: true });
        }
        let slot = self.slots.get_mut(id).expect("it was put above where it was not there");
        slot.changed = true;
        slot.value.get_or_insert_with(make)
    }

    /// Takes a part away.
    pub fn remove(&mut self, id: &K) -> Option<V> {
        let slot = self.slots.get_mut(id)?;
        slot.changed |= slot.value.is_some();
        slot.value.take()
    }

    /// The parts that are loaded, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.values().filter_map(|slot| slot.value.as_ref())
    }

    /// The parts that are loaded with their ids, in no order.
    pub fn into_parts(self) -> impl Iterator<Item = (K, V)> {
        self.slots.into_iter().filter_map(|(id, slot)| Some((id, slot.value?)))
    }

    /// The parts that are loaded, by their ids.
    pub fn sorted(&self) -> Vec<(&K, &V)> {
        let parts = self.slots.iter().filter_map(|(id, slot)| Some((id, slot.value.as_ref()?)));
        let mut parts: Vec<(&K, &V)> = parts.collect();
        parts.sort_by_key(|(id, _)| *id);
        parts
    }

    /// What changed since the last call, by ids; `None` for what is gone.
    pub fn take_changes(&mut self) -> Vec<(&K, Option<&V>)> {
        let changed = self.slots.iter_mut().filter_map(|(id, slot)| {
            let Slot { value, changed } = slot;
            std::mem::take(changed).then_some((id, value.as_ref()))
        });
        let mut changes: Vec<(&K, Option<&V>)> = changed.collect();
        changes.sort_by_key(|(id, _)| *id);
        changes
    }
}

impl<K: Eq + Hash, V> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(parts: I) -> Self {
        let slots = parts.into_iter().map(|(id, value)| (id, Slot { value: Some(value), changed: false }));
        Self { slots: slots.collect() }
    }
}
