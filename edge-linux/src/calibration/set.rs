//! The pictures that a network is calibrated on: which of them judge, which can't be read, and whether they are fit for it.
//!
//! A range is only as good as the pictures it was seen on, and pictures that chose the ranges think well of them. So a part
//! of the set is held out to judge, and a set is looked at for what makes ranges wrong: too few pictures, many alike, dark
//! ones, one class only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tinception_core::image::Size;

use crate::files::{self, Found};
use crate::output::file_error;

/// One picture in so many is held out to judge, spread evenly over the folder's.
const HELD_OUT: usize = 5;
/// No more than these are held out.
const MOST_HELD_OUT: usize = 100;
/// Fewer different pictures than this are few.
const FEW: usize = 20;
/// So many damaged pictures are named.
const NAMED: usize = 3;
/// Pictures are looked at on a grid of this many cells each way.
const GRID: usize = 8;
/// Pictures whose cells differ by less than this on average, of 255, are alike.
const ALIKE: u32 = 2;
/// Of more pictures than this, the others aren't searched for pictures that are alike.
const COMPARED: usize = 1000;
/// A picture whose cells deviate by less than this from their mean, of 255, shows nothing.
const BLANK: f64 = 4.0;
/// Pixel values, outermost hundredths left out, should span this much of 255.
const SPAN: usize = 128;
/// From this many pictures on, their classes are looked at.
const CLASSES_FROM: usize = 8;

/// Picture files to calibrate on, and what was found out about them.
#[derive(Debug)]
pub(crate) struct CalibrationSet {
    folder: PathBuf,
    found: Found,
    held_out: Vec<bool>,
    damaged: Vec<String>,
    impressions: Vec<[u8; GRID * GRID]>,
    levels: [u64; 256],
    /// How many pictures the float network gives each class to.
    answers: BTreeMap<usize, usize>,
}

impl CalibrationSet {
    /// The pictures of a folder.
    ///
    /// # Errors
    /// A folder that can't be read, or that holds no picture.
    pub(crate) fn find(folder: &Path) -> Result<Self> {
        let found = files::find(folder)?;
        let count = found.pictures.len();
        let judges = if count < 2 { 0 } else { (count / HELD_OUT).clamp(1, MOST_HELD_OUT) };
        let mut held_out = vec![false; count];
        // The middle one of each stretch of pictures, so that it isn't the first of each folder.
        (0..judges).for_each(|index| held_out[(2 * index + 1) * count / (2 * judges)] = true);
        Ok(Self {
            folder: folder.to_owned(),
            found,
            held_out,
            damaged: Vec::new(),
            impressions: Vec::new(),
            levels: [0; 256],
            answers: BTreeMap::new(),
        })
    }

    /// The same pictures, none of them read.
    pub(crate) fn unread(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            found: self.found.clone(),
            held_out: self.held_out.clone(),
            damaged: Vec::new(),
            impressions: Vec::new(),
            levels: [0; 256],
            answers: BTreeMap::new(),
        }
    }

    /// All picture files.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.found.pictures
    }

    /// All picture files, with whether they are held out to judge.
    pub(crate) fn pictures(&self) -> Vec<(PathBuf, bool)> {
        self.found.pictures.iter().cloned().zip(self.held_out.iter().copied()).collect()
    }

    /// Notes a picture that can't be read.
    pub(crate) fn pass_over(&mut self, error: &anyhow::Error) {
        self.damaged.push(format!("{error:#}"));
    }

    /// Notes a picture as the network sees it, and the class that the float network gives it.
    pub(crate) fn look(&mut self, pixels: &[u8], size: Size, answer: usize) {
        pixels.iter().for_each(|value| self.levels[usize::from(*value)] += 1);
        self.impressions.push(impression(pixels, size));
        *self.answers.entry(answer).or_default() += 1;
    }

    /// How many pictures were read.
    pub(crate) fn read(&self) -> usize {
        self.impressions.len()
    }

    /// Refuses a set of which hardly anything could be read.
    ///
    /// # Errors
    /// No picture, or fewer than half of them, could be read.
    pub(crate) fn check(&self) -> Result<()> {
        let (damaged, count) = (self.damaged.len(), self.found.pictures.len());
        match self.damaged.first() {
            Some(first) if self.read() == 0 => {
                Err(file_error(&self.folder, format_args!("none of its {count} pictures can be read: {first}")))
            }
            Some(first) if 2 * damaged > count => Err(file_error(
                &self.folder,
                format_args!("{damaged} of its {count} pictures can't be read, the first of them: {first}"),
            )),
            _ => Ok(()),
        }
    }

    /// What makes the set unfit for a network of so many classes, each with the way out.
    pub(crate) fn warnings(&self, classes: usize) -> Vec<String> {
        let folder = self.folder.display();
        let of_folder = |warning: String| format!("{folder}: {warning}");
        let all = [self.passed_over(), self.unreadable(), self.too_few(), self.too_uniform(), self.one_class(classes)];
        all.into_iter().flatten().map(of_folder).collect()
    }

    fn passed_over(&self) -> Option<String> {
        let (others, all) = (self.found.passed_over(), self.found.passed_over() + self.found.pictures.len());
        (others > 0).then(|| {
            let kinds = self.found.kinds();
            format!(
                "{others} of {all} files were passed over ({kinds}); convert them to JPEG or PNG if they are pictures"
            )
        })
    }

    fn unreadable(&self) -> Option<String> {
        let (damaged, all) = (self.damaged.len(), self.found.pictures.len());
        (damaged > 0).then(|| {
            let named = self.damaged.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
            let more = if damaged > NAMED { format!("; and {} more", damaged - NAMED) } else { String::new() };
            format!("{damaged} of {all} pictures could not be read and were passed over: {named}{more}")
        })
    }

    fn too_few(&self) -> Option<String> {
        let (read, different) = (self.read(), self.different());
        let way_out = "ranges found on so few do not fit others; give a hundred or more that look like those that the network will see";
        if read < FEW {
            return Some(format!("only {read} {} to calibrate on: {way_out}", plural(read)));
        }
        (different < FEW || 2 * different < read).then(|| {
            let looks =
                if different == 1 { "all look alike".into() } else { format!("look like no more than {different}") };
            format!("the {read} pictures {looks}: {way_out}")
        })
    }

    fn too_uniform(&self) -> Option<String> {
        let (low, high) = (self.level(0.01), self.level(0.99));
        let way_out = "give pictures with the light and contrast of those that the network will see";
        if high - low < SPAN {
            let kind = match (high < SPAN, low >= 255 - SPAN) {
                (true, _) => "are dark",
                (_, true) => "are bright",
                _ => "have little contrast",
            };
            return Some(format!(
                "the pictures {kind}: of 0 to 255, nearly all of their pixels are between {low} and {high}; {way_out}"
            ));
        }
        let blank = self.impressions.iter().filter(|cells| deviation(cells) < BLANK).count();
        (2 * blank > self.read()).then(|| format!("{blank} of {} pictures show nothing; {way_out}", self.read()))
    }

    /// The pixel value that a share of all pixels don't exceed.
    fn level(&self, share: f64) -> usize {
        let all: u64 = self.levels.iter().sum();
        let mut below = 0;
        let reaches = |count: &u64| {
            below += count;
            below as f64 >= share * all as f64
        };
        self.levels.iter().position(reaches).unwrap_or_default()
    }

    /// How many pictures differ from those before them.
    fn different(&self) -> usize {
        let mut known: Vec<&[u8; GRID * GRID]> = Vec::new();
        for cells in self.impressions.iter().take(COMPARED) {
            if !known.iter().any(|other| are_alike(cells, other)) {
                known.push(cells);
            }
        }
        known.len() + self.read().saturating_sub(COMPARED)
    }

    fn one_class(&self, classes: usize) -> Option<String> {
        let (class, count) = self.answers.iter().max_by_key(|(_, count)| **count)?;
        // Of two classes one may well be the usual one; of a thousand hardly.
        let usual = (0.6 + 0.8 / classes.max(2) as f64).min(0.95);
        (self.read() >= CLASSES_FROM && *count as f64 > usual * self.read() as f64).then(|| {
            format!(
                "the float network sees one class, number {class}, in {count} of {} pictures; give pictures of every class, or \
                 check the preprocessing",
                self.read()
            )
        })
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "picture" } else { "pictures" }
}

/// The means of a grid's cells over all channels.
fn impression(pixels: &[u8], size: Size) -> [u8; GRID * GRID] {
    let (width, height) = (size.width as usize, size.height as usize);
    let channels = pixels.len() / (width * height).max(1);
    let (mut sums, mut counts) = ([0_u64; GRID * GRID], [0_u64; GRID * GRID]);
    for (index, pixel) in pixels.chunks_exact(channels.max(1)).enumerate() {
        let (y, x) = (index / width.max(1), index % width.max(1));
        let cell = (y * GRID / height.max(1)).min(GRID - 1) * GRID + x * GRID / width.max(1);
        sums[cell] += pixel.iter().copied().map(u64::from).sum::<u64>();
        counts[cell] += channels as u64;
    }
    std::array::from_fn(|cell| (sums[cell] / counts[cell].max(1)) as u8)
}

fn are_alike(a: &[u8; GRID * GRID], b: &[u8; GRID * GRID]) -> bool {
    let distance: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    distance < ALIKE * (GRID * GRID) as u32
}

/// Standard deviation of a grid's cells.
fn deviation(cells: &[u8; GRID * GRID]) -> f64 {
    let count = cells.len() as f64;
    let mean = cells.iter().copied().map(f64::from).sum::<f64>() / count;
    (cells.iter().map(|cell| (f64::from(*cell) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SIZE: Size = Size::new(16, 16);

    /// A set of as many pictures as `pixels` makes, all read, with the classes that `answer` says.
    fn set(
        count: usize,
        pixels: impl Fn(usize, usize, usize) -> u8,
        answer: impl Fn(usize) -> usize,
    ) -> CalibrationSet {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..count {
            fs::write(folder.path().join(format!("{index:03}.png")), "").unwrap();
        }
        let mut set = CalibrationSet::find(folder.path()).unwrap();
        for index in 0..count {
            let picture: Vec<u8> = (0..256).flat_map(|at| [pixels(index, at % 16, at / 16); 3]).collect();
            set.look(&picture, SIZE, answer(index));
        }
        set.check().unwrap();
        set
    }

    /// Pictures with structure, no two alike.
    fn varied(index: usize, x: usize, y: usize) -> u8 {
        ((x * (index % 7 + 3) * 5) ^ (y * (index / 7 + 5) * 3)) as u8
    }

    fn warns(set: &CalibrationSet, words: &[&str]) {
        let warnings = set.warnings(10);
        assert_eq!(warnings.len(), words.len(), "{warnings:?}");
        for (warning, word) in warnings.iter().zip(words) {
            assert!(warning.contains(word), "'{word}' is missing in: {warning}");
        }
    }

    #[test]
    fn a_good_set_is_taken_without_a_word() {
        warns(&set(100, varied, |index| index % 10), &[]);
        warns(&set(20, varied, |index| index % 3), &[]);
    }

    #[test]
    fn few_and_equal_pictures_are_said() {
        for count in [1, 2, 7, 19] {
            warns(&set(count, varied, |index| index % 10), &["to calibrate on: ranges found on so few"]);
        }
        let same = |_, x, y| varied(5, x, y);
        warns(&set(20, same, |index| index % 10), &["the 20 pictures all look alike"]);
        // Noise of one unit makes no other picture.
        let noisy = |index, x: usize, y| varied(5, x, y).saturating_add(((index + x * 3 + y) % 2) as u8);
        warns(&set(50, noisy, |index| index % 10), &["the 50 pictures all look alike"]);
        let three = |index: usize, x, y| varied(index % 3, x, y);
        warns(&set(60, three, |index| index % 10), &["the 60 pictures look like no more than 3"]);
        let half = |index: usize, x, y| varied(index % 24, x, y);
        warns(&set(60, half, |index| index % 10), &["the 60 pictures look like no more than 24"]);
    }

    #[test]
    fn dark_bright_flat_and_blank_pictures_are_said() {
        let answer = |index: usize| index % 10;
        warns(&set(30, |_, _, _| 0, answer), &["all look alike", "are dark"]);
        warns(&set(30, |index, x, y| varied(index, x, y) / 4, answer), &["are dark"]);
        warns(&set(30, |index, x, y| 255 - varied(index, x, y) / 4, answer), &["are bright"]);
        warns(&set(30, |index, x, y| 90 + varied(index, x, y) / 4, answer), &["have little contrast"]);
        warns(&set(30, |index, _, _| (index * 8) as u8, answer), &["30 of 30 pictures show nothing"]);
    }

    #[test]
    fn one_class_is_said() {
        warns(&set(30, varied, |_| 4), &["one class, number 4, in 30 of 30"]);
        warns(&set(40, varied, |index| if index % 4 == 0 { index % 10 } else { 2 }), &["one class, number 2"]);
        let two = set(40, varied, |index| usize::from(index % 8 == 0));
        assert_eq!(two.warnings(2), [""; 0]);
    }

    #[test]
    fn a_fifth_is_held_out_and_spread() {
        let held_out = |count| set(count, varied, |index| index % 10).held_out;
        assert_eq!(held_out(1), [false]);
        assert_eq!(held_out(2), [false, true]);
        assert_eq!(held_out(4), [false, false, true, false]);
        let positions = |count| -> Vec<usize> {
            let held_out = held_out(count);
            (0..count).filter(|index| held_out[*index]).collect()
        };
        assert_eq!(positions(11), [2, 8]);
        assert_eq!(positions(100), (0..20).map(|index| 5 * index + 2).collect::<Vec<_>>());
        assert_eq!(positions(700).len(), 100);
    }

    #[test]
    fn damaged_pictures_are_counted_until_they_are_most() {
        let mut good = set(30, varied, |index| index % 10);
        good.found.pictures.extend((0..5).map(|index| PathBuf::from(format!("bad{index}"))));
        for index in 0..5 {
            good.pass_over(&anyhow::anyhow!("bad{index}: is empty"));
        }
        good.check().unwrap();
        warns(&good, &["5 of 35 pictures could not be read and were passed over: bad0: is empty; bad1"]);
        assert!(good.warnings(10)[0].ends_with("and 2 more"));

        let folder = tempfile::tempdir().unwrap();
        ["a.png", "b.png", "c.png"].iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        let mut bad = CalibrationSet::find(folder.path()).unwrap();
        bad.pass_over(&anyhow::anyhow!("a.png: is empty"));
        bad.pass_over(&anyhow::anyhow!("b.png: is empty"));
        assert!(bad.check().unwrap_err().to_string().contains("none of its 3 pictures can be read: a.png: is empty"));
        bad.look(&[7; 768], SIZE, 0);
        assert!(bad.check().unwrap_err().to_string().contains("2 of its 3 pictures can't be read"));
    }
}
