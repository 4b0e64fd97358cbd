//! Drawings as SVG: bars, and boxes in time.

use std::fmt::Write;

use crate::shorten;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
/// Room below the axis for the names of steps, written upwards.
const BOTTOM: f64 = 190.0;
const INNER_HEIGHT: f64 = 440.0;

/// A bar with its name.
#[cfg(any(feature = "tract", test))]
pub(crate) struct Bar {
    /// Written below it.
    pub(crate) name: String,
    /// Its height, 0 or more.
    pub(crate) value: f64,
}

/// A box that spans steps in x and bytes in y.
pub(crate) struct Span {
    /// Written into it, where it fits, and shown on pointing at it.
    pub(crate) name: String,
    /// First step, and one past the last.
    pub(crate) steps: (usize, usize),
    /// First byte, and one past the last.
    pub(crate) bytes: (u64, u64),
}

/// Bars side by side, one a step.
#[cfg(any(feature = "tract", test))]
pub(crate) fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let largest = bars.iter().map(|bar| bar.value).fold(1.0, f64::max);
    let names: Vec<&str> = bars.iter().map(|bar| bar.name.as_str()).collect();
    let mut drawing = Drawing::new(title, unit, &names, largest);
    for (index, bar) in bars.iter().enumerate() {
        let label = format!("{}: {:.1} {unit}", bar.name, bar.value);
        drawing.rectangle((index as f64 + 0.1, index as f64 + 0.9), (0.0, bar.value), index, &label);
    }
    drawing.finish()
}

/// Boxes over `steps`, from byte 0 to `height`.
pub(crate) fn spans(title: &str, steps: &[&str], height: u64, spans: &[Span]) -> String {
    let mut drawing = Drawing::new(title, "KiB", steps, height as f64 / 1024.0);
    for (index, span) in spans.iter().enumerate() {
        let ((first, last), (low, high)) = (span.steps, span.bytes);
        let label = format!("{}: bytes {low} to {high}, steps {first} to {}", span.name, last.saturating_sub(1));
        let (x, y) = ((first as f64, last as f64), (low as f64 / 1024.0, high as f64 / 1024.0));
        drawing.rectangle(x, y, index, &label);
        drawing.caption(x, y, &span.name);
    }
    drawing.finish()
}

/// A drawing under way: its columns are steps, its y axis runs from 0 to a largest value.
struct Drawing {
    body: String,
    column: f64,
    unit_height: f64,
}

impl Drawing {
    fn new(title: &str, unit: &str, columns: &[&str], largest: f64) -> Self {
        let column = (WIDTH - LEFT - RIGHT) / columns.len().max(1) as f64;
        let mut drawing = Self { body: String::new(), column, unit_height: INNER_HEIGHT / largest.max(1e-9) };
        drawing.text((LEFT, 28.0), "font-size=\"18\"", title);
        for tick in ticks(largest) {
            let y = drawing.y(tick);
            let right = WIDTH - RIGHT;
            drawing
                .push(format_args!("<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"));
            drawing.text((LEFT - 8.0, y + 4.0), "text-anchor=\"end\"", &format!("{tick} {unit}"));
        }
        let size = (column * 0.9).clamp(4.0, 11.0);
        for (index, name) in shorten::names(columns.iter().copied()).iter().enumerate() {
            let (x, y) = (LEFT + (index as f64 + 0.5) * column + size / 3.0, TOP + INNER_HEIGHT + 8.0);
            let turned = format!("text-anchor=\"end\" font-size=\"{size:.1}\" transform=\"rotate(-90 {x:.1} {y:.1})\"");
            drawing.text((x, y), &turned, name);
        }
        drawing
    }

    fn y(&self, value: f64) -> f64 {
        TOP + INNER_HEIGHT - value * self.unit_height
    }

    fn rectangle(&mut self, x: (f64, f64), y: (f64, f64), colour: usize, label: &str) {
        // Steps of the golden angle: neighbours differ.
        let hue = colour * 137 % 360;
        let (left, top) = (LEFT + x.0 * self.column, self.y(y.1));
        let (width, height) = ((x.1 - x.0) * self.column, (y.1 - y.0) * self.unit_height);
        let label = escaped(label);
        self.push(format_args!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"hsl({hue} 60% 75%)\" stroke=\"#555\" stroke-width=\"0.5\"><title>{label}</title></rect>"
        ));
    }

    /// Writes a name into a box if there is room.
    fn caption(&mut self, x: (f64, f64), y: (f64, f64), name: &str) {
        const LETTER: f64 = 5.5;
        let (width, height) = ((x.1 - x.0) * self.column, (y.1 - y.0) * self.unit_height);
        if name.chars().count() as f64 * LETTER < width && height > 11.0 {
            let at = (LEFT + x.0 * self.column + 3.0, self.y((y.0 + y.1) / 2.0) + 3.0);
            self.text(at, "font-size=\"9\"", name);
        }
    }

    fn text(&mut self, (x, y): (f64, f64), attributes: &str, text: &str) {
        let text = escaped(text);
        self.push(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>"));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }

    fn finish(self) -> String {
        let height = TOP + INNER_HEIGHT + BOTTOM;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// Round values from 0 to `largest`, at most about ten.
fn ticks(largest: f64) -> impl Iterator<Item = f64> {
    let rough = (largest / 8.0).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (0..).map(move |index| f64::from(index) * step).take_while(move |tick| *tick <= largest)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(40.0).collect::<Vec<_>>(), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0]);
        assert_eq!(ticks(0.0).next(), Some(0.0));
    }

    #[test]
    fn a_bar_has_its_height_and_its_name_is_escaped() {
        let drawing =
            bars("t", "dB", &[Bar { name: "a<b".into(), value: 20.0 }, Bar { name: "c".into(), value: 40.0 }]);
        assert!(drawing.contains("height=\"220.0\"") && drawing.contains("height=\"440.0\""), "{drawing}");
        assert!(drawing.contains("a&lt;b") && !drawing.contains("a<b"));
    }

    #[test]
    fn a_span_lies_where_its_bytes_and_steps_say() {
        let span = Span { name: "x".into(), steps: (1, 2), bytes: (1024, 2048) };
        let drawing = spans("t", &["p", "q"], 4096, &[span]);
        // A column is (1200 - 90 - 20) / 2 wide; y runs upwards from 490, 110 a KiB.
        assert!(drawing.contains("<rect x=\"635.0\" y=\"270.0\" width=\"545.0\" height=\"110.0\""), "{drawing}");
    }
}
