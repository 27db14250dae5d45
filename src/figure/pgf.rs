//! `PGF`/`TikZ`: a page whose text is set by TeX and whose data are read from a table of numbers beside it.

use std::fmt::Write;

use super::color::Color;
use super::composite::Composite;
use super::marks::exists;
use super::page::Page;
use super::scale::{Along, Scale};
use super::scene::{AreaPick, Item, MM_PER_POINT, Scene};
use super::{Anchor, Cloud, Dash, Heat, Mark, Plot, clip, cloud, font, png, provenance};
use crate::base::convert;
use crate::base::error::{Error, Result};
use crate::base::vocab;

/// A page for TeX.
pub struct Pages {
    pub tex: String,
    /// The numbers: columns `x1,y1,x2,y2,…` (and `v1` of a map), one pair for each series, filled up with `nan`.
    pub table: String,
    /// Maps of more cells than TeX can draw, one pixel a cell: PNG files, counted from 1.
    pub images: Vec<Vec<u8>>,
}

/// Options of a series whose points are drawn by code of their own.
const BOXES: &str = "only marks, mark=*, mark size=0pt, scatter";

/// Cells of a map that TeX draws itself.
const MOST_CELLS: usize = 64 * 64;

/// What no name of a file may hold for TeX: it ends a line, a group or a quotation, stands for a parameter, a command or a sign
/// by its number, or becomes one space.
const NOT_FOR_TEX: [&str; 8] = ["%", "#", "{", "}", "\\", "\"", "^^", "  "];

/// # Errors
/// When TeX could not read the files beside a page of that name.
pub fn check_name(name: &str) -> Result<()> {
    let spoils = NOT_FOR_TEX.iter().any(|signs| name.contains(signs));
    // A tilde at the beginning is somebody's home.
    if !spoils && !name.starts_with(['~', ' ']) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "TeX could not read the files beside {}.tex: expected a name without % # {{ }} \\ \" ^^, two spaces in a row and control \
         characters, that does not begin with ~ or a space",
        vocab::plain(name)
    )))
}

/// A file beside a page as TeX names it; the signs of the name are no more than signs.
fn beside(name: &str, ending: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.chars().all(is_plain) {
        return format!("\\mnemoscopepath {name}-tex{ending}");
    }
    format!("\\mnemoscopepath\\detokenize{{{name}}}-tex{ending}")
}

/// Writes a page. `name`: of the `.tex` file without its ending; the table is `NAME-tex.csv`, the images are
/// `NAME-tex-1.png` and so on.
///
/// # Errors
/// When an image cannot be encoded, or as [`check_name`].
pub fn document(drawing: &Composite, page: &Page, name: &str) -> Result<Pages> {
    check_name(name)?;
    let mut bones = drawing.clone();
    let plots = || drawing.parts.iter().flat_map(|part| &part.figure.plots);
    for plot in bones.parts.iter_mut().flat_map(|part| &mut part.figure.plots) {
        let wedges: Vec<Mark> =
            plot.marks.iter().flat_map(|mark| clip::wedges(plot, mark)).collect();
        plot.marks.retain_mut(keep_bones);
        plot.marks.extend(wedges);
    }
    // Axes do not depend on what is drawn in them, so these are the places of the data, too.
    let scene = page.scene(&bones);
    let mut writer = Writer {
        page,
        name,
        out: String::new(),
        columns: Vec::new(),
        images: Vec::new(),
        along: Along::Values,
    };
    writer.head(&scene, drawing.name());
    for (index, plot) in plots().enumerate() {
        let area =
            scene.areas.iter().find(|area| matches!(area.pick, AreaPick::Plot(i) if i == index));
        if let Some(area) = area {
            writer.axis(plot, area.min, area.max)?;
        }
    }
    for item in scene.items.iter().skip(1) {
        writer.item(item);
    }
    writer.out.push_str("\\end{tikzpicture}\n");
    let table = table(&writer.columns);
    Ok(Pages { tex: writer.out, table, images: writer.images })
}

/// Whether a table is one that such a page reads, by its head.
pub fn is_our_table(bytes: &[u8]) -> bool {
    // A page without data has no columns.
    bytes.trim_ascii().is_empty() || bytes.starts_with(b"x1,y1")
}

/// Leaves of a mark what is drawn as it is: of maps and clouds the box around them.
fn keep_bones(mark: &mut Mark) -> bool {
    if matches!(mark, Mark::Heat(_) | Mark::Cloud(_)) {
        *mark = Mark::Heat(Heat::default());
        return true;
    }
    !is_data(mark)
}

/// Whether a mark is read from the table; the others are drawn as they are.
fn is_data(mark: &Mark) -> bool {
    match mark {
        Mark::Line { .. }
        | Mark::Points { .. }
        | Mark::Heat(_)
        | Mark::Bars { .. }
        | Mark::Cloud(_) => true,
        Mark::Rect { .. }
        | Mark::Frame { .. }
        | Mark::Hatch { .. }
        | Mark::Arrow { .. }
        | Mark::Arc { .. }
        | Mark::Text { .. }
        | Mark::Upright { .. }
        | Mark::Wedge { .. }
        | Mark::Cells(_) => false,
    }
}

/// A column of the table.
struct Column {
    name: String,
    values: Vec<f64>,
}

fn table(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    let mut out = names.join(",") + "\n";
    let rows = columns.iter().map(|c| c.values.len()).max().unwrap_or(0);
    for row in 0..rows {
        let values = columns.iter().map(|c| match c.values.get(row) {
            Some(value) if value.is_finite() => value.to_string(),
            _ => "nan".to_owned(),
        });
        out.push_str(&values.collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

struct Writer<'a> {
    page: &'a Page,
    name: &'a str,
    out: String,
    columns: Vec<Column>,
    images: Vec<Vec<u8>>,
    /// How values lie along the x axis of the plot that is written.
    along: Along,
}

impl Writer<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn head(&mut self, scene: &Scene, title: &str) {
        let family = match scene.family.own {
            font::Family::Sans => "\\sffamily",
            font::Family::Serif => "\\rmfamily",
        };
        self.line(&format!("% {}", one_line(title)));
        let beyond = |c: char| c > '\u{17f}' && escaped(c.encode_utf8(&mut [0; 4])).contains(c);
        let texts = scene
            .items
            .iter()
            .filter_map(|item| if let Item::Text { text, .. } = item { Some(text) } else { None });
        if texts.flat_map(|text| text.chars()).any(beyond) {
            self.line("% It has characters beyond Latin: set it with LuaLaTeX or XeLaTeX, in a font that has them.");
        }
        self.line("% \\usepackage{pgfplots,textcomp,amssymb} \\pgfplotsset{compat=1.18} \\usepackage[T1]{fontenc}");
        self.line(
            "% Where this file lies in a folder: \\newcommand\\mnemoscopepath{FOLDER/} before it.",
        );
        self.line("\\providecommand\\mnemoscopepath{}");
        self.line(&format!("\\begin{{tikzpicture}}[x=1mm, y=-1mm, every node/.style={{inner sep=0pt, outer sep=0pt, font={family}}}]"));
        let (width, height) = (mm(scene.width), mm(scene.height));
        self.line(&format!("\\useasboundingbox (0,0) rectangle ({width},{height});"));
        let paper = self.page.style.paper;
        self.line(&format!("\\fill[{}] (0,0) rectangle ({width},{height});", paint("fill", paper)));
    }

    /// The data of a plot between two corners of the page.
    fn axis(&mut self, plot: &Plot, min: [f32; 2], max: [f32; 2]) -> Result<()> {
        if !plot.marks.iter().any(is_data) {
            return Ok(());
        }
        let [x, y] = scales(plot);
        self.along = plot.x.along;
        // TeX knows no such axis: its values are read as they lie along it.
        let ends = match x.along {
            Along::Doublings(_) => (x.warp(x.range.0), x.warp(x.range.1)),
            Along::Values | Along::Logarithms => x.range,
        };
        let range = |(a, b): (f64, f64), name: &str| {
            let backwards = if a > b { format!(", {name} dir=reverse") } else { String::new() };
            format!("{name}min={}, {name}max={}{backwards}", a.min(b), a.max(b))
        };
        let log = |along: Along, name: &str| match along {
            Along::Logarithms => format!(", {name}mode=log"),
            Along::Values | Along::Doublings(_) => String::new(),
        };
        let options = format!(
            "at={{({}mm,{}mm)}}, anchor=north west, scale only axis, width={}mm, height={}mm, hide axis, {}, {}{}{}, unbounded coords=jump, clip mode=individual",
            mm(min[0]),
            decimal(-min[1] * MM_PER_POINT),
            mm(max[0] - min[0]),
            mm(max[1] - min[1]),
            range(ends, "x"),
            range(y.range, "y"),
            log(plot.x.along, "x"),
            log(plot.y.along, "y"),
        );
        // The axis has coordinates of its own, upwards.
        self.line("\\begin{scope}[x=1mm, y=1mm]");
        self.line(&format!("\\begin{{axis}}[{options}]"));
        for mark in &plot.marks {
            self.mark(plot, mark)?;
        }
        self.line("\\end{axis}");
        self.line("\\end{scope}");
        Ok(())
    }

    fn mark(&mut self, plot: &Plot, mark: &Mark) -> Result<()> {
        let weight = self.page.style.mark_width;
        let [x, y] = scales(plot);
        match mark {
            Mark::Line { points, color, width, dash, .. } => {
                let dash = match dash.lengths(width * weight) {
                    Some([on, off]) => format!(", dash pattern=on {on}pt off {off}pt"),
                    None => String::new(),
                };
                let table = self.pairs(on_axes(plot, points).into_iter());
                self.line(&format!(
                    "\\addplot[{}, line width={}bp, line join=round, no marks{dash}] {table};",
                    paint("draw", self.shade(*color)),
                    decimal(width * weight)
                ));
            }
            Mark::Points { points, colors, diameter, .. } => {
                // One series for each colour.
                for (color, chosen) in by_color(points, colors, self.page.style.ink) {
                    let shown =
                        chosen.into_iter().filter(|[a, b]| x.contains(*a) && y.contains(*b));
                    let table = self.pairs(shown);
                    self.discs(color, *diameter, &table);
                }
            }
            Mark::Bars { at, values, base, width, color, .. } => {
                // What is higher than the axis ends with it.
                let (low, high) = (y.range.0.min(y.range.1), y.range.0.max(y.range.1));
                let end = |value: &f64| value.clamp(low, high);
                let table = self.pairs(at.iter().zip(values).map(|(x, y)| [*x, end(y)]));
                let number = self.series();
                let fill = paint("fill", self.shade(*color));
                self.line(&format!(
                    "\\addplot[{BOXES}, scatter src=y, visualization depends on={{\\thisrow{{y{number}}}\\as\\barvalue}}, \
                     scatter/@pre marker code/.append code={{\\path[draw=none, {fill}] (axis direction cs:{},{base}-\\barvalue) rectangle (axis direction cs:{},0);}}] {table};",
                    -width / 2.0,
                    width / 2.0,
                ));
            }
            Mark::Heat(heat) => self.heat(heat)?,
            Mark::Cloud(cloud) => self.cloud(plot, cloud),
            // These lie over the axes and are drawn with the page.
            Mark::Rect { .. }
            | Mark::Frame { .. }
            | Mark::Hatch { .. }
            | Mark::Arrow { .. }
            | Mark::Arc { .. }
            | Mark::Text { .. }
            | Mark::Upright { .. }
            | Mark::Wedge { .. }
            | Mark::Cells(_) => {}
        }
        Ok(())
    }

    fn discs(&mut self, color: Color, diameter: f32, table: &str) {
        self.line(&format!(
            "\\addplot[only marks, mark=*, mark size={}bp, mark options={{draw opacity=0, {}}}] {table};",
            decimal(diameter / 2.0),
            paint("fill", self.shade(color)),
        ));
    }

    /// The cloud as it lies on the page: its discs in the plane of the axes.
    fn cloud(&mut self, plot: &Plot, cloud: &Cloud) {
        let projected = cloud::project(&cloud.points, &cloud.basis, cloud.dims);
        let order = cloud::order(cloud, &projected, &cloud::UNTURNED);
        let place = |i: &u32| {
            let [x, y, _] = projected[*i as usize].map(f64::from);
            [x, y]
        };
        let points: Vec<[f64; 2]> = order.iter().map(place).collect();
        let colors: Vec<Color> = order
            .iter()
            .map(|i| cloud.colors.get(*i as usize).copied().unwrap_or(self.page.style.ink))
            .collect();
        let inside = |p: &[f64; 2]| {
            let between = |v: f64, (a, b): (f64, f64)| v >= a.min(b) && v <= a.max(b);
            between(p[0], plot.x.range) && between(p[1], plot.y.range)
        };
        let (points, colors): (Vec<[f64; 2]>, Vec<Color>) =
            points.into_iter().zip(colors).filter(|(p, _)| inside(p)).unzip();
        for (color, chosen) in by_color(&points, &colors, self.page.style.ink) {
            let table = self.pairs(chosen.into_iter());
            self.discs(color, cloud.diameter, &table);
        }
    }

    fn heat(&mut self, heat: &Heat) -> Result<()> {
        if heat.rows * heat.columns > MOST_CELLS {
            return self.picture(heat);
        }
        let there = |i: &usize| exists(heat, i / heat.columns, i % heat.columns);
        let cells: Vec<usize> = (0..heat.rows * heat.columns).filter(there).collect();
        let middle = |i: usize| [heat.x(i % heat.columns) + 0.5, (i / heat.columns) as f64 + 0.5];
        let table = self.pairs(cells.iter().map(|i| middle(*i)));
        let number = self.series();
        let value = |i: &usize| f64::from(heat.values[*i]);
        let place = |i: &usize| heat.shade(i / heat.columns, i % heat.columns);
        let shade = |i: &usize| f64::from(place(i).clamp(0.0, 1.0));
        // The colour of a cell is its place on the scale; its value stands beside it for the reader.
        let (shades, values) =
            (cells.iter().map(shade).collect(), cells.iter().map(value).collect());
        self.columns.push(Column { name: format!("c{number}"), values: shades });
        self.columns.push(Column { name: format!("v{number}"), values });
        let map = colormap(heat, |c| self.shade(c));
        let table = table.replace("] {", &format!(", meta=c{number}] {{"));
        // A little more than a cell, so that no paper shines through between two.
        self.line(&format!(
            "\\addplot[{BOXES}, scatter src=explicit, point meta min=0, point meta max=1, {map}, scatter/use mapped color={{draw=none, fill=mapped color}}, \
             scatter/@pre marker code/.append code={{\\path[draw=none, fill=mapped color] (axis direction cs:-0.51,-0.51) rectangle (axis direction cs:0.51,0.51);}}] {table};",
        ));
        Ok(())
    }

    /// A map as a picture of one pixel a cell.
    fn picture(&mut self, heat: &Heat) -> Result<()> {
        let mut rgba = Vec::with_capacity(heat.rows * heat.columns * 4);
        for i in 0..heat.rows * heat.columns {
            let color = super::marks::cell_color(heat, i / heat.columns, i % heat.columns);
            let color = self.shade(color);
            rgba.extend([color.r, color.g, color.b, color.a]);
        }
        let provenance = self.page.provenance.to_json();
        let texts = [(provenance::KEYWORD, provenance.as_str())];
        let (columns, rows) = (convert::id(heat.columns), convert::id(heat.rows));
        self.images.push(png::encode(&rgba, columns, rows, None, &texts)?);
        self.line(&format!(
            "\\addplot graphics[xmin={}, xmax={}, ymin={}, ymax=0, includegraphics={{interpolate=false}}] {{{}}};",
            heat.x(0),
            heat.x(heat.columns),
            heat.rows,
            beside(self.name, &format!("-{}.png", self.images.len()))
        ));
        Ok(())
    }

    /// Series in the table.
    fn series(&self) -> usize {
        self.columns.iter().filter(|column| column.name.starts_with('x')).count()
    }

    /// Adds a series to the table; how it is read back.
    fn pairs(&mut self, points: impl Iterator<Item = [f64; 2]>) -> String {
        let (x, y): (Vec<f64>, Vec<f64>) = points.map(|[x, y]| (x, y)).unzip();
        let number = self.series() + 1;
        self.columns.push(Column { name: format!("x{number}"), values: x });
        self.columns.push(Column { name: format!("y{number}"), values: y });
        let file = beside(self.name, ".csv");
        // Tables, and no pictures, are read by a primitive that stops at a space.
        let file = if self.name.contains(' ') { format!("\"{file}\"") } else { file };
        let x = match self.along {
            Along::Values | Along::Logarithms => format!("x=x{number}"),
            Along::Doublings(first) => {
                let times = format!("\\thisrow{{x{number}}}/{first}");
                format!("x expr={{min({times}, 1) + ln(max({times}, 1))/ln(2)}}")
            }
        };
        format!("table[col sep=comma, {x}, y=y{number}] {{{file}}}")
    }

    fn shade(&self, color: Color) -> Color {
        if self.page.grey { super::grey::grey(color) } else { color }
    }

    /// What is not data, as it lies on the page.
    fn item(&mut self, item: &Item) {
        match item {
            Item::Rect { min, max, fill, stroke } => {
                let mut options = Vec::new();
                options.extend(fill.map(|c| paint("fill", c)));
                options
                    .extend(stroke.map(|(c, w)| {
                        format!("{}, line width={}bp", paint("draw", c), decimal(w))
                    }));
                let options = options.join(", ");
                self.line(&format!("\\path[{options}] {} rectangle {};", at(*min), at(*max)));
            }
            Item::Polyline { points, color, width, dash } => {
                let dash = match dash.lengths(*width) {
                    Some([on, off]) if *dash != Dash::Solid => {
                        format!(", dash pattern=on {on}bp off {off}bp")
                    }
                    _ => String::new(),
                };
                let points: Vec<String> = points.iter().map(|p| at(*p)).collect();
                self.line(&format!(
                    "\\draw[{}, line width={}bp, line join=round{dash}] {};",
                    paint("draw", *color),
                    decimal(*width),
                    points.join(" -- ")
                ));
            }
            Item::Circle { center, radius, fill } => {
                let radius = mm(*radius);
                self.line(&format!(
                    "\\fill[{}] {} circle ({radius}mm);",
                    paint("fill", *fill),
                    at(*center)
                ));
            }
            Item::Text { .. } => self.text(item),
            Item::Image { min, max, columns, rows, pixels } => {
                let image = super::cells::Image {
                    min: *min,
                    max: *max,
                    columns: *columns,
                    rows: *rows,
                    pixels,
                };
                for ([min, max], color) in super::cells::rects(&image) {
                    self.line(&format!(
                        "\\fill[{}] {} rectangle {};",
                        paint("fill", color),
                        at(min),
                        at(max)
                    ));
                }
            }
            // Clouds are data.
            Item::Cloud { .. } => {}
            Item::Clip { min, max } => {
                self.line(&format!("\\begin{{scope}}\\clip {} rectangle {};", at(*min), at(*max)));
            }
            Item::Unclip => self.line("\\end{scope}"),
        }
    }

    fn text(&mut self, item: &Item) {
        let Item::Text { at: place, text, size, color, align, upright, bold } = item else {
            return;
        };
        let side = match align {
            Anchor::Left => "base west",
            Anchor::Center => "base",
            Anchor::Right => "base east",
        };
        // The baseline lies below the middle of the capitals; turned, to the right of it.
        let drop = font::MIDDLE * size;
        let (x, y) =
            if *upright { (place[0] + drop, place[1]) } else { (place[0], place[1] + drop) };
        let turn = if *upright { ", rotate=90" } else { "" };
        let weight = if *bold { "\\bfseries " } else { "" };
        let lead = decimal(1.2 * size);
        self.line(&format!(
            "\\node[anchor={side}{turn}, {}] at {} {{\\fontsize{{{}bp}}{{{lead}bp}}\\selectfont {weight}{}}};",
            paint("text", *color),
            at([x, y]),
            decimal(*size),
            escaped(text)
        ));
    }
}

/// A line as far as TeX can draw it: cut where it leaves the axes, for TeX has no place for what lies far outside, with a
/// row of no numbers wherever it has a gap.
fn on_axes(plot: &Plot, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let [x, y] = scales(plot);
    let runs = clip::line(points, [&x, &y], [SLACK; 2]).runs;
    runs.join(&[f64::NAN; 2])
}

fn scales(plot: &Plot) -> [Scale; 2] {
    [&plot.x, &plot.y].map(|axis| Scale::new(axis.range, axis.along, (0.0, 1.0)))
}

/// How far beyond the axes a line is drawn, in parts of them: TeX cuts it at their edge.
const SLACK: f64 = 0.02;

/// The points of each colour, in the order in which the colours first come.
fn by_color(points: &[[f64; 2]], colors: &[Color], ink: Color) -> Vec<(Color, Vec<[f64; 2]>)> {
    let mut groups: Vec<(Color, Vec<[f64; 2]>)> = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let color = colors.get(i).or(colors.last()).copied().unwrap_or(ink);
        match groups.iter_mut().find(|(c, _)| *c == color) {
            Some((_, group)) => group.push(*point),
            None => groups.push((color, vec![*point])),
        }
    }
    groups
}

/// The map of a heat map as pgfplots reads it.
fn colormap(heat: &Heat, shade: impl Fn(Color) -> Color) -> String {
    let colors = heat.map.table().iter().step_by(5).map(|c| {
        let Color { r, g, b, .. } = shade(*c);
        format!("rgb255=({r},{g},{b})")
    });
    let colors: Vec<String> = colors.collect();
    format!("colormap={{{}}}{{{}}}", heat.map.name(), colors.join(" "))
}

/// Where a place of the page lies, in millimetres.
fn at([x, y]: [f32; 2]) -> String {
    format!("({},{})", mm(x), mm(y))
}

fn mm(points: f32) -> String {
    decimal(points * MM_PER_POINT)
}

fn decimal(value: f32) -> String {
    let text = format!("{value:.4}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// A colour as an option of `TikZ`, with its opacity where it has one.
fn paint(option: &str, color: Color) -> String {
    let Color { r, g, b, a } = color;
    let solid = format!("{option}={{rgb,255:red,{r};green,{g};blue,{b}}}");
    if a == 255 {
        return solid;
    }
    format!("{solid}, {option} opacity={}", decimal(f32::from(a) / 255.0))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text for LaTeX: its ten signs as commands, those of this program's own as what TeX has for them.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for c in text.chars() {
        // Two of them would become a quotation mark, or that of another language.
        if before.replace(c) == Some(c) && c == ',' {
            out.push_str("{}");
        }
        match c {
            '\\' => out.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => {
                let _ = write!(out, "\\{c}");
            }
            '^' => out.push_str("\\textasciicircum{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("\\textquotedbl{}"),
            '\'' => out.push_str("\\textquotesingle{}"),
            '`' => out.push_str("\\textasciigrave{}"),
            '-' => out.push_str("{-}"),
            '␣' => out.push_str("\\textvisiblespace{}"),
            '−' => out.push_str("$-$"),
            '→' => out.push_str("$\\rightarrow$"),
            '←' => out.push_str("$\\leftarrow$"),
            '↵' => out.push_str("$\\hookleftarrow$"),
            '×' => out.push_str("$\\times$"),
            '·' => out.push_str("$\\cdot$"),
            '≤' => out.push_str("$\\leq$"),
            '≥' => out.push_str("$\\geq$"),
            '…' => out.push_str("\\ldots{}"),
            '□' => out.push_str("$\\Box$"),
            c if vocab::is_hidden(c) => {}
            c => out.push(c),
        }
    }
    out
}
