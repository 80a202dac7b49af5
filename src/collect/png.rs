//! Figures as PNG: the SVG of each figure, drawn by a program of the machine.
//!
//! No renderer of SVG is a part of this program: text is laid out with the fonts of the machine in any case, and programs that draw it are
//! where people work with figures. [`PROGRAMS`] lists those that are looked for. Each draws the light colors, on white, with two pixels
//! for each unit of the SVG.
//!
//! What is drawn depends on the program and the fonts, so that a PNG is the same on one machine, and need not be on another.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::limits;
use crate::message::Message;

/// Pixels for each unit of the SVG.
const SCALE: u32 = 2;
/// The longest that a figure may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long what a program reports is waited for after its end.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// How often is looked whether a program has ended.
const OFTEN: Duration = Duration::from_millis(20);
/// What a PNG file begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// The most bytes that are shown of what a program reports.
const REPORTED: u64 = 2_000;
/// The deepest folders of fonts that are looked into.
const DEPTH: usize = 6;

/// The arguments for a program: from the SVG, its width and height, the PNG, and a folder that may be written to.
type Arguments = fn(&Path, (u32, u32), &Path, &Path) -> Vec<OsString>;

/// The programs that are looked for, in this order: first those that draw as pages do, where small images keep their sharp pixels.
const PROGRAMS: [(&str, Arguments); 5] = [
    ("chromium", chromium),
    ("chromium-browser", chromium),
    ("google-chrome", chromium),
    ("google-chrome-stable", chromium),
    ("rsvg-convert", rsvg),
];

fn rsvg(svg: &Path, _: (u32, u32), png: &Path, _: &Path) -> Vec<OsString> {
    let scale = SCALE.to_string();
    let options = ["--zoom", &scale, "--background-color", "white", "--output"];
    let options = options.map(OsString::from);
    options
        .into_iter()
        .chain([png.into(), svg.into()])
        .collect()
}

/// A browser without a window, that asks nobody for anything. Its sandbox does not work in containers; what it reads is a figure, which has
/// no script.
fn chromium(svg: &Path, (width, height): (u32, u32), png: &Path, own: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--hide-scrollbars",
        "--default-background-color=FFFFFFFF",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(format!("--force-device-scale-factor={SCALE}").into());
    arguments.push(format!("--window-size={width},{height}").into());
    let with = |option: &str, path: &Path| {
        let mut argument = OsString::from(option);
        argument.push(path);
        argument
    };
    arguments.push(with("--user-data-dir=", own));
    arguments.push(with("--screenshot=", png));
    arguments.push(with("file://", svg));
    arguments
}

/// The PNG file of a figure, beside its SVG.
pub(super) fn png_file(figure: &str) -> String {
    let stem = figure.strip_suffix(".svg").unwrap_or(figure);
    format!("{stem}.png")
}

/// A program that draws figures.
#[derive(Debug, Clone)]
pub(crate) struct Drawer {
    program: PathBuf,
    arguments: Arguments,
}

impl Drawer {
    /// Looks for a program, and for fonts that it may draw with, as is known before there is anything to draw.
    ///
    /// # Errors
    /// What is missing, and what to install.
    pub(crate) fn find() -> Result<Self, Message> {
        let found = PROGRAMS.iter().find_map(|(name, arguments)| {
            Some(Self {
                program: program(name)?,
                arguments: *arguments,
            })
        });
        let found = found.ok_or_else(|| {
            Message::new("no program that draws SVG as PNG was found: neither Chromium, Chrome nor rsvg-convert")
                .hint("install one, such as `apt-get install librsvg2-bin`, or leave out `--png`")
        })?;
        if !font_folders().iter().any(|folder| has_font(folder, DEPTH)) {
            return Err(Message::new(
                "no font was found on this machine, so that figures as PNG would have no text",
            )
            .hint(
                "install one, such as `apt-get install fonts-dejavu-core`, or leave out `--png`",
            ));
        }
        Ok(found)
    }

    /// Draws an SVG file; gives the bytes of the PNG.
    ///
    /// # Errors
    /// A program that fails, takes longer than two minutes, or leaves no PNG.
    pub(crate) fn draw(&self, svg: &Path) -> Result<Vec<u8>, Message> {
        let failed = |why: String| {
            Message::new(format!(
                "{} cannot draw {} as PNG: {why}",
                self.program.display(),
                svg.display()
            ))
            .hint("leave out `--png`, or install another program, such as `apt-get install librsvg2-bin`")
        };
        let drawn = self.drawn(svg).map_err(|error| failed(error.to_string()))?;
        drawn.map_err(failed)
    }

    fn drawn(&self, svg: &Path) -> std::io::Result<Result<Vec<u8>, String>> {
        let own = tempfile::tempdir()?;
        let png = own.path().join("figure.png");
        // A program may run in another folder, or be given an address.
        let svg = svg.canonicalize()?;
        let size = size(&limits::read_text(&svg, limits::SERVED_FILE)?);
        let Some(size) = size else {
            return Ok(Err("it does not say how large it is".to_owned()));
        };
        let mut child = Command::new(&self.program)
            .args((self.arguments)(&svg, size, &png, own.path()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // Read to its end while the program works, so that a full pipe does not keep it waiting; the beginning is kept.
        let said = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = (&mut stderr).take(REPORTED).read_to_end(&mut text);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
                text
            })
        });
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Err("it takes more than two minutes".to_owned()));
            }
            std::thread::sleep(OFTEN);
        };
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(&png) {
            file.take(limits::SERVED_FILE + 1).read_to_end(&mut bytes)?;
        }
        if status.success()
            && bytes.starts_with(SIGNATURE)
            && bytes.len() as u64 <= limits::SERVED_FILE
        {
            return Ok(Ok(bytes));
        }
        // A process that it has started and left may keep the pipe open.
        let since = Instant::now();
        let said = said.filter(|said| {
            while !said.is_finished() && since.elapsed() < AFTERWARDS {
                std::thread::sleep(OFTEN);
            }
            said.is_finished()
        });
        let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
        let text = String::from_utf8_lossy(&said);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        Ok(Err(match last {
            Some(line) => format!("{status}: {line}"),
            None => format!("{status}, and no PNG file"),
        }))
    }
}

/// The width and height that the first tag of an SVG states.
fn size(svg: &str) -> Option<(u32, u32)> {
    let tag = svg.split_once("<svg ")?.1.split('>').next()?;
    let of = |name: &str| {
        let value = tag
            .split_once(&format!(" {name}=\""))?
            .1
            .split('"')
            .next()?;
        value.parse().ok()
    };
    Some((of("width")?, of("height")?))
}

/// A program by its name, from the folders that `PATH` lists.
fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(is_program)
}

/// Where fonts are, of the system and of the user.
fn font_folders() -> Vec<PathBuf> {
    let system = [
        "/usr/share/fonts",
        "/usr/local/share/fonts",
        "/usr/share/X11/fonts",
        "/run/current-system/sw/share/X11/fonts",
        "/System/Library/Fonts",
        "/Library/Fonts",
    ];
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let own = [".fonts", ".local/share/fonts", "Library/Fonts"];
    let own = own
        .iter()
        .filter_map(|name| Some(home.as_ref()?.join(name)));
    system.iter().map(PathBuf::from).chain(own).collect()
}

/// Whether there is a font in a folder, or as many folders further down.
fn has_font(folder: &Path, depth: usize) -> bool {
    let there = fs::read_dir(folder).into_iter().flatten();
    there.filter_map(Result::ok).any(|entry| {
        let path = entry.path();
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        ["ttf", "otf", "ttc"].iter().any(|known| ending == *known)
            || (depth > 0 && path.is_dir() && has_font(&path, depth - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_figure_is_in_its_first_tag() {
        let figure = "<svg xmlns=\"x\" width=\"760\" height=\"440\" viewBox=\"0 0 3 3\">\n<rect width=\"1\"/>";
        assert_eq!(size(figure), Some((760, 440)));
        for other in [
            "",
            "<svg >",
            "<svg xmlns=\"x\"><rect width=\"1\" height=\"2\"/>",
        ] {
            assert_eq!(size(other), None, "{other}");
        }
    }

    #[test]
    fn fonts_are_found_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("x.txt"), "").unwrap();
        assert!(!has_font(folder.path(), DEPTH));
        fs::write(deep.join("x.TTF"), "").unwrap();
        assert!(has_font(folder.path(), DEPTH));
        assert!(!has_font(folder.path(), 1));
    }

    #[test]
    fn a_figure_has_one_name_in_both_formats() {
        assert_eq!(png_file("a/b.svg"), "a/b.png");
    }
}
