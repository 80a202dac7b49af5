//! The stages of an Inception-v3: layers, pools and mixed blocks. A mixed block has branches, whose outputs stand behind each other.
//! Everything else (taps, names, costs, the network) is read off this one list.
//!
//! # Reference
//! pytorch/vision v0.26.0: torchvision/models/inception.py (`InceptionA` to `InceptionE`); mseitzer/pytorch-fid@b9c1811:
//! src/pytorch_fid/inception.py, whose pools differ.

use super::config::{Config, SPATIAL_BLOCK};

/// A convolution without a bias, batch normalization and ReLU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name in the checkpoint, such as `Mixed_5b.branch1x1`.
    pub path: String,
    /// Channels that enter.
    pub inputs: u32,
    /// Channels that leave.
    pub outputs: u32,
    /// Height and width of the kernel.
    pub kernel: [u32; 2],
    /// Of both directions.
    pub stride: u32,
    /// Zeros above and below, and left and right.
    pub padding: [u32; 2],
}

/// A pool of 3 × 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The mean of what is within the map: zeros around it are not counted.
    Mean,
    /// The largest; the map keeps its side.
    Largest,
    /// The largest at every other place, without zeros around the map.
    LargestHalved,
}

/// One branch of a mixed block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// What is pooled before the layers.
    pub pool: Option<Pool>,
    /// Layers behind each other; none where the branch only pools.
    pub layers: Vec<Layer>,
    /// Layers that all read what these give, whose outputs stand behind each other; none where the branch ends before.
    pub ends: Vec<Layer>,
}

/// What a tap stands behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A layer.
    Layer(Layer),
    /// A pool, with its name.
    Pool(&'static str),
    /// A mixed block: its name, and its branches.
    Mixed(String, Vec<Branch>),
}

/// A layer as the tables below write it: the end of its name, channels, kernel, and whether it halves the map without padding.
type Written = (&'static str, u32, [u32; 2], bool);

/// A square kernel that keeps the side.
const fn square(name: &'static str, channels: u32, side: u32) -> Written {
    (name, channels, [side, side], false)
}

/// One that halves it.
const fn halving(name: &'static str, channels: u32) -> Written {
    (name, channels, [3, 3], true)
}

/// Makes layers, with the channels that a network has.
struct Maker {
    divisor: u32,
}

impl Maker {
    fn layers(&self, path: &str, inputs: u32, written: &[Written]) -> Vec<Layer> {
        let mut inputs = inputs;
        let layers = written.iter().map(|&(name, channels, kernel, halves)| {
            let outputs = channels / self.divisor;
            let layer = Layer {
                path: format!("{path}.branch{name}"),
                inputs,
                outputs,
                kernel,
                stride: if halves { 2 } else { 1 },
                padding: if halves {
                    [0; 2]
                } else {
                    kernel.map(|side| side / 2)
                },
            };
            inputs = outputs;
            layer
        });
        layers.collect()
    }

    fn branch(&self, path: &str, inputs: u32, written: &[Written]) -> Branch {
        Branch {
            pool: None,
            layers: self.layers(path, inputs, written),
            ends: Vec::new(),
        }
    }

    fn pooled(&self, path: &str, inputs: u32, pool: Pool, channels: u32) -> Branch {
        Branch {
            pool: Some(pool),
            ..self.branch(path, inputs, &[square("_pool", channels, 1)])
        }
    }

    /// A branch that ends in two layers of the same input.
    fn forked(&self, path: &str, inputs: u32, written: &[Written], ends: [Written; 2]) -> Branch {
        let mut branch = self.branch(path, inputs, written);
        let width = branch.layers.last().map_or(inputs, |layer| layer.outputs);
        let ends = ends.iter();
        branch.ends = ends
            .flat_map(|end| self.layers(path, width, std::slice::from_ref(end)))
            .collect();
        branch
    }

    /// `InceptionA`.
    fn a(&self, path: &str, inputs: u32, pooled: u32) -> Vec<Branch> {
        vec![
            self.branch(path, inputs, &[square("1x1", 64, 1)]),
            self.branch(
                path,
                inputs,
                &[square("5x5_1", 48, 1), square("5x5_2", 64, 5)],
            ),
            self.branch(
                path,
                inputs,
                &[
                    square("3x3dbl_1", 64, 1),
                    square("3x3dbl_2", 96, 3),
                    square("3x3dbl_3", 96, 3),
                ],
            ),
            self.pooled(path, inputs, Pool::Mean, pooled),
        ]
    }

    /// `InceptionB`.
    fn b(&self, path: &str, inputs: u32) -> Vec<Branch> {
        let double = [
            square("3x3dbl_1", 64, 1),
            square("3x3dbl_2", 96, 3),
            halving("3x3dbl_3", 96),
        ];
        vec![
            self.branch(path, inputs, &[halving("3x3", 384)]),
            self.branch(path, inputs, &double),
            only_halved(),
        ]
    }

    /// `InceptionC`.
    fn c(&self, path: &str, inputs: u32, inner: u32) -> Vec<Branch> {
        let (across, down) = ([1, 7], [7, 1]);
        let single = [
            square("7x7_1", inner, 1),
            ("7x7_2", inner, across, false),
            ("7x7_3", 192, down, false),
        ];
        let double = [
            square("7x7dbl_1", inner, 1),
            ("7x7dbl_2", inner, down, false),
            ("7x7dbl_3", inner, across, false),
            ("7x7dbl_4", inner, down, false),
            ("7x7dbl_5", 192, across, false),
        ];
        vec![
            self.branch(path, inputs, &[square("1x1", 192, 1)]),
            self.branch(path, inputs, &single),
            self.branch(path, inputs, &double),
            self.pooled(path, inputs, Pool::Mean, 192),
        ]
    }

    /// `InceptionD`.
    fn d(&self, path: &str, inputs: u32) -> Vec<Branch> {
        let long = [
            square("7x7x3_1", 192, 1),
            ("7x7x3_2", 192, [1, 7], false),
            ("7x7x3_3", 192, [7, 1], false),
            halving("7x7x3_4", 192),
        ];
        vec![
            self.branch(
                path,
                inputs,
                &[square("3x3_1", 192, 1), halving("3x3_2", 320)],
            ),
            self.branch(path, inputs, &long),
            only_halved(),
        ]
    }

    /// `InceptionE`, with the pool of one of the two.
    fn e(&self, path: &str, inputs: u32, pool: Pool) -> Vec<Branch> {
        let (across, down) = ([1, 3], [3, 1]);
        let ends = [("3x3_2a", 384, across, false), ("3x3_2b", 384, down, false)];
        let double = [square("3x3dbl_1", 448, 1), square("3x3dbl_2", 384, 3)];
        let double_ends = [
            ("3x3dbl_3a", 384, across, false),
            ("3x3dbl_3b", 384, down, false),
        ];
        vec![
            self.branch(path, inputs, &[square("1x1", 320, 1)]),
            self.forked(path, inputs, &[square("3x3_1", 384, 1)], ends),
            self.forked(path, inputs, &double, double_ends),
            self.pooled(path, inputs, pool, 192),
        ]
    }
}

/// Makes the branches of a mixed block, of its name and the channels that enter.
type Make = fn(&Maker, &str, u32) -> Vec<Branch>;

/// A branch that only pools.
fn only_halved() -> Branch {
    Branch {
        pool: Some(Pool::LargestHalved),
        layers: Vec::new(),
        ends: Vec::new(),
    }
}

/// Channels that leave a mixed block.
pub(super) fn width(branches: &[Branch], inputs: u32) -> u32 {
    let widths = branches.iter().map(|branch| {
        if branch.ends.is_empty() {
            branch.layers.last().map_or(inputs, |layer| layer.outputs)
        } else {
            branch.ends.iter().map(|layer| layer.outputs).sum()
        }
    });
    widths.sum()
}

impl Config {
    /// The stages, in the order of the forward pass.
    pub fn stages(&self) -> Vec<Stage> {
        let maker = Maker {
            divisor: self.channel_divisor.max(1),
        };
        let mut stages = Vec::new();
        let mut inputs = 3;
        // Kernels of the first layers do not pad but where it is said.
        for (path, channels, kernel, stride, padding) in [
            ("Conv2d_1a_3x3", 32, 3, 2, 0),
            ("Conv2d_2a_3x3", 32, 3, 1, 0),
            ("Conv2d_2b_3x3", 64, 3, 1, 1),
            ("maxpool1", 0, 0, 0, 0),
            ("Conv2d_3b_1x1", 80, 1, 1, 0),
            ("Conv2d_4a_3x3", 192, 3, 1, 0),
            ("maxpool2", 0, 0, 0, 0),
        ] {
            if channels == 0 {
                stages.push(Stage::Pool(path));
                continue;
            }
            let outputs = channels / maker.divisor;
            stages.push(Stage::Layer(Layer {
                path: path.to_owned(),
                inputs,
                outputs,
                kernel: [kernel; 2],
                stride,
                padding: [padding; 2],
            }));
            inputs = outputs;
        }
        let mixed: [(&str, Make); 11] = [
            ("Mixed_5b", |maker, path, inputs| maker.a(path, inputs, 32)),
            ("Mixed_5c", |maker, path, inputs| maker.a(path, inputs, 64)),
            ("Mixed_5d", |maker, path, inputs| maker.a(path, inputs, 64)),
            ("Mixed_6a", Maker::b),
            ("Mixed_6b", |maker, path, inputs| maker.c(path, inputs, 128)),
            ("Mixed_6c", |maker, path, inputs| maker.c(path, inputs, 160)),
            (SPATIAL_BLOCK, |maker, path, inputs| {
                maker.c(path, inputs, 160)
            }),
            ("Mixed_6e", |maker, path, inputs| maker.c(path, inputs, 192)),
            ("Mixed_7a", Maker::d),
            ("Mixed_7b", |maker, path, inputs| {
                maker.e(path, inputs, Pool::Mean)
            }),
            ("Mixed_7c", |maker, path, inputs| {
                maker.e(path, inputs, Pool::Largest)
            }),
        ];
        for (path, make) in mixed {
            let branches = make(&maker, path, inputs);
            inputs = width(&branches, inputs);
            stages.push(Stage::Mixed(path.to_owned(), branches));
        }
        stages
    }
}

/// The side of a map behind a pool that halves it.
pub(super) fn halved(side: u32) -> u32 {
    side.saturating_sub(3) / 2 + 1
}

impl Layer {
    /// The side of its output, of an input of a side. Kernels that are not square keep it.
    pub(super) fn side(&self, side: u32) -> u32 {
        (side + 2 * self.padding[0]).saturating_sub(self.kernel[0]) / self.stride + 1
    }

    /// Multiply-adds of one image, of an input of a side.
    pub(super) fn multiply_adds(&self, side: u32) -> u64 {
        let after = self.side(side);
        let [height, width] = self.kernel;
        [self.inputs, self.outputs, height, width, after, after]
            .into_iter()
            .map(u64::from)
            .product()
    }
}
