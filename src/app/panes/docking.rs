//! Panels as tiles: where they lie at first, and how they are closed, reopened, maximised and put back.

use egui::containers::menu::MenuButton;
use egui::{Ui, WidgetText};
use egui_tiles::{
    Behavior, Container, Linear, LinearDir, SimplificationOptions, TabState, Tabs, Tile, TileId,
    Tiles, Tree, UiResponse,
};
use serde::{Deserialize, Serialize};

use crate::app::commands::Action;
use crate::app::lab::panels::Panels;
use crate::panel::{self, Stack};

/// One tile: which panel it holds, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tab {
    pub kind: String,
}

/// The tiles, and which of them has the whole window or the keyboard. A small window has an arrangement of its own: fewer
/// columns, so that each can be read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dock {
    tree: Tree<Tab>,
    /// None in what an older version kept.
    #[serde(default = "small_layout")]
    small: Tree<Tab>,
    #[serde(skip)]
    is_small: bool,
    pub maximised: Option<String>,
    /// The panel that keys for panels mean.
    pub focus: String,
}

/// Two layouts are the same wherever the focus is.
impl PartialEq for Dock {
    fn eq(&self, other: &Self) -> bool {
        (&self.tree, &self.small, &self.maximised) == (&other.tree, &other.small, &other.maximised)
    }
}

/// Of a layout that an older version kept.
fn small_layout() -> Tree<Tab> {
    SMALL.layout(Panels::default())
}

/// A column: its share of the width, and its tabs: for each, the stacks that are one there, and its share of the height.
type Column = (f32, &'static [(f32, &'static [Stack])]);

/// Where panels lie at first: columns from left to right, below them the timeline.
struct Plan {
    name: &'static str,
    columns: &'static [Column],
    /// Share of the height.
    foot: f32,
}

const LARGE: Plan = Plan {
    name: "panels",
    columns: &[
        (0.27, &[(0.56, &[Stack::LeftAbove]), (0.44, &[Stack::LeftBelow])]),
        (0.37, &[(0.34, &[Stack::MiddleAbove]), (0.66, &[Stack::MiddleBelow])]),
        (0.36, &[(0.55, &[Stack::RightAbove]), (0.45, &[Stack::RightBelow])]),
    ],
    foot: 0.17,
};

/// In less than this many points three columns of two panels each cannot be read.
const SMALL_BELOW: egui::Vec2 = egui::vec2(1000.0, 600.0);

const SMALL: Plan = Plan {
    name: "panels of a small window",
    columns: &[
        (0.45, &[(1.0, &[Stack::LeftAbove, Stack::LeftBelow])]),
        (
            0.55,
            &[(
                1.0,
                &[Stack::MiddleAbove, Stack::MiddleBelow, Stack::RightAbove, Stack::RightBelow],
            )],
        ),
    ],
    foot: 0.38,
};

impl Plan {
    fn layout(&self, panels: Panels) -> Tree<Tab> {
        let mut tiles = Tiles::default();
        let mut columns = Vec::new();
        for (width, tabbed) in self.columns {
            let mut parts = Vec::new();
            for (height, stacks) in *tabbed {
                parts.push((*height, tabs(&mut tiles, &panels.in_stacks(stacks))));
            }
            columns.push((*width, linear(&mut tiles, LinearDir::Vertical, &parts)));
        }
        let above = linear(&mut tiles, LinearDir::Horizontal, &columns);
        let foot = tabs(&mut tiles, &panels.in_stacks(&[Stack::Foot]));
        let rows = [(1.0 - self.foot, above), (self.foot, foot)];
        let root = linear(&mut tiles, LinearDir::Vertical, &rows);
        Tree::new(egui::Id::unique(self.name), root, tiles)
    }
}

fn tabs(tiles: &mut Tiles<Tab>, names: &[&str]) -> TileId {
    let tab = |name: &&str| tiles.insert_pane(Tab { kind: (*name).to_owned() });
    let panes = names.iter().map(tab).collect();
    tiles.insert_tab_tile(panes)
}

fn linear(tiles: &mut Tiles<Tab>, dir: LinearDir, parts: &[(f32, TileId)]) -> TileId {
    let mut linear = Linear::new(dir, parts.iter().map(|(_, part)| *part).collect());
    for (share, part) in parts {
        linear.shares.set_share(*part, *share);
    }
    tiles.insert_container(Container::Linear(linear))
}

/// Whether the tiles are a tree: each is inside of one other at most.
fn is_tree(tree: &Tree<Tab>) -> bool {
    /// More than there are panels, each in containers of its own.
    const MOST_TILES: usize = 1000;
    let mut seen: Vec<TileId> = Vec::new();
    let mut next: Vec<TileId> = tree.root.into_iter().collect();
    while let Some(id) = next.pop() {
        if seen.contains(&id) || seen.len() == MOST_TILES {
            return false;
        }
        seen.push(id);
        match tree.tiles.get(id) {
            None | Some(Tile::Pane(_)) => {}
            Some(Tile::Container(container)) => next.extend(container.children()),
        }
    }
    tree.tiles.len() <= MOST_TILES
}

impl Dock {
    /// The first layout.
    pub fn new(panels: Panels) -> Self {
        Self {
            tree: LARGE.layout(panels),
            small: SMALL.layout(panels),
            is_small: false,
            maximised: None,
            focus: panel::attention::KIND.name.to_owned(),
        }
    }

    pub fn is_sound(&self) -> bool {
        is_tree(&self.tree) && is_tree(&self.small)
    }

    /// The arrangement that suits the window.
    fn shown(&self) -> &Tree<Tab> {
        if self.is_small { &self.small } else { &self.tree }
    }

    fn shown_mut(&mut self) -> &mut Tree<Tab> {
        if self.is_small { &mut self.small } else { &mut self.tree }
    }

    fn tile(&self, kind: &str) -> Option<TileId> {
        let is = |tile: &Tile<Tab>| matches!(tile, Tile::Pane(pane) if pane.kind == kind);
        self.shown().tiles.iter().find(|(_, tile)| is(tile)).map(|(id, _)| *id)
    }

    pub fn is_open(&self, kind: &str) -> bool {
        self.tile(kind).is_some_and(|id| self.shown().is_visible(id))
    }

    /// Brings a panel to the front, reopening it if need be.
    pub fn show_panel(&mut self, kind: &str) {
        kind.clone_into(&mut self.focus);
        if self.maximised.is_some() {
            self.maximised = Some(kind.to_owned());
        }
        let tile = self.tile(kind);
        let tree = self.shown_mut();
        let Some(tile) = tile else {
            let tile = tree.tiles.insert_pane(Tab { kind: kind.to_owned() });
            match tree.root {
                Some(root) => tree.move_tile_to_container(tile, root, usize::MAX, false),
                None => tree.root = Some(tree.tiles.insert_tab_tile(vec![tile])),
            }
            return;
        };
        tree.set_visible(tile, true);
        tree.make_active(|id, _| id == tile);
    }

    /// Brings a panel that is open to the front of its stack of tabs, and nothing else.
    pub fn bring_forward(&mut self, kind: &str) {
        if let Some(tile) = self.tile(kind).filter(|tile| self.shown().is_visible(*tile)) {
            self.shown_mut().make_active(|id, _| id == tile);
        }
    }

    pub fn close(&mut self, kind: &str) {
        if self.maximised.as_deref() == Some(kind) {
            self.maximised = None;
        }
        if let Some(tile) = self.tile(kind) {
            self.shown_mut().set_visible(tile, false);
        }
    }

    pub fn maximise(&mut self, kind: &str) {
        self.maximised = match &self.maximised {
            Some(_) => None,
            None => Some(kind.to_owned()),
        };
    }

    /// Moves the panel focus to the next open panel.
    pub fn next_panel(&mut self, panels: Panels) {
        let open: Vec<&str> = panels.names().filter(|kind| self.is_open(kind)).collect();
        let at = open.iter().position(|kind| *kind == self.focus);
        if let Some(next) = open.get(at.map_or(0, |i| (i + 1) % open.len())) {
            self.show_panel(next);
        }
    }

    /// Draws all tiles (or the one that is maximised) and each panel through `draw`.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        panels: Panels,
        draw: &mut dyn FnMut(&mut Ui, &str),
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        // Of the window, not of what a banner of sentences leaves: the panels do not change places for that.
        let room = ui.ctx().content_rect().size();
        self.is_small = room.x < SMALL_BELOW.x || room.y < SMALL_BELOW.y;
        if let Some(kind) = self.maximised.clone() {
            ui.horizontal(|ui| {
                ui.strong(panels.title(&kind));
                if ui.button("Put back").on_hover_text("Show all panels again (M).").clicked() {
                    actions.push(Action::Maximise(kind.clone()));
                }
            });
            draw(ui, &kind);
            return actions;
        }
        let (is_small, focus) = (self.is_small, &mut self.focus);
        let tree = if is_small { &mut self.small } else { &mut self.tree };
        tree.ui(&mut Shown { draw, panels, actions: &mut actions, focus, is_small }, ui);
        if tree.active_tiles().is_empty() {
            ui.centered_and_justified(|ui| {
                ui.weak("All panels are closed: the Panels menu reopens them.")
            });
        }
        actions
    }
}

struct Shown<'a> {
    draw: &'a mut dyn FnMut(&mut Ui, &str),
    panels: Panels,
    actions: &'a mut Vec<Action>,
    focus: &'a mut String,
    is_small: bool,
}

impl Behavior<Tab> for Shown<'_> {
    fn pane_ui(&mut self, ui: &mut Ui, _tile: TileId, pane: &mut Tab) -> UiResponse {
        let pressed = ui.input(|i| i.pointer.any_pressed());
        if pressed && ui.rect_contains_pointer(ui.max_rect()) {
            pane.kind.clone_into(self.focus);
        }
        ui.push_id(&pane.kind, |ui| (self.draw)(ui, &pane.kind));
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &Tab) -> WidgetText {
        self.panels.title(&pane.kind).into()
    }

    /// Only the panel in focus has a cross: the other tabs need the room for their names.
    fn is_tab_closable(&self, tiles: &Tiles<Tab>, tile: TileId) -> bool {
        matches!(tiles.get(tile), Some(Tile::Pane(pane)) if pane.kind == *self.focus)
    }

    fn on_tab_button(
        &mut self,
        tiles: &mut Tiles<Tab>,
        tile: TileId,
        button: egui::Response,
    ) -> egui::Response {
        let Some(Tile::Pane(pane)) = tiles.get(tile) else { return button };
        if button.clicked() {
            pane.kind.clone_into(self.focus);
        }
        button.on_hover_ui(|ui| explanation(ui, self.panels, &pane.kind))
    }

    fn on_tab_close(&mut self, tiles: &mut Tiles<Tab>, tile: TileId) -> bool {
        if let Some(Tile::Pane(pane)) = tiles.get(tile) {
            self.actions.push(Action::Close(pane.kind.clone()));
        }
        // Closed means hidden, so that it reopens where it was.
        false
    }

    fn top_bar_right_ui(
        &mut self,
        tiles: &Tiles<Tab>,
        ui: &mut Ui,
        _tile: TileId,
        tabs: &Tabs,
        _scroll: &mut f32,
    ) {
        let active = tabs.active.and_then(|id| tiles.get(id));
        let Some(Tile::Pane(pane)) = active else { return };
        let title = self.panels.title(&pane.kind);
        ui.add_space(4.0);
        let kind = &pane.kind;
        let is_figure = self.panels.figure(kind).is_some();
        let mut buttons = vec![(
            "Expand",
            "Give the whole window to this panel (M).",
            format!("Maximise {title}"),
            Action::Maximise(kind.clone()),
        )];
        if is_figure {
            buttons.push((
                "Save",
                "Save this figure as SVG, PDF, PNG or CSV (Ctrl+S).",
                format!("Save figure {title}"),
                Action::SaveFigure(kind.clone()),
            ));
            buttons.push((
                "Settings",
                "What this panel shows and how.",
                format!("Settings of {title}"),
                Action::Settings(kind.clone()),
            ));
        }
        let row = |ui: &mut Ui| {
            for (text, help, name, action) in buttons {
                let button = ui.add(egui::Button::new(small(text)).frame(false).small());
                if button.on_hover_text(help).accessible_name(name).clicked() {
                    self.actions.push(action);
                }
            }
        };
        // It is there however small the window: who needs it does not look for it in a menu.
        let question = egui::Button::new(small("?")).frame(false).small();
        // A menu sets its text to both edges.
        let left = egui::Layout::top_down(egui::Align::Min);
        let explained = |ui: &mut Ui| ui.with_layout(left, |ui| explanation(ui, self.panels, kind));
        let (question, _) = MenuButton::from_button(question).ui(ui, explained);
        question.on_hover_text("What is this?").accessible_name(format!("What is {title}?"));
        // In a small window the names of the tabs need the room.
        if self.is_small {
            let menu = ui.menu_button(small("More"), row);
            menu.response.accessible_name(format!("More of {title}"));
        } else {
            row(ui);
        }
    }

    fn tab_bar_color(&self, _visuals: &egui::Visuals) -> egui::Color32 {
        // The ground is there already.
        egui::Color32::TRANSPARENT
    }

    fn tab_bg_color(
        &self,
        visuals: &egui::Visuals,
        _tiles: &Tiles<Tab>,
        _tile: TileId,
        state: &TabState,
    ) -> egui::Color32 {
        if state.active { visuals.extreme_bg_color } else { egui::Color32::TRANSPARENT }
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        4.0
    }

    fn resize_stroke(&self, style: &egui::Style, state: egui_tiles::ResizeState) -> egui::Stroke {
        use egui_tiles::ResizeState::{Dragging, Hovering, Idle};
        match state {
            Idle => egui::Stroke::NONE,
            Hovering | Dragging => egui::Stroke::new(2.0, style.visuals.selection.stroke.color),
        }
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..SimplificationOptions::default() }
    }
}

/// What a panel shows, what to look for, and what a click does.
fn explanation(ui: &mut Ui, panels: Panels, name: &str) {
    const WIDTH: f32 = 340.0;
    let words = panels.words(name);
    ui.set_max_width(WIDTH);
    ui.strong(panels.title(name));
    let parts = [("", words.about), ("What to look for", words.look_for), ("A click", words.click)];
    for (title, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
        ui.add_space(3.0);
        if !title.is_empty() {
            ui.label(egui::RichText::new(title).small().weak());
        }
        ui.add(egui::Label::new(text).wrap());
    }
}

fn small(text: &str) -> egui::RichText {
    egui::RichText::new(text).small()
}
