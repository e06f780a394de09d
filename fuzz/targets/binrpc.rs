//! BINRPC from untrusted clients: decoding never panics, and what was decoded survives encoding
//! unchanged.

use strowger::rpc::binrpc::{self, PacketType};
use strowger::rpc::{Answer, Value};

pub(crate) fn run(input: &[u8]) {
    let mut rest = input;
    loop {
        let (packet, length) = match binrpc::decode(rest) {
            Ok(Some(read)) => read,
            Ok(None) => break,
            Err(broken) => {
                let Some((_, length)) = broken.packet else { break };
                assert!((4..=rest.len()).contains(&length), "{length} of {}", rest.len());
                rest = &rest[length..];
                continue;
            }
        };
        assert!((4..=rest.len()).contains(&length), "{length} of {}", rest.len());
        for end in [0, length / 2, length - 1] {
            assert!(matches!(binrpc::decode(&rest[..end]), Ok(None)), "a part is no whole");
        }
        let answer: Answer = Ok(Value::Array(packet.records));
        let written = binrpc::answer(&answer, packet.cookie);
        // What grows is what the protocol has no room for: arrays become structs, wide numbers texts.
        if let Ok(Some((again, all))) = binrpc::decode(&written) {
            assert_eq!(
                (again.kind, again.cookie, all),
                (PacketType::Reply, packet.cookie, written.len())
            );
            // Written once more it is what it was: nothing is lost on the way.
            let answer = Ok(Value::Array(again.records));
            assert_eq!(binrpc::answer(&answer, packet.cookie), written);
        } else {
            assert!(written.len() > length || length > 8_192, "cannot be read again");
        }
        rest = &rest[length..];
    }
}
