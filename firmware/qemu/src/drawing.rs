//! Pictures for machines without a camera, as one that bins its pixels would send them.

/// Width and height.
pub const SIDE: usize = 80;

/// A colour of five, six and five bits for each row and column.
pub type Drawing = fn(u16, u16) -> [u16; 3];

/// Name and colours of each drawing.
pub const DRAWINGS: [(&str, Drawing); 3] = [
    ("gradient", |y, x| [x * 31 / 79, y * 63 / 79, (x + y) * 31 / 158]),
    ("squares", |y, x| if (x / 10 + y / 10) % 2 == 0 { [31, 60, 4] } else { [3, 9, 26] }),
    ("disc", |y, x| {
        let (dy, dx) = (i32::from(y) - 40, i32::from(x) - 36);
        if dy * dy + dx * dx < 625 { [28, 20, 6] } else { [9, 30, y * 31 / 79] }
    }),
];

/// Draws: two bytes a pixel, the high one first.
pub fn draw(pixel: Drawing, frame: &mut [u8; SIDE * SIDE * 2]) {
    for (y, row) in (0..).zip(frame.as_chunks_mut::<{ SIDE * 2 }>().0) {
        for (x, bytes) in (0..).zip(row.as_chunks_mut().0) {
            let [red, green, blue] = pixel(y, x);
            *bytes = (red << 11 | green << 5 | blue).to_be_bytes();
        }
    }
}
