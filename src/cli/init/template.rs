//! The files of `repro init` and `repro demo`, and where each comes from.

/// A file that is written into a folder of the user's.
#[derive(Debug)]
pub(in crate::cli) struct File {
    /// Its path from that folder, and from the share folder where it is copied from there.
    pub(super) path: &'static str,
    pub(super) content: Content,
    /// Whether another file of this name is left alone, rather than an error: people have one already.
    pub(super) may_differ: bool,
}

/// Where the bytes of a file come from.
#[derive(Debug)]
pub(super) enum Content {
    /// They are in the program.
    Text(&'static str),
    /// They are in the share folder, which comes with the program: images and weights are too large to be a part of it.
    Shared,
}

const fn text(path: &'static str, text: &'static str) -> File {
    File {
        path,
        content: Content::Text(text),
        may_differ: false,
    }
}

const fn shared(path: &'static str) -> File {
    File {
        path,
        content: Content::Shared,
        may_differ: false,
    }
}

/// By this file the share folder is recognized.
pub(super) const MARK: &str = "data/models/fashion-28.safetensors";

/// The images of garments and the network that was trained on them, each with its origin and license.
pub(in crate::cli) static GARMENTS: [File; 8] = [
    shared("data/fashion-mnist/LICENSE"),
    shared("data/fashion-mnist/README.md"),
    shared("data/fashion-mnist/t10k-images-idx3-ubyte.gz"),
    shared("data/fashion-mnist/t10k-labels-idx1-ubyte.gz"),
    shared("data/fashion-mnist/train-images-idx3-ubyte.gz"),
    shared("data/fashion-mnist/train-labels-idx1-ubyte.gz"),
    shared("data/models/fashion-28.md"),
    shared(MARK),
];

pub(super) static QUICKSTART: [File; 1] = [shared("experiments/quickstart.toml")];

pub(super) static IMAGE_FOLDER: [File; 1] = [text(
    "experiments/image-folder.toml",
    include_str!("../../../templates/init/image-folder.toml"),
)];

pub(super) static TWO_NETWORKS: [File; 1] = [text(
    "experiments/two-networks.toml",
    include_str!("../../../templates/init/two-networks.toml"),
)];

/// The experiment of `repro demo`.
#[cfg(feature = "torch")]
pub(in crate::cli) static DEMO: [File; 1] = [text(
    "demo.toml",
    include_str!("../../../templates/init/demo.toml"),
)];

/// What comes with every experiment.
pub(super) static EVERYWHERE: [File; 3] = [
    File {
        path: ".gitignore",
        content: Content::Text(include_str!("../../../templates/init/gitignore")),
        may_differ: true,
    },
    text(
        "repro.toml",
        include_str!("../../../templates/init/repro.toml"),
    ),
    text(
        ".github/workflows/repro.yml",
        include_str!("../../../docs/ci/workflow.yml"),
    ),
];
