//! What an error says of where it came from.

use std::error::Error as _;
use std::io;

use candle_core::{Device, Tensor};
use mnemoscope::base::error::{Error, Kind, Result};
use mnemoscope::nn::attention::split_heads;
use mnemoscope::run_folder::disk::read_text;

fn sum_of_misfits() -> Result<Tensor> {
    let zeros = |side: usize| Tensor::zeros(side, candle_core::DType::F32, &Device::Cpu);
    Ok((zeros(2)? + zeros(3)?)?)
}

#[test]
fn a_tensor_operation_that_fails_says_where() {
    let error = sum_of_misfits().unwrap_err();
    assert_eq!(error.kind, Kind::Internal);
    assert!(error.message.starts_with("shape mismatch in add"), "{error}");
    assert!(error.message.contains(&format!(" (at {}:", file!())), "{error}");
    assert!(error.source().unwrap().downcast_ref::<candle_core::Error>().is_some());
}

#[test]
fn inside_of_a_layer_the_place_is_in_the_layer() {
    let x = Tensor::zeros((2, 3, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = split_heads(&x, 2).unwrap_err();
    assert!(error.message.contains("(at src/nn/attention.rs:"), "{error}");
    assert_eq!(error.message.lines().count(), 1, "{error}");
}

#[test]
fn a_refusal_of_the_system_keeps_its_source() {
    let refused = |e: io::Error| -> Error { e.into() };
    let error = refused(io::Error::from(io::ErrorKind::StorageFull)).context("writing a.bin");
    assert_eq!(error.to_string(), "writing a.bin: the disk is full");
    let source: &io::Error = error.source().unwrap().downcast_ref().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_file_that_is_not_there_keeps_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_text(&folder.path().join("no.toml"), 100).unwrap_err();
    assert_eq!(error.kind, Kind::Input);
    let source: &io::Error = error.source().unwrap().downcast_ref().unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    assert!(Error::usage("no such thing").source().is_none());
}
