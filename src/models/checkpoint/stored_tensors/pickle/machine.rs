//! The machine that reads a pickle: a stack, marks on it, a memo, and the objects made so far.
//!
//! Every opcode takes at least one byte of the file and makes at most one value and one object, so memory grows with the
//! file and never faster; lengths that a pickle announces are compared with what is left of it before anything is made.

use std::collections::BTreeMap;

use super::super::fault::{Fault, Place};
use super::opcodes::Opcode;
use super::{
    Dict, LONGEST_INTEGER, LONGEST_NAME, LONGEST_PICKLE, LONGEST_TEXT, MOST_MARKS, MOST_OBJECTS,
    MOST_VALUES, Object, Pickle, Value, globals,
};
use crate::byte_reader::Reader;
use crate::numbers::to_usize;
use crate::visible::shown;

/// A reader of one pickle, with its stack, marks, memo and objects.
pub(super) struct Machine<'p> {
    reader: Reader<'p>,
    stream: &'static str,
    /// The name of the opcode that is carried out.
    opcode: &'static str,
    /// In bytes from the beginning of the pickle.
    offset: usize,
    pub stack: Vec<Value<'p>>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'p>>,
    pub objects: Vec<Object<'p>>,
}

/// Reads the pickle at the beginning of `bytes`; `stream` is what messages call it.
///
/// # Errors
/// An opcode or a name that is not let through, by its name; a pickle that ends early, makes no sense, or is too large.
pub(in crate::models::checkpoint::stored_tensors) fn read<'p>(
    bytes: &'p [u8],
    stream: &'static str,
) -> Result<Pickle<'p>, Fault> {
    let longest = bytes.len().min(LONGEST_PICKLE);
    let mut machine = Machine {
        reader: Reader::new(bytes.get(..longest).unwrap_or_default(), 0),
        stream,
        opcode: Opcode::Proto.name(),
        offset: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        objects: Vec::new(),
    };
    let root = machine.run()?;
    Ok(Pickle {
        root,
        length: machine.reader.at(),
        end: machine.place(),
        objects: machine.objects,
    })
}

impl<'p> Machine<'p> {
    fn run(&mut self) -> Result<Value<'p>, Fault> {
        loop {
            self.offset = self.reader.at();
            if self.offset >= LONGEST_PICKLE {
                let reason = format!("it is longer than {LONGEST_PICKLE} bytes");
                return Err(self.corrupt(reason));
            }
            let Some(byte) = self.reader.u8() else {
                return Err(self.cut_off());
            };
            let Some(opcode) = Opcode::of(byte) else {
                self.opcode = "(unknown)";
                return Err(self.corrupt(format!("there is no opcode {byte:#04x}")));
            };
            self.opcode = opcode.name();
            if self.offset == 0 && opcode != Opcode::Proto {
                return Err(self.corrupt(
                    "it does not begin with PROTO, as pickles from protocol 2 on do".to_owned(),
                ));
            }
            if opcode == Opcode::Stop {
                let root = self.pop()?;
                if !self.stack.is_empty() || !self.marks.is_empty() {
                    return Err(self.corrupt("it ends with values left over".to_owned()));
                }
                return Ok(root);
            }
            self.step(opcode)?;
        }
    }

    /// Carries out one opcode, or refuses it.
    fn step(&mut self, opcode: Opcode) -> Result<(), Fault> {
        let value = match opcode {
            Opcode::Proto => return self.protocol(),
            Opcode::Frame => return self.frame(),
            Opcode::Mark => {
                if self.marks.len() >= MOST_MARKS {
                    return Err(
                        self.corrupt(format!("it is nested deeper than {MOST_MARKS} marks"))
                    );
                }
                self.marks.push(self.stack.len());
                return Ok(());
            }
            Opcode::None => Value::None,
            Opcode::NewTrue => Value::Bool(true),
            Opcode::NewFalse => Value::Bool(false),
            Opcode::BinInt1 => Value::Int(self.need(Reader::u8)?.into()),
            Opcode::BinInt2 => Value::Int(self.need(Reader::u16)?.into()),
            Opcode::BinInt => Value::Int(i32::from_le_bytes(self.need(Reader::array)?).into()),
            Opcode::Long1 => {
                let length = self.need(Reader::u8)?;
                self.integer(length.into())?
            }
            Opcode::Long4 => {
                let length = self.need(Reader::u32)?;
                self.integer(length)?
            }
            Opcode::BinFloat => Value::Float(f64::from_be_bytes(self.need(Reader::array)?)),
            Opcode::ShortBinUnicode => {
                let length = self.need(Reader::u8)?;
                self.text(length.into())?
            }
            Opcode::BinUnicode => {
                let length = self.need(Reader::u32)?;
                self.text(length.into())?
            }
            Opcode::BinUnicode8 => {
                let length = self.need(Reader::u64)?;
                self.text(length)?
            }
            Opcode::EmptyTuple => self.make(Object::Tuple(Vec::new()))?,
            Opcode::EmptyList => self.make(Object::List(Vec::new()))?,
            Opcode::EmptyDict => self.make(Object::Dict(Dict::default()))?,
            Opcode::Tuple1 => self.tuple(1)?,
            Opcode::Tuple2 => self.tuple(2)?,
            Opcode::Tuple3 => self.tuple(3)?,
            Opcode::Tuple => {
                let parts = self.pop_to_mark()?;
                self.make(Object::Tuple(parts))?
            }
            Opcode::Append => {
                let part = self.pop()?;
                return self.append(vec![part]);
            }
            Opcode::Appends => {
                let parts = self.pop_to_mark()?;
                return self.append(parts);
            }
            Opcode::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                return self.set_items(&[key, value]);
            }
            Opcode::SetItems => {
                let parts = self.pop_to_mark()?;
                return self.set_items(&parts);
            }
            Opcode::BinPut => {
                let index = self.need(Reader::u8)?;
                return self.memoize(index.into());
            }
            Opcode::LongBinPut => {
                let index = self.need(Reader::u32)?;
                return self.memoize(index);
            }
            Opcode::Memoize => {
                let index = u32::try_from(self.memo.len()).unwrap_or(u32::MAX);
                return self.memoize(index);
            }
            Opcode::BinGet => {
                let index = self.need(Reader::u8)?;
                self.recall(index.into())?
            }
            Opcode::LongBinGet => {
                let index = self.need(Reader::u32)?;
                self.recall(index)?
            }
            Opcode::Global => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?
            }
            Opcode::StackGlobal => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.global(module, name)?,
                _ => return Err(self.corrupt("a name is not a string".to_owned())),
            },
            Opcode::Reduce => self.reduce()?,
            Opcode::BinPersistentId => self.persistent()?,
            Opcode::Build => return self.set_state(),
            other => {
                let what = format!("it uses {}, which no file of tensors needs", other.name());
                return Err(self.refused(what));
            }
        };
        self.push(value)
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        let protocol = self.need(Reader::u8)?;
        if self.offset != 0 {
            return Err(self.corrupt("its protocol is stated in the middle".to_owned()));
        }
        if (2..=5).contains(&protocol) {
            return Ok(());
        }
        Err(self.corrupt(format!(
            "its protocol is {protocol}, and those from 2 to 5 are read"
        )))
    }

    /// Frames are for readers that fetch a pickle piece by piece; here they only have to be possible.
    fn frame(&mut self) -> Result<(), Fault> {
        let length = self.need(Reader::u64)?;
        let left = self.reader.left();
        if length > left as u64 {
            return Err(Fault::Truncated(format!(
                "a frame of {length} bytes begins at byte {} of {}, where {left} are left",
                self.offset, self.stream
            )));
        }
        Ok(())
    }

    fn integer(&mut self, length: u32) -> Result<Value<'p>, Fault> {
        if length > LONGEST_INTEGER {
            return Err(self.corrupt(format!("it has an integer of {length} bytes")));
        }
        let bytes = self.need(|reader| reader.take(length as usize))?;
        if bytes.len() > 8 {
            return Ok(Value::Long(bytes));
        }
        let is_negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut whole = [if is_negative { 0xff } else { 0 }; 8];
        for (whole, &byte) in whole.iter_mut().zip(bytes) {
            *whole = byte;
        }
        Ok(Value::Int(i64::from_le_bytes(whole)))
    }

    fn text(&mut self, length: u64) -> Result<Value<'p>, Fault> {
        if length > LONGEST_TEXT {
            return Err(self.corrupt(format!("it has a text of {length} bytes")));
        }
        let bytes = self.need(|reader| reader.take(to_usize(length)))?;
        let text = std::str::from_utf8(bytes);
        text.map(Value::Text)
            .map_err(|_| self.corrupt("it has a text that is not UTF-8".to_owned()))
    }

    fn line(&mut self) -> Result<&'p str, Fault> {
        let line = self.reader.line(LONGEST_NAME);
        let line = line.and_then(|line| std::str::from_utf8(line).ok());
        line.ok_or_else(|| self.corrupt("a name does not end".to_owned()))
    }

    fn global(&mut self, module: &str, name: &str) -> Result<Value<'p>, Fault> {
        globals::find(module, name)
            .map(Value::Global)
            .ok_or_else(|| self.refused(format!("it asks for `{}.{}`", shown(module), shown(name))))
    }

    fn tuple(&mut self, count: usize) -> Result<Value<'p>, Fault> {
        let start = self.stack.len().checked_sub(count);
        // What is below the last mark belongs to somebody else.
        let start = start.filter(|start| self.marks.last().is_none_or(|mark| start >= mark));
        let Some(start) = start else {
            return Err(self.corrupt("its stack is too short".to_owned()));
        };
        let parts = self.stack.split_off(start);
        self.make(Object::Tuple(parts))
    }

    fn append(&mut self, mut parts: Vec<Value<'p>>) -> Result<(), Fault> {
        if let Some(Value::Object(number)) = self.stack.last().copied()
            && let Some(Object::List(list)) = self.objects.get_mut(number)
        {
            list.append(&mut parts);
            return Ok(());
        }
        Err(self.refused("it appends to something that is not a list".to_owned()))
    }

    fn set_items(&mut self, parts: &[Value<'p>]) -> Result<(), Fault> {
        let (pairs, rest) = parts.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.corrupt("a key has no value".to_owned()));
        }
        if let Some(Value::Object(number)) = self.stack.last().copied()
            && let Some(Object::Dict(dict)) = self.objects.get_mut(number)
        {
            dict.entries
                .extend(pairs.iter().map(|&[key, value]| (key, value)));
            return Ok(());
        }
        Err(self.refused("it sets an item of something that is not a dict".to_owned()))
    }

    fn memoize(&mut self, index: u32) -> Result<(), Fault> {
        let Some(&value) = self.stack.last() else {
            return Err(self.corrupt("its stack is empty".to_owned()));
        };
        if self.memo.len() >= MOST_VALUES {
            return Err(self.corrupt(format!("its memo has more than {MOST_VALUES} entries")));
        }
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&self, index: u32) -> Result<Value<'p>, Fault> {
        let value = self.memo.get(&index).copied();
        value.ok_or_else(|| self.corrupt(format!("its memo has no entry {index}")))
    }

    /// Takes the topmost value, but not one below the last mark.
    pub fn pop(&mut self) -> Result<Value<'p>, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor {
            self.stack.pop()
        } else {
            None
        };
        value.ok_or_else(|| self.corrupt("its stack is too short".to_owned()))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value<'p>>, Fault> {
        let Some(mark) = self.marks.pop() else {
            return Err(self.corrupt("there is no mark".to_owned()));
        };
        // Never below the mark: nothing takes what is under it.
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push(&mut self, value: Value<'p>) -> Result<(), Fault> {
        if self.stack.len() >= MOST_VALUES {
            return Err(self.corrupt(format!("its stack has more than {MOST_VALUES} values")));
        }
        self.stack.push(value);
        Ok(())
    }

    /// Keeps an object and gives the value that stands for it.
    pub fn make(&mut self, object: Object<'p>) -> Result<Value<'p>, Fault> {
        if self.objects.len() >= MOST_OBJECTS {
            return Err(self.corrupt(format!("it has more than {MOST_OBJECTS} objects")));
        }
        self.objects.push(object);
        Ok(Value::Object(self.objects.len() - 1))
    }

    /// The argument of an opcode, or the error that the pickle ends in it.
    fn need<T>(&mut self, read: impl FnOnce(&mut Reader<'p>) -> Option<T>) -> Result<T, Fault> {
        match read(&mut self.reader) {
            Some(argument) => Ok(argument),
            None => Err(self.cut_off()),
        }
    }

    fn cut_off(&self) -> Fault {
        Fault::Truncated(format!("{} ends in the middle of a pickle", self.stream))
    }

    fn place(&self) -> Place {
        Place {
            stream: self.stream,
            opcode: self.opcode,
            offset: self.offset,
        }
    }

    /// The error of a pickle that makes no sense.
    pub fn corrupt(&self, reason: String) -> Fault {
        Fault::CorruptPickle {
            reason,
            place: Box::new(self.place()),
        }
    }

    /// The error of a pickle that asks for what is not let through.
    pub fn refused(&self, what: String) -> Fault {
        Fault::RefusedPickle {
            what,
            place: Box::new(self.place()),
        }
    }
}
