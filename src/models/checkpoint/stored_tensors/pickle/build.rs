//! The opcodes that would call something in Python: what they may ask for, and what is done instead.
//!
//! # Reference
//! pytorch/pytorch v2.11.0: torch/_utils.py (`_rebuild_tensor_v2`, `_rebuild_parameter`), torch/serialization.py
//! (`persistent_load`).
//!
//! # Deviations
//! Tensors with backward hooks, or with metadata (conjugated or negated views), storages that are views of another
//! storage, and `OrderedDict`s that begin with items are refused.

use super::super::fault::Fault;
use super::super::view;
use super::machine::Machine;
use super::{Dict, Global, Object, Storage, Tensor, Value, sizes};
use crate::visible::shown;

/// No call that is let through has more arguments.
const MOST_ARGUMENTS: usize = 7;

impl<'p> Machine<'p> {
    /// REDUCE: a call with arguments.
    pub fn reduce(&mut self) -> Result<Value<'p>, Fault> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Some(arguments) = self.tuple_of(arguments) else {
            return Err(self.corrupt("the arguments of a call are not a tuple".to_owned()));
        };
        // Compared before they are copied. One too many is enough to misfit.
        let arguments = arguments
            .iter()
            .take(MOST_ARGUMENTS + 1)
            .copied()
            .collect::<Vec<_>>();
        let Value::Global(called) = called else {
            return Err(self.refused("it calls something that has no name".to_owned()));
        };
        match (called, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.make(Object::Dict(Dict {
                entries: Vec::new(),
                is_ordered: true,
            })),
            (Global::OrderedDict, _) => {
                Err(self.refused("it calls `collections.OrderedDict` with arguments".to_owned()))
            }
            (
                Global::RebuildTensor,
                &[
                    storage,
                    offset,
                    shape,
                    strides,
                    Value::Bool(_),
                    hooks,
                    ref rest @ ..,
                ],
            ) if rest.len() <= 1 => {
                self.expect_nothing(hooks, "backward hooks")?;
                for &metadata in rest {
                    self.expect_nothing(metadata, "metadata")?;
                }
                self.tensor(storage, offset, shape, strides)
            }
            (Global::RebuildParameter, &[tensor, Value::Bool(_), hooks]) => {
                self.expect_nothing(hooks, "backward hooks")?;
                match self.object_of(tensor) {
                    Some(Object::Tensor(_)) => Ok(tensor),
                    _ => Err(self.corrupt(
                        "a parameter is made of something that is not a tensor".to_owned(),
                    )),
                }
            }
            (Global::Size, &[parts]) if self.tuple_of(parts).is_some() => Ok(parts),
            (Global::NumpyType, [Value::Text(_), _, _])
            | (Global::Encoded, [Value::Text(_), Value::Text(_)]) => self.make(Object::Unread),
            (Global::NumpyScalar, &[numpy_type, bytes])
                if self.is_unread(numpy_type) && self.is_unread(bytes) =>
            {
                self.make(Object::Unread)
            }
            (Global::ModelCheckpoint, _) => {
                Err(self.refused("it calls `ModelCheckpoint` of Lightning".to_owned()))
            }
            (Global::Storage(dtype), _) => {
                Err(self.refused(format!("it makes a storage of {dtype} by a call")))
            }
            (
                Global::RebuildTensor
                | Global::RebuildParameter
                | Global::Size
                | Global::NumpyScalar
                | Global::NumpyType
                | Global::Encoded,
                _,
            ) => Err(self.corrupt("a call has arguments that do not fit".to_owned())),
        }
    }

    /// BINPERSID: something that is beside the pickle, which can only be a storage.
    pub fn persistent(&mut self) -> Result<Value<'p>, Fault> {
        let name = self.pop()?;
        let Some(parts) = self.tuple_of(name) else {
            return Err(self.refused("its persistent id is not a tuple".to_owned()));
        };
        let [Value::Text(kind), ref rest @ ..] = *parts else {
            return Err(self.refused("its persistent id has no kind".to_owned()));
        };
        if kind != "storage" {
            return Err(self.refused(format!(
                "it has a persistent id of the kind `{}`",
                shown(kind)
            )));
        }
        let &[
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
            Value::Int(count),
            ref view @ ..,
        ] = rest
        else {
            return Err(
                self.corrupt("the persistent id of a storage has parts that do not fit".to_owned())
            );
        };
        if !matches!(view, [] | [Value::None]) {
            return Err(self.refused("it has a storage that is a view of another one".to_owned()));
        }
        let count = usize::try_from(count).ok();
        // All types that are let through have whole bytes.
        let count = count.filter(|count| count.checked_mul(dtype.bitsize()).is_some());
        let Some(count) = count else {
            return Err(self.corrupt(format!(
                "storage `{}` has a size that cannot be",
                shown(key)
            )));
        };
        self.make(Object::Storage(Storage { dtype, key, count }))
    }

    /// BUILD: attributes, which only an `OrderedDict` may have, and only `_metadata`; those of what nobody reads are dropped.
    pub fn set_state(&mut self) -> Result<(), Fault> {
        let state = self.pop()?;
        let target = self.stack.last().copied().unwrap_or(Value::None);
        if self.is_unread(target) {
            return Ok(());
        }
        if !matches!(self.object_of(target), Some(Object::Dict(dict)) if dict.is_ordered) {
            return Err(self.refused(
                "it sets attributes of something that is not an `OrderedDict`".to_owned(),
            ));
        }
        let Some(Object::Dict(state)) = self.object_of(state) else {
            return Err(self.refused("it sets a state that is not a dict".to_owned()));
        };
        // The first that is not `_metadata`, of at most one: a long dict would be gone through at every BUILD.
        let mut keys = state.entries.iter().map(|(key, _)| *key);
        match (keys.next(), keys.next()) {
            (None | Some(Value::Text("_metadata")), None) => Ok(()),
            (Some(Value::Text("_metadata")), Some(Value::Text(name)))
            | (Some(Value::Text(name)), _) => Err(self.refused(format!(
                "it sets the attribute `{}` of an `OrderedDict`",
                shown(name)
            ))),
            _ => Err(self.refused("it sets an attribute without a name".to_owned())),
        }
    }

    fn tensor(
        &mut self,
        storage: Value<'p>,
        offset: Value<'p>,
        shape: Value<'p>,
        strides: Value<'p>,
    ) -> Result<Value<'p>, Fault> {
        let misfit = "a tensor has parts that do not fit, or a number below zero";
        let (
            Value::Object(storage),
            Value::Int(offset),
            Value::Object(shape),
            Value::Object(strides),
        ) = (storage, offset, shape, strides)
        else {
            return Err(self.corrupt(misfit.to_owned()));
        };
        let numbers = |number| match self.objects.get(number) {
            // Compared before the numbers are copied.
            Some(Object::Tuple(parts)) if parts.len() > view::MOST_AXES => None,
            _ => sizes(&self.objects, number),
        };
        let (Some(Object::Storage(stored)), Ok(offset), Some(sizes), Some(steps)) = (
            self.objects.get(storage),
            usize::try_from(offset),
            numbers(shape),
            numbers(strides),
        ) else {
            return Err(self.corrupt(misfit.to_owned()));
        };
        if let Err(reason) = view::check(offset, &sizes, &steps, stored.count) {
            return Err(self.corrupt(reason));
        }
        self.make(Object::Tensor(Tensor {
            storage,
            offset,
            shape,
            strides,
        }))
    }

    /// Refuses what a tensor could carry beside its numbers.
    fn expect_nothing(&self, value: Value<'p>, what: &str) -> Result<(), Fault> {
        let is_empty = match self.object_of(value) {
            None => value == Value::None,
            Some(Object::Dict(dict)) => dict.entries.is_empty(),
            Some(_) => false,
        };
        if is_empty {
            return Ok(());
        }
        Err(self.refused(format!("it has a tensor with {what}")))
    }

    /// Whether a value is something that nobody reads.
    fn is_unread(&self, value: Value<'p>) -> bool {
        matches!(self.object_of(value), Some(Object::Unread))
    }

    fn object_of(&self, value: Value<'p>) -> Option<&Object<'p>> {
        match value {
            Value::Object(number) => self.objects.get(number),
            _ => None,
        }
    }

    fn tuple_of(&self, value: Value<'p>) -> Option<&[Value<'p>]> {
        match self.object_of(value)? {
            Object::Tuple(parts) => Some(parts),
            _ => None,
        }
    }
}
