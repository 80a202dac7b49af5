//! How publishers name the tensors of a network in their files.
//!
//! The same network is published under names with a prefix, where a wrapper of its training had one (`module.`) or where it is
//! deep in nested dicts, and beside tensors that are not the network's.

use std::borrow::Cow;

use safetensors::Dtype;

use super::stored_tensors::StoredTensors;

/// What PyTorch calls the number of batches that a batch normalization was trained with, which nothing is computed from.
pub const BATCH_COUNT: &str = "num_batches_tracked";

/// How one publisher names the tensors of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileNames {
    /// What stands before the network's own name of each of its tensors, a final dot included. Tensors whose names do not begin
    /// with it belong to something else, such as the state of an optimizer.
    pub prefix: &'static str,
    /// What the names of tensors begin with, after the prefix, that belong to something else all the same.
    pub others: &'static [&'static str],
    /// How many blocks make a chunk, where the names of blocks have the number of their chunk: `blocks.CHUNK.N.` for `blocks.N.`, N counted
    /// over all chunks.
    pub chunk: Option<u32>,
    /// How the names of parts differ from the network's own.
    pub renames: Renames,
}

/// How a publisher calls parts of a network that have other names in the network, by beginnings of names.
///
/// A name is the path of a layer and what follows it. Both are looked up, each in its own list, and stay as they are where they are not
/// in it. In each list, of either side, no text begins with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renames {
    /// Of paths: the network's own, and the file's; final dots included.
    pub paths: &'static [(&'static str, &'static str)],
    /// Of what stands directly behind such a path: the same.
    pub parts: &'static [(&'static str, &'static str)],
}

impl Renames {
    /// All parts have the network's own names.
    pub const NONE: Self = Self {
        paths: &[],
        parts: &[],
    };

    /// What the file calls a tensor; `None` where it has the network's name.
    fn stored(self, own: &str) -> Option<String> {
        renamed(own, self.paths, self.parts, |&(own, stored)| (own, stored))
    }

    /// What the network calls a tensor of the file; `None` where it has the same name.
    fn own(self, stored: &str) -> Option<String> {
        renamed(stored, self.paths, self.parts, |&(own, stored)| {
            (stored, own)
        })
    }
}

/// A name with other beginnings of its path and of what follows; `of` says which text of a pair is looked up.
fn renamed(
    name: &str,
    paths: &[(&'static str, &'static str)],
    parts: &[(&'static str, &'static str)],
    of: impl Fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
) -> Option<String> {
    let find = |name: &str, pairs: &[(&'static str, &'static str)]| {
        let mut pairs = pairs.iter().map(&of);
        pairs.find_map(|(from, to)| name.strip_prefix(from).map(|rest| (to, rest.to_owned())))
    };
    let (path, rest) = find(name, paths)?;
    let (part, rest) = find(&rest, parts).unwrap_or(("", rest));
    Some(format!("{path}{part}{rest}"))
}

/// What the names of blocks begin with.
const BLOCKS: &str = "blocks.";

impl FileNames {
    /// The network's own names, and nothing beside them.
    pub const PLAIN: Self = Self {
        prefix: "",
        others: &[],
        chunk: None,
        renames: Renames::NONE,
    };

    /// Of the `known` ways the one in which a file names `probe`, a tensor of the network; [`FileNames::PLAIN`] where it has that
    /// tensor in none of them.
    pub fn of(tensors: &StoredTensors, known: &[Self], probe: &str) -> Self {
        let has = |names: &&Self| tensors.names().any(|stored| stored == names.stored(probe));
        known.iter().find(has).copied().unwrap_or(Self::PLAIN)
    }

    /// Of the `known` ways the first without a prefix, for a file whose prefix is stated; [`FileNames::PLAIN`] where there is none.
    pub fn behind_prefix(known: &[Self]) -> Self {
        let mut known = known.iter();
        let plain = known.find(|names| names.prefix.is_empty());
        plain.copied().unwrap_or(Self::PLAIN)
    }

    /// What the file calls a tensor of the network.
    pub fn stored(&self, name: &str) -> String {
        let renamed = self.renames.stored(name);
        let name = renamed.as_deref().unwrap_or(name);
        let chunked = self.chunk.and_then(|chunk| {
            let (number, rest) = name.strip_prefix(BLOCKS)?.split_once('.')?;
            let block: u32 = number.parse().ok()?;
            let chunk = block.checked_div(chunk)?;
            Some(format!("{BLOCKS}{chunk}.{number}.{rest}"))
        });
        format!("{}{}", self.prefix, chunked.as_deref().unwrap_or(name))
    }

    /// What the network calls a tensor of the file; `None` where it belongs to something else.
    pub fn of_network<'name>(&self, stored: &'name str) -> Option<Cow<'name, str>> {
        let name = stored.strip_prefix(self.prefix)?;
        if self.others.iter().any(|other| name.starts_with(other)) {
            return None;
        }
        let without_chunk = self.chunk.and_then(|_| {
            let (_, rest) = name.strip_prefix(BLOCKS)?.split_once('.')?;
            let own = format!("{BLOCKS}{rest}");
            (self.stored(&own) == stored).then_some(own)
        });
        let own = without_chunk.or_else(|| self.renames.own(name));
        Some(own.map_or(Cow::Borrowed(name), Cow::Owned))
    }

    /// Whether a file holds just the tensors of a network that is published in one of the `known` ways, in a type that a network
    /// can compute with.
    ///
    /// - `required`: name and shape of each tensor of the network
    /// - `skipped`: whether a network has no use for a tensor of that name
    pub fn fit(
        tensors: &StoredTensors,
        known: &[Self],
        required: &[(String, Vec<usize>)],
        skipped: impl Fn(&str) -> bool,
    ) -> bool {
        let Some((probe, _)) = required.first() else {
            return false;
        };
        let names = Self::of(tensors, known, probe);
        let mut found: Vec<(Cow<'_, str>, &[usize])> = Vec::new();
        for (stored, dtype, shape) in tensors.descriptions() {
            let Some(name) = names.of_network(stored).filter(|name| !skipped(name)) else {
                continue;
            };
            if !matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return false;
            }
            found.push((name, shape));
        }
        found.sort_unstable();
        let mut wanted: Vec<(&str, &[usize])> = required
            .iter()
            .map(|(name, shape)| (name.as_str(), shape.as_slice()))
            .collect();
        wanted.sort_unstable();
        let mut pairs = found.iter().zip(&wanted);
        found.len() == wanted.len()
            && pairs.all(|(found, wanted)| found.0 == wanted.0 && is_shape(wanted.1, found.1))
    }
}

/// Whether a tensor of a file has the shape that a network needs: the same, or that of a convolution with a kernel of 1 × 1 where a
/// linear layer is needed, which holds the same numbers in the same order.
pub fn is_shape(wanted: &[usize], stored: &[usize]) -> bool {
    match (wanted, stored) {
        (&[outputs, inputs], &[rows, columns, 1, 1]) => outputs == rows && inputs == columns,
        _ => wanted == stored,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use safetensors::tensor::TensorView;

    use super::*;

    const WRAPPED: FileNames = FileNames {
        prefix: "module.",
        others: &["head."],
        chunk: None,
        renames: Renames::NONE,
    };

    #[test]
    fn blocks_in_chunks_have_their_own_numbers() {
        let chunked = FileNames {
            chunk: Some(3),
            ..WRAPPED
        };
        for (own, stored) in [
            ("blocks.7.norm1.weight", "module.blocks.2.7.norm1.weight"),
            ("norm.weight", "module.norm.weight"),
        ] {
            assert_eq!(chunked.stored(own), stored);
            assert_eq!(chunked.of_network(stored).as_deref(), Some(own));
        }
        // Block 7 is not in chunk 1, so this is another tensor.
        let other = "blocks.1.7.norm1.weight";
        let stored = format!("module.{other}");
        assert_eq!(chunked.of_network(&stored).as_deref(), Some(other));
    }

    #[test]
    fn paths_and_parts_have_other_names_in_a_file() {
        let renamed = FileNames {
            renames: Renames {
                paths: &[("blocks.1.0.", "down.0.resnets.0."), ("out.", "head.")],
                parts: &[("in_layers.2.", "conv1.")],
            },
            ..FileNames::PLAIN
        };
        for (own, stored) in [
            ("blocks.1.0.in_layers.2.bias", "down.0.resnets.0.conv1.bias"),
            ("blocks.1.0.norm.bias", "down.0.resnets.0.norm.bias"),
            ("out.weight", "head.weight"),
            ("other.in_layers.2.bias", "other.in_layers.2.bias"),
        ] {
            assert_eq!(renamed.stored(own), stored);
            assert_eq!(renamed.of_network(stored).as_deref(), Some(own));
        }
    }

    #[test]
    fn a_linear_layer_may_be_stored_as_a_convolution() {
        assert!(is_shape(&[3, 2], &[3, 2, 1, 1]));
        for (wanted, stored) in [
            (&[3, 2][..], &[2, 3, 1, 1][..]),
            (&[3, 2], &[3, 2, 1, 3]),
            (&[3, 2, 1, 1], &[3, 2]),
            (&[3], &[3, 1, 1, 1]),
        ] {
            assert!(!is_shape(wanted, stored), "{wanted:?} {stored:?}");
        }
    }

    fn file(names: &[(&str, Dtype)]) -> StoredTensors {
        let views = names.iter().map(|(name, dtype)| {
            let view = TensorView::new(*dtype, vec![], &[0; 8][..dtype.bitsize() / 8]);
            (*name, view.unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        StoredTensors::from_bytes(Path::new("test"), bytes).unwrap()
    }

    fn fits(names: &[(&str, Dtype)]) -> bool {
        let required = ["a.weight", "b.weight"].map(|name| (name.to_owned(), vec![]));
        let known = [FileNames::PLAIN, WRAPPED];
        FileNames::fit(&file(names), &known, &required, |name| name == "a.count")
    }

    #[test]
    fn a_file_fits_under_any_of_the_known_names_and_with_nothing_left_over() {
        let float = Dtype::F32;
        assert!(fits(&[("a.weight", float), ("b.weight", Dtype::F16)]));
        let wrapped = [("module.a.weight", float), ("module.b.weight", float)];
        assert!(fits(&wrapped));
        for beside in ["module.head.weight", "optimizer.state", "module.a.count"] {
            assert!(
                fits(&[&wrapped[..], &[(beside, Dtype::I64)]].concat()),
                "{beside}"
            );
        }
        assert!(!fits(
            &[&wrapped[..], &[("module.c.weight", float)]].concat()
        ));
        assert!(!fits(&[
            ("a.weight", float),
            ("b.weight", float),
            ("c", float)
        ]));
        assert!(!fits(&[("a.weight", float), ("b.weight", Dtype::I64)]));
        assert!(!fits(&[("a.weight", float)]));
    }
}
