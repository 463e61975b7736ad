//! A client's configuration in JSON: putting our entries in, and taking exactly these out again.
//!
//! Owns which entry is ours and what was made for it; all else of the document stays byte for byte. Refuses to read and write files.

mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use text::{Body, Document, Node};

/// Something that a client's configuration must have.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it is: names of members from the root on.
    pub path: Vec<&'static str>,
    /// What is there.
    pub value: Value,
    /// Whether it is the value itself, or one of a list.
    pub kind: Kind,
    /// Whether a value that stands there is one of ours, of this version or another one.
    pub is_ours: fn(&Value) -> bool,
}

/// How an entry stands at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is the value.
    Value,
    /// It is the value, which a document of the client always has: it goes where it was put in, and nobody uses what was made beside it.
    Frame,
    /// It is one element of a list there: a handler, or a group that has a list of handlers in `hooks`.
    Element,
}

/// Names of members from the root on.
pub type Names = Vec<String>;

/// What was there before our entries: by this they are taken out again without a trace.
#[derive(Clone, PartialEq, Default, Debug, Serialize, Deserialize)]
pub struct Before {
    /// The objects and lists that were made for entries, the document itself (no names) among them, and frames.
    pub made: Vec<Names>,
    /// What stood in the place of an entry.
    pub replaced: Vec<(Names, Value)>,
    /// The white space in objects and lists that had nothing else in them, and in a document (no names) that had no object.
    #[serde(default)]
    pub blank: Vec<(Names, String)>,
}

impl Before {
    /// This, of a document to which the later one came.
    #[must_use]
    pub fn and(mut self, later: &Self) -> Self {
        self.made.extend(later.made.iter().filter(|names| !self.made.contains(names)).cloned().collect::<Vec<_>>());
        self.replaced.retain(|(names, _)| !later.replaced.iter().any(|(new, _)| new == names));
        self.replaced.extend(later.replaced.iter().cloned());
        self.blank.retain(|(names, _)| !later.blank.iter().any(|(new, _)| new == names));
        self.blank.extend(later.blank.iter().cloned());
        self
    }
}

/// A document with our entries.
#[derive(Clone, PartialEq, Debug)]
pub struct Attached {
    /// Its text.
    pub text: String,
    /// What was there before.
    pub before: Before,
    /// The entries that were not there as they are now, by name.
    pub changed: Vec<String>,
}

/// A document without our entries.
#[derive(Clone, PartialEq, Debug)]
pub struct Detached {
    /// Its text; empty where all of it was ours.
    pub text: String,
    /// The entries that were there, by name.
    pub removed: Vec<String>,
}

/// Why a document is left as it is.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Wrong {
    /// Where, counted from 1.
    pub line: usize,
    /// Why.
    pub why: Why,
}

/// What is wrong with a document.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Why {
    /// JSON has no comments.
    #[error("it has comments, which JSON has not")]
    Comment,
    /// It is no JSON.
    #[error("it is no JSON: {0}")]
    Syntax(String),
    /// Its values lie too deep in each other.
    #[error("its values lie too deep in each other")]
    Deep,
    /// A member is there twice: nobody can tell which one counts.
    #[error("it has `{0}` twice")]
    Duplicated(String),
    /// Something else stands where an object or a list is needed.
    #[error("{at} is not {wanted}")]
    Unsuitable {
        /// Where.
        at: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Somebody else's value stands where ours has to be.
    #[error("`{at}` is set already, to {value}")]
    Foreign {
        /// Where.
        at: String,
        /// The value.
        value: Value,
    },
}

/// The list of handlers within a group.
const HANDLERS: &str = "hooks";

/// Refuses a document with comments, which stay where a client reads them: others do not read such a document.
pub fn refuse_comments(text: &str) -> Result<(), Wrong> {
    let bare = without_comments(text);
    match text.bytes().zip(bare.bytes()).position(|(found, bare)| found != bare) {
        Some(at) => Err(Wrong {
            line: 1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count(),
            why: Why::Comment,
        }),
        None => Ok(()),
    }
}

/// Puts entries into a document, where they are not in it already. With `replacing`, what stands in the place of one gives way.
pub fn attach(text: &str, entries: &[Entry], replacing: bool) -> Result<Attached, Wrong> {
    let mut at = Editing { document: Document::read(text)?, before: Before::default() };
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        at.before.made.push(vec![]);
        at.before.blank.push((vec![], text.to_owned()));
    }
    let mut changed = Vec::new();
    for entry in entries {
        if at.put(entry, replacing)? {
            changed.push(entry.name());
        }
    }
    let text = if changed.is_empty() { text.to_owned() } else { at.document.text().to_owned() };
    Ok(Attached { text, before: at.before, changed })
}

/// The entries that a document has not, or has otherwise, by name.
pub fn missing(text: &str, entries: &[Entry]) -> Result<Vec<String>, Wrong> {
    attach(text, entries, true).map(|attached| attached.changed)
}

/// A document of JSON with blanks in the place of comments, as a client reads it that takes them.
pub fn without_comments(text: &str) -> String {
    text::without_comments(text)
}

/// Takes our entries out of a document, and what was made for them where it is empty now; what they replaced comes back.
pub fn detach(text: &str, entries: &[Entry], before: &Before) -> Result<Detached, Wrong> {
    let mut at = Editing { document: Document::read(text)?, before: before.clone() };
    let mut removed = Vec::new();
    for entry in entries {
        let is_gone = match entry.kind {
            Kind::Frame => false,
            Kind::Value => at.take_value(entry)?,
            Kind::Element => at.take_elements(&entry.names(), entry)?,
        };
        if is_gone {
            removed.push(entry.name());
        }
        // Of another version's entries, too: they are lists beside this one.
        let beside = entry.names().split_last().map(|(_, around)| around.to_vec()).unwrap_or_default();
        if entry.kind == Kind::Element {
            for names in at.lists(&beside)? {
                if at.take_elements(&names, entry)? {
                    removed.push(names.join("."));
                }
            }
        }
    }
    if removed.is_empty() {
        return Ok(Detached { text: text.to_owned(), removed });
    }
    let (frames, mut made): (Vec<Names>, Vec<Names>) = before
        .made
        .iter()
        .cloned()
        .partition(|names| entries.iter().any(|entry| entry.kind == Kind::Frame && entry.names() == *names));
    made.sort_by_key(|names| std::cmp::Reverse(names.len()));
    for names in made.iter().filter(|names| !names.is_empty()) {
        at.take_empty(names)?;
    }
    // Where somebody put something of his own beside ours, he needs what every document has.
    if !at.has_any(&made)? {
        at.take_frames(entries, &frames)?;
    }
    let is_all_ours = made.iter().any(Names::is_empty) && at.take_empty(&[])?;
    for (names, blank) in &before.blank {
        at.put_back_blank(names, blank)?;
    }
    let whole = before.blank.iter().find(|(names, _)| is_all_ours && names.is_empty());
    let text = match whole {
        Some((_, blank)) => blank.clone(),
        None if is_all_ours => String::new(),
        None => at.document.text().to_owned(),
    };
    Ok(Detached { text, removed })
}

impl Entry {
    /// What it is called: the names that lead to it.
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    fn names(&self) -> Names {
        self.path.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The handler, where the entry is a group of handlers; else itself.
    fn handler(&self) -> &Value {
        self.value.get(HANDLERS).and_then(|handlers| handlers.get(0)).unwrap_or(&self.value)
    }

    fn is_group(&self) -> bool {
        self.value.get(HANDLERS).is_some()
    }
}

/// A handler of ours in a list: which element it is in, and which of the element's handlers it is where that is a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    element: usize,
    handler: Option<usize>,
}

struct Editing {
    document: Document,
    before: Before,
}

impl Editing {
    /// What stands at names; where a part of the way is not there, how many names lead somewhere, and the last thing there.
    fn find(&self, names: &[String]) -> Result<(usize, Node), Wrong> {
        let mut node = self.document.root()?;
        for (depth, name) in names.iter().enumerate() {
            let Body::Object(members) = &node.body else {
                let at = format!("`{}`", names[..depth].join("."));
                return Err(self.wrong(&node, Why::Unsuitable { at, wanted: "an object" }));
            };
            let mut named = members.iter().filter(|member| member.name == *name);
            let Some(member) = named.next() else { return Ok((depth, node)) };
            if let Some(second) = named.next() {
                return Err(self.wrong(&second.value, Why::Duplicated(names[..=depth].join("."))));
            }
            node = member.value.clone();
        }
        Ok((names.len(), node))
    }

    fn wrong(&self, node: &Node, why: Why) -> Wrong {
        Wrong { line: self.document.line(node.from), why }
    }

    /// Puts an entry in; `false` where it is there already.
    fn put(&mut self, entry: &Entry, replacing: bool) -> Result<bool, Wrong> {
        let names = entry.names();
        let (depth, node) = self.find(&names)?;
        if depth < names.len() {
            self.make(entry, &names, depth, &node)?;
            return Ok(true);
        }
        match entry.kind {
            Kind::Value | Kind::Frame => self.put_value(entry, &names, &node, replacing),
            Kind::Element => self.put_element(entry, &names, &node),
        }
    }

    /// Puts an entry in of whose way only a part is there.
    fn make(&mut self, entry: &Entry, names: &[String], depth: usize, around: &Node) -> Result<(), Wrong> {
        if !matches!(around.body, Body::Object(_)) {
            let at = format!("`{}`", names[..depth].join("."));
            return Err(self.wrong(around, Why::Unsuitable { at, wanted: "an object" }));
        }
        let mut value = entry.value.clone();
        let mut last = names.len() - 1;
        if entry.kind == Kind::Element {
            value = Value::Array(vec![value]);
            last += 1;
        }
        for name in names[depth + 1..].iter().rev() {
            value = Value::Object([(name.clone(), value)].into_iter().collect());
        }
        self.keep_blank(&names[..depth], around);
        self.document.add(around, Some(&names[depth]), &value);
        let is_frame = usize::from(entry.kind == Kind::Frame);
        self.before.made.extend((depth + 1..=last + is_frame).map(|length| names[..length].to_vec()));
        Ok(())
    }

    fn put_value(&mut self, entry: &Entry, names: &Names, node: &Node, replacing: bool) -> Result<bool, Wrong> {
        let found = self.document.value(node);
        if found == entry.value {
            return Ok(false);
        }
        if !(entry.is_ours)(&found) {
            if !replacing {
                return Err(self.wrong(node, Why::Foreign { at: entry.name(), value: found }));
            }
            self.before.replaced.push((names.clone(), found));
        }
        self.document.replace(node, &entry.value);
        Ok(true)
    }

    fn put_element(&mut self, entry: &Entry, names: &Names, list: &Node) -> Result<bool, Wrong> {
        let places = self.places(names, list, entry)?;
        if let [place] = places[..]
            && self.is_in_our_group(list, place, entry)
        {
            let node = self.handler_at(list, place);
            if is_covered(&self.document.value(&node), entry.handler()) {
                return Ok(false);
            }
            self.document.replace(&node, entry.handler());
            return Ok(true);
        }
        self.take_elements(names, entry)?;
        let (_, list) = self.find(names)?;
        self.keep_blank(names, &list);
        self.document.add(&list, None, &entry.value);
        Ok(true)
    }

    /// Remembers the white space of an object or list that has nothing else.
    fn keep_blank(&mut self, names: &[String], node: &Node) {
        let blank = self.document.inside(node);
        if node.is_empty() && !blank.is_empty() {
            self.before.blank.push((names.to_vec(), blank.to_owned()));
        }
    }

    /// Gives an object or list that has nothing in it again the white space that it had.
    fn put_back_blank(&mut self, names: &[String], blank: &str) -> Result<(), Wrong> {
        let (depth, node) = self.find(names)?;
        if depth == names.len() && !matches!(node.body, Body::Other) && node.is_empty() {
            self.document.fill(&node, blank);
        }
        Ok(())
    }

    /// Where handlers of ours are in a list.
    fn places(&self, names: &[String], list: &Node, entry: &Entry) -> Result<Vec<Place>, Wrong> {
        let Body::List(items) = &list.body else {
            let at = format!("`{}`", names.join("."));
            return Err(self.wrong(list, Why::Unsuitable { at, wanted: "a list" }));
        };
        let mut places = Vec::new();
        for (element, item) in items.iter().enumerate() {
            if (entry.is_ours)(&self.document.value(item)) {
                places.push(Place { element, handler: None });
            }
            let handlers = handlers(item).map(|(_, list)| list.body.clone());
            let Some(Body::List(handlers)) = handlers else { continue };
            let ours = handlers.iter().enumerate().filter(|(_, one)| (entry.is_ours)(&self.document.value(one)));
            places.extend(ours.map(|(at, _)| Place { element, handler: Some(at) }));
        }
        Ok(places)
    }

    fn handler_at(&self, list: &Node, place: Place) -> Node {
        let Body::List(items) = &list.body else { return list.clone() };
        let item = &items[place.element];
        match (place.handler, handlers(item).map(|(_, list)| &list.body)) {
            (Some(at), Some(Body::List(handlers))) => handlers[at].clone(),
            _ => item.clone(),
        }
    }

    /// Whether a handler is where ours is put: in no group that takes less.
    fn is_in_our_group(&self, list: &Node, place: Place, entry: &Entry) -> bool {
        if place.handler.is_some() != entry.is_group() {
            return false;
        }
        let (Body::List(items), Some(_)) = (&list.body, place.handler) else { return true };
        let found = self.document.value(&items[place.element]);
        let takes_all = |matcher: &Value| matcher.as_str().is_some_and(|text| text.is_empty() || text == "*");
        let wanted = entry.value.get("matcher");
        found.get("matcher").is_none_or(|matcher| Some(matcher) == wanted || takes_all(matcher))
    }

    /// Takes a value out, or puts back what it replaced.
    fn take_value(&mut self, entry: &Entry) -> Result<bool, Wrong> {
        let names = entry.names();
        let (depth, node) = self.find(&names)?;
        if depth < names.len() || !(entry.is_ours)(&self.document.value(&node)) {
            return Ok(false);
        }
        match self.before.replaced.iter().find(|(place, _)| *place == names).map(|(_, value)| value.clone()) {
            Some(before) => self.document.replace(&node, &before),
            None => self.take_member(&names)?,
        }
        Ok(true)
    }

    fn take_member(&mut self, names: &[String]) -> Result<(), Wrong> {
        let Some((name, around)) = names.split_last() else { return Ok(()) };
        let (_, around) = self.find(around)?;
        if let Body::Object(members) = &around.body
            && let Some(at) = members.iter().position(|member| member.name == *name)
        {
            self.document.remove(&around, at);
        }
        Ok(())
    }

    /// Takes all handlers of ours out of a list, and a group that has no other.
    fn take_elements(&mut self, names: &[String], entry: &Entry) -> Result<bool, Wrong> {
        let mut is_any = false;
        loop {
            let (depth, list) = self.find(names)?;
            if depth < names.len() {
                return Ok(is_any);
            }
            let Some(place) = self.places(names, &list, entry)?.pop() else { return Ok(is_any) };
            is_any = true;
            let Body::List(items) = &list.body else { return Ok(is_any) };
            let item = &items[place.element];
            match (place.handler, handlers(item)) {
                (Some(at), Some((_, inner)))
                    if !is_only(inner) || !is_made_alike(&self.document.value(item), entry) =>
                {
                    self.document.remove(inner, at);
                }
                _ => self.document.remove(&list, place.element),
            }
        }
    }

    /// The lists that are members of an object.
    fn lists(&self, names: &[String]) -> Result<Vec<Names>, Wrong> {
        let (depth, node) = self.find(names)?;
        let Body::Object(members) = (if depth == names.len() { node.body } else { Body::Other }) else {
            return Ok(vec![]);
        };
        let lists = members.into_iter().filter(|member| matches!(member.value.body, Body::List(_)));
        Ok(lists.map(|member| [names, &[member.name]].concat()).collect())
    }

    /// Takes out what every document has, of what was put in and is as it was.
    fn take_frames(&mut self, entries: &[Entry], frames: &[Names]) -> Result<(), Wrong> {
        for entry in entries.iter().filter(|entry| frames.contains(&entry.names())) {
            let (depth, node) = self.find(&entry.names())?;
            if depth == entry.path.len() && self.document.value(&node) == entry.value {
                self.take_member(&entry.names())?;
            }
        }
        Ok(())
    }

    /// Whether any of these is there, but for the document itself.
    fn has_any(&self, all: &[Names]) -> Result<bool, Wrong> {
        for names in all.iter().filter(|names| !names.is_empty()) {
            if self.find(names)?.0 == names.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes out an object or list that is empty, without a comment even; whether it is the whole document.
    fn take_empty(&mut self, names: &[String]) -> Result<bool, Wrong> {
        let (depth, node) = self.find(names)?;
        let is_none = depth < names.len() || matches!(node.body, Body::Other);
        if is_none || !node.is_empty() || self.document.has_comment_in(&node) {
            return Ok(false);
        }
        self.take_member(names)?;
        Ok(names.is_empty())
    }
}

/// The list of handlers of a group.
fn handlers(item: &Node) -> Option<(usize, &Node)> {
    let Body::Object(members) = &item.body else { return None };
    let at = members.iter().position(|member| member.name == HANDLERS)?;
    Some((at, &members[at].value))
}

fn is_only(list: &Node) -> bool {
    matches!(&list.body, Body::List(items) if items.len() == 1)
}

/// Whether a group says of itself what ours does.
fn is_made_alike(found: &Value, entry: &Entry) -> bool {
    let rest = |value: &Value| {
        let mut value = value.clone();
        value.as_object_mut().map(|fields| fields.remove(HANDLERS));
        value
    };
    entry.is_group() && rest(found) == rest(&entry.value)
}

/// Whether a handler does what is wanted: who set more about it may.
fn is_covered(found: &Value, wanted: &Value) -> bool {
    match (found.as_object(), wanted.as_object()) {
        (Some(found), Some(wanted)) => wanted.iter().all(|(name, value)| found.get(name) == Some(value)),
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests;
