//! What an experiment says of the network of an ONNX file, and whether the file agrees.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;
use serde::Serialize;

use super::file::{Description, F32, Port, Size};
use crate::message::Message;
use crate::models::{BlockIndex, BlockInfo, InputSpec, TapShape};
use crate::text::plural;
use crate::visible::on_one_line;

/// One output that is a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tap {
    /// The output's name in the file.
    pub name: String,
    /// Its shape for one image: `[C, H, W]`, `[L, D]` or `[D]`.
    pub shape: Vec<u32>,
    /// Whether the first of its tokens is a class token.
    pub class_token: bool,
    /// How many tokens follow the class token that are of no patch.
    pub registers: u32,
}

impl Tap {
    /// Its shape as that of a block; `None` where there are other than one to three axes.
    pub fn tap_shape(&self) -> Option<TapShape> {
        Some(match *self.shape.as_slice() {
            [width] => TapShape::Vector { width },
            [count, width] => TapShape::Tokens {
                count,
                width,
                class_token: self.class_token,
                registers: self.registers,
            },
            [channels, height, width] => TapShape::map(channels, height, width),
            _ => return None,
        })
    }
}

/// The blocks of a network with these taps, numbered from 1.
pub fn blocks(taps: &[Tap]) -> Vec<BlockInfo> {
    let shaped = taps.iter().filter_map(|tap| Some((tap, tap.tap_shape()?)));
    (1..)
        .zip(shaped)
        .map(|(number, (tap, shape))| BlockInfo {
            index: BlockIndex(number),
            path: tap.name.clone(),
            shape,
            multiply_adds: 0,
        })
        .collect()
}

/// The bytes of a file that is only looked at; what is computed with is read through `checked_file`.
///
/// # Errors
/// A file that cannot be opened or mapped.
pub fn mapped(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    // SAFETY: the map is only read, and dropped before the caller goes on.
    unsafe {
        Mmap::map(&file)
    }
}

/// What an ONNX file says; `None` for a file that is something else, by its content.
///
/// # Errors
/// A file that cannot be read.
pub fn described(path: &Path) -> io::Result<Option<Description>> {
    // An empty file, and what cannot be mapped, is for others to judge.
    if !path.is_file() || path.metadata()?.len() == 0 {
        return Ok(None);
    }
    let bytes = mapped(path)?;
    if !Description::may_begin(&bytes) {
        return Ok(None);
    }
    Ok(Description::read(&bytes).ok())
}

/// How many images the network takes at once: all that there are, or always as many.
pub fn batch(description: &Description) -> Option<u64> {
    let sizes = description.inputs.first()?.sizes.as_ref()?;
    match sizes.first()? {
        Size::Fixed(count) => Some(*count),
        Size::Dynamic(_) => None,
    }
}

/// All that keeps a file from being what an experiment says of it; `None` where nothing does.
pub fn compare(
    path: &Path,
    description: &Description,
    input: InputSpec,
    taps: &[Tap],
) -> Option<Message> {
    let mut problems = Vec::new();
    let mut hint = None;
    if !description.external.is_empty() {
        let names = listed(description.external.iter());
        problems.push(format!("the numbers of {names} are in other files"));
        hint = Some(
            "export it with all numbers in one file (`external_data=False`); a digest of one file then stands for the network",
        );
    }
    if !description.foreign.is_empty() {
        let names = listed(description.foreign.iter());
        problems.push(format!("ONNX Runtime has no operator {names}"));
        hint = hint.or(Some("export the network without operators of its own; no library that a file names is loaded"));
    }
    problems.extend(of_input(description, input));
    for tap in taps {
        problems.extend(of_tap(description, tap));
    }
    if problems.is_empty() {
        return None;
    }
    let mut text = format!("{} is not what the experiment says", path.display());
    for problem in problems {
        let _ = write!(text, "\n  {problem}");
    }
    let hint = hint.unwrap_or("`repro models inspect` prints the table for a file");
    Some(Message::new(text).hint(hint))
}

/// At most five names, and how many more there are.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    const SHOWN: usize = 5;
    let count = names.len();
    let shown: Vec<String> = names
        .take(SHOWN)
        .map(|name| format!("`{}`", on_one_line(name)))
        .collect();
    let mut text = shown.join(", ");
    if let Some(rest @ 1..) = count.checked_sub(SHOWN) {
        let _ = write!(text, " and {}", plural(rest, "other"));
    }
    text
}

fn of_input(description: &Description, input: InputSpec) -> Option<String> {
    let [port] = description.inputs.as_slice() else {
        return Some(format!(
            "it has {}, and a network of images has one",
            plural(description.inputs.len(), "input")
        ));
    };
    let name = on_one_line(&port.name);
    if port.element != F32 {
        return Some(format!(
            "its input `{name}` takes {}, not f32",
            port.element_name()
        ));
    }
    let wanted = [input.channels, input.side, input.side];
    let fits = port.sizes.as_ref().is_none_or(|sizes| {
        matches!(
            sizes.first(),
            Some(Size::Dynamic(_) | Size::Fixed(1..=65_536))
        ) && agrees(sizes, &wanted)
    });
    (!fits).then(|| {
        format!(
            "its input `{name}` is {port}, and the experiment says [N, {}, {}, {}]",
            input.channels, input.side, input.side
        )
    })
}

fn of_tap(description: &Description, tap: &Tap) -> Option<String> {
    let name = on_one_line(&tap.name);
    let Some(port) = description
        .outputs
        .iter()
        .find(|output| output.name == tap.name)
    else {
        let names = listed(description.outputs.iter().map(|output| &output.name));
        return Some(format!("it has no output `{name}`; it has {names}"));
    };
    if port.element != F32 {
        return Some(format!(
            "its output `{name}` gives {}, not f32",
            port.element_name()
        ));
    }
    let fits = port
        .sizes
        .as_ref()
        .is_none_or(|sizes| agrees(sizes, &tap.shape));
    (!fits).then(|| {
        let shape: Vec<String> = tap.shape.iter().map(ToString::to_string).collect();
        format!(
            "its output `{name}` is {port}, and the experiment says [N, {}]",
            shape.join(", ")
        )
    })
}

/// Whether sizes of a file, the batch first, can be those of one image.
fn agrees(sizes: &[Size], wanted: &[u32]) -> bool {
    let Some((_, sizes)) = sizes.split_first() else {
        return false;
    };
    sizes.len() == wanted.len()
        && sizes.iter().zip(wanted).all(|(size, &wanted)| match size {
            Size::Fixed(size) => *size == u64::from(wanted),
            Size::Dynamic(_) => true,
        })
}

/// The table of an experiment for a file, as TOML; what the file leaves open is `?`, which is to be filled in.
pub fn table(path: &Path, description: &Description) -> String {
    let axis = |port: &Port, place: usize| {
        let sizes = port.sizes.as_ref();
        match sizes.and_then(|sizes| sizes.get(place)) {
            Some(Size::Fixed(size)) => size.to_string(),
            _ => "?".to_owned(),
        }
    };
    let none = Port::default();
    let input = description.inputs.first().unwrap_or(&none);
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = format!(
        "[model.NAME]\nkind = \"onnx\"\nweights = {}\nimage_size = {}\nin_channels = {}\nnormalize = \"?\"\ntaps = [\n",
        quoted(&path.display().to_string()),
        axis(input, 2),
        axis(input, 1),
    );
    for output in &description.outputs {
        let shape: Vec<String> = match &output.sizes {
            Some(sizes) => (1..sizes.len()).map(|place| axis(output, place)).collect(),
            None => vec!["?".to_owned()],
        };
        let _ = writeln!(
            text,
            "  {{ name = {}, shape = [{}] }},",
            quoted(&output.name),
            shape.join(", ")
        );
    }
    text.push(']');
    text
}
