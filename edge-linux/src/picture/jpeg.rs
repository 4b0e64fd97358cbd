//! JPEG: what a file says it is, what decoding it will cost, and libjpeg, which decodes it.

use std::io;
use std::panic::AssertUnwindSafe;

use mozjpeg::{ColorSpace, Decompress};
use tinception_core::image::Size;

use super::{Budget, Rows, TRUNCATED, Turn, damaged};

/// What the markers of a whole JPEG file say (ITU-T T.81, annex B).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headers {
    /// Width and height, before it is turned upright.
    pub(super) size: Size,
    /// How the photo is turned.
    turn: Turn,
    /// Of the frame header's marker, what follows 0xC0: 0 and 1 are sequential, 2 is progressive.
    process: u8,
    /// Bits of a sample.
    precision: u8,
    /// Horizontal and vertical sampling factor of each component.
    sampling: Vec<(u64, u64)>,
    /// Scans of the whole file.
    scans: u64,
    /// Whether the coefficients of the whole picture are held, as they come in more than one scan.
    held: bool,
}

impl Headers {
    /// Walks through the file's segments. `None` where it has no end-of-image marker where its segments say it should be:
    /// decoders fill up with grey what a cut file lacks.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        const START_OF_IMAGE: u8 = 0xD8;
        const END_OF_IMAGE: u8 = 0xD9;
        const START_OF_SCAN: u8 = 0xDA;
        const APPLICATION_1: u8 = 0xE1;
        let mut headers = Self {
            size: Size::new(0, 0),
            turn: Turn::default(),
            process: 0,
            precision: 8,
            sampling: Vec::new(),
            scans: 0,
            held: false,
        };
        let (mut rest, mut has_frame, mut has_exif) = (bytes, false, false);
        loop {
            // Between segments nothing but fill bytes may lie; decoders pass over whatever does.
            let at = rest.iter().position(|byte| *byte == 0xFF)?;
            rest = rest.get(at + 1..).unwrap_or_default();
            let (&marker, after) = rest.split_first()?;
            match marker {
                END_OF_IMAGE => return Some(headers),
                // A fill byte: the next byte may be the marker.
                0xFF => {}
                // A stuffed zero in a scan, restart markers, and the start: no length follows.
                0x00 | 0x01 | 0xD0..=0xD7 | START_OF_IMAGE => rest = after,
                _ => {
                    let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
                    let segment = after.get(2..length).unwrap_or_default();
                    match marker {
                        START_OF_SCAN => {
                            let components = segment.first().copied().unwrap_or_default();
                            headers.held |= headers.scans == 0 && usize::from(components) < headers.sampling.len();
                            headers.scans += 1;
                        }
                        // Frame headers; between them lie tables.
                        0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && !has_frame => {
                            has_frame = true;
                            headers.frame(marker - 0xC0, segment);
                        }
                        APPLICATION_1 if !has_exif => {
                            if let Some(exif) = segment.strip_prefix(b"Exif\0\0") {
                                has_exif = true;
                                headers.turn = Turn::from_exif(exif).unwrap_or_default();
                            }
                        }
                        _ => {}
                    }
                    match after.get(length..) {
                        Some(behind) => rest = behind,
                        // A scan whose data hold a stray marker: its "length" is none.
                        None if headers.scans > 0 => rest = after,
                        None => return None,
                    }
                }
            }
        }
    }

    fn frame(&mut self, process: u8, segment: &[u8]) {
        let Some(([precision, height @ .., w0, w1, _], components)) = segment.split_first_chunk::<6>() else { return };
        let side = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
        self.size = Size::new(side(*w0, *w1), side(height[0], height[1]));
        (self.process, self.precision) = (process, *precision);
        let factors = components.chunks_exact(3).filter_map(|component| component.get(1));
        self.sampling = factors.map(|both| (u64::from(both >> 4), u64::from(both & 15))).collect();
        self.held = self.is_progressive();
    }

    const fn is_progressive(&self) -> bool {
        matches!(self.process, 2 | 6 | 10 | 14)
    }

    /// Bytes of the coefficients that are held while it is decoded: none where a row of blocks goes at once.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        if !self.held {
            return 0;
        }
        let most = |of: fn(&(u64, u64)) -> u64| self.sampling.iter().map(of).max().unwrap_or(1).max(1);
        let (widest, highest) = (most(|factors| factors.0), most(|factors| factors.1));
        let units = |side: u32, factor: u64| u64::from(side).div_ceil(8 * factor);
        let units = units(self.size.width, widest) * units(self.size.height, highest);
        // A block has 64 coefficients of two bytes.
        self.sampling.iter().map(|(across, down)| units * across * down * 128).sum()
    }

    /// Checks what libjpeg would refuse, and what would keep it busy for too long: every scan goes over the whole picture,
    /// and one without data costs nine bytes.
    ///
    /// # Errors
    /// What it is, and what to do.
    pub(crate) fn check(&self, budget: &Budget) -> Result<(), String> {
        let kind = match self.process {
            0..=2 if self.precision == 8 => None,
            0..=2 => Some(format!("a JPEG picture with {} bits", self.precision)),
            3 | 7 | 11 | 15 => Some("a lossless JPEG picture".into()),
            9 | 10 => Some("a JPEG picture with arithmetic coding".into()),
            _ => Some("a hierarchical JPEG picture".into()),
        };
        if let Some(kind) = kind {
            return Err(format!("{kind}, which is not read; save it as an ordinary JPEG"));
        }
        let Size { width, height } = self.size;
        let pixels = u64::from(width) * u64::from(height);
        if self.scans > 1 && self.scans.saturating_mul(pixels) > budget.scanned {
            return Err(format!(
                "a JPEG picture of {width} x {height} pixels in {} scans, which takes too long to decode; save it as an \
                 ordinary JPEG",
                self.scans
            ));
        }
        Ok(())
    }
}

/// Decodes a file row by row.
pub(super) fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    let headers = Headers::read(bytes).ok_or(TRUNCATED)?;
    headers.check(budget)?;
    let (size, turn) = (headers.size, headers.turn);
    let held = bytes.len() as u64 + headers.coefficient_bytes() + rows.bytes(size, turn);
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, turn)?;
    decode_rows(bytes, |y, row| rows.row(y, row)).map_err(damaged)
}

/// Decodes a JPEG with libjpeg, bit for bit what Pillow, PyTorch's loaders and most cameras' viewers show: networks are
/// trained and measured on these pixels, and a borderline picture changes its class for less than one unit.
///
/// `room` makes room for the RGB pixels of a picture of that size, or refuses it. `None` stands for a picture that is CMYK,
/// which libjpeg does not turn into RGB. The caller has checked the [`Headers`].
///
/// # Errors
/// What libjpeg or `room` says. The pixels are then of no use.
#[cfg(feature = "camera")]
pub(crate) fn decode_jpeg<'a>(
    bytes: &[u8],
    room: impl FnOnce(Size) -> Result<&'a mut [u8], &'static str>,
) -> Result<Option<()>, String> {
    with_libjpeg(bytes, |decoder| {
        if has_four_inks(&decoder) {
            return Ok(None);
        }
        let (width, height) = decoder.size();
        let mut started = decoder.rgb()?;
        let pixels = room(Size::new(width as u32, height as u32)).map_err(io::Error::other)?;
        started.read_scanlines_into(pixels)?;
        started.finish()?;
        Ok(Some(()))
    })
}

/// As [`decode_jpeg`], row by row, CMYK pictures too: `take` gets each row's number and its RGB pixels.
fn decode_rows(bytes: &[u8], mut take: impl FnMut(u32, &[u8])) -> Result<(), String> {
    with_libjpeg(bytes, |decoder| {
        let (width, height) = decoder.size();
        let (mut rgb, mut inks) = (vec![0; 3 * width], Vec::new());
        let mut started = if has_four_inks(&decoder) {
            inks.resize(4 * width, 0);
            decoder.to_colorspace(ColorSpace::JCS_CMYK)?
        } else {
            decoder.rgb()?
        };
        for y in 0..height as u32 {
            if inks.is_empty() {
                started.read_scanlines_into(&mut rgb)?;
            } else {
                started.read_scanlines_into(&mut inks)?;
                inks_to_rgb(&inks, &mut rgb);
            }
            take(y, &rgb);
        }
        started.finish()
    })
}

fn has_four_inks(decoder: &Decompress<&[u8]>) -> bool {
    matches!(decoder.color_space(), ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK)
}

/// Turns cyan, magenta, yellow and black into RGB as Pillow does. They are stored inverted, as Adobe began to: 255 is no
/// ink, so that a colour is what its ink and the black let through, `round(ink * black / 255)`.
fn inks_to_rgb(inks: &[u8], rgb: &mut [u8]) {
    for (pixel, &[cyan, magenta, yellow, black]) in rgb.as_chunks_mut().0.iter_mut().zip(inks.as_chunks().0) {
        *pixel = [cyan, magenta, yellow].map(|ink| ((u32::from(ink) * u32::from(black) + 127) / 255) as u8);
    }
}

fn with_libjpeg<T>(bytes: &[u8], decode: impl FnOnce(Decompress<&[u8]>) -> io::Result<T>) -> Result<T, String> {
    // libjpeg reports errors by unwinding, without a message on standard error.
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| decode(Decompress::new_mem(bytes)?)));
    match decoded {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "libjpeg".into())),
    }
}

#[cfg(test)]
mod tests {
    use image::ImageDecoder;
    use image::codecs::jpeg::JpegDecoder;

    use super::*;

    /// A JPEG of four inks, which change smoothly, in this colour space.
    fn four_inks(space: ColorSpace, width: usize, height: usize) -> Vec<u8> {
        let mut encoder = mozjpeg::Compress::new(ColorSpace::JCS_CMYK);
        encoder.set_size(width, height);
        encoder.set_color_space(space);
        encoder.set_quality(95.0);
        let mut encoder = encoder.start_compress(Vec::new()).unwrap();
        let at = |x: usize, y: usize| [x * 5, y * 7, x * 2 + y * 3, 255 - x * 2 - y].map(|ink| ink as u8);
        let inks: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| at(x, y))).collect();
        encoder.write_scanlines(&inks).unwrap();
        encoder.finish().unwrap()
    }

    /// Inks and black let light through one after the other, and a peer's pixels are the same but for how its inverse DCT
    /// rounds.
    #[test]
    fn four_inks_become_the_colours_they_show() {
        for (ink, black) in (0..=255_u8).flat_map(|ink| (0..=255).map(move |black| (ink, black))) {
            let mut rgb = [0; 3];
            inks_to_rgb(&[ink, 255, 0, black], &mut rgb);
            let exact = f64::from(ink) * f64::from(black) / 255.0;
            assert_eq!(rgb, [exact.round() as u8, black, 0], "{ink} {black}");
        }
        for space in [ColorSpace::JCS_CMYK, ColorSpace::JCS_YCCK] {
            let bytes = four_inks(space, 45, 35);
            let mut found = Vec::new();
            decode_rows(&bytes, |y, row| {
                assert_eq!(found.len(), y as usize * 3 * 45);
                found.extend_from_slice(row);
            })
            .unwrap();
            let mut peer = vec![0; 45 * 35 * 3];
            JpegDecoder::new(io::Cursor::new(&bytes)).unwrap().read_image(&mut peer).unwrap();
            let apart = found.iter().zip(&peer).map(|(found, peer)| found.abs_diff(*peer)).max().unwrap();
            assert!(found.len() == peer.len() && apart <= 4, "{space:?}: {apart}");
        }
    }
}
