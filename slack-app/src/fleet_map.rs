//! The fleet as a picture: one square a box, coloured by how it stands, with a legend in words.
//!
//! The font is the system's, by configuration. A character that it lacks is an error: a picture with
//! empty boxes where words should be would look like a fault of the fleet's.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use parking_lot::Mutex;
use resvg::{tiny_skia, usvg};

use crate::{
    home::look,
    i18n::{Lang, fill},
    model::{Look, Overview},
};

const WIDTH: usize = 1200;
const MARGIN: usize = 24;
const LEGEND: usize = 56;
const LARGEST: usize = 44;
const SMALLEST: usize = 6;
const TEXT_SIZE: usize = 22;

/// The files that show the fleet as it was drawn last, one a language.
#[derive(Clone, Default)]
pub struct Maps(Arc<Mutex<Vec<(Lang, u64, String)>>>);

impl Maps {
    pub fn known(&self, lang: Lang, key: u64) -> Option<String> {
        let known = self.0.lock();
        known.iter().find(|(of, what, _)| *of == lang && *what == key).map(|(.., file)| file.clone())
    }

    pub fn remember(&self, lang: Lang, key: u64, file: &str) {
        let mut known = self.0.lock();
        known.retain(|(of, ..)| *of != lang);
        known.push((lang, key, file.to_owned()));
    }
}

/// What a picture shows, so that the same is not drawn twice.
pub fn key(lang: Lang, overview: &Overview) -> u64 {
    let mut hasher = DefaultHasher::new();
    lang.hash(&mut hasher);
    for square in &overview.squares {
        (&square.label, square.look).hash(&mut hasher);
    }
    hasher.finish()
}

/// A PNG.
pub fn draw(lang: Lang, overview: &Overview, font: &Path) -> anyhow::Result<Vec<u8>> {
    let svg = svg(lang, overview);
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    let data = std::fs::read(font).with_context(|| format!("the font {} cannot be read", font.display()))?;
    fonts.load_font_data(data);
    let face = fonts.faces().next().with_context(|| format!("there is no font in {}", font.display()))?;
    let (id, family) = (face.id, face.families.first().map(|(name, _)| name.clone()));
    let missing = fonts.with_face_data(id, |data, index| missing(data, index, &svg.words)).flatten();
    if let Some(missing) = missing {
        bail!("the font {} has no `{missing}`", font.display());
    }
    options.font_family = family.context("the font has no name")?;
    let tree = usvg::Tree::from_str(&svg.text, &options)?;
    let size = tree.size().to_int_size();
    let mut picture = tiny_skia::Pixmap::new(size.width(), size.height()).context("the map has no size")?;
    resvg::render(&tree, tiny_skia::Transform::identity(), &mut picture.as_mut());
    Ok(picture.encode_png()?)
}

struct Svg {
    text: String,
    /// Every word in it, to see whether the font has them.
    words: String,
}

fn svg(lang: Lang, overview: &Overview) -> Svg {
    let words = lang.words();
    let (side, columns) = grid(overview.squares.len());
    let rows = overview.squares.len().div_ceil(columns).max(1);
    let height = MARGIN * 2 + LEGEND + rows * side;
    let mut text = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"><rect width="100%" height="100%" fill="#ffffff"/>"##
    );
    let mut said = String::new();
    let mut x = MARGIN;
    for kind in Look::ALL {
        let count = overview.count(kind);
        if kind == Look::Unknown && count == 0 {
            continue;
        }
        let label = format!("{} {count}", look(words, kind));
        // An ideograph is as wide as it is high.
        let width: usize =
            label.chars().map(|c| if c.is_ascii() { TEXT_SIZE * 3 / 5 } else { TEXT_SIZE }).sum();
        square(&mut text, kind, (x, MARGIN), 24);
        word(&mut text, x + 34, MARGIN + 20, &label);
        said.push_str(&label);
        x += 34 + width + 32;
    }
    let total = fill(words.map_total, &[("count", &overview.squares.len().to_string())]);
    let _ = write!(
        text,
        r##"<text x="{}" y="{}" font-size="{TEXT_SIZE}" text-anchor="end" fill="#1d1c1d">{total}</text>"##,
        WIDTH - MARGIN,
        MARGIN + 20
    );
    said.push_str(&total);
    for (index, one) in overview.squares.iter().enumerate() {
        let place = (MARGIN + index % columns * side, MARGIN + LEGEND + index / columns * side);
        square(&mut text, one.look, place, side - (side / 8).max(1));
    }
    text.push_str("</svg>");
    Svg { text, words: said }
}

/// The side of a square and how many stand in a row: as large as fits on about a square picture.
fn grid(count: usize) -> (usize, usize) {
    let inner = WIDTH - MARGIN * 2;
    let side = (SMALLEST..=LARGEST).rev().find(|side| (inner / side) * (inner / side) >= count);
    let side = side.unwrap_or(SMALLEST);
    (side, inner / side)
}

/// Each look has a colour and a mark, for whoever tells no colours.
fn square(text: &mut String, look: Look, (x, y): (usize, usize), side: usize) {
    let fill = match look {
        Look::Failed => "#d0342c",
        Look::Pending => "#e8a33d",
        Look::Offline => "#7a7f87",
        Look::Online => "#2e9e6b",
        Look::Unknown => "#c9ced6",
    };
    let _ = write!(
        text,
        r#"<rect x="{x}" y="{y}" width="{side}" height="{side}" rx="{}" fill="{fill}"/>"#,
        side / 8
    );
    let (left, right, top, bottom) = (x + side / 4, x + side * 3 / 4, y + side / 4, y + side * 3 / 4);
    let middle = y + side / 2;
    let path = match look {
        Look::Failed => format!("M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}"),
        Look::Pending => format!("M{} {top}L{} {bottom}", x + side / 2, x + side / 2),
        Look::Offline => format!("M{left} {middle}L{right} {middle}"),
        Look::Online | Look::Unknown => return,
    };
    let _ = write!(text, r##"<path d="{path}" stroke="#ffffff" stroke-width="{}"/>"##, (side / 8).max(1));
}

fn word(text: &mut String, x: usize, y: usize, word: &str) {
    let _ = write!(text, r##"<text x="{x}" y="{y}" font-size="{TEXT_SIZE}" fill="#1d1c1d">{word}</text>"##);
}

/// The first character that the face has no picture of.
fn missing(data: &[u8], index: u32, words: &str) -> Option<char> {
    let Ok(face) = ttf_parser::Face::parse(data, index) else {
        return words.chars().next();
    };
    words.chars().find(|c| !c.is_whitespace() && face.glyph_index(*c).is_none())
}

/// Whether the font can be used at all; a configuration that cannot be is told at the start.
pub fn check(font: &Path) -> anyhow::Result<()> {
    for lang in [Lang::Ja, Lang::En] {
        let png = draw(lang, &Overview::default(), font)?;
        ensure!(!png.is_empty(), "the map is empty");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_thousand_boxes_still_fit() {
        for count in [0, 1, 3, 100, 10_000, 60_000] {
            let (side, columns) = grid(count);
            assert!(side * columns <= WIDTH && side >= SMALLEST, "{count}: {side} {columns}");
        }
        assert_eq!(grid(3).0, LARGEST);
    }
}
