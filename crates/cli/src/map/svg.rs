//! Shapes as SVG 1.1: rectangles, lines, paths and text.

use std::fmt::Write as _;

/// An SVG file that is being written. Coordinates are user units: pixels at normal size.
pub(super) struct Svg {
    body: String,
    width: f64,
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Face {
    Title,
    Text,
    Heading,
    /// Numbers and names: all characters are [`MONO`] wide.
    Mono,
    /// The same, its end at x.
    MonoEnd,
}

/// Width of a character of [`Face::Mono`]. Fonts differ; none that browsers take is wider.
pub(super) const MONO: f64 = 6.7;

impl Svg {
    /// An empty picture so many units wide.
    pub(super) const fn new(width: f64) -> Self {
        Self {
            body: String::new(),
            width,
        }
    }

    /// A filled rectangle with a title that browsers show when the pointer rests on it.
    pub(super) fn rect(&mut self, at: Rect, fill: &str, title: &str) {
        let Rect {
            x,
            y,
            width,
            height,
        } = at;
        let _ = write!(
            self.body,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{}\"",
            escape(fill)
        );
        match title {
            "" => self.body.push_str("/>\n"),
            title => {
                let _ = writeln!(self.body, "><title>{}</title></rect>", escape(title));
            }
        }
    }

    /// A line from one point to another.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{:.2}\" y1=\"{:.2}\" x2=\"{:.2}\" y2=\"{:.2}\" stroke=\"{}\"/>",
            from.0,
            from.1,
            to.0,
            to.1,
            escape(stroke)
        );
    }

    /// An arc above the line `y`, from `from` to `to`, `height` units high at its highest point.
    pub(super) fn arc(
        &mut self,
        from: f64,
        to: f64,
        y: f64,
        height: f64,
        stroke: &str,
        title: &str,
    ) {
        // a cubic is at three quarters of its control points' height
        let control = y - height * 4.0 / 3.0;
        let _ = writeln!(
            self.body,
            "<path d=\"M{from:.2} {y:.2} C{from:.2} {control:.2} {to:.2} {control:.2} {to:.2} {y:.2}\" \
             fill=\"none\" stroke=\"{}\" stroke-opacity=\"0.45\"><title>{}</title></path>",
            escape(stroke),
            escape(title)
        );
    }

    /// Text whose base line begins at a point, or ends there.
    pub(super) fn text(&mut self, x: f64, y: f64, face: Face, text: &str) {
        let class = match face {
            Face::Title => "t",
            Face::Text => "n",
            Face::Heading => "h",
            Face::Mono => "m",
            Face::MonoEnd => "m e",
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{x:.2}\" y=\"{y:.2}\" class=\"{class}\">{}</text>",
            escape(text)
        );
    }

    /// The file, so many units high.
    pub(super) fn finish(self, height: f64, title: &str) -> String {
        let width = self.width;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\">\n\
             <title>{}</title>\n\
             <style>\n\
             text {{ fill: #222; font-family: sans-serif; font-size: 13px; }}\n\
             .t {{ font-size: 20px; font-weight: bold; }}\n\
             .h {{ font-weight: bold; }}\n\
             .m {{ font-family: monospace; font-size: 11px; white-space: pre; }}\n\
             .e {{ text-anchor: end; }}\n\
             </style>\n\
             <defs><pattern id=\"freed\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" \
             patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"8\" fill=\"white\" \
             fill-opacity=\"0.75\"/></pattern></defs>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
             {}</svg>\n",
            escape(title),
            self.body
        )
    }
}

/// What is freed is covered with this.
pub(super) const FREED: &str = "url(#freed)";

/// Text as XML: markup is escaped, and what XML 1.0 (section 2.2, Char) cannot hold is replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Face, Svg, escape};

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
        assert_eq!(escape("a\u{1}b\nc"), "a\u{fffd}b c");
    }

    #[test]
    fn a_file_is_whole() {
        let mut svg = Svg::new(10.0);
        svg.text(1.0, 2.0, Face::Text, "</svg>");
        let file = svg.finish(20.0, "<x>");
        assert!(file.starts_with("<?xml") && file.ends_with("</svg>\n"));
        assert_eq!(file.matches("</svg>").count(), 1);
        assert!(file.contains("<title>&lt;x&gt;</title>"));
    }
}
