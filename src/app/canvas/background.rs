//! The ground of the window: it is cleared to the colour of paper, and what is not paper is painted.
//!
//! A software renderer pays for every pixel that is painted, and most of the window is paper under figures.

use egui::{Color32, Mesh, Rect, Shape, Ui, layers::ShapeIdx, pos2};

/// A place in the order of painting, under everything that is drawn later.
pub fn reserve(ui: &Ui) -> ShapeIdx {
    ui.painter().add(Shape::Noop)
}

/// Paints what of the window no paper covers.
pub fn paint(ui: &Ui, at: ShapeIdx, window: Rect, papers: &[Rect], color: Color32) {
    let mut mesh = Mesh::default();
    for part in around(window, papers) {
        mesh.add_colored_rect(part, color);
    }
    ui.painter().set(at, Shape::mesh(mesh));
}

/// Rectangles that cover a whole but for the holes in it, and do not overlap.
pub fn around(whole: Rect, holes: &[Rect]) -> Vec<Rect> {
    let holes: Vec<Rect> =
        holes.iter().map(|hole| hole.intersect(whole)).filter(Rect::is_positive).collect();
    let mut edges: Vec<f32> = holes.iter().flat_map(|hole| [hole.top(), hole.bottom()]).collect();
    edges.extend([whole.top(), whole.bottom()]);
    edges.sort_by(f32::total_cmp);
    edges.dedup();
    let mut parts: Vec<Rect> = Vec::new();
    for (top, bottom) in edges.iter().zip(edges.iter().skip(1)) {
        let mut across: Vec<Rect> = holes
            .iter()
            .copied()
            .filter(|hole| hole.top() <= *top && hole.bottom() >= *bottom)
            .collect();
        across.sort_by(|a, b| a.left().total_cmp(&b.left()));
        let mut left = whole.left();
        for hole in across {
            parts.push(Rect::from_min_max(pos2(left, *top), pos2(hole.left(), *bottom)));
            left = left.max(hole.right());
        }
        parts.push(Rect::from_min_max(pos2(left, *top), pos2(whole.right(), *bottom)));
    }
    parts.retain(Rect::is_positive);
    parts
}
