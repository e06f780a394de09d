//! Bytes written to the FIFO: they are split into the same requests however they arrive, parsed
//! without a panic, and answered with JSON.
//!
//! The first byte is the number of pieces that the stream is cut into.

use strowger::rpc::json::{self, Style};
use strowger::rpc::{Frame, Framer, Value};

pub(crate) fn run(input: &[u8]) {
    let Some((pieces, stream)) = input.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    let cut = frames(stream, (stream.len() / (1 + usize::from(*pieces))).max(1));
    let requests = |frames: &[Frame]| -> Vec<Vec<u8>> {
        let whole = frames.iter().filter_map(|frame| match frame {
            Frame::Whole(bytes) => Some(bytes.clone()),
            Frame::Broken(..) => None,
        });
        whole.collect()
    };
    assert_eq!(requests(&whole), requests(&cut));
    for frame in whole {
        let read = match frame {
            Frame::Whole(bytes) => json::request(&bytes),
            Frame::Broken(bytes, why) => Err(Box::new(json::refuse(&bytes, why))),
        };
        let (answer, id) = match read {
            Ok(request) => {
                let values = request.params.values().cloned().collect();
                (Ok(Value::Array(values)), request.id)
            }
            Err(refused) => (Err(refused.fault), refused.id),
        };
        for style in [Style::Compact, Style::Pretty] {
            let text = json::answer(&answer, id.as_ref(), style);
            let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(json["jsonrpc"], "2.0");
            assert_eq!(json.get("id").is_some(), id.is_some());
        }
    }
}

/// The frames of a stream that comes in pieces of this many bytes, and nothing lost of it but blanks.
fn frames(stream: &[u8], piece: usize) -> Vec<Frame> {
    const BYTES_MAX: usize = 512;
    let mut framer = Framer::new(BYTES_MAX);
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    frames.extend(framer.give_up());
    let bytes = |frame: &Frame| match frame {
        Frame::Whole(bytes) | Frame::Broken(bytes, _) => bytes.clone(),
    };
    let solid = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().filter(|b| !b.is_ascii_whitespace() && *b != 0).collect()
    };
    assert_eq!(solid(&frames.iter().flat_map(bytes).collect::<Vec<u8>>()), solid(stream));
    frames
}
