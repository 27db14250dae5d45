//! Workloads: what a step's useful arithmetic is, counted product by product, and what is said of samples.

use mnemoscope::base::registry;
use mnemoscope::bench::cost::{self, Size};
use mnemoscope::bench::{ALL, Measured, find};
use mnemoscope::model::Sequences;
use mnemoscope::nn::params::Params;

const BATCH: usize = 3;
const CONTEXT: usize = 10;
const WIDTH: usize = 8;
const VOCAB: usize = 13;

fn size() -> Size {
    let [batch, context, width, vocab] = [BATCH, CONTEXT, WIDTH, VOCAB].map(|n| n as f64);
    Size { batch, context, width, vocab }
}

/// Operations of one product of all pairs of a position and one that it sees, pair by pair.
fn pairs() -> usize {
    let seen: usize = (0..CONTEXT).map(|query| query + 1).sum();
    2 * BATCH * seen * WIDTH
}

/// Operations of one product of all rows with each matrix of a network whose name `counts`.
fn maps(model: &str, set: &[(&str, i64)], counts: impl Fn(&str) -> bool) -> usize {
    let mut settings = registry::find("model", mnemoscope::model::ALL, model).unwrap();
    for (name, value) in set {
        mnemoscope::base::settings::set(&mut *settings, "model.", name, &(*value).into()).unwrap();
    }
    let mut params = Params::new(0);
    let model = settings.build(Sequences::of_tokens(VOCAB, CONTEXT), &mut params);
    model.unwrap();
    let matrices = params.all().filter(|p| params.var(*p).unwrap().dims().len() == 2);
    let counted = matrices.filter(|p| counts(params.name(*p)));
    counted.map(|p| 2 * BATCH * CONTEXT * params.var(p).unwrap().elem_count()).sum()
}

#[test]
fn the_arithmetic_of_a_decoder_is_that_of_its_matrices_and_pairs() {
    let set = [("layers", 3), ("heads", 2), ("width", WIDTH as i64)];
    let all = maps("decoder", &set, |name| name != "embed" && name != "pos");
    // One product forward, one for the inputs and one for the weights; attention two forward and four back.
    let expected = 3 * all + 3 * 6 * pairs();
    assert_eq!(cost::decoder(size(), 3.0), expected as f64);
}

#[test]
fn the_arithmetic_of_the_simplified_model_leaves_out_what_is_frozen() {
    let of =
        |names: &[&str]| maps("birth", &[("width", WIDTH as i64)], |name| names.contains(&name));
    let forward = of(&["layer0.wk", "layer1.wk", "layer1.wv", "layer1.wo", "layer1.wf", "unembed"]);
    // The first layer reads what is frozen: no gradient of inputs.
    let inputs = of(&["layer1.wk", "layer1.wv", "layer1.wo", "layer1.wf", "unembed"]);
    let weights = of(&["layer0.wk", "layer1.wk", "layer1.wo", "layer1.wf"]);
    let attention = (2 + 2) * pairs() + (2 + 4) * pairs();
    assert_eq!(cost::birth(size()), (forward + inputs + weights + attention) as f64);
}

#[test]
fn samples_give_quantiles_and_rates() {
    let samples = vec![5.0, 1.0, 3.0, 2.0, 4.0];
    let measured = Measured { tokens: Some(6.0), flop: Some(9e9), ..Measured::new("x", samples) };
    assert_eq!(
        (measured.quantile(0.0), measured.median(), measured.quantile(1.0)),
        (1.0, 3.0, 5.0)
    );
    assert_eq!((measured.tokens_per_s(), measured.useful_gflops()), (Some(2.0), Some(3.0)));
    assert!(Measured::new("none", Vec::new()).median().is_nan());
}

#[test]
fn workloads_are_found_by_name_and_by_kind() {
    let names = |wanted: &[&str]| -> Vec<&str> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        find(&wanted).unwrap().iter().map(|workload| workload.name).collect()
    };
    assert_eq!(names(&[]).len(), ALL.len());
    assert_eq!(names(&["train/gpt"]), ["train/gpt"]);
    assert!(names(&["train"]).contains(&"train/birth") && !names(&["train"]).contains(&"scrub"));
    let Err(error) = find(&["train/brith".to_owned()]) else { panic!("it is none") };
    assert!(error.to_string().contains("Did you mean train/birth"), "{error}");
}
