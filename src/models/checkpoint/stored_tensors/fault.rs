//! Why a file of tensors cannot be used, and what to do about it.

use std::path::PathBuf;

use thiserror::Error;

use crate::zip_archive::ArchiveFault;

/// A file of tensors that cannot be used.
#[derive(Debug, Error)]
#[error("{} {fault}", path.display())]
pub struct StoredTensorsError {
    /// The file as it was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a file of tensors. The text continues where the file's name ends.
#[derive(Debug, Error)]
pub enum Fault {
    /// The operating system refused.
    #[error("cannot be read: {0}; check the path and its permissions")]
    Unreadable(std::io::Error),
    /// There is not one byte in it.
    #[error("is empty; download or copy it again")]
    Empty,
    /// It ends too early.
    #[error("is truncated: {0}; download or copy it again")]
    Truncated(String),
    /// It is something else.
    #[error(
        "is not a checkpoint: {0}; give the path of a .safetensors file or of a PyTorch checkpoint"
    )]
    NotACheckpoint(String),
    /// The header of a safetensors file contradicts itself, the format or the file's size.
    #[error("has a corrupt header: {0}; download or write the file again")]
    CorruptHeader(String),
    /// The archive or the stream around the tensors of a PyTorch checkpoint contradicts itself.
    #[error("is damaged: {0}; download or write the file again")]
    CorruptContainer(String),
    /// A pickle that makes no sense, or does not fit the data beside it.
    #[error("has a corrupt pickle: {reason} ({place}); download or write the file again")]
    CorruptPickle {
        /// A lower-case fragment.
        reason: String,
        /// Where in the pickle.
        place: Box<Place>,
    },
    /// A pickle that asks for something that no file of tensors needs. It may be an attack, or a checkpoint with whole
    /// objects in it; either way nothing of it was carried out.
    #[error(
        "is refused: {what} ({place}); nothing of the file was executed, and nothing can be: have the tensors alone \
         written by whoever made it, with `torch.save(model.state_dict(), …)` or as safetensors"
    )]
    RefusedPickle {
        /// The name of a global, an opcode or a storage.
        what: String,
        /// Where in the pickle.
        place: Box<Place>,
    },
    /// The numbers have their bytes the other way round.
    #[error(
        "was written on a big-endian machine; load it there and save it as safetensors, which is little-endian everywhere"
    )]
    BigEndian,
    /// A well-formed file of a sort that is not read.
    #[error("cannot be used: {reason}; {remedy}")]
    Unsupported {
        /// What sort it is.
        reason: String,
        /// A lower-case fragment.
        remedy: &'static str,
    },
}

/// A place in a pickle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("opcode {opcode} at byte {offset} of {stream}")]
pub struct Place {
    /// Which pickle of the file.
    pub stream: &'static str,
    /// The opcode, by its name.
    pub opcode: &'static str,
    /// Where the opcode stands, in bytes from the beginning of the pickle.
    pub offset: usize,
}

impl From<ArchiveFault> for Fault {
    fn from(fault: ArchiveFault) -> Self {
        match fault {
            ArchiveFault::Truncated(reason) => Self::Truncated(reason),
            ArchiveFault::Damaged(reason) => Self::CorruptContainer(reason),
            ArchiveFault::Unsupported { reason, remedy } => Self::Unsupported { reason, remedy },
        }
    }
}
