//! `repro models inspect`: what a checkpoint holds. Reads the description of the tensors and not their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::exit::Failure;
use super::super::{printed, table};
use crate::models;
use crate::models::checkpoint::comparison::{Nearly, ignored, is_of_optimizer, nearly_fitting};
use crate::models::checkpoint::stored_tensors::StoredTensors;
use crate::models::kinds::onnx;
use crate::models::kinds::onnx::file::{Description, Port};
use crate::text::{bytes, count, plural};
use crate::visible::shown;

/// So many entries are listed for people; the networks of papers have some thousand.
const SHOWN: usize = 10_000;

/// So many tensors that are not of the network are named; `--json` has all of them.
const IGNORED_SHOWN: usize = 8;

/// Arguments of `repro models inspect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  repro models inspect 256x256_diffusion_uncond.pt\n  repro models inspect 256x256_diffusion_uncond.pt --json"
)]
pub struct Arguments {
    /// The checkpoint.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The sums over all tensors.
#[derive(Default)]
struct Sums {
    tensors: usize,
    parameters: u64,
    bytes: u64,
    /// How many tensors have each type.
    types: BTreeMap<String, usize>,
}

/// The presets of one kind whose networks a file fits.
struct Fitting {
    kind: &'static str,
    /// At least one.
    presets: Vec<String>,
}

impl Fitting {
    /// The tensors that are not of the network, and that a run leaves alone.
    fn ignored(&self, tensors: &StoredTensors) -> Vec<String> {
        let first = self.presets.first();
        let preset = first.and_then(|name| models::preset(name));
        let required = preset.as_ref().and_then(|preset| preset.model.required());
        required.map_or_else(Vec::new, |required| ignored(tensors, &required))
    }
}

/// Prints what the checkpoint holds.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(description) = onnx::declared::described(&arguments.file)? {
        return print_onnx(arguments, &description);
    }
    let tensors = StoredTensors::open(&arguments.file)?;
    let kinds = models::ALL.iter().map(|kind| Fitting {
        kind: kind.doc.name,
        presets: (kind.more.fitting)(&tensors),
    });
    let fitting: Vec<Fitting> = kinds.filter(|kind| !kind.presets.is_empty()).collect();
    let mut out = printed::stdout(arguments.json);
    if arguments.json {
        serde_json::to_writer_pretty(&mut out, &record(&tensors, &fitting))
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", page(&tensors, &fitting))?;
    }
    Ok(())
}

/// Prints what an ONNX file holds, and the table of an experiment for it.
fn print_onnx(arguments: &Arguments, description: &Description) -> Result<(), Failure> {
    let mut out = printed::stdout(arguments.json);
    let path = &arguments.file;
    let table = onnx::declared::table(path, description);
    let ports = |ports: &[Port]| -> Vec<Vec<String>> {
        let first = ports.iter().take(SHOWN);
        first
            .map(|port| vec![shown(&port.name), port.to_string()])
            .collect()
    };
    if arguments.json {
        let record = |ports: &[Port]| -> Vec<_> {
            let each = ports.iter();
            each.map(|port| json!({ "name": port.name, "shape": port.to_string() }))
                .collect()
        };
        let record = json!({
            "file": path.to_string_lossy(),
            "container": "onnx",
            "producer": description.producer,
            "operators": description.operators,
            "inputs": record(&description.inputs),
            "outputs": record(&description.outputs),
            "foreign_operators": description.foreign,
            "external_tensors": description.external,
            "experiment": table,
        });
        serde_json::to_writer_pretty(&mut out, &record).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let producer = match description.producer.as_str() {
        "" => String::new(),
        producer => format!(", written by {}", shown(producer)),
    };
    writeln!(
        out,
        "{}: ONNX, operators of version {}{producer}\n\ninputs:\n{}\n\noutputs:\n{}",
        path.display(),
        description.operators,
        table::render(&["name", "shape and type"], &ports(&description.inputs)),
        table::render(&["name", "shape and type"], &ports(&description.outputs)),
    )?;
    let of = |what: &str, names: &BTreeSet<String>| {
        let names: Vec<String> = names.iter().map(|name| shown(name)).collect();
        match names.as_slice() {
            [] => String::new(),
            names => format!("\nnot run: {what} {}", names.join(", ")),
        }
    };
    writeln!(
        out,
        "{}{}\nthe table of an experiment, where `?` is to be filled in:\n\n{table}",
        of(
            "operators that ONNX Runtime does not have,",
            &description.foreign
        ),
        of("numbers in other files, of", &description.external),
    )?;
    Ok(())
}

fn sums(tensors: &StoredTensors) -> Sums {
    let mut sums = Sums::default();
    for (_, dtype, shape) in tensors.descriptions() {
        // Neither overflows: every tensor was checked to lie in the file.
        let parameters: u64 = shape.iter().map(|&size| size as u64).product();
        sums.tensors += 1;
        sums.parameters += parameters;
        sums.bytes += parameters * dtype.bitsize() as u64 / 8;
        *sums.types.entry(dtype.to_string()).or_default() += 1;
    }
    sums
}

fn page(tensors: &StoredTensors, fitting: &[Fitting]) -> String {
    let sums = sums(tensors);
    let types: Vec<String> = sums
        .types
        .iter()
        .map(|(dtype, tensors)| format!("{} {dtype}", count(*tensors as u64)))
        .collect();
    let fits = match fitting {
        [] => said_of_misfit(tensors),
        fitting => {
            let lines = fitting.iter().map(|one| said_of_fit(tensors, one));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    let rows: Vec<Vec<String>> = tensors
        .descriptions()
        .take(SHOWN)
        .map(|(name, dtype, shape)| vec![shown(name), dtype.to_string(), format!("{shape:?}")])
        .collect();
    let mut page = format!(
        "{}: {}\n{}, {} parameters, {}: {}\n{fits}\n{}",
        tensors.path().display(),
        tensors.container(),
        plural(sums.tensors, "tensor"),
        count(sums.parameters),
        bytes(sums.bytes),
        if types.is_empty() {
            "no types".to_owned()
        } else {
            types.join(", ")
        },
        table::render(&["name", "type", "shape"], &rows),
    );
    say_rest(&mut page, sums.tensors);
    if !tensors.others().is_empty() {
        let rows: Vec<Vec<String>> = tensors
            .others()
            .iter()
            .take(SHOWN)
            .map(|other| vec![shown(&other.name), other.what.clone()])
            .collect();
        page.push_str("\n\nnot a tensor:\n");
        page.push_str(&table::render(&["name", "what it is"], &rows));
        say_rest(&mut page, tensors.others().len());
    }
    page
}

/// The networks of a kind that a file fits, and what of it is not theirs.
fn said_of_fit(tensors: &StoredTensors, fitting: &Fitting) -> String {
    let mut text = format!(
        "fits {} by names and shapes (kind {})",
        fitting.presets.join(", "),
        fitting.kind
    );
    let ignored = fitting.ignored(tensors);
    if !ignored.is_empty() {
        let names = ignored.iter().take(IGNORED_SHOWN).map(|name| shown(name));
        let names: Vec<String> = names.collect();
        let rest = ignored.len() - names.len();
        let _ = write!(
            text,
            "\nignored, not of this network: {}: {}",
            plural(ignored.len(), "tensor"),
            names.join(", ")
        );
        if rest > 0 {
            let _ = write!(text, " and {} more", count(rest as u64));
        }
    }
    text
}

/// What a file that fits no preset as it is may be.
fn said_of_misfit(tensors: &StoredTensors) -> String {
    // Networks of one shape have one line.
    let mut presets: BTreeMap<(String, bool), Vec<String>> = BTreeMap::new();
    for one in nearly_fitting(tensors) {
        let Nearly {
            preset,
            prefix,
            is_double,
        } = one;
        presets.entry((prefix, is_double)).or_default().push(preset);
    }
    let lines = presets.iter().map(|((prefix, is_double), presets)| {
        let prefixed = match prefix.as_str() {
            "" => String::new(),
            prefix => format!(" with prefix `{}`", shown(prefix)),
        };
        let double = if *is_double {
            "; its numbers are f64, and `repro models convert IN OUT.safetensors --dtype f32` writes a file that can be used"
        } else {
            ""
        };
        format!("fits {}{prefixed}{double}", presets.join(", "))
    });
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        lines.join("\n")
    } else if is_of_optimizer(tensors) {
        "is the state of an optimizer, and not of a network".to_owned()
    } else {
        "fits no preset by names and shapes".to_owned()
    }
}

fn say_rest(page: &mut String, all: usize) {
    if let Some(rest @ 1..) = all.checked_sub(SHOWN) {
        let rest = count(rest as u64);
        page.push_str("\n… and ");
        page.push_str(&rest);
        page.push_str(" more; --json has all of them");
    }
}

fn record(tensors: &StoredTensors, fitting: &[Fitting]) -> serde_json::Value {
    let sums = sums(tensors);
    let each: Vec<_> = tensors
        .descriptions()
        .map(|(name, dtype, shape)| json!({ "name": name, "type": dtype.to_string(), "shape": shape }))
        .collect();
    let others: Vec<_> = tensors
        .others()
        .iter()
        .map(|other| json!({ "name": other.name, "what": other.what }))
        .collect();
    json!({
        "file": tensors.path().to_string_lossy(),
        "container": tensors.container().name(),
        "parameters": sums.parameters,
        "bytes": sums.bytes,
        "types": sums.types,
        "presets": fitting.iter().flat_map(|one| &one.presets).collect::<Vec<_>>(),
        "kinds": fitting.iter().map(|one| one.kind).collect::<Vec<_>>(),
        "ignored": fitting.first().map_or_else(Vec::new, |one| one.ignored(tensors)),
        "nearly": nearly_fitting(tensors)
            .iter()
            .map(|one| json!({ "preset": one.preset, "prefix": one.prefix, "f64": one.is_double }))
            .collect::<Vec<_>>(),
        "is_optimizer": is_of_optimizer(tensors),
        "tensors": each,
        "others": others,
    })
}
