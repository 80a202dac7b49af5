//! The text that conditions the U-Net: none, token ids, or words.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::text::tokenizer::Tokenizer;
use super::text::{END, TextConfig};
use crate::checked_file::CheckedFile;
use crate::message::Message;
use crate::spec::{Count, Fields, Key, List, Text};

/// The key of a text in words.
pub const PROMPT: Key<Text> = Key::text("prompt", "a text")
    .optional("no words")
    .doc("The text that conditions the network, in words; needs `tokenizer`.");
/// The key of a text in token ids.
pub const PROMPT_IDS: Key<List<Count>> = Key::list("prompt_ids", Count::within(0..=49_407))
    .items(1..=77)
    .optional("those of no words")
    .doc("The same as token ids, from the one that begins a text (49406) on; padded with the one that ends it (49407).");
/// The key of the vocabulary.
pub const TOKENIZER: Key<Text> = Key::text("tokenizer", "a path")
    .optional("none")
    .doc("The vocabulary for `prompt`: a folder with `vocab.json` and `merges.txt`, such as diffusers' folder `tokenizer`, or OpenAI's `bpe_simple_vocab_16e6.txt.gz`.");

/// What the text encoder reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text without words.
    Null,
    /// Token ids, as many as the encoder reads at most.
    Ids(Vec<u32>),
    /// Words.
    Words {
        /// As they are typed.
        text: String,
        /// The vocabulary.
        tokenizer: PathBuf,
        /// Its files, where they were opened and compared with their digests.
        opened: Vec<Arc<CheckedFile>>,
    },
}

/// Reads the keys of the text, and reports what does not go together.
pub(super) fn parse(fields: &Fields<'_>, text: &TextConfig) -> Option<Prompt> {
    let misfit = |key: &str, message: &str, hint: &str| {
        let message = format!("{} {message}", fields.context());
        let hint = Some(hint.to_owned());
        fields.invalid(key, "graph::model-misfit", message, hint);
        None
    };
    let words = fields.given(&PROMPT);
    let tokenizer = fields.given(&TOKENIZER);
    let ids = fields.given(&PROMPT_IDS);
    match (words, tokenizer, ids) {
        (Some(_), _, Some(_)) => misfit(
            PROMPT_IDS.name,
            "has `prompt` and `prompt_ids`",
            "leave one of them out",
        ),
        (Some(_), None, None) => misfit(
            PROMPT.name,
            "has `prompt` without the vocabulary that makes tokens of it",
            "name it by `tokenizer`, or write `prompt_ids`",
        ),
        (None, Some(_), _) => misfit(
            TOKENIZER.name,
            "has `tokenizer`, and no `prompt` to read with it",
            "leave it out",
        ),
        (Some(text), Some(tokenizer), None) => Some(Prompt::Words {
            text,
            tokenizer: tokenizer.into(),
            opened: Vec::new(),
        }),
        (None, None, Some(ids)) => {
            let mut ids = ids;
            ids.resize(text.positions as usize, END);
            Some(if ids == text.null_prompt() {
                Prompt::Null
            } else {
                Prompt::Ids(ids)
            })
        }
        (None, None, None) => Some(Prompt::Null),
    }
}

impl Prompt {
    /// The files of its vocabulary, relative to the folder that `repro` runs in; none where it needs none.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Words { tokenizer, .. } => Tokenizer::files(tokenizer),
            Self::Null | Self::Ids(_) => Vec::new(),
        }
    }

    /// The same with the files of its vocabulary opened.
    pub(super) fn with_files(&self, files: Vec<Arc<CheckedFile>>) -> Self {
        let mut prompt = self.clone();
        if let Self::Words { opened, .. } = &mut prompt {
            *opened = files;
        }
        prompt
    }

    /// What decides its ids, beside the files of its vocabulary.
    pub(super) fn identity(&self) -> serde_json::Value {
        match self {
            Self::Null => json!("null"),
            Self::Ids(ids) => json!({ "ids": ids }),
            Self::Words { text, .. } => json!({ "words": text }),
        }
    }

    /// Its token ids, `[positions]`. `base` is the folder that relative paths start from.
    ///
    /// # Errors
    /// A vocabulary that cannot be read, or has changed since it was opened, and a text of too many tokens.
    pub fn ids(&self, base: &Path, text: &TextConfig) -> Result<Vec<u32>, Message> {
        match self {
            Self::Null => Ok(text.null_prompt()),
            Self::Ids(ids) => Ok(ids.clone()),
            Self::Words {
                text: words,
                tokenizer,
                opened,
            } => {
                let ids = Tokenizer::open(&base.join(tokenizer))?;
                for file in opened {
                    file.unchanged().map_err(|error| {
                        Message::new(format!("{} {error}", file.path().display()))
                    })?;
                }
                let ids = ids.encode(words, text.positions as usize)?;
                match ids.iter().find(|&&id| id >= text.vocabulary) {
                    None => Ok(ids),
                    Some(id) => Err(Message::new(format!(
                        "{}: token {id} is beyond the {} that the text encoder knows",
                        tokenizer.display(),
                        text.vocabulary
                    ))),
                }
            }
        }
    }
}
