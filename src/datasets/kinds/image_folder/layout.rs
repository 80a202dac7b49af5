//! How a folder of images is laid out, and what is told where it is laid out otherwise than it can be read.

use crate::datasets::DatasetError;
use crate::datasets::tree::{Contents, Folder};
use crate::text::{count, plural};

/// First-level folders that are splits, and what the split is called.
pub(super) const SPLITS: [(&str, &str); 4] = [
    ("train", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("test", "test"),
];

/// What people call the folders of splits as well, in small letters.
const LIKE_SPLITS: [&str; 13] = [
    "train",
    "training",
    "trainset",
    "train_set",
    "test",
    "testing",
    "testset",
    "test_set",
    "val",
    "valid",
    "validation",
    "eval",
    "dev",
];

/// So many names are shown of a list.
const SHOWN: usize = 3;

/// What the folders at the first level are.
#[derive(Debug)]
pub(super) enum FolderLayout {
    /// Some are splits: their names, and what the splits are called.
    Splits(Vec<(String, &'static str)>),
    /// All are classes.
    Classes(Vec<String>),
}

/// The split that a folder of this name is.
fn split_of(folder: &str) -> Option<&'static str> {
    let mut splits = SPLITS.iter();
    splits.find_map(|(name, split)| (*name == folder).then_some(*split))
}

/// Whether people would take a folder of this name for a split.
fn is_like_split(folder: &str) -> bool {
    LIKE_SPLITS.contains(&folder.to_lowercase().as_str())
}

/// The layout of a root, which holds `top`.
///
/// # Errors
/// Splits without class folders, folders that look like splits and are not called like them, and one folder too many above them.
pub(super) fn of(root: &Folder<'_>, top: &Contents) -> Result<FolderLayout, DatasetError> {
    let splits: Vec<(String, &'static str)> = top
        .folders
        .iter()
        .filter_map(|name| Some((name.clone(), split_of(name)?)))
        .collect();
    if !splits.is_empty() {
        for (name, _) in &splits {
            check_split(root, top, name)?;
        }
        return Ok(FolderLayout::Splits(splits));
    }
    let mut like: Vec<&String> = Vec::new();
    for name in top.folders.iter().filter(|name| is_like_split(name)) {
        let inside = root.join(name).contents()?;
        if inside.images.is_empty() && !inside.folders.is_empty() {
            like.push(name);
        }
    }
    if !like.is_empty() {
        let (verb, noun) = match like.len() {
            1 => ("looks", "a split"),
            _ => ("look", "splits"),
        };
        return Err(unlike(
            root,
            format!("{} {verb} like {noun}", listed(&like)),
            "rename the folders: splits are called `train`, `val` or `valid`, and `test`",
        ));
    }
    let only = top.folders.first().filter(|_| top.folders.len() == 1);
    if let Some(only) = only.filter(|_| top.images.is_empty()) {
        let inside = root.join(only).contents()?;
        let splits: Vec<&String> = inside
            .folders
            .iter()
            .filter(|name| is_like_split(name))
            .collect();
        if !splits.is_empty() && inside.images.is_empty() {
            let path = root.join(only).path();
            let hint = if root.path().is_file() {
                format!("pack the archive again from inside of `{only}`")
            } else {
                format!("set `root` to `{}`", path.display())
            };
            let problem = format!("its only folder `{only}` holds {}", listed(&splits));
            return Err(unlike(root, problem, &hint));
        }
    }
    if top.folders.is_empty() {
        return Err(nothing(root, top));
    }
    Ok(FolderLayout::Classes(top.folders.iter().cloned().collect()))
}

/// A split has to hold folders of classes.
fn check_split(root: &Folder<'_>, top: &Contents, split: &str) -> Result<(), DatasetError> {
    let inside = root.join(split).contents()?;
    if !inside.folders.is_empty() || inside.images.is_empty() {
        return Ok(());
    }
    let images = plural(inside.images.len(), "image");
    let beside = top.folders.iter().find(|name| split_of(name).is_none());
    Err(match beside {
        Some(other) => unlike(
            root,
            format!("`{split}` counts as a split, and holds {images} and no class folder"),
            &format!(
                "if `{split}` is a class as `{other}` is, move all classes into a folder `train`: train/{split}, train/{other}"
            ),
        ),
        None => unlike(
            &root.join(split),
            format!("it holds {images} and no class folder"),
            &format!("put each image into the folder of its class: {split}/CLASS/FILE"),
        ),
    })
}

/// That there is no class folder, with what there is.
fn nothing(root: &Folder<'_>, top: &Contents) -> DatasetError {
    let found = match (top.images.len(), top.others.len()) {
        (0, 0) => "it is empty".to_owned(),
        (0, others) => format!(
            "it holds no class folder with images, and {} of another kind: {}",
            plural(others, "file"),
            listed(&top.others.iter().collect::<Vec<_>>())
        ),
        (images, _) => format!(
            "it holds no class folder with images, and {} beside where such folders would be",
            plural(images, "image")
        ),
    };
    unlike(root, found, EXPECTED)
}

/// That folders of classes hold no images, with what they hold.
pub(super) fn no_images(root: &Folder<'_>, top: &Contents, unread: &[String]) -> DatasetError {
    let folders: Vec<&String> = top.folders.iter().collect();
    let found = match unread.first() {
        Some(file) => format!(
            "it holds no class folder with images: the names of its files do not end as those of images do, such as `{file}`"
        ),
        None => format!(
            "it holds no class folder with images, only {}",
            listed(&folders)
        ),
    };
    unlike(root, found, EXPECTED)
}

const EXPECTED: &str = "expected ROOT/CLASS/FILE or ROOT/train/CLASS/FILE, with files that end in .jpg, .jpeg, .jfif, .png, .webp, .bmp, .tif, .tiff or .gif";

fn unlike(folder: &Folder<'_>, problem: String, hint: &str) -> DatasetError {
    DatasetError::Malformed {
        path: folder.path(),
        problem,
        hint: hint.to_owned(),
    }
}

/// The first of some names, and how many more there are.
fn listed(names: &[&String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {} more", shown.join(", "), count(more)),
        _ => shown.join(" and "),
    }
}
