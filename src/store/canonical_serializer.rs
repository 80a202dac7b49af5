//! Lays out any `serde` value as a [`Tree`]; enums are tagged from outside, as `serde_json` does it.

use std::collections::BTreeMap;

use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

use super::canonical::{CanonicalError, Tree};

type Result<T> = std::result::Result<T, CanonicalError>;

/// The `serde` serializer behind [`Tree::of`].
pub(super) struct TreeSerializer;

/// An array in the making, and the enum variant that it is the content of.
pub(super) struct ArrayInProgress {
    variant: Option<&'static str>,
    items: Vec<Tree>,
}

/// An object in the making, and the enum variant that it is the content of.
pub(super) struct ObjectInProgress {
    variant: Option<&'static str>,
    key: Option<String>,
    fields: BTreeMap<String, Tree>,
}

fn tagged(variant: Option<&'static str>, content: Tree) -> Tree {
    match variant {
        Some(name) => Tree::Object(BTreeMap::from([(name.to_owned(), content)])),
        None => content,
    }
}

fn integer(value: i128) -> Result<Tree> {
    if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) {
        Ok(Tree::Number(value.to_string()))
    } else {
        Err(CanonicalError::custom(format!(
            "{value} takes more than 64 bits"
        )))
    }
}

/// `text` is the shortest decimal of a float; `finite` says whether there is one.
fn float(finite: bool, text: String) -> Result<Tree> {
    if finite {
        // Minus zero computes like zero, so it must not look like a change.
        Ok(Tree::Number(if text == "-0.0" {
            "0.0".to_owned()
        } else {
            text
        }))
    } else {
        Err(CanonicalError::custom(format!(
            "{text} is not a finite number"
        )))
    }
}

fn array(variant: Option<&'static str>, length: Option<usize>) -> ArrayInProgress {
    ArrayInProgress {
        variant,
        items: Vec::with_capacity(length.unwrap_or(0).min(4096)),
    }
}

fn object(variant: Option<&'static str>) -> ObjectInProgress {
    ObjectInProgress {
        variant,
        key: None,
        fields: BTreeMap::new(),
    }
}

impl ArrayInProgress {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let index = self.items.len();
        self.items
            .push(Tree::of(value).map_err(|error| within(&format!("[{index}]"), &error))?);
        Ok(())
    }

    fn done(self) -> Tree {
        tagged(self.variant, Tree::Array(self.items))
    }
}

impl ObjectInProgress {
    fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        let tree = Tree::of(value).map_err(|error| within(key, &error))?;
        if self.fields.insert(key.to_owned(), tree).is_some() {
            return Err(CanonicalError::custom(format!(
                "field `{key}` is there twice"
            )));
        }
        Ok(())
    }

    fn done(self) -> Tree {
        tagged(self.variant, Tree::Object(self.fields))
    }
}

/// Adds the field in which an error arose: `optimizer: lr: NaN is not a finite number`.
fn within(place: &str, error: &CanonicalError) -> CanonicalError {
    CanonicalError {
        reason: format!("{place}: {}", error.reason),
    }
}

impl Serializer for TreeSerializer {
    type Ok = Tree;
    type Error = CanonicalError;
    type SerializeSeq = ArrayInProgress;
    type SerializeTuple = ArrayInProgress;
    type SerializeTupleStruct = ArrayInProgress;
    type SerializeTupleVariant = ArrayInProgress;
    type SerializeMap = ObjectInProgress;
    type SerializeStruct = ObjectInProgress;
    type SerializeStructVariant = ObjectInProgress;

    fn serialize_bool(self, value: bool) -> Result<Tree> {
        Ok(Tree::Boolean(value))
    }
    fn serialize_i8(self, value: i8) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_i128(self, value: i128) -> Result<Tree> {
        integer(value)
    }
    fn serialize_u8(self, value: u8) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<Tree> {
        integer(value.into())
    }
    fn serialize_u128(self, value: u128) -> Result<Tree> {
        i128::try_from(value)
            .map_err(|_| CanonicalError::custom(format!("{value} takes more than 64 bits")))
            .and_then(integer)
    }
    fn serialize_f32(self, value: f32) -> Result<Tree> {
        float(value.is_finite(), format!("{value:?}"))
    }
    fn serialize_f64(self, value: f64) -> Result<Tree> {
        float(value.is_finite(), format!("{value:?}"))
    }
    fn serialize_char(self, value: char) -> Result<Tree> {
        Ok(Tree::Text(value.to_string()))
    }
    fn serialize_str(self, value: &str) -> Result<Tree> {
        Ok(Tree::Text(value.to_owned()))
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<Tree> {
        value.serialize(self)
    }
    fn serialize_none(self) -> Result<Tree> {
        Ok(Tree::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<Tree> {
        Ok(Tree::Null)
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<Tree> {
        Ok(Tree::Null)
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Tree> {
        Ok(Tree::Text(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Tree> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree> {
        let content = Tree::of(value).map_err(|error| within(variant, &error))?;
        Ok(tagged(Some(variant), content))
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<ArrayInProgress> {
        Ok(array(None, length))
    }
    fn serialize_tuple(self, length: usize) -> Result<ArrayInProgress> {
        Ok(array(None, Some(length)))
    }
    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<ArrayInProgress> {
        Ok(array(None, Some(length)))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<ArrayInProgress> {
        Ok(array(Some(variant), Some(length)))
    }
    fn serialize_map(self, _length: Option<usize>) -> Result<ObjectInProgress> {
        Ok(object(None))
    }
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<ObjectInProgress> {
        Ok(object(None))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<ObjectInProgress> {
        Ok(object(Some(variant)))
    }
}

/// The four array-like and the two struct-like traits of `serde` differ only in the name of their method.
macro_rules! array_like {
    ($($name:ident :: $method:ident),+) => { $(
        impl $name for ArrayInProgress {
            type Ok = Tree;
            type Error = CanonicalError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.push(value)
            }
            fn end(self) -> Result<Tree> {
                Ok(self.done())
            }
        }
    )+ };
}
array_like!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! struct_like {
    ($($name:ident),+) => { $(
        impl $name for ObjectInProgress {
            type Ok = Tree;
            type Error = CanonicalError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.insert(key, value)
            }
            fn end(self) -> Result<Tree> {
                Ok(self.done())
            }
        }
    )+ };
}
struct_like!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for ObjectInProgress {
    type Ok = Tree;
    type Error = CanonicalError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = match Tree::of(key)? {
            Tree::Text(text) | Tree::Number(text) => Some(text),
            _ => return Err(CanonicalError::custom("a key has to be a text or a number")),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = self
            .key
            .take()
            .ok_or_else(|| CanonicalError::custom("a value without a key"))?;
        self.insert(&key, value)
    }

    fn end(self) -> Result<Tree> {
        Ok(self.done())
    }
}
