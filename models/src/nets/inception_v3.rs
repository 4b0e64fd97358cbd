//! Inception v3: Szegedy et al. 2015, "Rethinking the Inception architecture for computer vision", in the form of
//! torchvision's `inception.py`, whose names its layers have.
//!
//! Modules A to E: A has two 3x3 in a row and a 5x5 over 35x35 pixels, B halves the size, C factorises 7x7 into 1x7
//! and 7x1 over 17x17, D halves again, E splits 3x3 into 1x3 and 3x1 side by side over 8x8.

use tinception_core::shape::{Padding, Window};

use super::NetError;
use super::builder::Builder;
use super::googlenet::same;
use crate::graph::ValueId;

/// A window of stride 2 without padding: how sizes are halved.
const HALVING: Window = Window::square(3, 2);
const HALVING_POOL: [u32; 3] = [3, 2, 0];

/// A window of `rows` x `columns` that keeps the size.
const fn factor(rows: u32, columns: u32) -> Window {
    let (above, beside) = (rows / 2, columns / 2);
    Window {
        kernel_height: rows,
        kernel_width: columns,
        stride_height: 1,
        stride_width: 1,
        padding: Padding { top: above, left: beside, bottom: above, right: beside },
    }
}

pub(super) fn build(builder: &mut Builder<'_>) -> Result<(), NetError> {
    let x = builder.basic("Conv2d_1a_3x3", builder.input(), 32, HALVING)?;
    let x = builder.basic("Conv2d_2a_3x3", x, 32, Window::square(3, 1))?;
    let x = builder.basic("Conv2d_2b_3x3", x, 64, same(3))?;
    let x = builder.max_pool("maxpool1", x, HALVING_POOL, false)?;
    let x = builder.basic("Conv2d_3b_1x1", x, 80, same(1))?;
    let x = builder.basic("Conv2d_4a_3x3", x, 192, Window::square(3, 1))?;
    let x = builder.max_pool("maxpool2", x, HALVING_POOL, false)?;
    let x = module_a(builder, "Mixed_5b", x, 32)?;
    let x = module_a(builder, "Mixed_5c", x, 64)?;
    let x = module_a(builder, "Mixed_5d", x, 64)?;
    let x = module_b(builder, "Mixed_6a", x)?;
    let x = module_c(builder, "Mixed_6b", x, 128)?;
    let x = module_c(builder, "Mixed_6c", x, 160)?;
    let x = module_c(builder, "Mixed_6d", x, 160)?;
    let x = module_c(builder, "Mixed_6e", x, 192)?;
    let x = module_d(builder, "Mixed_7a", x)?;
    let x = module_e(builder, "Mixed_7b", x)?;
    let x = module_e(builder, "Mixed_7c", x)?;
    let x = builder.global_average("avgpool", x)?;
    builder.classifier("fc", x)?;
    Ok(())
}

/// Convolutions in a row, named `MODULE.NAME`.
fn chain(
    builder: &mut Builder<'_>,
    module: &str,
    input: ValueId,
    layers: &[(&str, u32, Window)],
) -> Result<ValueId, NetError> {
    layers
        .iter()
        .try_fold(input, |x, (name, outputs, window)| builder.basic(&format!("{module}.{name}"), x, *outputs, *window))
}

/// A 3x3 average pool whose padding counts, then a 1x1.
fn pool_branch(builder: &mut Builder<'_>, module: &str, input: ValueId, outputs: u32) -> Result<ValueId, NetError> {
    let pooled = builder.average_pool(&format!("{module}.pool"), input, same(3))?;
    builder.basic(&format!("{module}.branch_pool"), pooled, outputs, same(1))
}

fn module_a(builder: &mut Builder<'_>, name: &str, input: ValueId, pool: u32) -> Result<ValueId, NetError> {
    let one = chain(builder, name, input, &[("branch1x1", 64, same(1))])?;
    let five = chain(builder, name, input, &[("branch5x5_1", 48, same(1)), ("branch5x5_2", 64, same(5))])?;
    let double = [("branch3x3dbl_1", 64, same(1)), ("branch3x3dbl_2", 96, same(3)), ("branch3x3dbl_3", 96, same(3))];
    let double = chain(builder, name, input, &double)?;
    let pool = pool_branch(builder, name, input, pool)?;
    Ok(builder.concat(name, vec![one, five, double, pool]))
}

fn module_b(builder: &mut Builder<'_>, name: &str, input: ValueId) -> Result<ValueId, NetError> {
    let three = chain(builder, name, input, &[("branch3x3", 384, HALVING)])?;
    let double = [("branch3x3dbl_1", 64, same(1)), ("branch3x3dbl_2", 96, same(3)), ("branch3x3dbl_3", 96, HALVING)];
    let double = chain(builder, name, input, &double)?;
    let pool = builder.max_pool(&format!("{name}.branch_pool"), input, HALVING_POOL, false)?;
    Ok(builder.concat(name, vec![three, double, pool]))
}

fn module_c(builder: &mut Builder<'_>, name: &str, input: ValueId, inner: u32) -> Result<ValueId, NetError> {
    let (row, column) = (factor(1, 7), factor(7, 1));
    let one = chain(builder, name, input, &[("branch1x1", 192, same(1))])?;
    let seven = [("branch7x7_1", inner, same(1)), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)];
    let seven = chain(builder, name, input, &seven)?;
    let double = [
        ("branch7x7dbl_1", inner, same(1)),
        ("branch7x7dbl_2", inner, column),
        ("branch7x7dbl_3", inner, row),
        ("branch7x7dbl_4", inner, column),
        ("branch7x7dbl_5", 192, row),
    ];
    let double = chain(builder, name, input, &double)?;
    let pool = pool_branch(builder, name, input, 192)?;
    Ok(builder.concat(name, vec![one, seven, double, pool]))
}

fn module_d(builder: &mut Builder<'_>, name: &str, input: ValueId) -> Result<ValueId, NetError> {
    let three = chain(builder, name, input, &[("branch3x3_1", 192, same(1)), ("branch3x3_2", 320, HALVING)])?;
    let seven = [
        ("branch7x7x3_1", 192, same(1)),
        ("branch7x7x3_2", 192, factor(1, 7)),
        ("branch7x7x3_3", 192, factor(7, 1)),
        ("branch7x7x3_4", 192, HALVING),
    ];
    let seven = chain(builder, name, input, &seven)?;
    let pool = builder.max_pool(&format!("{name}.branch_pool"), input, HALVING_POOL, false)?;
    Ok(builder.concat(name, vec![three, seven, pool]))
}

fn module_e(builder: &mut Builder<'_>, name: &str, input: ValueId) -> Result<ValueId, NetError> {
    let one = chain(builder, name, input, &[("branch1x1", 320, same(1))])?;
    let three = chain(builder, name, input, &[("branch3x3_1", 384, same(1))])?;
    let three = split(builder, name, three, ["branch3x3_2a", "branch3x3_2b", "branch3x3_2"])?;
    let double = chain(builder, name, input, &[("branch3x3dbl_1", 448, same(1)), ("branch3x3dbl_2", 384, same(3))])?;
    let double = split(builder, name, double, ["branch3x3dbl_3a", "branch3x3dbl_3b", "branch3x3dbl_3"])?;
    let pool = pool_branch(builder, name, input, 192)?;
    Ok(builder.concat(name, vec![one, three, double, pool]))
}

/// 1x3 and 3x1 side by side, joined.
fn split(
    builder: &mut Builder<'_>,
    module: &str,
    input: ValueId,
    [row, column, joined]: [&str; 3],
) -> Result<ValueId, NetError> {
    let row = chain(builder, module, input, &[(row, 384, factor(1, 3))])?;
    let column = chain(builder, module, input, &[(column, 384, factor(3, 1))])?;
    Ok(builder.concat(&format!("{module}.{joined}"), vec![row, column]))
}
