//! Joins pictures of one size into an animated PNG of half that size: `animate OUT.png SECONDS_A_FRAME FRAME.png…`.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};

use mnemoscope::base::convert;

struct Frame {
    width: u32,
    height: u32,
    color: png::ColorType,
    pixels: Vec<u8>,
}

fn read(path: &str) -> Result<Frame, Box<dyn Error>> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    pixels.truncate(info.buffer_size());
    Ok(halved(&Frame { width: info.width, height: info.height, color: info.color_type, pixels }))
}

/// Means of two by two pixels.
fn halved(frame: &Frame) -> Frame {
    let samples = frame.color.samples();
    let (width, height) = (frame.width / 2, frame.height / 2);
    let row = frame.width as usize * samples;
    let mut pixels = Vec::with_capacity(width as usize * height as usize * samples);
    for y in 0..height as usize {
        for x in 0..width as usize {
            for sample in 0..samples {
                let at = 2 * y * row + 2 * x * samples + sample;
                let corners = [at, at + samples, at + row, at + row + samples];
                let sum: u16 = corners.iter().map(|&i| u16::from(frame.pixels[i])).sum();
                pixels.push(u8::try_from(sum / 4).unwrap_or(u8::MAX));
            }
        }
    }
    Frame { width, height, color: frame.color, pixels }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, seconds, frames @ ..] = arguments.as_slice() else {
        return Err("expected: animate OUT.png SECONDS_A_FRAME FRAME.png…".into());
    };
    let milliseconds = convert::short((seconds.parse::<f64>()? * 1000.0).clamp(10.0, 60_000.0));
    let frames = frames.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let first = frames.first().ok_or("no frames")?;
    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(out)?), first.width, first.height);
    encoder.set_color(first.color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_animated(u32::try_from(frames.len())?, 0)?;
    encoder.set_frame_delay(milliseconds, 1000)?;
    let mut writer = encoder.write_header()?;
    for (i, frame) in frames.iter().enumerate() {
        if (frame.width, frame.height, frame.color) != (first.width, first.height, first.color) {
            return Err(format!("frame {i} differs from the first in size or colours").into());
        }
        if i + 1 == frames.len() {
            // The end of the story stays longer.
            writer.set_frame_delay(milliseconds.saturating_mul(6), 1000)?;
        }
        writer.write_image_data(&frame.pixels)?;
    }
    writer.finish()?;
    Ok(())
}
