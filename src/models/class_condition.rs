//! The class that a class-conditional network is given with an image, and the key that says which.
//!
//! A kind whose networks have classes says so by [`Model::classes`]; everything else is here: the key `class` of
//! extractions, what is wrong with it, and the number that the network gets.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

use super::Model;
use crate::numbers::to_u32;
use crate::random::Stream;
use crate::spec::{Choice, Count, Custom, Fields, Key, Shape, Value};

/// The classes of a network that is given one with each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassInput {
    /// K: classes are numbered from 0 to this, exclusive.
    pub count: u32,
    /// The number that stands for no class, of a network that was trained without a class some of the time; `None` for one that always
    /// needs a class.
    pub null: Option<u32>,
}

/// Which class a network is given with each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClassCondition {
    /// The image's own label: the network is told what a probe is to find out.
    Label,
    /// The same class with every image.
    Fixed(u32),
    /// None, for a network that has a number for that.
    Null,
}

/// A label beyond the classes of the network, or a network without a number for no class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClassError {
    /// The dataset has more classes than the network.
    #[error("the class {label} is beyond those of the network, which has {count}")]
    UnknownClass {
        /// The image's label.
        label: u32,
        /// Classes of the network.
        count: u32,
    },
    /// The network always needs a class.
    #[error("the network has no number that stands for no class")]
    NoNull,
}

impl ClassCondition {
    /// The number that the network is given with an image of a `label`.
    ///
    /// # Errors
    /// A number that the network does not have.
    pub fn number(self, classes: ClassInput, label: u32) -> Result<i64, ClassError> {
        let wanted = match self {
            Self::Label => label,
            Self::Fixed(class) => class,
            Self::Null => return classes.null.map(i64::from).ok_or(ClassError::NoNull),
        };
        if wanted < classes.count {
            Ok(wanted.into())
        } else {
            Err(ClassError::UnknownClass {
                label: wanted,
                count: classes.count,
            })
        }
    }
}

/// The classes of images that a network makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SampleClasses {
    /// Each class equally likely, drawn by seed and number of the image.
    Uniform,
    /// These in turn, by the number of the image.
    InTurn(Vec<u32>),
    /// None, for a network that has a number for that.
    Null,
}

impl SampleClasses {
    /// The number that the network is given for an image; a function of the seed and the image's number alone.
    ///
    /// # Errors
    /// A number that the network does not have.
    pub fn number(&self, classes: ClassInput, seed: u64, image: usize) -> Result<i64, ClassError> {
        let wanted = match self {
            Self::Uniform => {
                let mut stream = Stream::new(seed, &format!("samples/class/{image}"));
                to_u32(stream.next_index(classes.count.max(1) as usize))
            }
            Self::InTurn(list) => {
                let turn = image % list.len().max(1);
                list.get(turn).copied().unwrap_or(0)
            }
            Self::Null => return ClassCondition::Null.number(classes, 0),
        };
        ClassCondition::Fixed(wanted).number(classes, 0)
    }
}

impl fmt::Display for SampleClasses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => formatter.write_str("uniform"),
            Self::InTurn(list) => {
                let list: Vec<String> = list.iter().map(u32::to_string).collect();
                formatter.write_str(&list.join(","))
            }
            Self::Null => formatter.write_str("null"),
        }
    }
}

impl fmt::Display for ClassCondition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => formatter.write_str("label"),
            Self::Fixed(class) => write!(formatter, "{class}"),
            Self::Null => formatter.write_str("null"),
        }
    }
}

/// As it is typed: a word, or a number.
impl Serialize for ClassCondition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Label => serializer.serialize_str("label"),
            Self::Fixed(class) => serializer.serialize_u32(*class),
            Self::Null => serializer.serialize_str("null"),
        }
    }
}

/// The key that [`parse`] reads.
pub const CLASS: Key<Custom> = Key::custom("class", "`label`, `null` or a number from 0")
    .shapes(&[Shape::Value(&WORD), Shape::Value(&NUMBER)])
    .optional("`null` where the network has a number that stands for no class, else none")
    .doc("The class that a class-conditional network is given: the same for all images, the image's own label, which tells the network what a probe is to find out, or none. A network that always needs a class needs the key.");
const WORD: Key<Choice<ClassCondition>> = Key::choice(
    CLASS_NAME,
    &[
        ("label", ClassCondition::Label),
        ("null", ClassCondition::Null),
    ],
);
/// A number of a class.
pub const NUMBER: Key<Count> = Key::count(CLASS_NAME, 0..=999_999);
const CLASS_NAME: &str = "class";

/// The code of what is said of classes and does not fit the network.
pub const MISFIT: &str = "graph::class-conditional";

/// Reads `class` for a model; `Some(None)` where the model takes no class. What does not fit it is reported.
///
/// - `is_for_others`: whether the key is for another model of the same table, and says nothing about this one
pub fn parse(
    fields: &Fields<'_>,
    model: &dyn Model,
    is_for_others: bool,
) -> Option<Option<ClassCondition>> {
    let given = fields.raw(CLASS.name).is_some();
    let Some(classes) = model.classes() else {
        if given && !is_for_others {
            let message = format!(
                "`{CLASS_NAME}` of {} has no meaning: model `{}` is given no class",
                fields.context(),
                model.variant()
            );
            let hint = Some(format!("leave `{CLASS_NAME}` out"));
            fields.invalid(CLASS_NAME, MISFIT, message, hint);
            return None;
        }
        return Some(None);
    };
    if !given {
        if classes.null.is_some() {
            return Some(Some(ClassCondition::Null));
        }
        let message = format!(
            "{} needs `{CLASS_NAME}`: model `{}` is class-conditional, and runs with a class alone",
            fields.context(),
            model.variant()
        );
        let hint = format!(
            "`{CLASS_NAME} = 0` gives every image the same class; `{CLASS_NAME} = \"label\"` gives it its own, which a probe is to find out"
        );
        fields.invalid(CLASS_NAME, MISFIT, message, Some(hint));
        return None;
    }
    let condition = read(fields)?;
    match condition {
        ClassCondition::Fixed(_) => {
            // Once more, with the bound that the network has.
            let number = fields.get(&NUMBER.at_most(classes.count.saturating_sub(1)))?;
            Some(Some(ClassCondition::Fixed(number)))
        }
        ClassCondition::Null if classes.null.is_none() => {
            let message = format!(
                "model `{}` has no number that stands for no class",
                model.variant()
            );
            let hint = Some(format!(
                "`{CLASS_NAME} = 0` gives every image the same class"
            ));
            fields.invalid(CLASS_NAME, MISFIT, message, hint);
            None
        }
        ClassCondition::Label | ClassCondition::Null => Some(Some(condition)),
    }
}

/// Reads the key whatever the model; `None` where it is absent or wrong, which is reported.
pub fn read(fields: &Fields<'_>) -> Option<ClassCondition> {
    match fields.raw(CLASS_NAME)?.value {
        Value::Text(_) => fields.given(&WORD),
        _ => fields.given(&NUMBER).map(ClassCondition::Fixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: ClassInput = ClassInput {
        count: 10,
        null: Some(10),
    };

    #[test]
    fn a_network_is_given_numbers_that_it_has() {
        assert_eq!(ClassCondition::Label.number(CLASSES, 9), Ok(9));
        assert_eq!(ClassCondition::Fixed(3).number(CLASSES, 9), Ok(3));
        assert_eq!(ClassCondition::Null.number(CLASSES, 9), Ok(10));
        let unknown = ClassError::UnknownClass {
            label: 10,
            count: 10,
        };
        assert_eq!(ClassCondition::Label.number(CLASSES, 10), Err(unknown));
        let always = ClassInput {
            null: None,
            ..CLASSES
        };
        let null = ClassCondition::Null.number(always, 0);
        assert_eq!(null, Err(ClassError::NoNull));
    }

    #[test]
    fn classes_of_samples_hang_on_seed_and_number_alone() {
        let drawn = |seed| -> Vec<i64> {
            let number = |image| SampleClasses::Uniform.number(CLASSES, seed, image);
            (0..2000).map(|image| number(image).unwrap()).collect()
        };
        let (first, other) = (drawn(1), drawn(2));
        assert_eq!(first, drawn(1));
        assert_ne!(first, other);
        for class in 0..10 {
            let images = first.iter().filter(|&&one| one == class).count();
            // Within five standard deviations of a binomial with 2,000 draws of one in ten.
            assert!((133..=267).contains(&images), "{class}: {images}");
        }
        let turn = SampleClasses::InTurn(vec![3, 5]);
        let numbers: Vec<i64> = (0..4)
            .map(|image| turn.number(CLASSES, 0, image).unwrap())
            .collect();
        assert_eq!(numbers, [3, 5, 3, 5]);
        assert_eq!(SampleClasses::Null.number(CLASSES, 0, 0), Ok(10));
        assert_eq!(turn.to_string(), "3,5");
    }

    #[test]
    fn a_recipe_has_it_as_it_is_typed() {
        let written = |condition| serde_json::to_string(&condition).unwrap();
        assert_eq!(written(ClassCondition::Label), "\"label\"");
        assert_eq!(written(ClassCondition::Fixed(7)), "7");
        assert_eq!(written(ClassCondition::Null), "\"null\"");
        assert_eq!(ClassCondition::Fixed(7).to_string(), "7");
    }
}
