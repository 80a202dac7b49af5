//! Between a block's feature map and the features of a head, forward and backward.

use tch::{Kind, Tensor};

use crate::heads::FeatureShape;
use crate::numbers::to_i64;

/// A block's map as features, `[N, C, H, W]` f32, by adaptive average pooling.
pub(super) fn pooled(map: &Tensor, shape: FeatureShape) -> Tensor {
    let sides = [shape.height, shape.width].map(to_i64);
    map.to_kind(Kind::Float).adaptive_avg_pool2d(sides)
}

/// The gradient by a map, from that by what it is pooled to, which `gradient` gives.
pub(super) fn through_the_pool(
    map: &Tensor,
    shape: FeatureShape,
    gradient: &mut dyn FnMut(&Tensor) -> Tensor,
) -> Tensor {
    let map = map.detach().set_requires_grad(true);
    let pooled = pooled(&map, shape);
    let gradient = gradient(&pooled.detach());
    (pooled * gradient).sum(Kind::Float).backward();
    map.grad()
}
