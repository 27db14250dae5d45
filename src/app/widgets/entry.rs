//! Fields that are typed into: what stands in them is taken when they are left, and what cannot be taken is said below them.

use std::cell::RefCell;

use egui::{
    Context, DragValue, Key, Label, Response, RichText, Slider, SliderClamping, TextEdit, Ui,
};

use crate::base::number::{Bounds, spelled};

/// What was typed and not taken, as long as the field keeps the value that it had then.
#[derive(Clone)]
struct Refusal {
    sentence: String,
    kept: String,
}

impl Refusal {
    fn in_words(&self) -> String {
        let Self { sentence, kept } = self;
        if kept.is_empty() { sentence.clone() } else { format!("{sentence}; {kept} stays") }
    }
}

/// How a number is changed by a pointer.
#[derive(Clone, Copy)]
pub enum Pull {
    /// Along a rail; on a logarithmic scale.
    Rail { log: bool },
    /// By the field itself, so much for each point.
    Field { speed: f64, unit: &'static str },
}

/// A number that is pulled by a pointer or typed.
pub fn number(ui: &mut Ui, value: &mut f64, bounds: Bounds, pull: Pull) -> Response {
    let range = bounds.low..=bounds.high;
    beside(ui, |ui| {
        let typed = RefCell::new(None);
        let dropped = is_dropped(ui);
        let read = |text: &str| {
            if dropped {
                return None;
            }
            let number = bounds.read(text);
            let taken = number.as_ref().ok().copied();
            typed.replace(Some(number.map(|_| ())));
            taken
        };
        let response = match pull {
            Pull::Rail { log } => {
                let slider = Slider::new(value, range).logarithmic(log);
                let slider =
                    if bounds.whole { slider.integer() } else { slider.smallest_positive(1e-8) };
                // A value is what it is, also where it has more decimals than a pointer gives.
                let slider = slider.clamping(SliderClamping::Edits).update_while_editing(false);
                ui.add(slider.custom_formatter(|x, _| spelled(x)).custom_parser(read))
            }
            Pull::Field { speed, unit } => {
                let field = DragValue::new(value).range(range).speed(speed).suffix(unit);
                let field = field.clamp_existing_to_range(false).update_while_editing(false);
                let field = if bounds.whole { field.fixed_decimals(0) } else { field };
                ui.add(field.custom_formatter(|x, _| spelled(x)).custom_parser(read))
            }
        };
        (response, typed.take(), spelled(*value))
    })
}

/// Whether Escape was pressed, in this frame or in the one before: egui has a number lose the keyboard in both, and takes what
/// was typed in the second. Of one field: it is noted where no other is.
fn is_dropped(ui: &Ui) -> bool {
    let now = ui.input(|i| i.key_pressed(Key::Escape));
    let before = ui.data_mut(|data| {
        let id = ui.unique_id().with("dropped");
        let before = data.get_temp(id).unwrap_or(false);
        data.insert_temp(id, now);
        before
    });
    now || before
}

/// A text that means something: `check` says whether it does.
pub fn text(
    ui: &mut Ui,
    value: &mut String,
    hint: &str,
    width: f32,
    check: impl Fn(&str) -> Result<(), String>,
) -> Response {
    beside(ui, |ui| {
        let id = ui.next_auto_id();
        let written = ui.memory(|memory| memory.has_focus(id) || memory.had_focus_last_frame(id));
        let before = ui.data_mut(|data| data.remove_temp::<Typed>(id)).filter(|_| written);
        let was_written = before.is_some();
        let mut typed = before.map_or_else(|| value.clone(), |typed| typed.0);
        let edit = TextEdit::singleline(&mut typed).hint_text(hint).desired_width(width);
        let mut response = ui.add(edit);
        let mut outcome = None;
        if response.has_focus() {
            ui.data_mut(|data| data.insert_temp(id, Typed(typed)));
        } else if (was_written || response.changed()) && !ui.input(|i| i.key_pressed(Key::Escape)) {
            let typed = typed.trim();
            let checked = if typed == value { Ok(()) } else { check(typed) };
            if checked.is_ok() && typed != value {
                typed.clone_into(value);
                response.mark_changed();
            }
            outcome = Some(checked);
        }
        (response, outcome, value.clone())
    })
}

/// What stands in a field that is being written in.
#[derive(Clone, Default)]
struct Typed(String);

/// A field, and below it why what was typed last was not taken.
fn beside(
    ui: &mut Ui,
    field: impl FnOnce(&mut Ui) -> (Response, Option<Result<(), String>>, String),
) -> Response {
    ui.vertical(|ui| {
        let id = ui.unique_id();
        let (response, typed, now) = field(ui);
        let refusal = match typed {
            Some(Ok(())) => None,
            Some(Err(sentence)) => Some(Refusal { sentence, kept: now }),
            None => ui.data(|data| data.get_temp(id)).filter(|r: &Refusal| r.kept == now),
        };
        match refusal {
            Some(refusal) => {
                say(ui, &refusal.in_words());
                ui.data_mut(|data| data.insert_temp(id, refusal));
            }
            None => ui.data_mut(|data| data.remove::<Refusal>(id)),
        }
        response
    })
    .inner
}

/// What is wrong, below the field that it is about.
pub fn say(ui: &mut Ui, sentence: &str) {
    let text = RichText::new(sentence).color(ui.visuals().error_fg_color);
    ui.add(Label::new(text).wrap());
}

/// Other values stand in the fields: nothing is said of those before.
pub fn forget(ctx: &Context) {
    ctx.data_mut(|data| data.remove_by_type::<Refusal>());
}
