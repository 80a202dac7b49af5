//! The pickle inside a PyTorch checkpoint: what it describes, without executing anything.
//!
//! A pickle is a program for a small machine. [`machine`] carries out the opcodes that put together texts, numbers,
//! tuples, lists and dicts; [`build`] those that would call something, of which only the names in [`globals`] are let
//! through. Everything else is refused by its name. The outcome is a [`Pickle`]: objects in one list that refer to each
//! other by number, so that nothing here or behind it recurses, however deep the nesting is.
//!
//! # Reference
//! CPython 3.13, Lib/pickletools.py, for the opcodes; pytorch/pytorch v2.11.0, torch/serialization.py, for what a
//! checkpoint makes of them.
//!
//! # Deviations
//! The opcodes are those that PyTorch's own files of tensors need in the protocols 2 to 5. POP, DUP, sets, bytes, and the
//! texts of Python 2 are not among them. The attributes of an `OrderedDict` may be `_metadata` alone, which is dropped.

mod build;
mod globals;
mod machine;
mod opcodes;

use ::safetensors::Dtype;

use super::fault::{Fault, Place};

pub(super) use globals::Global;
pub(super) use machine::read;

/// A longer pickle is refused. Those of the largest published checkpoints are a few MiB.
pub(super) const LONGEST_PICKLE: usize = 64 << 20;
/// More objects are refused: a state dict of 10,000 tensors has some 100,000.
const MOST_OBJECTS: usize = 1 << 21;
/// More entries of the memo, or values on the stack, are refused.
const MOST_VALUES: usize = 1 << 22;
/// Deeper nesting of marks is refused; a state dict needs a handful.
const MOST_MARKS: usize = 256;
/// Longer texts are refused, in bytes.
const LONGEST_TEXT: u64 = 1 << 20;
/// Longer integers are refused, in bytes.
const LONGEST_INTEGER: u32 = 255;
/// Longer names of modules and of what is in them are refused, in bytes.
const LONGEST_NAME: usize = 512;

/// One value. Texts and long integers stay where they are in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'p> {
    /// Python's `None`.
    None,
    /// A boolean.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A longer integer: two's complement, little-endian.
    Long(&'p [u8]),
    /// A number.
    Float(f64),
    /// Of UTF-8, within the pickle.
    Text(&'p str),
    /// A name that is let through.
    Global(Global),
    /// Something of several parts, by its number in [`Pickle::object`].
    Object(usize),
}

/// Something of several parts.
#[derive(Debug)]
pub(super) enum Object<'p> {
    /// A tuple, or a `torch.Size`.
    Tuple(Vec<Value<'p>>),
    /// A list.
    List(Vec<Value<'p>>),
    /// A dict.
    Dict(Dict<'p>),
    /// A storage in the file.
    Storage(Storage<'p>),
    /// A tensor.
    Tensor(Tensor),
    /// Something that is known by name and that nobody reads.
    Unread,
}

/// A dict, with its entries in their order.
#[derive(Debug, Default)]
pub(super) struct Dict<'p> {
    /// Keys and values. A key may stand here twice.
    pub entries: Vec<(Value<'p>, Value<'p>)>,
    /// Whether it is an `OrderedDict`.
    pub is_ordered: bool,
}

/// A storage in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage<'p> {
    /// Number type of its elements.
    pub dtype: Dtype,
    /// What the file calls it.
    pub key: &'p str,
    /// How many elements it has. Their size in bytes fits in a `usize`.
    pub count: usize,
}

/// A tensor: a checked view of a storage.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    /// The number of the storage's object.
    pub storage: usize,
    /// The storage's element that comes first.
    pub offset: usize,
    /// The number of the tuple of sizes.
    pub shape: usize,
    /// The number of the tuple of strides.
    pub strides: usize,
}

/// What a pickle describes.
#[derive(Debug)]
pub(super) struct Pickle<'p> {
    /// The outermost value, which names objects by their numbers.
    pub root: Value<'p>,
    /// Bytes that the pickle takes, up to its end.
    pub length: usize,
    objects: Vec<Object<'p>>,
    end: Place,
}

impl<'p> Pickle<'p> {
    /// The object of a number, from 0.
    pub fn object(&self, number: usize) -> Option<&Object<'p>> {
        self.objects.get(number)
    }

    /// The dict behind a value, where there is one.
    pub fn dict(&self, value: Value<'p>) -> Option<&Dict<'p>> {
        match value {
            Value::Object(number) => match self.object(number)? {
                Object::Dict(dict) => Some(dict),
                _ => None,
            },
            _ => None,
        }
    }

    /// The parts of the list behind a value, where there is one.
    pub fn list(&self, value: Value<'p>) -> Option<&[Value<'p>]> {
        match value {
            Value::Object(number) => match self.object(number)? {
                Object::List(parts) => Some(parts),
                _ => None,
            },
            _ => None,
        }
    }

    /// The numbers in the tuple of that number, none of them below zero.
    pub fn sizes(&self, number: usize) -> Option<Vec<usize>> {
        sizes(&self.objects, number)
    }

    /// All storages, in the order in which the pickle names them; one that it names twice comes twice.
    pub fn storages(&self) -> impl Iterator<Item = &Storage<'p>> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// The error of a pickle whose content does not fit.
    pub fn corrupt(&self, reason: String) -> Fault {
        Fault::CorruptPickle {
            reason,
            place: Box::new(self.end.clone()),
        }
    }
}

/// The numbers in a tuple, none of them below zero.
fn sizes(objects: &[Object<'_>], number: usize) -> Option<Vec<usize>> {
    let Object::Tuple(parts) = objects.get(number)? else {
        return None;
    };
    let size = |part: &Value<'_>| match part {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    parts.iter().map(size).collect()
}
