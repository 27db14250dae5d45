//! Reading between the layers: the lens ends in the network's own prediction, and the parts of a logit add up to it.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use mnemoscope::base::array::Array;
use mnemoscope::base::batch::{Batch, NO_TARGET};
use mnemoscope::base::intervention::{Intervention, Point, Site};
use mnemoscope::base::registry;
use mnemoscope::base::settings::{self, Slot};
use mnemoscope::measurement::{self, Answer, Scene, Subject};
use mnemoscope::model::{self, Architecture, Input, Keeps, Model, Sequences};
use mnemoscope::nn::edit::Edit;
use mnemoscope::nn::params::{Init, Params, draw};
use mnemoscope::nn::tap::{Captured, EditAndCapture};
use mnemoscope::task::Task;
use mnemoscope::task::bigram::Bigram;
use toml::Value;

const VOCAB: usize = 11;
const LENGTH: usize = 24;

/// One sequence before a network that is far from where it starts.
struct Stage {
    name: String,
    model: Box<dyn Model>,
    params: Params,
    source: Arc<dyn mnemoscope::task::Source>,
    batch: Batch,
}

impl Stage {
    fn new(name: String, settings: &dyn Architecture) -> Self {
        let mut params = Params::new(3);
        let model = settings.build(Sequences::of_tokens(VOCAB, LENGTH), &mut params).unwrap();
        let mut weights = params.weights(0).unwrap();
        for tensor in weights.tensors.iter_mut().filter(|t| t.trained) {
            let size = 0.7 / (tensor.shape[tensor.shape.len() - 1] as f64).sqrt();
            let noise = draw(5, &tensor.name, tensor.data.len(), Init::Normal(size));
            tensor.data = tensor.data.iter().zip(noise).map(|(w, n)| w + n).collect();
        }
        params.load(&weights).unwrap();
        let token = |i: usize| ((i * i + 5 * i + i / 7) % VOCAB) as u32;
        let mut targets: Vec<u32> = (1..=LENGTH).map(token).collect();
        targets[LENGTH - 1] = NO_TARGET;
        let batch = Batch {
            rows: 1,
            len: LENGTH,
            tokens: (0..LENGTH).map(token).collect(),
            targets,
            roles: vec![0; LENGTH],
            occurrence: vec![0; LENGTH],
            ..Batch::default()
        };
        let source = Bigram { length: LENGTH, ..Bigram::default() }.open().unwrap();
        Self { name, model, params: params.watched().unwrap(), source, batch }
    }

    fn subject(&self) -> Subject<'_> {
        Subject { model: &*self.model, params: &self.params, source: &*self.source }
    }

    fn forward(&self, cut: &[Intervention], sites: Vec<Site>) -> (Tensor, Captured) {
        let tokens = Tensor::from_slice(&self.batch.tokens, (1, LENGTH), &Device::Cpu).unwrap();
        let mut bench = EditAndCapture::new(Edit::of_all(cut, &self.params).unwrap(), sites);
        let output = self.model.forward(&self.params, &Input::new(&tokens), &mut bench).unwrap();
        (output.logits, bench.captured)
    }

    fn ask(&self, name: &str, settings: &[(&str, Value)]) -> Answer {
        self.ask_cut(name, settings, &[])
    }

    fn ask_cut(&self, name: &str, settings: &[(&str, Value)], cut: &[Intervention]) -> Answer {
        let mut measurement = registry::find("probe", measurement::ALL, name).unwrap();
        for (setting, value) in settings {
            settings::set(&mut *measurement, "", setting, value).unwrap();
        }
        measurement.applies(self.subject()).unwrap();
        let (logits, captured) = self.forward(cut, measurement.sites(self.subject()));
        measurement
            .measure(&Scene {
                subject: self.subject(),
                batch: &self.batch,
                first: 0,
                logits: Some(&logits),
                captured: &captured,
            })
            .unwrap()
    }

    fn logits(&self) -> Vec<Vec<f64>> {
        numbers(&self.forward(&[], vec![]).0).chunks(VOCAB).map(<[f64]>::to_vec).collect()
    }
}

/// Every model as it comes, small, and with each of its choices and switches changed.
fn stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for entry in model::ALL {
        let mut changes = vec![None];
        (entry.make)().each(&mut |spec, slot| match slot {
            Slot::Bool(on) => changes.push(Some((spec.name, Value::Boolean(!*on)))),
            Slot::Choice(choice) => {
                let others =
                    choice.names().iter().enumerate().filter(|(i, _)| *i != choice.index());
                changes.extend(others.map(|(_, name)| Some((spec.name, Value::from(*name)))));
            }
            Slot::Int(_) | Slot::Float(_) | Slot::Text(_) => (),
        });
        for change in changes {
            let mut settings = (entry.make)();
            for (name, value) in [("width", 16), ("heads", 2), ("layers", 3)] {
                if settings::names(&mut *settings).contains(&name) {
                    settings::set(&mut *settings, "", name, &Value::Integer(value)).unwrap();
                }
            }
            let mut name = entry.name.to_owned();
            if let Some((setting, value)) = change {
                settings::set(&mut *settings, "", setting, &value).unwrap();
                name = format!("{name}, {setting} = {value}");
            }
            let stage = Stage::new(name, &*settings);
            // Recurrent networks have no stream that is read anywhere, nor have those with norms in it.
            let has_stream = stage.model.readout(&stage.params).unwrap().is_some();
            assert_eq!(has_stream, !["recurrent", "mechanisms"].contains(&entry.name));
            stages.extend(has_stream.then_some(stage));
        }
    }
    stages
}

fn decoder(changes: &[(&str, Value)]) -> Stage {
    let mut settings = registry::find("model", model::ALL, "decoder").unwrap();
    let small = [("width", 16), ("heads", 2), ("layers", 2)].map(|(n, v)| (n, Value::Integer(v)));
    for (name, value) in small.iter().chain(changes) {
        settings::set(&mut *settings, "", name, value).unwrap();
    }
    Stage::new("decoder".to_owned(), &*settings)
}

fn numbers(x: &Tensor) -> Vec<f64> {
    let all = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    all.into_iter().map(f64::from).collect()
}

fn array<'a>(answer: &'a Answer, name: &str) -> &'a Array {
    answer.arrays.iter().find(|a| a.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    logits.iter().map(|l| l.exp() / sum).collect()
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found} instead of {expected}");
}

#[test]
fn the_unembedding_of_the_last_stream_is_the_logits_bit_for_bit() {
    for stage in stages() {
        let last = stage.model.layout().heads.len() - 1;
        let site = Site { layer: last, point: Point::ResidPost };
        let (logits, captured) = stage.forward(&[], vec![site]);
        let read = stage.model.unembed(&stage.params, &captured[&site]).unwrap();
        assert_eq!(numbers(&read), numbers(&logits), "{}", stage.name);
    }
}

#[test]
fn what_the_heads_are_said_to_write_is_what_they_write() {
    for stage in stages() {
        for layer in 0..stage.model.layout().heads.len() {
            let at = |point| Site { layer, point };
            let (_, captured) = stage.forward(&[], vec![at(Point::Z), at(Point::AttnOut)]);
            let writes = stage.model.writes(&stage.params, layer).unwrap().unwrap();
            let mut sum = captured[&at(Point::Z)]
                .broadcast_matmul(&writes.matrix.unsqueeze(0).unwrap())
                .unwrap()
                .sum(1)
                .unwrap();
            if let Some(bias) = &writes.bias {
                sum = sum.broadcast_add(bias).unwrap();
            }
            let (found, expected) = (numbers(&sum), numbers(&captured[&at(Point::AttnOut)]));
            for (found, expected) in found.iter().zip(&expected) {
                assert_near(*found, *expected, 1e-4, &stage.name);
            }
        }
    }
}

#[test]
fn the_lens_reads_every_boundary_and_ends_with_the_network_itself() {
    for stage in stages() {
        let answer = stage.ask("logit_lens", &[("top", 3.into())]);
        let own = stage.ask("predictions", &[("top", 3.into())]);
        let boundaries = stage.model.layout().heads.len() + 1;
        let (token, kl) = (array(&answer, "token"), array(&answer, "kl"));
        assert_eq!(token.shape, [boundaries, LENGTH, 3], "{}", stage.name);
        assert_eq!(token.outer(boundaries - 1), &*array(&own, "token").data, "{}", stage.name);
        assert_eq!(kl.outer(boundaries - 1), [0.0; LENGTH], "{}", stage.name);
        let probability = array(&answer, "probability").outer(boundaries - 1);
        for (found, expected) in probability.iter().zip(&*array(&own, "probability").data) {
            assert_near(f64::from(*found), f64::from(*expected), 1e-6, &stage.name);
        }
        let target = array(&answer, "target_log_probability");
        for (found, loss) in target.outer(boundaries - 1).iter().zip(&*array(&own, "loss").data) {
            assert_eq!(found.is_nan(), loss.is_nan());
            assert!(loss.is_nan() || (found + loss).abs() < 1e-4, "{}: {found} {loss}", stage.name);
        }
    }
}

#[test]
fn the_lens_of_a_middle_layer_is_the_definition() {
    let stage = decoder(&[("norm", "rms".into())]);
    let site = Site { layer: 1, point: Point::ResidPre };
    let (logits, captured) = stage.forward(&[], vec![site]);
    let weights = stage.params.weights(0).unwrap();
    let tensor = |name: &str| weights.get(name).unwrap().data.clone();
    let (norm, unembed) = (tensor("norm.weight"), tensor("unembed"));
    let answer = stage.ask("logit_lens", &[("top", 1.into())]);
    let own: Vec<Vec<f64>> = numbers(&logits).chunks(VOCAB).map(softmax).collect();
    for (pos, x) in numbers(&captured[&site]).chunks(16).enumerate() {
        let rms = (x.iter().map(|x| x * x).sum::<f64>() / 16.0 + 1e-5).sqrt();
        let logit = |t: usize| -> f64 {
            (0..16).map(|i| f64::from(unembed[t * 16 + i] * norm[i]) * x[i] / rms).sum()
        };
        let read = softmax(&(0..VOCAB).map(logit).collect::<Vec<_>>());
        let kl: f64 = own[pos].iter().zip(&read).map(|(p, q)| p * (p / q).ln()).sum();
        assert_near(f64::from(array(&answer, "kl").outer(1)[pos]), kl, 1e-4, "kl");
        let found = array(&answer, "target_log_probability").outer(1)[pos];
        match stage.batch.targets[pos] {
            NO_TARGET => assert!(found.is_nan()),
            target => assert_near(f64::from(found), read[target as usize].ln(), 1e-4, "target"),
        }
    }
}

#[test]
fn the_parts_of_a_logit_add_up_to_it() {
    for stage in stages() {
        let logits = stage.logits();
        for against in ["nothing", "runner-up", "mean"] {
            for of in ["target", "likeliest", "right or likeliest", "given"] {
                let settings = [("of", of.into()), ("against", against.into()), ("id", 4.into())];
                let answer = stage.ask("attribution", &settings);
                let what = format!("{}: {of} against {against}", stage.name);
                check_sum(&stage, &answer, &logits, against, of, &what);
            }
        }
    }
}

/// The parts, added here, against logits that are read here.
fn check_sum(
    stage: &Stage,
    answer: &Answer,
    logits: &[Vec<f64>],
    against: &str,
    of: &str,
    what: &str,
) {
    for pos in 0..LENGTH {
        let best = |skip: Option<usize>| {
            let all = (0..VOCAB).filter(|t| Some(*t) != skip);
            all.max_by(|a, b| logits[pos][*a].total_cmp(&logits[pos][*b])).unwrap()
        };
        let token = match of {
            "target" if stage.batch.targets[pos] == NO_TARGET => {
                assert!(array(answer, "logit").data[pos].is_nan(), "{what}");
                continue;
            }
            "target" => stage.batch.targets[pos] as usize,
            "likeliest" => best(None),
            "right or likeliest" => match stage.batch.targets[pos] {
                NO_TARGET => best(None),
                target => target as usize,
            },
            _ => 4,
        };
        let minus = match against {
            "nothing" => 0.0,
            "mean" => logits[pos].iter().sum::<f64>() / VOCAB as f64,
            _ => logits[pos][best(Some(token))],
        };
        let (mut sum, mut size) = (0.0, 0.0);
        for part in &answer.arrays {
            let of_logit = ["logit", "rest", "token", "against"].contains(&&*part.name);
            if of_logit || part.name.starts_with("sources") {
                continue;
            }
            for row in part.data.chunks(LENGTH) {
                sum += f64::from(row[pos]);
                size += f64::from(row[pos]).abs();
            }
        }
        assert_near(sum, logits[pos][token] - minus, 1e-4 * size.max(1e-3), what);
    }
}

#[test]
fn what_a_head_fetches_from_each_position_adds_up_to_what_it_adds() {
    // The rest of what is fetched from memory tokens is of no position.
    let remembers = |stage: &Stage| stage.model.keeps() == Some(Keeps::Tokens);
    for stage in stages().into_iter().filter(|stage| !remembers(stage)) {
        let position = 17;
        let answer = stage.ask("attribution", &[("position", (position as i64).into())]);
        for (layer, heads) in stage.model.layout().heads.iter().enumerate() {
            let sources = array(&answer, &format!("sources.layer{layer}"));
            let whole = array(&answer, &format!("heads.layer{layer}"));
            for head in 0..*heads {
                let row = sources.outer(head);
                let sum: f64 = row.iter().map(|x| f64::from(*x)).sum();
                let size: f64 = row.iter().map(|x| f64::from(x.abs())).sum();
                let expected = f64::from(whole.outer(head)[position]);
                assert_near(sum, expected, 1e-4 * size.max(1e-3), &stage.name);
                assert!(row[position + 1..].iter().all(|x| *x == 0.0), "nothing of the future");
            }
        }
    }
}

/// Without norms, what a head of the last layer adds is what is missing when it is cut.
#[test]
fn a_part_that_nothing_follows_is_missed_by_as_much_as_it_adds() {
    let stage = decoder(&[("norm", "none".into()), ("mlp", "none".into())]);
    let settings = [("against", "nothing".into())];
    let whole = stage.ask("attribution", &settings);
    for head in 0..2 {
        let cut: Intervention = format!("zero layer1.head{head}").parse().unwrap();
        let without = stage.ask_cut("attribution", &settings, &[cut]);
        for pos in 0..LENGTH - 1 {
            let at = |answer: &Answer, name: &str| f64::from(array(answer, name).data[pos]);
            let missed = at(&whole, "logit") - at(&without, "logit");
            let added = f64::from(array(&whole, "heads.layer1").outer(head)[pos]);
            assert_near(missed, added, 1e-5, "head");
            assert_eq!(array(&without, "heads.layer1").outer(head)[pos], 0.0);
            assert_near(at(&without, "rest"), 0.0, 1e-5, "the cut is seen where it is");
        }
    }
}

#[test]
fn the_scale_of_the_final_norm_is_held_at_its_value() {
    let stage = decoder(&[]);
    let site = Site { layer: 1, point: Point::ResidPost };
    let (_, captured) = stage.forward(&[], vec![site]);
    let x = numbers(&captured[&site]);
    let answer = stage.ask("attribution", &[("of", "given".into()), ("id", 2.into())]);
    let against = array(&answer, "against").data[5] as usize;
    let row = &x[5 * 16..6 * 16];
    let mean = row.iter().sum::<f64>() / 16.0;
    let deviation = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 16.0 + 1e-5).sqrt();
    let weights = stage.params.weights(0).unwrap();
    let tensor = |name: &str| weights.get(name).unwrap().data.clone();
    let (unembed, weight) = (tensor("unembed"), tensor("norm.weight"));
    let embedded = stage.forward(&[], vec![Site { layer: 0, point: Point::Embed }]).1;
    let embedded = numbers(&embedded[&Site { layer: 0, point: Point::Embed }]);
    let embedded = &embedded[5 * 16..6 * 16];
    let middle = embedded.iter().sum::<f64>() / 16.0;
    let expected: f64 = (0..16)
        .map(|i| {
            let u = f64::from(unembed[2 * 16 + i]) - f64::from(unembed[against * 16 + i]);
            u * f64::from(weight[i]) * (embedded[i] - middle) / deviation
        })
        .sum();
    assert_near(f64::from(array(&answer, "embedding").data[5]), expected, 1e-5, "embedding");
}

#[test]
fn questions_without_sense_are_refused_in_words() {
    let stage = decoder(&[]);
    let mut measurement = registry::find("probe", measurement::ALL, "attribution").unwrap();
    settings::set(&mut *measurement, "", "of", &"given".into()).unwrap();
    settings::set(&mut *measurement, "", "id", &11.into()).unwrap();
    let said = measurement.applies(stage.subject()).unwrap_err().message;
    assert!(said.contains("token 11") && said.contains("0 to 10"), "{said}");
    let mut measurement = registry::find("probe", measurement::ALL, "attribution").unwrap();
    settings::set(&mut *measurement, "", "position", &24.into()).unwrap();
    let (logits, captured) = stage.forward(&[], measurement.sites(stage.subject()));
    let scene = Scene {
        subject: stage.subject(),
        batch: &stage.batch,
        first: 0,
        logits: Some(&logits),
        captured: &captured,
    };
    let said = measurement.measure(&scene).unwrap_err().message;
    assert!(said.contains("position 24") && said.contains("0 to 23"), "{said}");
}
