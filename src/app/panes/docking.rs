//! Panels as tiles: where they lie at first, and how they are closed, reopened, maximised and put back.

use std::collections::HashMap;

use egui::containers::menu::MenuButton;
use egui::{Ui, WidgetText};
use egui_tiles::{
    Behavior, Container, Linear, LinearDir, SimplificationOptions, TabState, Tabs, Tile, TileId,
    Tiles, Tree, UiResponse,
};
use serde::{Deserialize, Serialize};

use crate::app::commands::{Action, Command};
use crate::app::lab::panels::Panels;
use crate::panel::{self, Stack};

/// One tile: which panel it holds, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tab {
    pub kind: String,
}

/// The tiles, and which of them has the whole window or the keyboard. A window of each size has an arrangement of its own: where
/// there is less room fewer panels are seen at once, so that each can be read.
#[derive(Clone, Serialize, Deserialize)]
pub struct Dock {
    tree: Tree<Tab>,
    /// None in what an older version kept.
    #[serde(default = "medium_layout")]
    medium: Tree<Tab>,
    #[serde(default = "small_layout")]
    small: Tree<Tab>,
    /// For a hall, while something is shown to it.
    #[serde(skip)]
    hall: Option<Tree<Tab>>,
    #[serde(skip)]
    size: Size,
    /// Of each stack of tabs the one in front, and in how many frames it was scrolled to.
    #[serde(skip)]
    revealed: HashMap<TileId, (TileId, u8)>,
    pub maximised: Option<String>,
    /// The panel that keys for panels mean.
    pub focus: String,
    /// Panels that have nothing to show of what is in view: their tabs stay where they are and are not seen.
    #[serde(skip)]
    away: Vec<&'static str>,
    /// Those of them that a hand asked for all the same.
    #[serde(skip)]
    called: Vec<String>,
}

/// Two layouts are the same wherever the focus is, and whoever is shown something.
impl PartialEq for Dock {
    fn eq(&self, other: &Self) -> bool {
        (&self.tree, &self.medium, &self.small) == (&other.tree, &other.medium, &other.small)
            && self.maximised == other.maximised
    }
}

/// Of layouts that an older version kept.
fn small_layout() -> Tree<Tab> {
    SMALL.layout(Panels::default())
}

fn medium_layout() -> Tree<Tab> {
    MEDIUM.layout(Panels::default())
}

/// How much room a window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Size {
    #[default]
    Large,
    Medium,
    Small,
}

impl Size {
    fn of(room: egui::Vec2) -> Self {
        let is_below = |least: egui::Vec2| room.x < least.x || room.y < least.y;
        match () {
            () if is_below(SMALL_BELOW) => Self::Small,
            () if is_below(MEDIUM_BELOW) => Self::Medium,
            () => Self::Large,
        }
    }
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
    foot: 0.18,
};

/// In less than this many points six panels beside each other cannot be read.
const MEDIUM_BELOW: egui::Vec2 = egui::vec2(1360.0, 800.0);

/// Four panels and the timeline: Predictions go behind Tokens, Memories behind Curves.
const MEDIUM: Plan = Plan {
    name: "panels of a window of middle size",
    columns: &[
        (0.30, &[(1.0, &[Stack::LeftAbove, Stack::LeftBelow])]),
        (0.36, &[(0.32, &[Stack::MiddleAbove]), (0.68, &[Stack::MiddleBelow])]),
        (0.34, &[(1.0, &[Stack::RightAbove, Stack::RightBelow])]),
    ],
    foot: 0.25,
};

/// In less than this many points four cannot.
const SMALL_BELOW: egui::Vec2 = egui::vec2(1000.0, 600.0);

/// Tokens, Attention and the timeline; all others behind the first two.
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

/// What a hall sees, without tabs: the text with its arcs above the curves, beside them one picture (a head, or what was made for
/// the task), below all the timeline.
fn hall(picture: &str) -> Tree<Tab> {
    let mut tiles = Tiles::default();
    let names =
        [panel::tokens::KIND.name, panel::curves::KIND.name, picture, panel::timeline::KIND.name];
    let [text, curves, picture, foot] =
        names.map(|name| tiles.insert_pane(Tab { kind: name.to_owned() }));
    let left = linear(&mut tiles, LinearDir::Vertical, &[(0.6, text), (0.4, curves)]);
    let above = linear(&mut tiles, LinearDir::Horizontal, &[(0.54, left), (0.46, picture)]);
    let root = linear(&mut tiles, LinearDir::Vertical, &[(0.71, above), (0.29, foot)]);
    Tree::new(egui::Id::unique("panels for a hall"), root, tiles)
}

/// In a hall these stay where they are.
const HALL_STAYS: [&str; 3] =
    [panel::tokens::KIND.name, panel::curves::KIND.name, panel::timeline::KIND.name];

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
        let mut tree = Tree::new(egui::Id::unique(self.name), root, tiles);
        // As the first frame would: what differs after it, a hand did.
        tree.simplify(&simplified(true));
        tree
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

fn tile_in(tree: &Tree<Tab>, kind: &str) -> Option<TileId> {
    let is = |tile: &Tile<Tab>| matches!(tile, Tile::Pane(pane) if pane.kind == kind);
    tree.tiles.iter().find(|(_, tile)| is(tile)).map(|(id, _)| *id)
}

fn bring_to_front(tree: &mut Tree<Tab>, kind: &str) {
    if let Some(tile) = tile_in(tree, kind).filter(|tile| tree.is_visible(*tile)) {
        tree.make_active(|id, _| id == tile);
    }
}

/// Puts another tab in front where one of these panels is; whether there was such a stack.
fn turn(tiles: &mut Tiles<Tab>, kinds: &[&str]) -> bool {
    let is_away = |tiles: &Tiles<Tab>, id: TileId| match tiles.get(id) {
        Some(Tile::Pane(pane)) => kinds.contains(&pane.kind.as_str()),
        Some(Tile::Container(_)) | None => false,
    };
    let tabs = |tile: &Tile<Tab>| match tile {
        Tile::Container(Container::Tabs(tabs)) => Some(tabs.clone()),
        Tile::Container(_) | Tile::Pane(_) => None,
    };
    let stacks: Vec<(TileId, Tabs)> =
        tiles.iter().filter_map(|(id, tile)| Some((*id, tabs(tile)?))).collect();
    let mut turned = false;
    for (id, stack) in stacks {
        let stays = |id: &&TileId| tiles.is_visible(**id) && !is_away(tiles, **id);
        let next = stack.children.iter().find(stays).copied();
        if let (Some(active), Some(next)) = (stack.active, next)
            && is_away(tiles, active)
            && let Some(Tile::Container(Container::Tabs(tabs))) = tiles.get_mut(id)
        {
            tabs.active = Some(next);
            turned = true;
        }
    }
    turned
}

/// Hides panels, and the stacks in which no other is to be seen: the tiles that were to be seen.
fn put_away(tree: &mut Tree<Tab>, kinds: &[&str]) -> Vec<TileId> {
    let panes: Vec<TileId> = kinds.iter().filter_map(|kind| tile_in(tree, kind)).collect();
    let mut hidden = Vec::new();
    for pane in panes {
        let stack = tree.tiles.parent_of(pane);
        hide(tree, pane, &mut hidden);
        let seen = |id: &&TileId| tree.tiles.is_visible(**id);
        let is_empty = |id: &TileId| match tree.tiles.get(*id) {
            Some(Tile::Container(stack)) => stack.children().filter(seen).count() == 0,
            Some(Tile::Pane(_)) | None => false,
        };
        if let Some(stack) = stack.filter(is_empty) {
            hide(tree, stack, &mut hidden);
        }
    }
    hidden
}

fn hide(tree: &mut Tree<Tab>, tile: TileId, hidden: &mut Vec<TileId>) {
    if tree.is_visible(tile) {
        tree.set_visible(tile, false);
        hidden.push(tile);
    }
}

impl Dock {
    /// The first layout.
    pub fn new(panels: Panels) -> Self {
        Self {
            tree: LARGE.layout(panels),
            medium: MEDIUM.layout(panels),
            small: SMALL.layout(panels),
            hall: None,
            size: Size::default(),
            revealed: HashMap::new(),
            maximised: None,
            focus: panel::attention::KIND.name.to_owned(),
            away: Vec::new(),
            called: Vec::new(),
        }
    }

    /// Panels that have nothing to show of what is in view.
    pub fn away(&self) -> &[&'static str] {
        &self.away
    }

    /// Says which these are now. Where one was in front of others, another is then; true if so.
    pub fn put_away(&mut self, kinds: Vec<&'static str>) -> bool {
        self.called.clear();
        let trees = [&mut self.tree, &mut self.medium, &mut self.small];
        let turned = trees.map(|tree| turn(&mut tree.tiles, &kinds));
        self.away = kinds;
        turned.contains(&true)
    }

    fn is_away(&self, kind: &str) -> bool {
        self.away.contains(&kind) && !self.called.iter().any(|called| called == kind)
    }

    pub fn is_sound(&self) -> bool {
        [&self.tree, &self.medium, &self.small].into_iter().all(is_tree)
    }

    /// The arrangement that suits the window.
    fn shown(&self) -> &Tree<Tab> {
        match (&self.hall, self.size) {
            (Some(hall), _) => hall,
            (None, Size::Large) => &self.tree,
            (None, Size::Medium) => &self.medium,
            (None, Size::Small) => &self.small,
        }
    }

    fn shown_mut(&mut self) -> &mut Tree<Tab> {
        match (&mut self.hall, self.size) {
            (Some(hall), _) => hall,
            (None, Size::Large) => &mut self.tree,
            (None, Size::Medium) => &mut self.medium,
            (None, Size::Small) => &mut self.small,
        }
    }

    /// Lays the panels as in another layout; focus and hall stay.
    pub fn lay_as(&mut self, other: Self) {
        (self.tree, self.medium, self.small) = (other.tree, other.medium, other.small);
        self.maximised = other.maximised;
    }

    /// Whether a hall is shown something.
    pub fn is_presenting(&self) -> bool {
        self.hall.is_some()
    }

    /// Arranges the panels for a hall, around one picture, or as they were.
    pub fn present(&mut self, picture: Option<&str>) {
        self.hall = picture.map(hall);
        self.maximised = None;
    }

    /// Puts a panel in the place of the one picture that a hall sees: one more would leave each too little room. False where no
    /// hall is shown anything, or the panel is there already.
    fn puts_before_hall(&mut self, kind: &str) -> bool {
        let Some(hall) = self.hall.as_mut().filter(|_| !HALL_STAYS.contains(&kind)) else {
            return false;
        };
        let picture = hall.tiles.tiles_mut().find_map(|tile| match tile {
            Tile::Pane(pane) if !HALL_STAYS.contains(&pane.kind.as_str()) => Some(pane),
            Tile::Pane(_) | Tile::Container(_) => None,
        });
        picture.map(|picture| kind.clone_into(&mut picture.kind)).is_some()
    }

    fn tile(&self, kind: &str) -> Option<TileId> {
        tile_in(self.shown(), kind)
    }

    pub fn is_open(&self, kind: &str) -> bool {
        self.tile(kind).is_some_and(|id| self.shown().is_visible(id))
    }

    /// Brings a panel to the front, reopening it if need be.
    pub fn show_panel(&mut self, kind: &str) {
        kind.clone_into(&mut self.focus);
        if self.is_away(kind) {
            self.called.push(kind.to_owned());
        }
        if self.maximised.is_some() {
            self.maximised = Some(kind.to_owned());
        }
        if self.puts_before_hall(kind) {
            return;
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

    /// Brings a panel that is open to the front of its stack of tabs, or before a hall, and nothing else: in windows of each size,
    /// for it may be given another.
    pub fn bring_forward(&mut self, kind: &str) {
        self.bring_forward_beside(kind);
        bring_to_front(&mut self.small, kind);
    }

    /// The same, but in small windows, which show little else than the panel in front.
    pub fn bring_forward_beside(&mut self, kind: &str) {
        self.puts_before_hall(kind);
        bring_to_front(&mut self.tree, kind);
        bring_to_front(&mut self.medium, kind);
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

    /// Keys for panels never mean one that lies behind another.
    fn focus_on_what_is_seen(&mut self) {
        if self.is_seen(&self.focus) {
            return;
        }
        // The one in front of it, where that is known, else the first.
        let hidden = self.tile(&self.focus);
        let tree = self.shown();
        let stack = hidden.and_then(|id| tree.tiles.parent_of(id));
        let kind = |id: &TileId| match tree.tiles.get(*id) {
            Some(Tile::Pane(pane)) => Some(pane.kind.clone()),
            Some(Tile::Container(_)) | None => None,
        };
        let active = tree.active_tiles();
        let beside =
            active.iter().find(|id| tree.tiles.parent_of(**id) == stack && stack.is_some());
        if let Some(seen) = beside.and_then(kind).or_else(|| active.iter().find_map(kind)) {
            self.focus = seen;
        }
    }

    /// Whether a panel is in front of its stack.
    fn is_seen(&self, kind: &str) -> bool {
        !self.is_away(kind)
            && self.tile(kind).is_some_and(|id| self.shown().active_tiles().contains(&id))
    }

    /// Moves the panel focus to the next panel that is seen.
    pub fn next_panel(&mut self, panels: Panels) {
        let open: Vec<&str> = panels.names().filter(|kind| self.is_seen(kind)).collect();
        let at = open.iter().position(|kind| *kind == self.focus);
        if let Some(next) = open.get(at.map_or(0, |i| (i + 1) % open.len())) {
            (*next).clone_into(&mut self.focus);
            if self.maximised.is_some() {
                self.maximised = Some((*next).to_owned());
            }
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
        if std::mem::replace(&mut self.size, Size::of(room)) != self.size {
            self.revealed.clear();
        }
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
        let (is_narrow, has_tabs) = (self.size != Size::Large, self.hall.is_none());
        let mut focus = std::mem::take(&mut self.focus);
        let mut revealed = std::mem::take(&mut self.revealed);
        let away: Vec<&str> =
            self.away.iter().copied().filter(|kind| has_tabs && self.is_away(kind)).collect();
        let tree = self.shown_mut();
        let hidden = put_away(tree, &away);
        let (actions_of, focus_of) = (&mut actions, &mut focus);
        let mut shown = Shown {
            draw,
            panels,
            actions: actions_of,
            focus: focus_of,
            revealed: &mut revealed,
            stack: None,
            is_narrow,
            has_tabs,
        };
        tree.ui(&mut shown, ui);
        let is_empty = tree.active_tiles().is_empty();
        hidden.into_iter().for_each(|tile| tree.set_visible(tile, true));
        (self.focus, self.revealed) = (focus, revealed);
        self.focus_on_what_is_seen();
        if is_empty {
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
    revealed: &'a mut HashMap<TileId, (TileId, u8)>,
    /// The stack of tabs that is being drawn, and which one is in front.
    stack: Option<(TileId, Option<TileId>)>,
    /// The names of the tabs need the room.
    is_narrow: bool,
    /// Not for a hall.
    has_tabs: bool,
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
        self.reveal(tile, &button);
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
        tile: TileId,
        tabs: &Tabs,
        _scroll: &mut f32,
    ) {
        self.stack = Some((tile, tabs.active));
        let active = tabs.active.and_then(|id| tiles.get(id));
        let Some(Tile::Pane(pane)) = active else { return };
        ui.add_space(4.0);
        let (panels, kind) = (self.panels, &pane.kind);
        let title = panels.title(kind);
        // It is there however small the window: who needs it does not look for it in a menu.
        let question = egui::Button::new(small("?")).frame(false).small();
        // A menu sets its text to both edges.
        let left = egui::Layout::top_down(egui::Align::Min);
        let explained = |ui: &mut Ui| ui.with_layout(left, |ui| explanation(ui, panels, kind));
        let (question, _) = MenuButton::from_button(question).ui(ui, explained);
        question.on_hover_text("What is this?").accessible_name(format!("What is {title}?"));
        if self.is_narrow {
            let (actions, names) = (&mut *self.actions, names_in(panels, tiles, tabs));
            let menu = ui.menu_button(small("More"), |ui| {
                buttons(ui, panels, kind, actions);
                ui.separator();
                for name in names {
                    let button = ui.selectable_label(name == kind, small(panels.title(name)));
                    if button.clicked() {
                        actions.push(Action::Do(Command::Show(name)));
                    }
                }
            });
            menu.response
                .on_hover_text("Settings, saving, and all panels that lie here.")
                .accessible_name(format!("More of {title}"));
        } else {
            buttons(ui, panels, kind, self.actions);
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

    /// The panel that keys mean is seen.
    fn tab_outline_stroke(
        &self,
        visuals: &egui::Visuals,
        tiles: &Tiles<Tab>,
        tile: TileId,
        state: &TabState,
    ) -> egui::Stroke {
        match tiles.get(tile) {
            Some(Tile::Pane(pane)) if state.active && pane.kind == *self.focus => {
                egui::Stroke::new(2.0, visuals.selection.stroke.color)
            }
            _ if state.active => egui::Stroke::new(1.0, visuals.widgets.active.bg_fill),
            _ => egui::Stroke::NONE,
        }
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
        simplified(self.has_tabs)
    }
}

impl Shown<'_> {
    /// Scrolls to the tab of a panel that has come to the front, until it stands still: arrows come and take some room.
    fn reveal(&mut self, tile: TileId, button: &egui::Response) {
        const FRAMES: u8 = 4;
        let Some((stack, _)) = self.stack.filter(|(_, active)| *active == Some(tile)) else {
            return;
        };
        let seen = self.revealed.entry(stack).or_insert((tile, 0));
        if seen.0 != tile {
            *seen = (tile, 0);
        }
        if seen.1 < FRAMES {
            seen.1 += 1;
            button.scroll_to_me_animation(None, egui::style::ScrollAnimation::none());
            button.ctx.request_repaint();
        }
    }
}

/// How containers with one child and tabs without any are put together.
fn simplified(has_tabs: bool) -> SimplificationOptions {
    SimplificationOptions { all_panes_must_have_tabs: has_tabs, ..SimplificationOptions::default() }
}

/// The panels of a stack of tabs that are open.
fn names_in(panels: Panels, tiles: &Tiles<Tab>, tabs: &Tabs) -> Vec<&'static str> {
    let open = tabs.children.iter().filter(|id| tiles.is_visible(**id));
    let kinds = open.filter_map(|id| match tiles.get(*id) {
        Some(Tile::Pane(pane)) => Some(&pane.kind),
        Some(Tile::Container(_)) | None => None,
    });
    kinds.filter_map(|kind| panels.names().find(|name| name == kind)).collect()
}

/// What can be done with a panel, from right to left.
fn buttons(ui: &mut Ui, panels: Panels, kind: &str, actions: &mut Vec<Action>) {
    let (title, is_figure) = (panels.title(kind), panels.figure(kind).is_some());
    let all = [
        (
            "Expand",
            "Give the whole window to this panel (M).",
            format!("Maximise {title}"),
            Action::Maximise(kind.to_owned()),
        ),
        (
            "Save",
            "Save this figure as SVG, PDF, PNG or CSV (Ctrl+S).",
            format!("Save figure {title}"),
            Action::SaveFigure(kind.to_owned()),
        ),
        (
            "Settings",
            "What this panel shows and how.",
            format!("Settings of {title}"),
            Action::Settings(kind.to_owned()),
        ),
    ];
    for (text, help, name, action) in all.into_iter().take(if is_figure { 3 } else { 1 }) {
        let button = ui.add(egui::Button::new(small(text)).frame(false).small());
        if button.on_hover_text(help).accessible_name(name).clicked() {
            actions.push(action);
        }
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
