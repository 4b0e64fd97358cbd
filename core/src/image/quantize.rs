//! Resampled pixels to int8 input, by tables.

use super::ColourOrder;
use crate::error::ImageError;

/// Turns resampled pixels into a network's int8 input, in place, and returns it.
///
/// `pixels` is what [`resample`](super::resample) wrote: NHWC, `order.channels()` bytes a pixel, RGB or luma.
/// `tables` holds 256 entries for each channel of the network, in the network's order: channel `c` of a pixel becomes
/// `tables[256 * c + value]`. For [`ColourOrder::Bgr`] the first table therefore takes the blue values.
///
/// # Errors
/// [`ImageError::TableLength`] unless there are exactly 256 entries per channel, [`ImageError::PartialPixel`] where
/// `pixels` ends inside a pixel.
pub fn quantize_pixels<'a>(
    pixels: &'a mut [u8],
    order: ColourOrder,
    tables: &[i8],
) -> Result<&'a mut [i8], ImageError> {
    match (order, tables.as_chunks::<256>()) {
        (ColourOrder::Grey, ([luma], [])) => {
            for value in pixels.iter_mut() {
                *value = look_up(luma, *value);
            }
        }
        (ColourOrder::Rgb | ColourOrder::Bgr, ([first, second, third], [])) => {
            let (whole, []) = pixels.as_chunks_mut::<3>() else {
                return Err(ImageError::PartialPixel);
            };
            for pixel in whole {
                let [red, green, blue] = *pixel;
                let (start, end) = if order == ColourOrder::Bgr { (blue, red) } else { (red, blue) };
                *pixel = [look_up(first, start), look_up(second, green), look_up(third, end)];
            }
        }
        _ => return Err(ImageError::TableLength { needed: 256 * order.channels().count() }),
    }
    Ok(bytemuck::cast_slice_mut(pixels))
}

fn look_up(table: &[i8; 256], value: u8) -> u8 {
    table[usize::from(value)] as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three tables that differ: identity shifted by 128, its mirror, and a constant.
    fn tables() -> [i8; 768] {
        core::array::from_fn(|index| match index / 256 {
            0 => (index as i32 - 128) as i8,
            1 => (127 - (index as i32 - 256)) as i8,
            _ => 7,
        })
    }

    #[test]
    fn each_channel_has_its_table() {
        let mut pixels = [0, 1, 2, 255, 128, 10];
        assert_eq!(quantize_pixels(&mut pixels, ColourOrder::Rgb, &tables()), Ok(&mut [-128, 126, 7, 127, -1, 7][..]));
    }

    #[test]
    fn bgr_puts_blue_in_the_first_channel() {
        let mut pixels = [0, 1, 2, 255, 128, 10];
        let expected = &mut [-126, 126, 7, -118, -1, 7][..];
        assert_eq!(quantize_pixels(&mut pixels, ColourOrder::Bgr, &tables()), Ok(expected));
    }

    #[test]
    fn grey_has_one_table() {
        let mut pixels = [0, 100, 200, 255];
        let expected = &mut [-128, -28, 72, 127][..];
        assert_eq!(quantize_pixels(&mut pixels, ColourOrder::Grey, &tables()[..256]), Ok(expected));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let tables = tables();
        for order in [ColourOrder::Rgb, ColourOrder::Bgr, ColourOrder::Grey] {
            let needed = 256 * order.channels().count();
            for length in [0, 255, 257, 512, 767, needed - 1] {
                let mut pixels = [0; 6];
                let result = quantize_pixels(&mut pixels, order, &tables[..length]);
                assert_eq!(result, Err(ImageError::TableLength { needed }), "{order:?} {length}");
            }
        }
        let mut pixels = [0; 7];
        let result = quantize_pixels(&mut pixels, ColourOrder::Rgb, &tables);
        assert_eq!(result, Err(ImageError::PartialPixel));
    }
}
