//! Names of what is given for a picture and is none that is read, found in its first bytes, with the way out.

/// What the file is that begins with `bytes`, and what to do about it.
pub(super) fn describe(bytes: &[u8]) -> String {
    let read = "JPEG, PNG, BMP and WebP pictures are read";
    let (what, way_out) = name(bytes);
    format!("{what}; {read}: {way_out}")
}

/// A way out for pictures of other formats.
const CONVERT: &str = "convert it to JPEG or PNG";

fn name(bytes: &[u8]) -> (&'static str, &'static str) {
    let from = |start: usize| bytes.get(start..).unwrap_or_default();
    let starts = |start: &[u8]| bytes.starts_with(start);
    if let Some(of_media) = from(4).strip_prefix(b"ftyp") {
        return iso_media(of_media, bytes.first_chunk().map_or(0, |size| u32::from_be_bytes(*size)));
    }
    if bytes.iter().all(|byte| *byte == 0) {
        return ("nothing but zero bytes", "the copy or the disk failed; copy it again");
    }
    let binary: [(&[u8], (&str, &str)); 38] = [
        (b"GIF8", ("a GIF picture", "convert it; of an animation, one frame")),
        (b"II*\0\x10\0\0\0CR", ("a camera's raw picture (CR2)", "export it as JPEG")),
        (b"II*\0", ("a TIFF picture, or a camera's raw picture (DNG, NEF, ARW), which begin alike", CONVERT)),
        (b"MM\0*", ("a TIFF picture, or a camera's raw picture (DNG, NEF), which begin alike", CONVERT)),
        (b"II+\0", ("a BigTIFF picture", CONVERT)),
        (b"MM\0+", ("a BigTIFF picture", CONVERT)),
        (b"II\xBC\x01", ("a JPEG XR picture", CONVERT)),
        (b"FUJIFILMCCD-RAW", ("a camera's raw picture (RAF)", "export it as JPEG")),
        (b"IIRO", ("a camera's raw picture (ORF)", "export it as JPEG")),
        (b"IIRS", ("a camera's raw picture (ORF)", "export it as JPEG")),
        (b"IIU\0", ("a camera's raw picture (RW2)", "export it as JPEG")),
        (b"\xFF\x0A", ("a JPEG XL picture", CONVERT)),
        (b"\0\0\0\x0CJXL ", ("a JPEG XL picture", CONVERT)),
        (b"\0\0\0\x0CjP  ", ("a JPEG 2000 picture", CONVERT)),
        (b"\xFF\x4F\xFF\x51", ("a JPEG 2000 picture", CONVERT)),
        (b"8BPS", ("a Photoshop document (PSD)", "export it as JPEG or PNG")),
        (b"gimp xcf", ("a GIMP document (XCF)", "export it as JPEG or PNG")),
        (b"%PDF", ("a PDF document", "export its pages as pictures")),
        (b"%!PS", ("a PostScript document", "export its pages as pictures")),
        (b"\0\0\x01\0", ("an icon (ICO)", CONVERT)),
        (b"\0\0\x02\0", ("a cursor (CUR)", CONVERT)),
        (b"icns", ("an icon (ICNS)", CONVERT)),
        (b"qoif", ("a QOI picture", CONVERT)),
        (b"DDS ", ("a DDS picture", CONVERT)),
        (b"\x76\x2F\x31\x01", ("an OpenEXR picture", CONVERT)),
        (b"#?RADIANCE", ("a Radiance HDR picture", CONVERT)),
        (b"farbfeld", ("a farbfeld picture", CONVERT)),
        (b"SIMPLE  =", ("a FITS picture", CONVERT)),
        (b"\x1A\x45\xDF\xA3", ("a Matroska or WebM video", VIDEO)),
        (b"FLV", ("a Flash video", VIDEO)),
        (b"\0\0\x01\xBA", ("an MPEG video", VIDEO)),
        (b"\0\x05\x16\x07", ("an AppleDouble file, which macOS leaves beside a picture", "give the picture itself")),
        (b"\x93NUMPY", ("a NumPy array", "save it as PNG")),
        (b"TINCEPT", ("a .tin network", "give it with --model")),
        (b"PK\x03\x04", ("a ZIP archive", "unpack it")),
        (b"\x1F\x8B", ("a gzip file", "unpack it")),
        (b"Rar!", ("a RAR archive", "unpack it")),
        (b"7z\xBC\xAF\x27\x1C", ("a 7z archive", "unpack it")),
    ];
    if let Some((_, found)) = binary.iter().find(|(start, _)| starts(start)) {
        return *found;
    }
    if starts(b"RIFF") {
        return match from(8).first_chunk::<4>() {
            Some(b"AVI ") => ("an AVI video", VIDEO),
            Some(b"WAVE") => ("a sound (WAV)", "give a picture"),
            _ => ("a RIFF file without a picture", CONVERT),
        };
    }
    if from(128).starts_with(b"DICM") {
        return ("a DICOM picture", CONVERT);
    }
    if from(257).starts_with(b"ustar") {
        return ("a tar archive", "unpack it");
    }
    if let Some((b"moov" | b"mdat" | b"wide", _)) = from(4).split_first_chunk() {
        return ("a QuickTime video", VIDEO);
    }
    if let [b'P', b'1'..=b'7', white, ..] = bytes
        && white.is_ascii_whitespace()
    {
        return ("a PNM picture (PBM, PGM, PPM)", CONVERT);
    }
    text(bytes).unwrap_or(("not a picture of a format that is known here, or its first bytes are damaged", CONVERT))
}

const VIDEO: &str = "`tinception camera video:FILE` looks at videos, or cut a frame out of it";

/// What a file of ISO's media format is, as its brands say (ISO/IEC 14496-12, section 4.3).
fn iso_media(brands: &[u8], size: u32) -> (&'static str, &'static str) {
    let end = (size as usize).saturating_sub(8).clamp(4, 128).min(brands.len());
    let has = |brand: &[&[u8; 4]]| brands[..end].as_chunks::<4>().0.iter().any(|found| brand.contains(&found));
    if has(&[b"avif", b"avis"]) {
        ("an AVIF picture", CONVERT)
    } else if has(&[b"crx "]) {
        ("a camera's raw picture (CR3)", "export it as JPEG")
    } else if has(&[b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"]) {
        (
            "a HEIC picture, as iPhones save them",
            "convert it, as `heif-convert photo.heic photo.jpg` does, or let the phone save JPEG (Settings, Camera, \
             Formats, Most Compatible)",
        )
    } else {
        ("a video (MP4, MOV)", VIDEO)
    }
}

/// What a text is.
fn text(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let start = &bytes[..bytes.len().min(1024)];
    let start = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(start).trim_ascii_start();
    if start.starts_with(b"version https://git-lfs.github.com/spec/") {
        return Some(("a Git LFS pointer, not the picture it stands for", "run `git lfs pull`"));
    }
    if start.is_empty() || start.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
        return None;
    }
    let lower = start.to_ascii_lowercase();
    let contains = |word: &[u8]| lower.windows(word.len()).any(|window| window == word);
    let page = [&b"<!doctype html"[..], b"<html", b"<head", b"<body"].iter().any(|tag| lower.starts_with(tag));
    Some(if page {
        ("a web page (HTML), as a failed download leaves", "download the picture again")
    } else if contains(b"<svg") {
        ("an SVG drawing", "export it as PNG")
    } else if lower.starts_with(b"<?xml") {
        ("an XML file", "give a picture")
    } else if str::from_utf8(&start[..start.len().min(512)]).is_ok() {
        ("a text file", "give a picture")
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_named() {
        let media = |brands: &[u8]| [&(8 + brands.len() as u32).to_be_bytes(), &b"ftyp"[..], brands, b"rest"].concat();
        let cases: [(&[u8], &str); 31] = [
            (&media(b"heic\0\0\0\0mif1heic"), "HEIC"),
            (&media(b"mif1\0\0\0\0mif1heix"), "HEIC"),
            (&media(b"mif1\0\0\0\0mif1avif"), "AVIF"),
            (&media(b"avif\0\0\0\0mif1miaf"), "AVIF"),
            (&media(b"isom\0\0\x02\0isomiso2avc1"), "video (MP4, MOV)"),
            (&media(b"qt  \0\0\0\0qt  "), "video (MP4, MOV)"),
            (&media(b"crx \0\0\0\0crx isom"), "CR3"),
            (b"GIF89a\x01\0\x01\0", "GIF"),
            (b"GIF87a", "GIF"),
            (b"II*\0\x08\0\0\0", "TIFF"),
            (b"MM\0*\0\0\0\x08", "TIFF"),
            (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
            (b"\xFF\x0A\xFA", "JPEG XL"),
            (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
            (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
            (b"8BPS\0\x01", "PSD"),
            (b"%PDF-1.7", "PDF"),
            (b"\0\0\x01\0\x01\0", "ICO"),
            (b"qoif\0\0", "QOI"),
            (b"RIFF\0\0\0\0AVI LIST", "AVI"),
            (b"\0\0\0\x08wide\0\0", "QuickTime"),
            (b"\x1A\x45\xDF\xA3\x01", "Matroska"),
            (b"P6\n3 2\n255\n", "PNM"),
            (b"PK\x03\x04\x14", "ZIP"),
            (b"\0\x05\x16\x07\0\x02\0\0", "AppleDouble"),
            (b"<?xml version=\"1.0\"?><svg xmlns=\"x\">", "SVG"),
            (b"\n <!DOCTYPE html><title>404", "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "git lfs pull"),
            (b"Not found", "text file"),
            (b"\0\0\0\0\0\0", "zero bytes"),
            (b"\x01\x02\x03\x04", "not a picture"),
        ];
        for (bytes, word) in cases {
            let said = describe(bytes);
            assert!(said.contains(word), "{word} is missing in: {said}");
            assert!(said.contains("JPEG, PNG, BMP and WebP"), "{said}");
        }
    }

    #[test]
    fn no_beginning_does_harm() {
        for length in 0..40 {
            for fill in 0..=255 {
                describe(&vec![fill; length]);
                describe(&[&[0, 0, 0, fill][..], b"ftyp", &vec![fill; length]].concat());
            }
        }
    }
}
