//! Finding a workspace, its view and its vault, and opening them together.
//!
//! Owns where things are by default and the files that lead from one to the other. Refuses to read the environment:
//! directories are given to it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wfr_store::Vault;
use wfr_store::object::hash;

use crate::{owner, view};

/// Directories that the edge knows and the library does not.
#[derive(Clone, Debug)]
pub struct Directories {
    /// Where a relative path begins and the search upwards starts.
    pub current: PathBuf,
    /// The user's data directory, such as `~/.local/share`; `None` where there is none.
    pub data: Option<PathBuf>,
    /// `--workspace`.
    pub workspace: Option<PathBuf>,
    /// `--store` or `WFR_STORE`.
    pub store: Option<PathBuf>,
    /// Whether the store is `WFR_STORE`: that stays set wherever the current directory is, so it says nothing of this call.
    pub store_is_ambient: bool,
}

/// Where a workspace's parts are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The workspace's root, absolute, without symbolic links as far as it exists.
    pub root: PathBuf,
    /// The vault.
    pub vault: PathBuf,
}

/// Why no workspace was found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// Neither the directory nor one above it is protected.
    #[error("{0} is not in a workspace that wfr protects")]
    NotFound(PathBuf),
    /// The directory that was named is not protected itself, but lies in one that is.
    #[error("{named} is not the root of a workspace: it lies in the workspace {root}")]
    Inside {
        /// The directory that was named.
        named: PathBuf,
        /// The workspace that it lies in.
        root: PathBuf,
    },
    /// The environment names a store whose workspace the current directory is not in.
    #[error(
        "WFR_STORE names the store of the workspace {}, which the current directory, {}, is not in: nothing was changed",
        root.display(), current.display()
    )]
    Elsewhere {
        /// The current directory.
        current: PathBuf,
        /// The workspace that the store serves.
        root: PathBuf,
    },
    /// A workspace that has a store of its own, and the store that was named serves another one.
    #[error("{} has a store of its own at {}, and the one that was named serves {}", root.display(), own.display(), owner.display())]
    OwnStore {
        /// The workspace.
        root: PathBuf,
        /// Its store.
        own: PathBuf,
        /// Whom the store serves that was named.
        owner: PathBuf,
    },
    /// The view's configuration cannot be used.
    #[error(transparent)]
    Config(#[from] view::ConfigError),
    /// A vault was named that knows no workspace.
    #[error("cannot tell which workspace the store at {place} belongs to: {why}")]
    Store {
        /// The store.
        place: PathBuf,
        /// Why.
        why: String,
    },
}

/// A small file in the data directory by which a vault is found when the view is gone.
#[derive(Serialize, Deserialize)]
struct Signpost {
    workspace: PathBuf,
    store: PathBuf,
}

/// The key of a workspace: the first 16 hexadecimal digits of its path's SHA-256.
fn workspace_key(root: &Path) -> String {
    hash(root.as_os_str().as_encoded_bytes()).to_hex()[..16].to_owned()
}

/// Where the stores of all workspaces are, below a directory for data, and the register of who has which.
pub fn own_data(data: &Path) -> PathBuf {
    data.join("wfr")
}

/// Where a workspace's archives are written if nobody says otherwise: beside those of others, whose workflows may have the
/// same names.
pub fn default_backups(data: &Path, root: &Path) -> PathBuf {
    let vault = default_vault(data, root);
    own_data(data).join("backups").join(vault.file_name().unwrap_or_default())
}

/// The file in the data directory that leads from a workspace to its vault.
pub fn signpost_path(data: &Path, root: &Path) -> PathBuf {
    own_data(data).join("workspaces").join(format!("{}.json", workspace_key(root)))
}

/// The vault's default place for a workspace.
pub fn default_vault(data: &Path, root: &Path) -> PathBuf {
    let name = root.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().replace('\0', ""));
    own_data(data).join("vaults").join(format!("{name}-{}", workspace_key(root)))
}

/// The default place, or one beside it where a workspace that was moved away from this path took its vault along.
pub fn free_vault(data: &Path, root: &Path) -> PathBuf {
    let first = default_vault(data, root);
    let beside = |number: u64| {
        let mut name = first.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{number}"));
        first.with_file_name(name)
    };
    let mut places = std::iter::once(first.clone()).chain((2..).map(beside));
    places.find(|vault| owner::another(vault, root, Some(data)).is_none()).unwrap_or(first)
}

/// Makes a path absolute and resolves what of it exists.
pub fn absolute(current: &Path, path: &Path) -> PathBuf {
    let whole = current.join(path);
    let mut missing = Vec::new();
    let mut at = whole.as_path();
    loop {
        if let Ok(resolved) = at.canonicalize() {
            return missing.iter().rev().fold(resolved, |path, name| path.join(name));
        }
        match (at.parent(), at.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                at = parent;
            }
            _ => return whole,
        }
    }
}

/// Finds the workspace that the directories point to: the one named, else the nearest upwards.
pub fn locate(directories: &Directories) -> Result<Place, LocateError> {
    let start = match &directories.workspace {
        Some(named) => absolute(&directories.current, named),
        None => directories.current.clone(),
    };
    let store = directories.store.as_ref().map(|store| absolute(&directories.current, store));
    let mut nearest = None;
    for root in start.ancestors() {
        match known_vault(root, directories.data.as_deref()) {
            // Who names the store need not be told by the view.
            Err(LocateError::Config(view::ConfigError::Shut { .. } | view::ConfigError::InTheWay(_)))
                if store.is_some() => {}
            found => {
                if let Some(vault) = found? {
                    nearest = Some((root.to_owned(), vault));
                    break;
                }
            }
        }
    }
    // What is named is meant: only the search without a name goes upwards.
    match (nearest, store) {
        (Some((root, vault)), store) if directories.workspace.is_none() || root == start => {
            if let Some(store) = &store {
                refuse_anothers(&root, (&vault, store), directories.data.as_deref())?;
            }
            Ok(Place { root, vault: store.unwrap_or(vault) })
        }
        (_, Some(vault)) => from_store(vault, directories),
        (Some((root, _)), None) => Err(LocateError::Inside { named: start, root }),
        (None, None) => Err(LocateError::NotFound(start)),
    }
}

/// Refuses a store that was named, where the workspace has one of its own that is there, and the other one serves somebody
/// else. A copy, whose view names that one as its own, is told later.
fn refuse_anothers(root: &Path, (own, store): (&Path, &Path), data: Option<&Path>) -> Result<(), LocateError> {
    if is_same(own, store) || !Vault::is_at(own) {
        return Ok(());
    }
    match owner::another(store, root, data) {
        Some(owner) => Err(LocateError::OwnStore { root: root.to_owned(), own: own.to_owned(), owner }),
        None => Ok(()),
    }
}

/// The nearest workspace around a directory, whose own it is not; `None` also where that cannot be told.
pub fn around(root: &Path, data: Option<&Path>) -> Option<PathBuf> {
    let has_store = |dir: &&Path| known_vault(dir, data).ok().flatten().is_some_and(|vault| Vault::is_at(&vault));
    root.ancestors().skip(1).find(has_store).map(Path::to_owned)
}

/// The workspace that the directories point to, where the current directory is not in it; `None` also where none is found.
pub fn elsewhere(directories: &Directories) -> Option<PathBuf> {
    if directories.workspace.is_none() && directories.store.is_none() {
        // The search goes upwards, so what it finds the current directory is in.
        return None;
    }
    let root = locate(directories).ok()?.root;
    let current = absolute(&directories.current, Path::new(""));
    (!current.starts_with(absolute(&root, Path::new("")))).then_some(root)
}

/// Refuses to go on where nothing but the environment leads to a workspace that the current directory is not in.
pub fn refuse_elsewhere(directories: &Directories) -> Result<(), LocateError> {
    if !directories.store_is_ambient || directories.workspace.is_some() {
        return Ok(());
    }
    let current = directories.current.clone();
    elsewhere(directories).map_or(Ok(()), |root| Err(LocateError::Elsewhere { current, root }))
}

/// The vault that a directory's view or a signpost names; `None` where the directory is not known.
pub fn known_vault(root: &Path, data: Option<&Path>) -> Result<Option<PathBuf>, LocateError> {
    let named = if view::exists(root) { view::store(root) } else { view::check_open(root).map(|()| None) };
    match named {
        Ok(None) => Ok(signposted(root, data)),
        // No view was ever below what is no directory.
        Err(view::ConfigError::InTheWay(place)) if place != view::dir(root) => Ok(signposted(root, data)),
        // What cannot be read may have named one: where a signpost does, too, that is enough.
        Err(error) => signposted(root, data).map(Some).ok_or(error.into()),
        found => Ok(found?),
    }
}

fn signposted(root: &Path, data: Option<&Path>) -> Option<PathBuf> {
    let bytes = std::fs::read(signpost_path(data?, root)).ok()?;
    let signpost: Signpost = serde_json::from_slice(&bytes).ok()?;
    (signpost.workspace == root).then(|| root.join(signpost.store))
}

/// Whether two paths lead to one directory.
pub fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// The workspace that a named vault belongs to, as its catalog says.
fn from_store(vault: PathBuf, directories: &Directories) -> Result<Place, LocateError> {
    if let Some(named) = &directories.workspace {
        return Ok(Place { root: absolute(&directories.current, named), vault });
    }
    let unknown = |why: String| LocateError::Store { place: vault.clone(), why };
    let opened = wfr_store::Vault::open(&vault).map_err(|error| unknown(error.to_string()))?;
    let catalog =
        wfr_catalog::Catalog::open_read_only(&opened.catalog()).map_err(|error| unknown(error.to_string()))?;
    let identity = catalog.identity().map_err(|error| unknown(error.to_string()))?;
    Ok(Place { root: identity.workspace, vault })
}

/// Writes the signpost that leads from a workspace's path to its vault.
pub fn write_signpost(data: &Path, place: &Place) -> std::io::Result<()> {
    let path = signpost_path(data, &place.root);
    let dir = path.parent().unwrap_or(data);
    std::fs::create_dir_all(dir)?;
    let signpost = Signpost { workspace: place.root.clone(), store: place.vault.clone() };
    let bytes = serde_json::to_vec_pretty(&signpost).map_err(std::io::Error::other)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    wfr_store::vault::write_durably(dir, &name, &bytes)
}

/// The workspaces whose signposts lead to a vault.
pub fn signposted_to(data: &Path, vault: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(own_data(data).join("workspaces")).into_iter().flatten().flatten();
    let read = |file: &Path| serde_json::from_slice::<Signpost>(&std::fs::read(file).ok()?).ok();
    let signposts = files.filter_map(|entry| read(&entry.path()));
    let leading = signposts.filter(|found| found.store == vault || is_same(&found.store, vault));
    leading.map(|found| found.workspace).collect()
}

/// Sees to it that the signpost of this place is the only one that leads to its vault: what stands later at a path that the
/// workspace has left is somebody else's.
pub fn move_signpost(data: &Path, place: &Place) -> std::io::Result<()> {
    write_signpost(data, place)?;
    for left in signposted_to(data, &place.vault).into_iter().filter(|other| *other != place.root) {
        std::fs::remove_file(signpost_path(data, &left))?;
    }
    Ok(())
}

/// What a directory is in or at that is wfr's own, if it is: a vault of any workspace, or where vaults are kept.
pub fn own_place(data: Option<&Path>, dir: &Path) -> Option<PathBuf> {
    let real = |place: &Path| place.canonicalize().unwrap_or_else(|_| place.to_owned());
    let data = data.map(|data| real(&own_data(data))).filter(|data| dir.starts_with(data));
    data.or_else(|| dir.ancestors().find(|place| Vault::is_at(place)).map(Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signposts_lead_back_when_the_view_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let root = dir.path().canonicalize().unwrap().join("work");
        std::fs::create_dir_all(root.join("deep")).unwrap();
        let directories = Directories {
            current: root.join("deep"),
            data: Some(data.clone()),
            workspace: None,
            store: None,
            store_is_ambient: false,
        };
        assert!(matches!(locate(&directories), Err(LocateError::NotFound(_))));
        let place = Place { root: root.clone(), vault: default_vault(&data, &root) };
        write_signpost(&data, &place).unwrap();
        assert_eq!(locate(&directories).unwrap(), place);
        // The whole workspace may be gone: naming it is enough.
        std::fs::remove_dir_all(&root).unwrap();
        let directories = Directories { current: dir.path().into(), workspace: Some("work".into()), ..directories };
        assert_eq!(locate(&directories).unwrap(), place);
    }
}
