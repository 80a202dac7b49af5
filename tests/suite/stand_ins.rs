//! Small stand-ins of the six fine-grained datasets of the paper, in the layouts of their owners: aircraft and dogs packed, the others
//! unpacked.

use crate::fixture::{CliTest, gzip, tar};

#[path = "../../src/datasets/matlab/fixture.rs"]
mod matlab;

use matlab::{cells, compress, file, numbers, structures, text};

/// Classes of each stand-in.
pub const CLASSES: usize = 3;
/// Images for training, over all classes.
pub const TRAIN: usize = CLASSES * TRAIN_OF_CLASS;
/// Images for testing, over all classes.
pub const TEST: usize = CLASSES * TEST_OF_CLASS;
const TRAIN_OF_CLASS: usize = 4;
const TEST_OF_CLASS: usize = 2;

type Files = Vec<(String, Vec<u8>)>;

/// An image of a stand-in.
struct Image {
    /// Its number, from 1, within its dataset.
    number: usize,
    /// Its class, from 1.
    class: usize,
    is_train: bool,
    /// A PNG file.
    content: Vec<u8>,
}

/// The images of a dataset; `shade` tells it from the others. Classes differ in color.
fn images(shade: u8) -> Vec<Image> {
    let mut images = Vec::new();
    for class in 1..=CLASSES {
        for place in 0..TRAIN_OF_CLASS + TEST_OF_CLASS {
            let number = images.len() + 1;
            let color = u8::try_from(class * 60).unwrap();
            let step = u32::try_from(number).unwrap();
            let pixel = |x: u32, y: u32| {
                let texture = u8::try_from((x * 7 + y * 3 + step * 11) % 60).unwrap();
                image::Rgb([color + texture, shade, 255 - color])
            };
            let mut content = std::io::Cursor::new(Vec::new());
            image::RgbImage::from_fn(44, 60, pixel)
                .write_to(&mut content, image::ImageFormat::Png)
                .unwrap();
            images.push(Image {
                number,
                class,
                is_train: place < TRAIN_OF_CLASS,
                content: content.into_inner(),
            });
        }
    }
    images
}

/// One line for each image.
fn lines<'a>(
    images: impl IntoIterator<Item = &'a Image>,
    line: impl Fn(&Image) -> String,
) -> Vec<u8> {
    let lines = images.into_iter().map(|image| line(image) + "\n");
    lines.collect::<String>().into_bytes()
}

fn of_split(images: &[Image], is_train: bool) -> Vec<&Image> {
    let images = images.iter();
    images.filter(|image| image.is_train == is_train).collect()
}

/// Writes all six into `data/NAME`.
pub fn write(cli: &CliTest) {
    let archive = gzip(&tar(&aircraft()));
    cli.write("data/aircraft/fgvc-aircraft-2013b.tar.gz", archive);
    let (lists, images): (Files, Files) = dogs()
        .into_iter()
        .partition(|(name, _)| name.contains(".mat"));
    cli.write("data/dogs/images.tar", tar(&images));
    cli.write("data/dogs/lists.tar", tar(&lists));
    for (name, files) in [
        ("cars", cars()),
        ("cub", cub()),
        ("flowers", flowers()),
        ("nabirds", nabirds()),
    ] {
        for (file, content) in files {
            cli.write(&format!("data/{name}/{file}"), content);
        }
    }
}

fn aircraft() -> Files {
    let images = images(10);
    let variant = |class: usize| ["BAE 146-200", "BAE-125", "F-16A/B"][class - 1];
    let list = |is_train| {
        lines(of_split(&images, is_train), |image| {
            format!("{:07} {}", image.number, variant(image.class))
        })
    };
    let variants = (1..=CLASSES).map(|class| format!("{}\n", variant(class)));
    let mut files = vec![
        (
            "variants.txt".to_owned(),
            variants.collect::<String>().into_bytes(),
        ),
        ("images_variant_trainval.txt".to_owned(), list(true)),
        ("images_variant_test.txt".to_owned(), list(false)),
    ];
    files.extend(images.into_iter().map(|image| {
        let name = format!("images/{:07}.jpg", image.number);
        (name, image.content)
    }));
    let inside = |(name, content)| (format!("fgvc-aircraft-2013b/data/{name}"), content);
    files.into_iter().map(inside).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "MATLAB counts in floating-point numbers"
)]
fn counted(name: &str, values: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let values: Vec<f64> = values.into_iter().map(|value| value as f64).collect();
    numbers(name, &values)
}

fn cars() -> Files {
    let images = images(50);
    let list = |is_train| {
        let values = of_split(&images, is_train).into_iter().flat_map(|image| {
            let name = text("", &format!("{:05}.jpg", image.number));
            [counted("", [image.class]), name]
        });
        let values: Vec<_> = values.collect();
        file(&[compress(&structures(
            "annotations",
            &["class", "fname"],
            &values,
        ))])
    };
    let names = ["AM General Hummer", "Acura RL", "Acura TL"].map(|name| text("", name));
    let mut files = vec![
        (
            "devkit/cars_meta.mat".to_owned(),
            file(&[compress(&cells("class_names", &names))]),
        ),
        ("devkit/cars_train_annos.mat".to_owned(), list(true)),
        ("cars_test_annos_withlabels.mat".to_owned(), list(false)),
    ];
    files.extend(images.into_iter().map(|image| {
        let folder = if image.is_train {
            "cars_train"
        } else {
            "cars_test"
        };
        (format!("{folder}/{:05}.jpg", image.number), image.content)
    }));
    files
}

fn cub() -> Files {
    let images = images(90);
    let class = |class: usize| format!("{class:03}.Albatross_{class}");
    let path = |image: &Image| format!("{}/{:04}.jpg", class(image.class), image.number);
    let classes = (1..=CLASSES).map(|number| format!("{number} {}\n", class(number)));
    let mut files = joined(&images, |image| image.number.to_string(), path);
    files.push((
        "classes.txt".to_owned(),
        classes.collect::<String>().into_bytes(),
    ));
    inside(files, "CUB_200_2011")
}

fn nabirds() -> Files {
    let images = images(130);
    let id = |image: &Image| format!("{:08x}-21dc", image.number);
    let path = |image: &Image| format!("{:04}/{:08x}21dc.jpg", image.class, image.number);
    let mut files = joined(&images, id, path);
    let classes =
        b"0 Birds\n1 Common Eider (Adult male)\n2 Oak, Titmouse\n3 Ovenbird\n4 Seen by nobody\n";
    files.push(("classes.txt".to_owned(), classes.to_vec()));
    inside(files, "nabirds")
}

/// The lists that CUB and NABirds have in common, and the images that they name.
fn joined(
    images: &[Image],
    id: impl Fn(&Image) -> String,
    path: impl Fn(&Image) -> String,
) -> Files {
    let mut files = vec![
        (
            "images.txt".to_owned(),
            lines(images, |image| format!("{} {}", id(image), path(image))),
        ),
        (
            "image_class_labels.txt".to_owned(),
            lines(images, |image| format!("{} {}", id(image), image.class)),
        ),
        (
            "train_test_split.txt".to_owned(),
            lines(images, |image| {
                format!("{} {}", id(image), u8::from(image.is_train))
            }),
        ),
    ];
    files.extend(images.iter().map(|image| {
        let name = format!("images/{}", path(image));
        (name, image.content.clone())
    }));
    files
}

fn inside(files: Files, folder: &str) -> Files {
    let inside = |(name, content)| (format!("{folder}/{name}"), content);
    files.into_iter().map(inside).collect()
}

fn dogs() -> Files {
    let images = images(170);
    let path = |image: &Image| {
        format!(
            "n{:08}-Breed/n{:08}_{}.jpg",
            image.class, image.class, image.number
        )
    };
    let list = |is_train| {
        let images = of_split(&images, is_train);
        let names: Vec<_> = images.iter().map(|image| text("", &path(image))).collect();
        let labels = counted("labels", images.iter().map(|image| image.class));
        file(&[compress(&cells("file_list", &names)), compress(&labels)])
    };
    let mut files = vec![
        ("train_list.mat".to_owned(), list(true)),
        ("test_list.mat".to_owned(), list(false)),
    ];
    files.extend(images.iter().map(|image| {
        let name = format!("Images/{}", path(image));
        (name, image.content.clone())
    }));
    files
}

fn flowers() -> Files {
    let images = images(210);
    let numbers_of = |is_train| {
        let images = of_split(&images, is_train).into_iter();
        images.map(|image| image.number).collect::<Vec<_>>()
    };
    let train = numbers_of(true);
    let (first, second) = train.split_at(train.len() / 2);
    let sets = [
        counted("trnid", first.iter().copied()),
        counted("valid", second.iter().copied()),
        counted("tstid", numbers_of(false)),
    ];
    let labels = counted("labels", images.iter().map(|image| image.class));
    let mut files = vec![
        (
            "setid.mat".to_owned(),
            file(&sets.map(|set| compress(&set))),
        ),
        ("imagelabels.mat".to_owned(), file(&[compress(&labels)])),
    ];
    files.extend(images.into_iter().map(|image| {
        let name = format!("jpg/image_{:05}.jpg", image.number);
        (name, image.content)
    }));
    files
}
