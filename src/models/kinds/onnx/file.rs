//! What an ONNX file says of its network, read from its protocol buffers without ONNX Runtime and without its numbers: inputs, outputs,
//! and what the program does not run.
//!
//! # Reference
//! onnx/onnx at v1.18.0: onnx/onnx.proto, whose numbers of fields stand below. The file is a `ModelProto`. Every field that is not named
//! here is skipped, the numbers of the weights among them, so that a file of gigabytes is looked through in a moment.

use std::collections::BTreeSet;
use std::fmt;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::limits::{CHECKPOINT_ENTRIES, ONNX_DEPTH, ONNX_NAME, TENSOR_AXES};
use crate::visible::on_one_line;

/// Operators of these domains are part of ONNX Runtime; the empty name is ONNX itself.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// What an ONNX file says of its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// What wrote the file, such as `pytorch`; empty where it does not say.
    pub producer: String,
    /// The version of ONNX's own operators; 0 where the file does not say.
    pub operators: u64,
    /// What has to be given to the network.
    pub inputs: Vec<Port>,
    /// What it can be asked for.
    pub outputs: Vec<Port>,
    /// Operators that are not part of ONNX Runtime, as `domain::operator`.
    pub foreign: BTreeSet<String>,
    /// Tensors whose numbers are in other files.
    pub external: BTreeSet<String>,
}

/// An input or an output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// Its name in the file.
    pub name: String,
    /// The number of its type in ONNX; 1 is `f32`, 0 something else than a tensor.
    pub element: u64,
    /// Its sizes, the batch first; `None` where the file does not say how many axes there are.
    pub sizes: Option<Vec<Size>>,
}

/// The size of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// Always this.
    Fixed(u64),
    /// Whatever it is given, under the name that the file has for it; the name may be empty.
    Dynamic(String),
}

/// The number of `f32` among ONNX's types.
pub const F32: u64 = 1;

/// Why bytes are not an ONNX file that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxFault {
    /// They do not follow the format.
    #[error("it is not an ONNX file, or is damaged: {0}")]
    Malformed(String),
    /// They follow it beyond what is read.
    #[error("it has more than {0}, which is more than is read")]
    TooMuch(&'static str),
}

impl From<prost::DecodeError> for OnnxFault {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Port {
    /// The type of its numbers, in PyTorch's word where there is one.
    pub fn element_name(&self) -> &'static str {
        match self.element {
            1 => "f32",
            10 => "f16",
            11 => "f64",
            16 => "bf16",
            2..=7 | 9 | 12 | 13 => "integers",
            _ => "no numbers",
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = match &self.sizes {
            None => "of any shape".to_owned(),
            Some(sizes) => {
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                format!("[{}]", sizes.join(", "))
            }
        };
        write!(formatter, "{sizes} {}", self.element_name())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(formatter, "{size}"),
            Self::Dynamic(name) if name.is_empty() => formatter.write_str("?"),
            Self::Dynamic(name) => formatter.write_str(&on_one_line(name)),
        }
    }
}

/// The value of a field.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A number of 4 or 8 bytes, which nothing here has a use for.
    Other,
}

/// Goes through the fields of a message, in the order of the file.
fn each<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u32, Field<'a>) -> Result<(), OnnxFault>,
) -> Result<(), OnnxFault> {
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes)?;
        let field = match wire {
            WireType::Varint => Field::Number(decode_varint(&mut bytes)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes)?;
                let (value, rest) = usize::try_from(length)
                    .ok()
                    .and_then(|length| bytes.split_at_checked(length))
                    .ok_or_else(|| {
                        OnnxFault::Malformed("a field reaches beyond the end".to_owned())
                    })?;
                bytes = rest;
                Field::Bytes(value)
            }
            WireType::ThirtyTwoBit | WireType::SixtyFourBit => {
                skip_field(wire, number, &mut bytes, DecodeContext::default())?;
                Field::Other
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(OnnxFault::Malformed(
                    "it has a group, which ONNX does not use".to_owned(),
                ));
            }
        };
        visit(number, field)?;
    }
    Ok(())
}

/// A name. Those of networks have some dozens of characters.
fn text(bytes: &[u8]) -> Result<String, OnnxFault> {
    if bytes.len() > ONNX_NAME {
        return Err(OnnxFault::TooMuch("4,096 bytes of a name"));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// What is gathered on the way through a file.
#[derive(Default)]
struct Reader {
    description: Description,
    /// Names of the tensors that the file brings along; older files list them among the inputs, too.
    brought: BTreeSet<String>,
    /// Every operator that is not of ONNX Runtime, by domain and name.
    foreign: BTreeSet<(String, String)>,
    /// The functions that the file itself defines, by domain and name.
    functions: BTreeSet<(String, String)>,
    has_graph: bool,
    entries: usize,
}

impl Description {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// Bytes that are no `ModelProto` with a graph, or more of it than is read.
    pub fn read(bytes: &[u8]) -> Result<Self, OnnxFault> {
        let mut reader = Reader::default();
        each(bytes, |number, field| match (number, field) {
            (2, Field::Bytes(name)) => {
                reader.description.producer = text(name)?;
                Ok(())
            }
            (7, Field::Bytes(graph)) => {
                reader.has_graph = true;
                reader.graph(graph, 0)
            }
            (8, Field::Bytes(operators)) => reader.operators(operators),
            (25, Field::Bytes(function)) => reader.function(function),
            _ => Ok(()),
        })?;
        reader.finish()
    }

    /// Whether a file that begins so may be one: its first field is the version of the format.
    pub fn may_begin(beginning: &[u8]) -> bool {
        matches!(beginning, [0x08, 1..=0x7f, ..])
    }
}

impl Reader {
    fn finish(self) -> Result<Description, OnnxFault> {
        let mut description = self.description;
        if !self.has_graph || description.outputs.is_empty() {
            return Err(OnnxFault::Malformed("it has no graph with outputs".into()));
        }
        description
            .inputs
            .retain(|input| !self.brought.contains(&input.name));
        let foreign = self.foreign.difference(&self.functions);
        description.foreign = foreign
            .map(|(domain, name)| format!("{domain}::{name}"))
            .collect();
        Ok(description)
    }

    fn count(&mut self) -> Result<(), OnnxFault> {
        self.entries += 1;
        if self.entries > CHECKPOINT_ENTRIES {
            return Err(OnnxFault::TooMuch("524,288 nodes and tensors"));
        }
        Ok(())
    }

    /// `OperatorSetIdProto`: `domain = 1`, `version = 2`.
    fn operators(&mut self, bytes: &[u8]) -> Result<(), OnnxFault> {
        let (mut is_own, mut version) = (true, 0);
        each(bytes, |number, field| {
            match (number, field) {
                (1, Field::Bytes(domain)) => is_own = matches!(domain, b"" | b"ai.onnx"),
                (2, Field::Number(number)) => version = number,
                _ => {}
            }
            Ok(())
        })?;
        if is_own {
            self.description.operators = version;
        }
        Ok(())
    }

    /// `FunctionProto`: `name = 1`, `node = 7`, `domain = 10`.
    fn function(&mut self, bytes: &[u8]) -> Result<(), OnnxFault> {
        self.count()?;
        let (mut name, mut domain) = (String::new(), String::new());
        each(bytes, |number, field| match (number, field) {
            (1, Field::Bytes(value)) => {
                name = text(value)?;
                Ok(())
            }
            (10, Field::Bytes(value)) => {
                domain = text(value)?;
                Ok(())
            }
            (7, Field::Bytes(node)) => self.node(node, 1),
            _ => Ok(()),
        })?;
        self.functions.insert((domain, name));
        Ok(())
    }

    /// `GraphProto`: `node = 1`, `initializer = 5`, `input = 11`, `output = 12`, `sparse_initializer = 15`.
    fn graph(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        if depth > ONNX_DEPTH {
            return Err(OnnxFault::TooMuch("32 graphs inside one another"));
        }
        each(bytes, |number, field| match (number, field) {
            (1, Field::Bytes(node)) => self.node(node, depth),
            (5, Field::Bytes(tensor)) => {
                let name = self.tensor(tensor)?;
                if depth == 0 {
                    self.brought.insert(name);
                }
                Ok(())
            }
            (11 | 12, Field::Bytes(port)) if depth == 0 => {
                self.count()?;
                let port = port_of(port)?;
                if number == 11 {
                    self.description.inputs.push(port);
                } else {
                    self.description.outputs.push(port);
                }
                Ok(())
            }
            _ => Ok(()),
        })
    }

    /// `NodeProto`: `op_type = 4`, `attribute = 5`, `domain = 7`.
    fn node(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        self.count()?;
        let (mut name, mut domain) = (String::new(), String::new());
        each(bytes, |number, field| match (number, field) {
            (4, Field::Bytes(value)) => {
                name = text(value)?;
                Ok(())
            }
            (7, Field::Bytes(value)) => {
                domain = text(value)?;
                Ok(())
            }
            (5, Field::Bytes(attribute)) => self.attribute(attribute, depth),
            _ => Ok(()),
        })?;
        if !DOMAINS.contains(&domain.as_str()) {
            self.foreign.insert((domain, name));
        }
        Ok(())
    }

    /// `AttributeProto`: `t = 5`, `g = 6`, `tensors = 10`, `graphs = 11`.
    fn attribute(&mut self, bytes: &[u8], depth: usize) -> Result<(), OnnxFault> {
        each(bytes, |number, field| match (number, field) {
            (5 | 10, Field::Bytes(tensor)) => self.tensor(tensor).map(|_| ()),
            (6 | 11, Field::Bytes(graph)) => self.graph(graph, depth + 1),
            _ => Ok(()),
        })
    }

    /// `TensorProto`: `name = 8`, `external_data = 13`, `data_location = 14`, where 1 is outside. Gives the name.
    fn tensor(&mut self, bytes: &[u8]) -> Result<String, OnnxFault> {
        self.count()?;
        let (mut name, mut is_outside) = (String::new(), false);
        each(bytes, |number, field| {
            match (number, field) {
                (8, Field::Bytes(value)) => name = text(value)?,
                (13, Field::Bytes(_)) | (14, Field::Number(1)) => is_outside = true,
                _ => {}
            }
            Ok(())
        })?;
        if is_outside {
            self.description.external.insert(name.clone());
        }
        Ok(name)
    }
}

/// `ValueInfoProto`: `name = 1`, `type = 2`; `TypeProto`: `tensor_type = 1`; there `elem_type = 1`, `shape = 2`.
fn port_of(bytes: &[u8]) -> Result<Port, OnnxFault> {
    let mut port = Port::default();
    each(bytes, |number, field| match (number, field) {
        (1, Field::Bytes(name)) => {
            port.name = text(name)?;
            Ok(())
        }
        (2, Field::Bytes(kind)) => each(kind, |number, field| match (number, field) {
            (1, Field::Bytes(tensor)) => each(tensor, |number, field| match (number, field) {
                (1, Field::Number(element)) => {
                    port.element = element;
                    Ok(())
                }
                (2, Field::Bytes(shape)) => {
                    port.sizes = Some(sizes_of(shape)?);
                    Ok(())
                }
                _ => Ok(()),
            }),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    Ok(port)
}

/// `TensorShapeProto`: `dim = 1`; there `dim_value = 1`, `dim_param = 2`.
fn sizes_of(bytes: &[u8]) -> Result<Vec<Size>, OnnxFault> {
    let mut sizes = Vec::new();
    each(bytes, |number, field| {
        let (1, Field::Bytes(axis)) = (number, field) else {
            return Ok(());
        };
        if sizes.len() == TENSOR_AXES {
            return Err(OnnxFault::TooMuch("64 axes of a tensor"));
        }
        let mut size = Size::Dynamic(String::new());
        each(axis, |number, field| {
            match (number, field) {
                (1, Field::Number(value)) => size = Size::Fixed(value),
                (2, Field::Bytes(name)) => size = Size::Dynamic(text(name)?),
                _ => {}
            }
            Ok(())
        })?;
        sizes.push(size);
        Ok(())
    })?;
    Ok(sizes)
}
